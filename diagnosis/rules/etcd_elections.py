"""Layer 4: messages between etcd's members, elections, and counters that hint at both (L4-03)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted
from diagnosis.etcd_commands import disk_commands, looks, metrics_command
from diagnosis.etcd_facts import WINDOW_TEXT, named, of_all, said, strain, unless_known
from diagnosis.rule import Fired, Rule, Verdict, rule
from diagnosis.rules.etcd_disk import FSYNC_HEALTHY_S
from situation.clock import duration_text
from situation.etcd.cluster import ETCD, EtcdCluster, etcd_of
from situation.etcd.figures import Elections
from situation.etcd.memory import WINDOW
from situation.etcd.view import MemberView
from situation.findings import Evidence, Layer, Mark, Severity
from situation.quantity import latency_text
from situation.situation import Situation

ROUND_TRIP_S: Final = 0.15
"""etcd mixin: etcdMemberCommunicationSlow; within a data centre it is below 5 ms."""
ELECTIONS_PER_HOUR: Final = 1
ELECTIONS_PER_MINUTE: Final = 1
"""More leader changes than this are unstable, or a crisis."""
FEW_STARTS: Final = 2
"""In an hour: an update starts each member once, a wrong setting and its repair twice; more are a fault."""
_ELECTION_BANDS: Final = "above 1 an hour unstable, above 1 a minute a crisis; etcd mixin: warns at 4 in 15 min"
_STRAIN_BANDS: Final = (
    "no official limit, a steady rate hints at a slow disk; etcd mixin: warns above 5 failed proposals a second"
)
FAILED_PROPOSALS_PER_S: Final = 5.0
"""etcd mixin: etcdHighNumberOfFailedProposals."""
_LEADER_LINES: Final = (
    "leader_changes_seen|heartbeat_send_failures|proposals_failed|slow_read_indexes|peer_sent_failures|has_leader"
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
        return unless_known(any(member.round_trip_p99_s is not None for member in cluster.answering), "round trips")
    worst = max(slow, key=lambda member: member.round_trip_p99_s or 0.0)
    return Fired(
        ETCD,
        f"{'reaches' if len(slow) == 1 else 'reach'} a peer in p99 {latency_text(worst.round_trip_p99_s or 0.0)}",
        (
            *(said(member, f"p99 to its slowest peer {latency_text(member.round_trip_p99_s or 0.0)} over {WINDOW_TEXT}")
              for member in slow),
            of_all(cluster, "below 5 ms within a data centre; etcd mixin: warns above 0.15 s"),
        ),
        (metrics_command(situation, cluster, worst, "peer_round_trip_time_seconds_(sum|count)|peer_sent_failures",
                         "which peer is slow?"), *looks(situation, cluster)),
        who=(f"etcd: {named(slow)}",),
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
        "members that were restarted": "no more changes than starts: a hint only, if none started more than twice",
        "many changes long ago": "only the increase counts, not the total",
    },
)
def etcd_elections(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd changes its leader again and again: each time all writes stop for a moment."""
    cluster = etcd_of(situation, now)
    hour = _most([member.elections for member in cluster.answering])
    recent = _most([member.recent_elections for member in cluster.answering])
    if hour is None or hour.changes <= ELECTIONS_PER_HOUR:
        return unless_known(hour is not None, "elections")
    started = tuple(member for member in cluster.answering if member.restarts)
    is_explained = sum(member.restarts for member in started) >= hour.changes
    minutes = recent.over.total_seconds() / 60 if recent is not None else 0.0
    crisis = not is_explained and recent is not None and recent.changes > ELECTIONS_PER_MINUTE * max(1.0, minutes)
    over = duration_text(hour.over.total_seconds())
    evidence = [
        said(member, f"saw {item.changes:.0f} changes of the leader in {duration_text(item.over.total_seconds())}"
             f"{strain(member)}")
        for member in cluster.answering if (item := member.elections) is not None
    ]  # fmt: skip
    evidence.append(of_all(cluster, _ELECTION_BANDS))
    if is_explained:
        starts = ", ".join(f"{counted(member.restarts, 'new start')} of {member.name}" for member in started)
        told = f"meanwhile {starts}: each may change the leader, whatever disk and network do"
        evidence.append(of_all(cluster, told, Mark.EXCLUDES))
    calm = is_explained and all(member.restarts <= FEW_STARTS for member in started)
    why = ", as members started anew" if is_explained else " and goes on" if crisis else ""
    asked = cluster.leader or cluster.answering[0]
    changes = metrics_command(situation, cluster, asked, _LEADER_LINES, "does the number of changes still grow?")
    return Fired(
        ETCD,
        f"changed its leader {hour.changes:.0f} times in {over}{why}; term {cluster.term}",
        (*evidence, *_since_made(cluster, situation, now), *_causes_looked_at(cluster)),
        (*looks(situation, cluster)[:1], changes, *disk_commands(situation, cluster, asked)[1:]),
        severity=Severity.CRITICAL if crisis else Severity.INFO if calm else Severity.WARNING,
        follows=(ETCD,),
        follows_only=("etcd-slow-fsync", "etcd-slow-peers", "etcd-member-down"),
    )


def _since_made(cluster: EtcdCluster, situation: Situation, now: datetime) -> tuple[Evidence, ...]:
    """Say what the raft term, which each election raises, comes to over the cluster's life."""
    space = situation.namespaces.get(("", "kube-system"))
    made = space.metadata.creation_timestamp if space is not None else None
    if made is None or not cluster.term or (days := (now - made).total_seconds() / 86_400) < 1:
        return ()
    text = f"term {cluster.term}, and kube-system is {days:.0f} days old: {cluster.term / days:.1f} elections a day"
    return (of_all(cluster, text, Mark.OPEN),)


def _most(found: list[Elections | None]) -> Elections | None:
    return max((item for item in found if item is not None), key=lambda item: item.changes, default=None)


def _causes_looked_at(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    """Say what is known of the two usual causes."""
    disks = [member.fsync_p99_s for member in cluster.answering if member.fsync_p99_s is not None]
    trips = [member.round_trip_p99_s for member in cluster.answering if member.round_trip_p99_s is not None]
    found = []
    for what, values, limit in (("fsync", disks, FSYNC_HEALTHY_S), ("round trip", trips, ROUND_TRIP_S)):
        if not values:
            found.append(of_all(cluster, f"the {what} of no member is known", Mark.OPEN))
        else:
            mark = Mark.SUPPORTS if max(values) > limit else Mark.EXCLUDES
            found.append(of_all(cluster, f"slowest {what} p99 {latency_text(max(values))}", mark))
    return tuple(found)


@rule(
    "etcd-strained",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.INFO,
    kind="Cluster",
    looks_at="new heartbeat send failures, failed proposals, slow read indexes and messages that peers did not get "
    "(`etcd_network_peer_sent_failures_total`) of the last minute.",
    look_alikes={
        "etcd-slow-fsync": "there the disk's latency itself is too high, and this follows",
        "etcd-member-down": "messages to a member that is down fail, and this follows",
    },
)
def etcd_strained(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd is late with heartbeats, loses proposals or messages: disk, network, or an election that just was."""
    cluster = etcd_of(situation, now)
    strained = tuple(member for member in cluster.answering if any(count for _, count in _strains(member)))
    if not strained:
        return unless_known(any(member.heartbeat_failures is not None for member in cluster.answering), "heartbeats")
    names = {f"{member.id:x}": member.name for member in cluster.members}
    lost = max((member.failed_proposals or 0.0) / WINDOW.total_seconds() for member in strained)
    *kinds, last = dict.fromkeys(what for member in strained for what, count in _strains(member) if count)
    what = f"{', '.join(kinds)} and {last}" if kinds else last
    return Fired(
        ETCD,
        f"{'has' if len(strained) == 1 else 'have'} {what}",
        (
            *(said(member, f"in the last minute: {told[2:]}") for member in strained if (told := strain(member))),
            *(said(member, f"{count:.0f} messages to {names.get(peer, peer)} could not be sent in the last minute")
              for member in strained for peer, count in member.unsent.items()),
            of_all(cluster, _STRAIN_BANDS),
        ),
        (metrics_command(situation, cluster, strained[0], _LEADER_LINES, "do these counters still grow?"),
         *looks(situation, cluster)),
        severity=Severity.WARNING if lost > FAILED_PROPOSALS_PER_S else Severity.INFO,
        follows=(ETCD,),
        follows_only=("etcd-quorum-lost", "etcd-no-leader", "etcd-slow-fsync", "etcd-slow-commit", "etcd-slow-peers",
                      "etcd-elections", "etcd-member-down", "etcd-member-apart"),
        who=(f"etcd: {named(strained)}",),
    )  # fmt: skip


def _strains(member: MemberView) -> tuple[tuple[str, float], ...]:
    return (
        ("late heartbeats", member.heartbeat_failures or 0.0),
        ("lost proposals", member.failed_proposals or 0.0),
        ("slow reads", member.slow_reads or 0.0),
        ("unsent messages", sum(member.unsent.values())),
    )


RULES: Final[tuple[Rule, ...]] = (etcd_slow_peers, etcd_elections, etcd_strained)
