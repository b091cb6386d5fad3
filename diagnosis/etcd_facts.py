"""What the rules about etcd share: thresholds, how numbers are told, and which findings follow from others."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from diagnosis.rule import CLEAR, Unknown, Verdict
from situation.clock import duration_text
from situation.etcd.answers import CORRUPT, NO_SPACE
from situation.etcd.cluster import EtcdCluster, FrozenBy
from situation.etcd.memory import WINDOW
from situation.etcd.view import MemberView, Standing
from situation.findings import Evidence, Mark
from situation.situation import Situation

BEHIND_ENTRIES: Final = 5000
"""A member that lacks more entries needs a snapshot (etcd's SnapshotCatchUpEntries); its tuning page calls a gap of a
few thousand between committed and applied normal."""
ELECTION_S: Final = 5.0
"""Without a leader for so long it is no election any more: that takes one election timeout (1 s) or a few."""
SOURCE: Final = "etcd/members"
"""Named by evidence where no member was ever asked."""

WINDOW_TEXT: Final = duration_text(WINDOW.total_seconds())
"""Over so long quantiles are taken."""

ETCD_CERTIFICATES: Final = frozenset({"etcd-ca", "etcd-server", "etcd-peer"})
CERTIFICATES: Final = "control-plane/certificates"


def said(member: MemberView, text: str, mark: Mark = Mark.SUPPORTS, at: datetime | None = None) -> Evidence:
    """Return what a member says as evidence; `at` is when it was true, if not when it was heard last."""
    return Evidence(f"{member.name}: {text}", member.source or SOURCE, at or member.heard_at, mark)


def of_all(cluster: EtcdCluster, text: str, mark: Mark = Mark.SUPPORTS, at: datetime | None = None) -> Evidence:
    """Return what follows from all members together, in the name of the one that was heard last."""
    asked = [member for member in cluster.members if member.source]
    last = max(asked, key=lambda member: (member.standing is Standing.ANSWERS, str(member.heard_at)), default=None)
    if last is None:
        return Evidence(text, SOURCE, at, mark)
    return Evidence(text, last.source, at or last.heard_at, mark)


def unless_known(is_known: bool, what: str) -> Verdict:
    """Return clear if it is known that nothing is wrong, else unknown."""
    return CLEAR if is_known else Unknown(f"{what}: not known of any member of etcd")


def named(members: Sequence[MemberView]) -> str:
    """Return `etcd-1`, `etcd-1, etcd-2`, `etcd-1, etcd-2 and 3 more`."""
    names = [member.name for member in members]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def strain(member: MemberView) -> str:
    """Return `; 3 late heartbeats, 2 slow applies` of the last minute, and what waits now; empty if there is none."""
    counts = (
        (member.heartbeat_failures, "late heartbeats"),
        (member.slow_applies, "slow applies"),
        (member.failed_proposals, "failed proposals"),
        (member.slow_reads, "slow reads"),
        (member.page.proposals_pending if member.page is not None else None, "proposals pending now"),
    )
    parts = [f"{value:.0f} {what}" for value, what in counts if value]
    return f"; {', '.join(parts)}" if parts else ""


def quorum_text(cluster: EtcdCluster) -> str:
    """Return `2 of 3 members answer, quorum 2, can lose 0 more`, or how many are needed; unknown is not said, nor what
    may be lost of members that have no leader."""
    text = f"{cluster.alive} of {cluster.size} {'member answers' if cluster.size == 1 else 'members answer'}"
    text += f", quorum {cluster.quorum}"
    leaderless = cluster.frozen is not None and cluster.frozen.by is FrozenBy.NO_LEADER
    if cluster.can_lose is None or leaderless:
        return text
    missing = cluster.quorum - cluster.alive
    return text + (f", {missing} more needed" if missing > 0 else f", can lose {cluster.can_lose} more")


def quorum_evidence(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    """Return how many answer, by which count, and who could not be read."""
    found = [of_all(cluster, f"{quorum_text(cluster)} (counted by the {cluster.size_from})")]
    found += [
        said(member, f"runs but cannot be read, so nothing is known of it: {member.error}", Mark.OPEN)
        for member in cluster.unreadable
    ]
    return tuple(found)


def silence(members: Iterable[MemberView]) -> tuple[Evidence, ...]:
    """Return of each silent member since when, and the error."""
    found = []
    for member in members:
        since = f" since {member.silent_since:%H:%M:%S}" if member.silent_since is not None else ""
        error = f": {member.error}" if member.error else ""
        found.append(said(member, f"does not answer{since}{error}", at=member.silent_since))
    return tuple(found)


def expired_certificates(situation: Situation, now: datetime) -> tuple[Evidence, ...]:
    """Return etcd's own certificates that have expired: its members do not talk to each other with them."""
    return tuple(
        Evidence(f"certificate {item.name} ({item.place}) expired at {item.not_after:%Y-%m-%d %H:%M} UTC", CERTIFICATES)
        for item in situation.certificates
        if item.name in ETCD_CERTIFICATES and item.not_after is not None and item.not_after <= now
    )


def frozen_evidence(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    """Return what a cluster that takes no writes means for everything else on the screen."""
    if cluster.frozen is None:
        return ()
    frozen = cluster.frozen
    as_of = f"as of {frozen.since:%H:%M:%S}" if frozen.is_exact else frozen.since_text
    reads = "reads and deletes still work, " if cluster.frozen.by is FrozenBy.NO_SPACE else ""
    text = f"{reads}leases and node status are frozen history {as_of}: a node that died since then still looks Ready"
    return (of_all(cluster, text, at=cluster.frozen.since),)


def other_alarms(cluster: EtcdCluster, but: str) -> tuple[Evidence, ...]:
    """Return the alarms besides one."""
    return tuple(
        of_all(cluster, f"the alarm {kind} is raised as well")
        for kind in sorted(cluster.alarms - {but})
        if kind in (NO_SPACE, CORRUPT)
    )
