"""Layer 4: the disk of etcd is slow (L4-03)."""

from datetime import datetime
from typing import Final

from diagnosis.etcd_commands import disk_commands
from diagnosis.etcd_facts import SOURCE, WINDOW_TEXT, named, said, strain, unless_known
from diagnosis.rule import Fired, Rule, Verdict, rule
from situation.etcd.cluster import ETCD, etcd_of
from situation.etcd.view import MemberView
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.quantity import latency_text
from situation.selectors import is_control_plane
from situation.situation import Situation

FSYNC_HEALTHY_S: Final = 0.010
"""etcd FAQ: p99 of the WAL's fsync should be less than 10 ms."""
FSYNC_RISK_S: Final = 0.025
FSYNC_UNSTABLE_S: Final = 0.050
"""Bands of practice, not of the FAQ: above 25 ms elections are to be expected, above 50 ms they happen."""
FSYNC_MIXIN_WARNING_S: Final = 0.5
FSYNC_MIXIN_CRITICAL_S: Final = 1.0
"""etcd mixin: etcdHighFsyncDurations."""
COMMIT_HEALTHY_S: Final = 0.025
"""etcd FAQ: p99 of the backend's commit should be less than 25 ms."""
COMMIT_LATE_S: Final = 0.1
"""etcd's `--backend-batch-interval`: commits that take longer are due again before they end."""
COMMIT_MIXIN_S: Final = 0.25
"""etcd mixin: etcdHighCommitDurations."""
STACKED_NODES: Final = 100
"""From this size on etcd is usually moved off the control plane nodes."""
DISK_FAULTS: Final = ("node-disk-pressure", "node-problem")


def _nodes(members: tuple[MemberView, ...]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(Ref("Node", "", member.node) for member in members if member.node))


def _band(value: float) -> str:
    if value > FSYNC_UNSTABLE_S:
        return "unstable"
    return "risk of elections" if value > FSYNC_RISK_S else "degraded"


def _stacked(situation: Situation, slow: tuple[MemberView, ...]) -> tuple[Evidence, ...]:
    """Say that etcd shares its nodes with the rest of the control plane, and whether the cluster outgrew that."""
    shared = [ref.name for ref in _nodes(slow) if (node := situation.node(ref.name)) and is_control_plane(node)]
    if not shared:
        return ()
    text = f"etcd shares {', '.join(shared[:3])} with the control plane (stacked)"
    if len(situation.nodes) > STACKED_NODES:
        text += f"; with {len(situation.nodes)} nodes it is usually moved to machines of its own"
    return (Evidence(text, "kubernetes/nodes"),)


@rule(
    "etcd-slow-fsync",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="p99 of `etcd_disk_wal_fsync_duration_seconds` over the last minute, never since the start.",
    look_alikes={
        "etcd-slow-peers": "there the network between the members is slow and their disks are not",
        "api-overloaded": "there etcd is fast and the API server turns requests away",
        "a slow disk of an hour ago": "only what was written in the last minute counts",
    },
)
def etcd_slow_fsync(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd's disk is slow to make writes durable: every change of the cluster waits for it."""
    cluster = etcd_of(situation, now)
    slow = tuple(member for member in cluster.answering if (member.fsync_p99_s or 0.0) > FSYNC_HEALTHY_S)
    if not slow:
        return unless_known(any(member.fsync_p99_s is not None for member in cluster.answering), "fsync")
    worst = max(slow, key=lambda member: member.fsync_p99_s or 0.0)
    value = worst.fsync_p99_s or 0.0
    evidence = [said(member, f"fsync p99 {latency_text(member.fsync_p99_s or 0.0)} over {WINDOW_TEXT}{strain(member)}")
                for member in slow]  # fmt: skip
    bands = (
        "etcd FAQ: healthy below 10 ms; in practice up to 25 degraded, above 25 risk of elections, above 50 unstable: "
        f"{_band(value)}; etcd mixin: warns above 0.5 s, critical above 1 s: {_mixin(value)}"
    )
    fast = [member for member in cluster.answering if member.fsync_p99_s is not None and member not in slow]
    evidence += [said(member, f"fsync p99 {latency_text(member.fsync_p99_s or 0.0)}", Mark.EXCLUDES) for member in fast]
    return Fired(
        ETCD,
        f"{'is' if len(slow) == 1 else 'are'} slow to sync to disk: p99 {latency_text(value)} ({_band(value)})",
        (*evidence, Evidence(bands, worst.source or SOURCE, worst.heard_at), *_stacked(situation, slow)),
        disk_commands(situation, cluster, worst),
        severity=_severity(value),
        follows=_nodes(slow),
        follows_only=DISK_FAULTS,
        who=(f"etcd: {named(slow)}",),
    )


def _severity(value: float) -> Severity:
    """A hint while it is only degraded: nobody needs to get up for that."""
    if value > FSYNC_MIXIN_CRITICAL_S:
        return Severity.CRITICAL
    return Severity.WARNING if value > FSYNC_RISK_S else Severity.INFO


def _mixin(value: float) -> str:
    if value > FSYNC_MIXIN_CRITICAL_S:
        return "critical"
    return "warns" if value > FSYNC_MIXIN_WARNING_S else "silent"


@rule(
    "etcd-slow-commit",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="p99 of `etcd_disk_backend_commit_duration_seconds` over the last minute; whether the file shrank in it, "
    "or `etcd_disk_defrag_inflight` is 1.",
    look_alikes={
        "etcd-slow-fsync": "there the log's disk is slow as well, and this follows",
        "a defragmentation": "a member's commits wait until it is done: a hint only",
    },
)
def etcd_slow_commit(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd is slow to commit to its database: the disk, or a database that is large and fragmented."""
    cluster = etcd_of(situation, now)
    slow = tuple(member for member in cluster.answering if (member.commit_p99_s or 0.0) > COMMIT_HEALTHY_S)
    if not slow:
        return unless_known(any(member.commit_p99_s is not None for member in cluster.answering), "commit")
    worst = max(slow, key=lambda member: member.commit_p99_s or 0.0)
    value = worst.commit_p99_s or 0.0
    mixin = "warns" if value > COMMIT_MIXIN_S else "silent"
    busy = tuple(member for member in slow if member.was_defragmented)
    late = max((member.commit_p99_s or 0.0 for member in slow if member not in busy), default=0.0)
    bands = f"etcd FAQ: healthy below 25 ms; etcd mixin: warns above 0.25 s: {mixin}"
    return Fired(
        ETCD,
        f"{'is' if len(slow) == 1 else 'are'} slow to commit to the database: p99 {latency_text(value)}",
        (
            *(
                said(member, f"commit p99 {latency_text(member.commit_p99_s or 0.0)} over {WINDOW_TEXT}")
                for member in slow
            ),
            *(
                said(member, f"is or was defragmented in these {WINDOW_TEXT}: commits wait meanwhile", Mark.EXCLUDES)
                for member in busy
            ),
            Evidence(bands, worst.source or SOURCE, worst.heard_at),
            *_stacked(situation, slow),
        ),
        disk_commands(situation, cluster, worst),
        severity=Severity.WARNING if late > COMMIT_LATE_S else Severity.INFO,
        follows=(ETCD, *_nodes(slow)),
        follows_only=("etcd-slow-fsync", *DISK_FAULTS),
        who=(f"etcd: {named(slow)}",),
    )


RULES: Final[tuple[Rule, ...]] = (etcd_slow_fsync, etcd_slow_commit)
