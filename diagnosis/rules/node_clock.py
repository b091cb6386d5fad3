"""Layer 5: a node whose clock is not the API server's. In no row of the catalogue; certificates fail by it (L4-11).

A kubelet dates its status and its lease by its own clock (`lastHeartbeatTime`, `renewTime`), and renews the lease
every 10 s for as long as it lives.
"""

from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from diagnosis.commands import fact, kubectl, on_node
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, Wait, rule
from diagnosis.rules.nodes import LEASE_GRACE_S
from situation.clock import duration_text
from situation.cluster import Node
from situation.findings import Evidence, Layer, Severity
from situation.leases import at_work_since, renewals
from situation.meta import Ref, find_condition
from situation.renewals import NODE_LEASES
from situation.selectors import is_node_ready
from situation.server_clock import cluster_now, measured
from situation.situation import Situation

CLOCKS: Final = Ref("Cluster", "", "clocks")
"""Subject where most nodes are off to one side: it is the API server that is."""
ALLOWED_S: Final = 60.0
"""Of a token "issued in the future" so much is forgiven (go-jose's DefaultLeeway); of certificates nothing."""
SILENT_S: Final = 1200.0
"""A kubelet writes its status every 5 to 7.5 minutes at least (nodeStatusReportFrequency): beyond this the lease is
asked."""


WATCHED_S: Final = 60.0
"""The node controller's grace period (node-monitor-grace-period, 50 s), and a round of it."""
COMPARED: Final = timedelta(seconds=10)
"""So long it is waited until the clocks may have been compared. Ours."""
MANAGER: Final = "kube-controller-manager"


class _Side(StrEnum):
    AHEAD = "ahead of"
    BEHIND = "behind"


class _Off(NamedTuple):
    side: _Side
    text: str
    """By how much: `3h`, `at least 4m`."""
    evidence: Evidence


def _off(node: Node, situation: Situation, now: datetime) -> _Off | Unknown | None:
    """Return how a node's clock is off: by its lease where that was read lately, else by its status."""
    there = cluster_now(situation, now)
    read, lease = read_lately(NODE_LEASES, situation, now), situation.node_lease(node.name)
    if read is not None and lease is not None and lease.spec.renew_time is not None:
        return _off_by_lease(node, lease.spec.renew_time, read + (there - now), _watched(situation, there))
    ready = find_condition(node.status.conditions, "Ready")
    if ready is None or (heard := ready.last_heartbeat_time) is None:
        return None
    ahead_s = (heard - there).total_seconds()
    if ahead_s > ALLOWED_S:
        said = f"its kubelet has dated its status {heard:%H:%M:%S} by its own clock; it is {there:%H:%M:%S}"
        return _Off(_Side.AHEAD, f"at least {duration_text(ahead_s)}", fact("nodes", said))
    if -ahead_s > SILENT_S and is_node_ready(node):
        return Unknown(f"{node.name} is Ready, and dates its status {duration_text(-ahead_s)} ago", NODE_LEASES)
    return None


def _watched(situation: Situation, there: datetime) -> bool:
    """Tell whether a node would not be Ready any more if its lease stood still.

    The node controller sets Ready to Unknown after 50 s in which the lease did not change, whatever time stands in it:
    if it works for longer than that, and leases are written.
    """
    since, renewed = at_work_since(situation, MANAGER), renewals(situation).get(("kube-system", MANAGER))
    if since is None or renewed is None:
        return False
    return (there - since).total_seconds() > WATCHED_S > abs((there - renewed).total_seconds())


def _off_by_lease(node: Node, renewed: datetime, read: datetime, watched: bool) -> _Off | None:
    """Return how a node's clock is off whose lease was read at `read`, by the API server's clock."""
    said = f"its kubelet renewed its lease at {renewed:%H:%M:%S} by its own clock; it was read at {read:%H:%M:%S}"
    ahead_s = (renewed - read).total_seconds()
    if ahead_s > ALLOWED_S:
        return _Off(_Side.AHEAD, duration_text(ahead_s), fact(NODE_LEASES, said))
    if -ahead_s <= ALLOWED_S + LEASE_GRACE_S or not watched or not is_node_ready(node):
        return None
    return _Off(_Side.BEHIND, duration_text(-ahead_s), fact(NODE_LEASES, said))


def _sides(situation: Situation, now: datetime) -> Counter[_Side]:
    found = (_off(node, situation, now) for node in situation.nodes.values())
    return Counter(off.side for off in found if isinstance(off, _Off))


@rule(
    "node-clock-off",
    signature="L4-11",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="the time that the kubelet writes into its status (lastHeartbeatTime) and its lease (renewTime), against "
    "the Date of the API server's answers; in files there is no such clock, and nothing is said.",
    look_alikes={
        "node-unreachable": "there the lease does not change any more, and the node controller says so",
        "our own clock is off": "all is dated by the API server's then, and the header says so",
    },
)
def node_clock_off(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's clock is more than a minute off: certificates and tokens fail there, and its times mislead."""
    off = _off(node, situation, now)
    if off is None:
        return CLEAR
    if measured(situation, now) is None:
        return Wait(now + COMPARED)
    if isinstance(off, Unknown):
        return off
    count, total = situation.once("clocks", lambda: _sides(situation, now))[off.side], len(situation.nodes)
    is_servers = total > 2 and count > total / 2
    title = f"has a clock {off.text} {off.side} the API server's"
    if is_servers:
        title = f"has a clock {_Side.BEHIND if off.side is _Side.AHEAD else _Side.AHEAD} those of most nodes"
    be = "is" if count == 1 else "are"
    return Fired(
        CLOCKS if is_servers else Ref("Node", "", node.name),
        title,
        (
            off.evidence,
            fact("nodes", f"{count} of {total} nodes {be} {off.side} the API server's clock"),
            fact("nodes", "a wrong clock has certificates and tokens refused, as ended or as not valid yet"),
        ),
        (
            kubectl(
                "get", "leases", "-o", "custom-columns=NODE:.metadata.name,RENEWED:.spec.renewTime",
                purpose="which clocks are off? each node renews its lease every 10 s", namespace="kube-node-lease",
            ),
            on_node(node.name, "timedatectl", purpose="is its clock synchronised?"),
            on_node(node.name, "chronyc", "tracking", purpose="with which server, and how far off?"),
        ),
        node="" if is_servers else node.name,
        wants=NODE_LEASES,
        who=("the API server",) if is_servers else (),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (node_clock_off,)
