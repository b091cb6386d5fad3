"""Layer 4: etcd is slow: its disk, the way between its members, elections (L4-03)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import on_node
from diagnosis.etcd_commands import looks, metrics_command
from diagnosis.etcd_facts import SOURCE, named, said, seconds
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import duration_text
from situation.etcd.cluster import ETCD, EtcdCluster, etcd_of
from situation.etcd.figures import Elections
from situation.etcd.memory import WINDOW
from situation.etcd.view import MemberView
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.selectors import is_control_plane
from situation.situation import Situation

FSYNC_HEALTHY_S: Final = 0.010
"""etcd FAQ: p99 of the WAL's fsync should be less than 10 ms."""
FSYNC_RISK_S: Final = 0.025
FSYNC_UNSTABLE_S: Final = 0.050
"""Bands of practice: from 25 ms on elections are to be expected, from 50 ms on they happen."""
FSYNC_MIXIN_WARNING_S: Final = 0.5
FSYNC_MIXIN_CRITICAL_S: Final = 1.0
"""etcd mixin: etcdHighFsyncDurations."""
COMMIT_HEALTHY_S: Final = 0.025
"""etcd FAQ: p99 of the backend's commit should be less than 25 ms."""
COMMIT_MIXIN_S: Final = 0.25
"""etcd mixin: etcdHighCommitDurations."""
ROUND_TRIP_S: Final = 0.15
"""etcd mixin: etcdMemberCommunicationSlow; within a data centre it is below 5 ms."""
ELECTIONS_PER_HOUR: Final = 1
ELECTIONS_PER_MINUTE: Final = 1
"""More leader changes than this are unstable, or a crisis."""
_ELECTION_BANDS: Final = "above 1 an hour unstable, above 1 a minute a crisis; etcd mixin: warns at 4 in 15 min"
_STRAIN_BANDS: Final = (
    "no official limit, a steady rate hints at a slow disk; etcd mixin: warns above 5 failed proposals a second"
)
FAILED_PROPOSALS_PER_S: Final = 5.0
"""etcd mixin: etcdHighNumberOfFailedProposals."""
STACKED_NODES: Final = 100
"""From this size on etcd is usually moved off the control plane nodes."""
DISK_FAULTS: Final = ("node-disk-pressure", "node-problem")
_FSYNC_LINES: Final = "wal_fsync_duration_seconds_(sum|count)|backend_commit_duration_seconds_(sum|count)"
_LEADER_LINES: Final = "leader_changes_seen|heartbeat_send_failures|proposals_failed|has_leader"


def _disk_commands(situation: Situation, cluster: EtcdCluster, slow: MemberView) -> tuple[Command, ...]:
    twice = "fsync and commit: run it twice, 30 s apart, and divide the differences"
    commands = [metrics_command(situation, cluster, slow, _FSYNC_LINES, twice)]
    if slow.node:
        commands += [
            on_node(slow.node, "iostat", "-x", "1", "5", purpose="is the disk busy (%util), how long do writes wait?"),
            on_node(slow.node, "iotop", "-b", "-o", "-n", "3", purpose="who else writes to it?"),
        ]
    return (*commands, *looks(situation, cluster))


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
        return CLEAR
    worst = max(slow, key=lambda member: member.fsync_p99_s or 0.0)
    value = worst.fsync_p99_s or 0.0
    evidence = [said(member, f"fsync p99 {seconds(member.fsync_p99_s or 0.0)} over {_window()}{_heartbeats(member)}")
                for member in slow]  # fmt: skip
    bands = (
        f"etcd FAQ: healthy below 10 ms, 10 to 25 degraded, above 25 risk of elections, above 50 unstable: "
        f"{_band(value)}; etcd mixin: warns above 0.5 s, critical above 1 s: {_mixin(value)}"
    )
    fast = [member for member in cluster.answering if member.fsync_p99_s is not None and member not in slow]
    evidence += [said(member, f"fsync p99 {seconds(member.fsync_p99_s or 0.0)}", Mark.EXCLUDES) for member in fast]
    return Fired(
        ETCD,
        f"{'is' if len(slow) == 1 else 'are'} slow to sync to disk: p99 {seconds(value)} ({_band(value)})",
        (*evidence, Evidence(bands, worst.source or SOURCE, worst.heard_at), *_stacked(situation, slow)),
        _disk_commands(situation, cluster, worst),
        severity=Severity.CRITICAL if value > FSYNC_MIXIN_CRITICAL_S else Severity.WARNING,
        follows=_nodes(slow),
        follows_only=DISK_FAULTS,
        who=f"etcd: {named(slow)}",
    )


def _mixin(value: float) -> str:
    if value > FSYNC_MIXIN_CRITICAL_S:
        return "critical"
    return "warns" if value > FSYNC_MIXIN_WARNING_S else "silent"


def _window() -> str:
    return duration_text(WINDOW.total_seconds())


def _heartbeats(member: MemberView) -> str:
    parts = [
        f"{value:.0f} {what}"
        for value, what in (
            (member.heartbeat_failures, "late heartbeats"),
            (member.slow_applies, "slow applies"),
            (member.failed_proposals, "failed proposals"),
        )
        if value
    ]
    return f"; {', '.join(parts)}" if parts else ""


@rule(
    "etcd-slow-commit",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="p99 of `etcd_disk_backend_commit_duration_seconds` over the last minute.",
    look_alikes={"etcd-slow-fsync": "there the log's disk is slow as well, and this follows"},
)
def etcd_slow_commit(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd is slow to commit to its database: the disk, or a database that is large and fragmented."""
    cluster = etcd_of(situation, now)
    slow = tuple(member for member in cluster.answering if (member.commit_p99_s or 0.0) > COMMIT_HEALTHY_S)
    if not slow:
        return CLEAR
    worst = max(slow, key=lambda member: member.commit_p99_s or 0.0)
    value = worst.commit_p99_s or 0.0
    mixin = "warns" if value > COMMIT_MIXIN_S else "silent"
    bands = f"etcd FAQ: healthy below 25 ms; etcd mixin: warns above 0.25 s: {mixin}"
    return Fired(
        ETCD,
        f"{'is' if len(slow) == 1 else 'are'} slow to commit to the database: p99 {seconds(value)}",
        (
            *(said(member, f"commit p99 {seconds(member.commit_p99_s or 0.0)} over {_window()}") for member in slow),
            Evidence(bands, worst.source or SOURCE, worst.heard_at),
            *_stacked(situation, slow),
        ),
        _disk_commands(situation, cluster, worst),
        follows=(ETCD, *_nodes(slow)),
        follows_only=("etcd-slow-fsync", *DISK_FAULTS),
        who=f"etcd: {named(slow)}",
    )


@rule(
    "etcd-slow-peers",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="p99 of `etcd_network_peer_round_trip_time_seconds` over the last minute.",
    look_alikes={"etcd-slow-fsync": "there the disk is slow and the network is not"},
)
def etcd_slow_peers(_: None, situation: Situation, now: datetime) -> Verdict:
    """Messages between etcd's members take too long: elections and slow writes follow."""
    cluster = etcd_of(situation, now)
    slow = tuple(member for member in cluster.answering if (member.round_trip_p99_s or 0.0) > ROUND_TRIP_S)
    if not slow:
        return CLEAR
    worst = max(slow, key=lambda member: member.round_trip_p99_s or 0.0)
    return Fired(
        ETCD,
        f"{'reaches' if len(slow) == 1 else 'reach'} a peer in p99 {seconds(worst.round_trip_p99_s or 0.0)}",
        (
            *(said(member, f"p99 to its slowest peer {seconds(member.round_trip_p99_s or 0.0)} over {_window()}")
              for member in slow),
            Evidence("below 5 ms within a data centre; etcd mixin: warns above 0.15 s", worst.source or SOURCE,
                     worst.heard_at),
        ),
        (metrics_command(situation, cluster, worst, "peer_round_trip_time_seconds_(sum|count)|peer_sent_failures",
                         "which peer is slow?"), *looks(situation, cluster)),
        who=f"etcd: {named(slow)}",
    )  # fmt: skip


@rule(
    "etcd-elections",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="increase of `etcd_server_leader_changes_seen_total` over the last hour and the last two minutes; of a "
    "member that restarted meanwhile, the raft term.",
    look_alikes={
        "one change of leader": "a restart or an update causes one: more than one an hour is asked for",
        "many changes long ago": "only the increase counts, not the total",
    },
)
def etcd_elections(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd changes its leader again and again: each time all writes stop for a moment."""
    cluster = etcd_of(situation, now)
    hour = _most([member.elections for member in cluster.answering])
    recent = _most([member.recent_elections for member in cluster.answering])
    if hour is None or hour.changes <= ELECTIONS_PER_HOUR:
        return CLEAR
    minutes = recent.over.total_seconds() / 60 if recent is not None else 0.0
    crisis = recent is not None and recent.changes > ELECTIONS_PER_MINUTE * max(1.0, minutes)
    over = duration_text(hour.over.total_seconds())
    evidence = [
        said(member, f"saw {item.changes:.0f} changes of the leader in {duration_text(item.over.total_seconds())}"
             f"{_heartbeats(member)}")
        for member in cluster.answering if (item := member.elections) is not None
    ]  # fmt: skip
    evidence.append(Evidence(_ELECTION_BANDS, SOURCE))
    asked = cluster.leader or cluster.answering[0]
    changes = metrics_command(situation, cluster, asked, _LEADER_LINES, "does the number of changes still grow?")
    return Fired(
        ETCD,
        f"changed its leader {hour.changes:.0f} times in {over}{' and goes on' if crisis else ''}; term {cluster.term}",
        (*evidence, *_causes_looked_at(cluster)),
        (*looks(situation, cluster)[:1], changes, *_disk_commands(situation, cluster, asked)[1:]),
        severity=Severity.CRITICAL if crisis else Severity.WARNING,
        follows=(ETCD,),
        follows_only=("etcd-slow-fsync", "etcd-slow-peers", "etcd-member-down"),
    )


def _most(found: list[Elections | None]) -> Elections | None:
    return max((item for item in found if item is not None), key=lambda item: item.changes, default=None)


def _causes_looked_at(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    """Say what is known of the two usual causes."""
    disks = [member.fsync_p99_s for member in cluster.answering if member.fsync_p99_s is not None]
    trips = [member.round_trip_p99_s for member in cluster.answering if member.round_trip_p99_s is not None]
    found = []
    for what, values, limit in (("fsync", disks, FSYNC_HEALTHY_S), ("round trip", trips, ROUND_TRIP_S)):
        if not values:
            found.append(Evidence(f"the {what} of no member is known", SOURCE, mark=Mark.OPEN))
        else:
            mark = Mark.SUPPORTS if max(values) > limit else Mark.EXCLUDES
            found.append(Evidence(f"slowest {what} p99 {seconds(max(values))}", SOURCE, mark=mark))
    return tuple(found)


@rule(
    "etcd-strained",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.INFO,
    kind="Cluster",
    looks_at="new heartbeat send failures, failed proposals and slow applies of the last minute.",
    look_alikes={"etcd-slow-fsync": "there the disk's latency itself is too high, and this follows"},
)
def etcd_strained(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd is late with heartbeats or loses proposals: mostly the disk, or an election that just was."""
    cluster = etcd_of(situation, now)
    strained = tuple(
        member
        for member in cluster.answering
        if (member.heartbeat_failures or 0) > 0 or (member.failed_proposals or 0) > 0
    )
    if not strained:
        return CLEAR
    lost = max((member.failed_proposals or 0.0) / WINDOW.total_seconds() for member in strained)
    return Fired(
        ETCD,
        f"{'is' if len(strained) == 1 else 'are'} late with heartbeats or {'loses' if len(strained) == 1 else 'lose'} "
        "proposals",
        (
            *(said(member, f"in the last minute{_heartbeats(member).replace(';', ':', 1)}") for member in strained),
            Evidence(_STRAIN_BANDS, SOURCE),
        ),
        (metrics_command(situation, cluster, strained[0], _LEADER_LINES, "do these counters still grow?"),
         *looks(situation, cluster)),
        severity=Severity.WARNING if lost > FAILED_PROPOSALS_PER_S else Severity.INFO,
        follows=(ETCD,),
        follows_only=("etcd-quorum-lost", "etcd-no-leader", "etcd-slow-fsync", "etcd-slow-commit", "etcd-slow-peers",
                      "etcd-elections", "etcd-member-down"),
        who=f"etcd: {named(strained)}",
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (
    etcd_slow_fsync,
    etcd_slow_commit,
    etcd_slow_peers,
    etcd_elections,
    etcd_strained,
)
