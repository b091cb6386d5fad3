"""Layer 4: what stops in the same minute everywhere: all nodes at once (L4-11)."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.explaining import CERTIFICATES_OUT, ETCD_DOWN
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.api_server import control_plane_commands
from diagnosis.rules.nodes import ALL_NODES
from situation.clock import age_text, duration_text
from situation.findings import Layer, Severity
from situation.meta import CLUSTER, find_condition
from situation.selectors import is_node_ready
from situation.situation import Situation

TOGETHER: Final = timedelta(minutes=1)
"""Nodes that turn within a minute of each other have one cause outside themselves."""


@rule(
    "nodes-down-together",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    needs=("nodes",),
    looks_at="the Ready conditions of all nodes and when they turned.",
    look_alikes={
        "node-unreachable": "there other nodes are Ready, or they went at different times",
        "etcd just recovered": "the nodes come back by themselves within a minute or two",
    },
)
def nodes_down_together(_: None, situation: Situation, now: datetime) -> Verdict:
    """All nodes stopped being Ready within a minute: certificates, etcd, or the network to the API server."""
    nodes = situation.nodes.values()
    if len(nodes) < 2 or any(is_node_ready(node) for node in nodes):
        return CLEAR
    if situation.has_unread("nodes"):
        return Unknown("not all nodes could be decoded: one may be Ready")
    ready = [find_condition(node.status.conditions, "Ready") for node in nodes]
    times = sorted(item.last_transition_time for item in ready if item and item.last_transition_time)
    if len(times) < len(nodes) or times[-1] - times[0] > TOGETHER:
        return CLEAR
    words = {item.message for item in ready if item}
    return Fired(
        ALL_NODES,
        f"went down within {duration_text((times[-1] - times[0]).total_seconds())}, {age_text(times[-1], now)} ago",
        (
            fact("nodes", f"{len(nodes)} of {len(nodes)} nodes are not Ready", at=times[0]),
            *(fact("nodes", f"they say: {shorten(text, 200)}") for text in sorted(words)[:2]),
        ),
        (
            kubectl("get", "nodes", "-o", "wide", purpose="is any node Ready again?"),
            kubectl("get", "csr", purpose="do kubelets wait for new certificates?"),
            kubectl("get", "--raw", "/readyz?verbose", purpose="does etcd answer the API server?"),
            *control_plane_commands(situation, "kube-apiserver"),
        ),
        follows=(CLUSTER,),
        follows_only=(*CERTIFICATES_OUT, *ETCD_DOWN),
        who=(f"all {len(nodes)} nodes",),
    )


RULES: Final[tuple[Rule, ...]] = (nodes_down_together,)
