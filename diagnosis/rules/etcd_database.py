"""Layer 4: etcd's database is full, fills up, or holds much that is free (L4-01)."""

from datetime import datetime
from typing import Final

from diagnosis.etcd_commands import looks
from diagnosis.etcd_facts import frozen_evidence, named, of_all, other_alarms, said, unless_known
from diagnosis.etcd_repair import repair
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import duration_text
from situation.etcd.answers import NO_SPACE
from situation.etcd.cluster import ETCD, etcd_of, raisers
from situation.etcd.view import MemberView
from situation.findings import Evidence, Layer, Mark, Severity
from situation.quantity import human_bytes
from situation.situation import Situation

DEFAULT_QUOTA: Final = 2 * 1024**3
"""etcd's limits page; kubeadm sets none."""
WARN_RATIO: Final = 0.80
CRITICAL_RATIO: Final = 0.95
"""etcd mixin: etcdDatabaseQuotaLowSpace."""
WARN_FULL_IN_S: Final = 4 * 3600.0
"""etcd mixin: etcdExcessiveDatabaseGrowth looks four hours ahead."""
FRAGMENTED: Final = 0.50
MIN_IN_USE: Final = 100 * 1024**2
"""etcd mixin: etcdDatabaseHighFragmentationRatio; a small database is not worth a defragmentation."""


def _sizes(member: MemberView) -> Evidence:
    parts = [f"file {human_bytes(member.size_bytes)}" if member.size_bytes is not None else "size not known"]
    if member.in_use_bytes is not None:
        parts.append(f"in use {human_bytes(member.in_use_bytes)}")
    if member.quota.limit_bytes is not None:
        parts.append(f"quota {human_bytes(member.quota.limit_bytes)} ({member.quota.told_by})")
    return said(member, ", ".join(parts))


@rule(
    "etcd-no-space",
    signature="L4-01",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="the alarm NOSPACE in each member's status, in /health, metrics (3.6) and alarm list; sizes and quota.",
    look_alikes={
        "etcd-quorum-lost": "there no member sees a leader; here all do, so alerts on the leader stay green",
        "all nodes dead": "once writes return, leases are renewed within seconds",
        "etcd-quota": "there the quota is near, but writes still go through",
    },
)
def etcd_no_space(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd's database has reached its quota: nothing can be written until there is room and the alarm is disarmed."""
    cluster = etcd_of(situation, now)
    if NO_SPACE not in cluster.alarms:
        return unless_known(cluster.alarms_known, "alarms")
    raised = raisers(situation, cluster, NO_SPACE)
    way_out = repair(situation, cluster, compact=True)
    fails = "writes fail with `mvcc: database space exceeded`"
    evidence = [of_all(cluster, f"alarm NOSPACE, raised by {', '.join(raised) or 'a member'}: {fails}")]
    evidence += [_sizes(member) for member in cluster.answering]
    if cluster.leader_id:
        led = f"the members still see a leader (term {cluster.term}): this is not a lost quorum"
        evidence.append(of_all(cluster, led, Mark.EXCLUDES))
    since = f" {cluster.frozen.since_text}" if cluster.frozen is not None else ""
    return Fired(
        ETCD,
        f"is out of space (alarm NOSPACE): nothing is written{since}",
        (*evidence, *frozen_evidence(cluster), *other_alarms(cluster, NO_SPACE), *way_out.evidence),
        (*looks(situation, cluster), *way_out.commands),
    )


@rule(
    "etcd-quota",
    signature="L4-01",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="the database's file against the quota (status from 3.6.6 on, else `etcd_server_quota_backend_bytes`; the "
    "default of 2 GiB where neither is known), and its growth.",
    look_alikes={
        "etcd-fragmented": "there most of the file is free: the next writes use that first",
        "etcd-no-space": "there the quota is reached",
    },
)
def etcd_quota(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd's database comes near its quota: at the quota every write fails."""
    cluster = etcd_of(situation, now)
    if NO_SPACE in cluster.alarms:
        return CLEAR
    near = tuple(member for member in cluster.answering if _is_near(member))
    if not near:
        return unless_known(any(member.size_bytes is not None for member in cluster.answering), "size")
    fullest = max(near, key=lambda member: (member.size_bytes or 0) / (member.quota.limit_bytes or DEFAULT_QUOTA))
    limit, size = fullest.quota.limit_bytes, fullest.size_bytes or 0
    critical = limit is not None and size > CRITICAL_RATIO * limit
    if limit is None:
        title = f"{human_bytes(size)}: near or above etcd's default quota of {human_bytes(DEFAULT_QUOTA)}"
    else:
        title = f"{human_bytes(size)} of {human_bytes(limit)} quota ({size / limit:.0%}){_forecast_title(fullest)}"
    way_out = repair(situation, cluster, compact=True)
    return Fired(
        ETCD,
        title,
        (*(_sizes(member) for member in near), *_forecast(fullest), *way_out.evidence),
        (*looks(situation, cluster), *way_out.commands),
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        who=("etcd: database",),
    )


def _is_near(member: MemberView) -> bool:
    if member.size_bytes is None or member.quota.told_by == "none set":
        return False
    limit = member.quota.limit_bytes or DEFAULT_QUOTA
    soon = member.full_in_s is not None and member.full_in_s < WARN_FULL_IN_S
    return member.size_bytes >= WARN_RATIO * limit or soon


def _forecast_title(member: MemberView) -> str:
    return f", full in {duration_text(member.full_in_s)}" if member.full_in_s is not None else ""


def _forecast(member: MemberView) -> tuple[Evidence, ...]:
    if member.quota.limit_bytes is None:
        text = "the quota is not known: etcd's default is 2 GiB, and kubeadm sets none"
        return (said(member, text, Mark.OPEN),)
    if member.growth is None:
        return (
            said(member, "how fast it grows is not known yet: it was watched for less than ten minutes", Mark.OPEN),
        )
    over = duration_text(member.growth.over.total_seconds())
    if member.full_in_s is None:
        return (said(member, f"it did not grow over the last {over}"),)
    rate = human_bytes(member.growth.bytes_per_s * 60)
    return (said(member, f"grew {rate}/min over the last {over}; at that rate the quota is reached in "
                 f"{duration_text(member.full_in_s)}"),)  # fmt: skip


@rule(
    "etcd-fragmented",
    signature="L4-01",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="how much of the file is in use, where more than 100 MiB are (etcd mixin).",
    look_alikes={"etcd-quota": "there the file is near the quota, whatever is free in it"},
)
def etcd_fragmented(_: None, situation: Situation, now: datetime) -> Verdict:
    """More than half of etcd's database file is free: only a defragmentation gives that back."""
    cluster = etcd_of(situation, now)
    loose = tuple(
        member
        for member in cluster.answering
        if (member.fragmentation or 0.0) > FRAGMENTED and (member.in_use_bytes or 0) > MIN_IN_USE
    )
    if not loose:
        return unless_known(any(member.fragmentation is not None for member in cluster.answering), "free space")
    worst = max(loose, key=lambda member: member.fragmentation or 0.0)
    roomy = all(member.free_ratio is not None and member.free_ratio > 0.5 for member in loose)
    way_out = repair(situation, cluster, compact=False)
    return Fired(
        ETCD,
        f"{worst.fragmentation or 0.0:.0%} of {human_bytes(worst.size_bytes or 0)} are free but still taken",
        (*(_sizes(member) for member in loose), *way_out.evidence),
        (*looks(situation, cluster), *way_out.commands),
        severity=Severity.INFO if roomy else Severity.WARNING,
        follows=(ETCD,),
        follows_only=("etcd-no-space", "etcd-quota"),
        who=(f"etcd: {named(loose)}:",),
    )


RULES: Final[tuple[Rule, ...]] = (etcd_no_space, etcd_quota, etcd_fragmented)
