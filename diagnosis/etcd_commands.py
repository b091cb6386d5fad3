"""etcdctl as it is to be called here: endpoints and certificates filled in, at the place where these files are."""

import re
import shlex
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from diagnosis.commands import kubectl, on_node
from situation.etcd.cluster import EtcdCluster, etcd_of
from situation.etcd.standing import etcd_pods, is_ours
from situation.etcd.view import MemberView
from situation.etcd.way import KUBEADM, LOCAL, URL, Way, place, way_to
from situation.findings import Command, Effect
from situation.situation import Situation

LOCAL_METRICS: Final = "http://127.0.0.1:2381/metrics"
"""kubeadm's `--listen-metrics-urls`: plain HTTP, on the node only."""
_FSYNC_LINES: Final = "wal_fsync_duration_seconds_(sum|count)|backend_commit_duration_seconds_(sum|count)"
_LOOPBACK: Final = re.compile(r"https?://(127\.|localhost[:/]|\[::1\])")


def etcdctl(way: Way, *argv: str, purpose: str, effect: Effect = Effect.READ, endpoints: Iterable[str] = ()) -> Command:
    """Return an etcdctl command for these endpoints, all if none is named; etcdctl 3.4 and later speaks API 3."""
    return Command((*way.etcdctl(endpoints), *argv), purpose, effect=effect, where=way.where)


def status_command(way: Way) -> Command:
    """Return the table of all members; it is answered without quorum too, as each endpoint tells of itself."""
    return etcdctl(way, "endpoint", "status", "-w", "table", purpose="leader, term, size and alarms of each member?")


def looks(situation: Situation, cluster: EtcdCluster) -> tuple[Command, ...]:
    """Return the reading commands; those that go through raft (3.5 and later) only while it works."""
    way = way_to(situation, cluster)
    commands = [status_command(way)]
    if not way.is_known:
        commands += _inside_pod(situation)
    if cluster.leader_id or not cluster.is_known:
        commands += [
            etcdctl(way, "endpoint", "health", purpose="does each member commit a write?"),
            etcdctl(way, "alarm", "list", purpose="which alarms are raised?"),
            etcdctl(way, "member", "list", "-w", "table", purpose="which members are there, and is one a learner?"),
        ]
    return tuple(commands)


def looks_from_outside(situation: Situation, now: datetime) -> tuple[Command, ...]:
    """Return the looks for a finding that others than etcd told; none where etcd is none of ours (managed)."""
    cluster = etcd_of(situation, now)
    return looks(situation, cluster) if cluster.is_known or is_ours(situation) else ()


def _inside_pod(situation: Situation) -> list[Command]:
    """The same through the API server, while that answers: etcd's image has etcdctl, the node often has not."""
    pod = next(iter(etcd_pods(situation)), None)
    if pod is None:
        return []
    inside = Way(KUBEADM, (LOCAL,), "", False).etcdctl()
    return [
        kubectl("exec", pod.name, "--", *inside, "endpoint", "status", "--cluster", "-w", "table",
                purpose="the same in etcd's pod, while the API answers", namespace=pod.namespace),
    ]  # fmt: skip


def metrics_command(
    situation: Situation, cluster: EtcdCluster, member: MemberView, wanted: str, purpose: str
) -> Command:
    """Return `curl` for a member's metrics, with only the lines that hold one of `wanted` (`a|b`)."""
    known = situation.etcd.known.get(member.endpoint)
    asked = known.member.metrics_url if known is not None else ""
    url, options = LOCAL_METRICS, ""
    way = way_to(situation, cluster)
    where = place(member.node)
    if URL.fullmatch(asked.removesuffix("/metrics")):
        url = asked.removesuffix("/metrics") + "/metrics"
    elif way.is_known and URL.fullmatch(member.endpoint):
        url, where = f"{member.endpoint}/metrics", way.where
        options = "".join(f" {shlex.quote(word)}" for word in way.files)
    if not _LOOPBACK.match(url):
        where = way.where
    return Command(("sh", "-c", f'curl -s{options} {shlex.quote(url)} | grep -E "{wanted}"'), purpose, where=where)


def disk_commands(situation: Situation, cluster: EtcdCluster, slow: MemberView) -> tuple[Command, ...]:
    """Return what tells how slow a member's disk is and who writes to it, then the usual looks."""
    twice = "fsync and commit: run it twice, 30 s apart, and divide the differences"
    commands = [metrics_command(situation, cluster, slow, _FSYNC_LINES, twice)]
    if slow.node:
        commands += [
            on_node(slow.node, "iostat", "-x", "1", "5", purpose="is the disk busy (%util), how long do writes wait?"),
            on_node(slow.node, "iotop", "-b", "-o", "-n", "3", purpose="who else writes to it?"),
        ]
    return (*commands, *looks(situation, cluster))
