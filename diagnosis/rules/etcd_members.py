"""Layer 4: single members of etcd that lag, learn or are unwell; their versions and their number."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from diagnosis.etcd_commands import looks, metrics_command
from diagnosis.etcd_facts import BEHIND_ENTRIES, named, of_all, quorum_text, said, unless_known
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import age_text
from situation.etcd.cluster import ETCD, etcd_of
from situation.etcd.figures import version_of
from situation.etcd.memory import SPAN
from situation.etcd.standing import REFUSAL
from situation.etcd.view import MemberView, Role
from situation.findings import Layer, Severity
from situation.situation import Situation

LEARNER: Final = timedelta(minutes=10)
"""A learner catches up and is promoted within minutes (kubeadm waits for it when a node joins)."""


@rule(
    "etcd-member-behind",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="applied index against what the leader had committed before, raftIndex - raftAppliedIndex, and "
    "`etcd_server_snapshot_apply_in_progress_total`.",
    look_alikes={
        "answers of different times": "the leader's last answer before the member's own is compared",
        "etcd-member-down": "there it does not answer",
        "a member that joins": "a learner loads a snapshot first; etcd-learner tells of one that does not get done",
    },
)
def etcd_member_behind(_: None, situation: Situation, now: datetime) -> Verdict:
    """An etcd member lacks thousands of entries, or loads a snapshot: it counts for quorum, but reads there are old."""
    cluster = etcd_of(situation, now)
    voters = [member for member in cluster.answering if member.role is not Role.LEARNER]
    behind = tuple(member for member in voters if _missing(member) > BEHIND_ENTRIES or _loads(member))
    if not behind:
        return unless_known(any(member.status is not None for member in cluster.answering), "how far it is")
    worst = max(behind, key=_missing)
    state = "loads a snapshot" if _loads(worst) else f"is {_missing(worst)} entries behind"
    evidence = [
        said(member, f"{_missing(member)} entries not applied{', applies a snapshot' if _loads(member) else ''}")
        for member in behind
    ]
    gap = f"a gap of a few thousand is normal; above {BEHIND_ENTRIES} a member needs a snapshot"
    lines = "proposals_(committed|applied|pending)|snapshot_apply_in_progress|slow_apply"
    return Fired(
        ETCD,
        state,
        (*evidence, of_all(cluster, gap)),
        (*looks(situation, cluster), metrics_command(situation, cluster, worst, lines, "does it catch up?")),
        follows=(ETCD,),
        follows_only=("etcd-slow-fsync", "etcd-slow-peers"),
        who=(f"etcd: {named(behind)}",),
    )


def _missing(member: MemberView) -> int:
    return max(member.lag or 0, member.backlog or 0)


def _loads(member: MemberView) -> bool:
    return member.page is not None and bool(member.page.applying_snapshot)


@rule(
    "etcd-learner",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="isLearner in the member's own status, for ten minutes or more.",
    look_alikes={"a member that just joined": "it learns for minutes, then it is promoted"},
)
def etcd_learner(_: None, situation: Situation, now: datetime) -> Verdict:
    """An etcd member stays a learner: it has no vote, so quorum is that of the others."""
    cluster = etcd_of(situation, now)
    found = [
        (member, since)
        for member in cluster.answering
        if member.role is Role.LEARNER and (since := _learns_since(member, situation)) and now - since >= LEARNER
    ]
    if not found:
        return unless_known(any(member.status is not None for member in cluster.answering), "learners")
    learners = tuple(member for member, _ in found)
    since = min(since for _, since in found)
    return Fired(
        ETCD,
        f"{'has' if len(learners) == 1 else 'have'} been a learner for {age_text(since, now)} or longer: no vote",
        (
            *(said(member, f"is a learner at least since {at:%H:%M:%S}", at=at) for member, at in found),
            of_all(cluster, quorum_text(cluster)),
        ),
        looks(situation, cluster),
        who=(f"etcd: {named(learners)}",),
    )


def _learns_since(member: MemberView, situation: Situation) -> datetime | None:
    known = situation.etcd.known.get(member.endpoint)
    since: datetime | None = None
    for at, status in reversed(known.statuses.within(SPAN) if known is not None else ()):
        if not status.is_learner:
            break
        since = at
    return since


@rule(
    "etcd-unhealthy",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="/health and /readyz of members whose status answers and that see a leader.",
    look_alikes={
        "etcd-no-space": "there /health names the alarm",
        "etcd-no-leader": "there /health says RAFT NO LEADER",
        "metrics that we cannot reach": "there /metrics fails at the same address: nothing is said",
    },
)
def etcd_unhealthy(_: None, situation: Situation, now: datetime) -> Verdict:
    """An etcd member tells its status but fails its own health check: a consistent read does not get through."""
    cluster = etcd_of(situation, now)
    ill = tuple(
        (member, why)
        for member in cluster.answering
        if member.status is not None and member.status.leader and (why := _why_ill(member, situation))
    )
    if not ill:
        return unless_known(any(member.health is not None for member in cluster.answering), "health")
    members = tuple(member for member, _ in ill)
    return Fired(
        ETCD,
        f"{'fails its health check' if len(ill) == 1 else 'fail their health checks'}: {ill[0][1]}",
        tuple(said(member, f"its status answers, its health does not: {why}") for member, why in ill),
        looks(situation, cluster),
        follows=(ETCD,),
        follows_only=("etcd-corrupt", "etcd-slow-fsync", "etcd-slow-peers", "etcd-elections"),
        who=(f"etcd: {named(members)}",),
    )


def _why_ill(member: MemberView, situation: Situation) -> str:
    health = member.health
    if health is None:
        known = situation.etcd.known.get(member.endpoint)
        last = known.member if known is not None else None
        if last is None or not last.health_error or last.page is None or REFUSAL.search(last.health_error):
            return ""
        return last.health_error
    if "ALARM" in health.reason or "NO LEADER" in health.reason:
        return ""
    checks = [check for check in health.failed_checks if check != "non_learner"]
    if health.healthy and not checks:
        return ""
    return health.reason or ", ".join(checks) or ("" if member.role is Role.LEARNER else "no reason is given")


class _Hazard(NamedTuple):
    """Versions with a known fault, the lowest and highest included."""

    lowest: tuple[int, int, int]
    highest: tuple[int, int, int]
    severity: Severity
    words: str


HAZARDS: Final = (
    _Hazard((3, 5, 0), (3, 5, 2), Severity.WARNING,
            "a crash under load (OOM, SIGKILL) can lose entries on one member; fixed in 3.5.3"),
    _Hazard((3, 5, 0), (3, 5, 5), Severity.INFO,
            "a crash during defragmentation can make members differ; fixed in 3.5.6"),
    _Hazard((3, 4, 0), (3, 4, 37), Severity.INFO,
            "a snapshot applied during a defragmentation can corrupt data; fixed in 3.4.38"),
    _Hazard((3, 5, 0), (3, 5, 22), Severity.INFO,
            "a snapshot applied during a defragmentation can corrupt data; fixed in 3.5.23"),
    _Hazard((3, 6, 0), (3, 6, 4), Severity.INFO,
            "a snapshot applied during a defragmentation can corrupt data; fixed in 3.6.5"),
)  # fmt: skip
"""etcd's data inconsistency advisories and changelogs."""
UPDATED_TOO_EARLY: Final = _Hazard(
    (3, 5, 1), (3, 5, 25), Severity.WARNING,
    "beside 3.6: from it members can come back as learners or from the dead; go to 3.5.26 before 3.6",
)  # fmt: skip
"""Counts only while a member runs 3.6 or later: before, it is advice for an update that nobody began."""


@rule(
    "etcd-known-bad-version",
    signature="L4-15",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.INFO,
    kind="Cluster",
    looks_at="the version in each member's status against those that etcd itself warns of.",
)
def etcd_known_bad_version(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd runs a version that can lose or damage data, in the circumstances that the evidence names."""
    cluster = etcd_of(situation, now)
    versions = {member.version: version_of(member.version) for member in cluster.answering}
    updating = any(version >= (3, 6, 0) for version in versions.values() if version is not None)
    found = [
        (text, hazard)
        for text, version in sorted(versions.items())
        for hazard in (*HAZARDS, *([UPDATED_TOO_EARLY] if updating else ()))
        if version is not None and hazard.lowest <= version <= hazard.highest
    ]
    if not found:
        return unless_known(any(versions.values()), "the version")
    concerned = tuple(member for member in cluster.answering if member.version in {text for text, _ in found})
    return Fired(
        ETCD,
        f"{found[0][0]} has a known fault: {found[0][1].words}",
        (
            *(of_all(cluster, f"{text}: {hazard.words}") for text, hazard in found),
            said(concerned[0], f"runs {concerned[0].version}" + (f", as {len(concerned) - 1} more do"
                 if len(concerned) > 1 else "")),
        ),
        looks(situation, cluster),
        severity=min((hazard.severity for _, hazard in found), key=lambda severity: severity.rank),
    )  # fmt: skip


@rule(
    "etcd-versions-differ",
    signature="L4-15",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.INFO,
    kind="Cluster",
    looks_at="the version in each member's status.",
    look_alikes={"an update under way": "the versions are of one minor version or of neighbours: only a hint"},
)
def etcd_versions_differ(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd's members run different versions: normal during an update, and only then."""
    cluster = etcd_of(situation, now)
    versions = {member.version: version_of(member.version) for member in cluster.answering if member.version}
    known = sorted(version for version in versions.values() if version is not None)
    if len(versions) < 2 or not known:
        return unless_known(bool(known), "the version")
    oldest, newest = known[0], known[-1]
    apart = oldest[0] != newest[0] or newest[1] - oldest[1] > 1
    together = {member.page.cluster_version for member in cluster.answering if member.page is not None} - {""}
    words = "more than one minor version apart, which etcd does not support" if apart else "is an update under way?"
    return Fired(
        ETCD,
        f"runs {' and '.join(sorted(versions)[:3])}: {words}",
        (
            *(said(member, f"runs {member.version or 'an unknown version'}") for member in cluster.answering),
            *(of_all(cluster, f"they work as {version} (etcd_cluster_version)") for version in sorted(together)),
        ),
        looks(situation, cluster),
        severity=Severity.WARNING if apart else Severity.INFO,
    )


@rule(
    "etcd-even-members",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.INFO,
    kind="Cluster",
    looks_at="the number of voting members in the member list.",
    look_alikes={"endpoints that nobody listed": "without a member list nothing is said"},
)
def etcd_even_members(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd has an even number of members: it survives no more failures than with one member less."""
    cluster = etcd_of(situation, now)
    if cluster.size_from != "member list":
        return unless_known(False, "the member list")
    if cluster.size < 2 or cluster.size % 2:
        return CLEAR
    fewer = cluster.size - 1
    losable, losable_then = cluster.size - cluster.quorum, fewer - (fewer // 2 + 1)
    return Fired(
        ETCD,
        f"has {cluster.size} members: an even number survives no more failures than {fewer}",
        (
            of_all(cluster, f"of {cluster.size}, {losable} may fail; of {fewer}, {losable_then} may"),
        ),
        looks(situation, cluster),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (
    etcd_member_behind,
    etcd_learner,
    etcd_unhealthy,
    etcd_known_bad_version,
    etcd_versions_differ,
    etcd_even_members,
)
