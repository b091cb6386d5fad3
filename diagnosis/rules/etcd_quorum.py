"""Layer 4: etcd has no quorum, no leader, a member less, or data that differ (L4-02, L4-15)."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import on_node
from diagnosis.etcd_commands import etcdctl, looks, status_command
from diagnosis.etcd_facts import (
    ELECTION_S,
    expired_certificates,
    frozen_evidence,
    named,
    of_all,
    other_alarms,
    quorum_evidence,
    quorum_text,
    said,
    silence,
    unless_known,
)
from diagnosis.explaining import CERTIFICATES_OUT
from diagnosis.node_services import journal, kubelet_unit
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule
from situation.clock import age_text
from situation.cluster import Node
from situation.etcd.answers import CORRUPT
from situation.etcd.cluster import ETCD, EtcdCluster, etcd_of, raisers
from situation.etcd.view import MemberView, Standing
from situation.etcd.way import way_to
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER, ObjectMeta, Ref
from situation.situation import Situation

DOWN_WITH: Final = (
    "node-unreachable",
    "node-not-ready",
    "node-runtime-down",
    "crash-loop",
    "oom-killed",
    "bad-command",
    "start-failure",
    "image-pull",
)
"""Rules about a member's node or pod that explain its silence; what a probe says of the pod is the silence itself."""


def _process_commands(members: tuple[MemberView, ...], situation: Situation) -> tuple[Command, ...]:
    """Return commands that tell on a member's node whether etcd runs there."""
    name = next((member.node for member in members if member.node), "")
    if not name:
        return ()
    node = situation.node(name) or Node(metadata=ObjectMeta(name=name))
    return (
        on_node(name, "crictl", "ps", "-a", "--name", "etcd", purpose="does etcd run there, how often did it restart?"),
        journal(node, kubelet_unit(node), "why does the kubelet not keep it running?"),
    )


@rule(
    "etcd-quorum-lost",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="which of the voting members answer (n by the member list, else by what was asked), and whether one that "
    "answers sees a leader: Maintenance.Status, `etcd_server_has_leader`, `/health`.",
    look_alikes={
        "etcd-no-space": "there every member answers and sees a leader",
        "etcd-no-leader": "there enough members answer",
        "etcd-member-down": "there a member that answers sees a leader",
        "we do not reach the members": "/readyz finds etcd working after they fell silent, or we never heard any: no "
        "finding",
        "a member that refuses our certificate": "it runs, so it counts as alive",
    },
)
def etcd_quorum_lost(_: None, situation: Situation, now: datetime) -> Verdict:
    """Too many etcd members are down: nothing can be written, and consistent reads fail."""
    cluster = etcd_of(situation, now)
    if not cluster.lost_quorum or cluster.is_vouched_for:
        return unless_known(bool(cluster.answering) or cluster.is_vouched_for, "quorum")
    expired = expired_certificates(situation, now)
    evidence = [*quorum_evidence(cluster), *silence(cluster.silent), *expired]
    evidence += [said(member, "answers and sees no leader") for member in cluster.answering]
    if not cluster.answering:
        unsure = "no member answers us: a network between us and them would look the same"
        evidence.append(of_all(cluster, unsure, Mark.OPEN))
    return Fired(
        ETCD,
        f"has lost quorum: {quorum_text(cluster)}",
        (*evidence, *frozen_evidence(cluster)),
        (*looks(situation, cluster), *_process_commands(cluster.silent, situation)),
        follows=(CLUSTER,) if expired else (),
        follows_only=CERTIFICATES_OUT,
    )


@rule(
    "etcd-no-leader",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="whether any member that answers sees a leader; an election is given five seconds.",
    look_alikes={
        "etcd-quorum-lost": "there too few members answer",
        "an election": "it is over within a few seconds",
        "etcd-member-apart": "there other members see a leader",
    },
)
def etcd_no_leader(_: None, situation: Situation, now: datetime) -> Verdict:
    """Enough etcd members answer, but they agree on no leader: nothing can be written."""
    cluster = etcd_of(situation, now)
    leaderless = tuple(member for member in cluster.answering if member.leaderless_since is not None)
    if cluster.frozen is None or not leaderless or cluster.leader_id or cluster.lost_quorum:
        return unless_known(bool(cluster.answering) or cluster.is_vouched_for, "the leader")
    if cluster.is_vouched_for or len(leaderless) < len(cluster.answering):
        return CLEAR
    since = min(member.leaderless_since or now for member in leaderless)
    if (due := since + timedelta(seconds=ELECTION_S)) > now:
        return Wait(due)
    evidence = [said(member, f"sees no leader; term {member.status.raft_term if member.status else 'not known'}",
                     at=member.leaderless_since) for member in leaderless]  # fmt: skip
    evidence += [said(member, f"in part not read: {member.error}", Mark.OPEN) for member in leaderless if member.error]
    expired = expired_certificates(situation, now)
    slowest = max((member.round_trip_p99_s or 0.0 for member in leaderless), default=0.0)
    if not slowest:
        evidence.append(of_all(cluster, "how long messages between the members take is not known", Mark.OPEN))
    return Fired(
        ETCD,
        f"has had no leader for {age_text(since, now)}: {quorum_text(cluster)}",
        (*evidence, *expired, *quorum_evidence(cluster), *silence(cluster.silent), *frozen_evidence(cluster)),
        (*looks(situation, cluster), *_process_commands(leaderless, situation)),
        follows=(CLUSTER,) if expired else (),
        follows_only=CERTIFICATES_OUT,
    )


@rule(
    "etcd-corrupt",
    signature="L4-15",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="the alarm CORRUPT in status, /health, metrics and alarm list; the check data_corruption of /readyz.",
    look_alikes={"etcd-no-space": "there the alarm is NOSPACE, and no data differ"},
)
def etcd_corrupt(_: None, situation: Situation, now: datetime) -> Verdict:
    """Members hold different data: etcd refuses reads and writes until the wrong member is replaced."""
    cluster = etcd_of(situation, now)
    failing = tuple(
        member for member in cluster.answering if member.health and "data_corruption" in member.health.failed_checks
    )
    if CORRUPT not in cluster.alarms and not failing:
        return unless_known(cluster.alarms_known, "alarms")
    raised = raisers(situation, cluster, CORRUPT)
    evidence = [of_all(cluster, f"alarm CORRUPT raised by {', '.join(raised) or 'a member'}")] if (
        CORRUPT in cluster.alarms) else []  # fmt: skip
    evidence += [said(member, "its check data_corruption fails") for member in failing]
    way = way_to(situation, cluster)
    hashes = etcdctl(way, "endpoint", "hashkv", "-w", "table", purpose="whose hash differs at the same revision?")
    return Fired(
        ETCD,
        f"has members with different data{': ' + ', '.join(raised[:2]) if raised else ''}; it refuses to serve",
        (*evidence, *other_alarms(cluster, CORRUPT), *quorum_evidence(cluster), *frozen_evidence(cluster)),
        (status_command(way), hashes, etcdctl(way, "alarm", "list", purpose="which member raised it?")),
    )


@rule(
    "etcd-member-down",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="members that do not answer while the others see a leader, and how many more may fail.",
    look_alikes={
        "etcd-quorum-lost": "there nobody sees a leader",
        "a member that refuses our certificate": "it runs; that its state is not known is said with layer 4",
        "we do not reach it": "the leader's peer failures and round trips tell whether its peers do",
    },
)
def etcd_member_down(_: None, situation: Situation, now: datetime) -> Verdict:
    """An etcd member does not answer; etcd still has quorum."""
    cluster = etcd_of(situation, now)
    down = tuple(member for member in cluster.members if member.standing is Standing.SILENT)
    if not down or not cluster.leader_id:
        return unless_known(bool(cluster.answering), "members")
    since = min((member.silent_since for member in down if member.silent_since is not None), default=None)
    can_lose = "" if cluster.can_lose is None else f"; etcd can lose {cluster.can_lose} more"
    nodes = tuple(dict.fromkeys(member.node for member in down if member.node))
    return Fired(
        ETCD,
        f"{'has' if len(down) == 1 else 'have'} not answered for {age_text(since, now)}{can_lose}",
        (*silence(down), *quorum_evidence(cluster), *_as_peers_see_it(cluster)),
        (*looks(situation, cluster), *_process_commands(down, situation)),
        follows=tuple(
            ref for node in nodes for ref in (Ref("Node", "", node), Ref("Pod", "kube-system", f"etcd-{node}"))
        ),
        follows_only=DOWN_WITH,
        node=nodes[0] if len(nodes) == 1 and len(down) == 1 else "",
        who=(f"etcd: {named(down)}",),
    )


def _as_peers_see_it(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    leader = cluster.leader
    if leader is None or leader.page is None or leader.page.active_peers is None or leader not in cluster.answering:
        return (of_all(cluster, "whether its peers reach it is not known from here", Mark.OPEN),)
    peers = max(0, cluster.size - 1)
    text = f"the leader is connected with {leader.page.active_peers} of its {peers} peers"
    if leader.page.active_peers < peers:
        return (said(leader, text),)
    return (said(leader, f"{text}: it hangs, or only we do not reach it", Mark.OPEN),)


@rule(
    "etcd-member-apart",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="members that answer and see no leader while others do.",
    look_alikes={"etcd-no-leader": "there no member sees one", "a member that just started": "five seconds are given"},
)
def etcd_member_apart(_: None, situation: Situation, now: datetime) -> Verdict:
    """An etcd member is cut off from its peers: an API server that asks it cannot write."""
    cluster = etcd_of(situation, now)
    apart = tuple(member for member in cluster.answering if member.leaderless_since is not None)
    if not apart or not (cluster.leader_id or cluster.is_vouched_for):
        return unless_known(bool(cluster.answering), "the leader")
    since = max(member.leaderless_since or now for member in apart)
    if (due := since + timedelta(seconds=ELECTION_S)) > now:
        return Wait(due)
    return Fired(
        ETCD,
        f"{'is' if len(apart) == 1 else 'are'} cut off from the leader for {age_text(since, now)}",
        (
            *(said(member, "answers and sees no leader", at=member.leaderless_since) for member in apart),
            *quorum_evidence(cluster),
        ),
        (*looks(situation, cluster), *_process_commands(apart, situation)),
        who=(f"etcd: {named(apart)}",),
    )


RULES: Final[tuple[Rule, ...]] = (
    etcd_quorum_lost,
    etcd_no_leader,
    etcd_corrupt,
    etcd_member_down,
    etcd_member_apart,
)
