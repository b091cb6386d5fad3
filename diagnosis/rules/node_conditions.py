"""Layer 5: nodes that are Ready but broken in part, just rebooted or cordoned (L5-07, L5-08), or under pressure."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, on_node, said_by, shorten
from diagnosis.placement import OLD_CORDON, cordoned_since
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from diagnosis.rules import node_pressure
from diagnosis.rules.node_pressure import describe, recent, since_text
from diagnosis.rules.nodes import JOIN_S
from situation.clock import age_text
from situation.cluster import Node
from situation.findings import Effect, Evidence, Layer, Mark, Severity
from situation.meta import Ref, find_condition
from situation.selectors import is_control_plane, is_node_ready, is_settled
from situation.situation import Situation


@rule(
    "node-rebooted",
    signature="L5-07",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="Node",
    needs=("nodes", "events", "pods"),
    looks_at="a Rebooted event of the last 10 minutes while pods of the node are not settled.",
    look_alikes={"an old Rebooted event on a healthy node": "silent: its pods run"},
)
def node_rebooted(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node rebooted minutes ago and its pods have not all come back."""
    events = recent(situation.events_of(node, "Node", "Rebooted"), now)
    if not events or not is_node_ready(node):
        return CLEAR
    away = [pod for pod in situation.pods_by_node.get(node.name).values() if not is_settled(pod, now)]
    if not away:
        return CLEAR
    return Fired(
        Ref("Node", "", node.name),
        f"rebooted {age_text(events[-1].last_seen, now)} ago; {counted(len(away), 'pod')} not back",
        (said_by(events[-1]),),
        (
            kubectl("get", "node", node.name, "-o", "jsonpath={.status.nodeInfo.bootID}", purpose="which boot is it?"),
            on_node(node.name, "last", "-x", "reboot", purpose="when and how often did it reboot?"),
        ),
        node=node.name,
    )  # fmt: skip


_PROBLEMS: Final = {
    "KernelDeadlock": "reports a kernel deadlock",
    "ReadonlyFilesystem": "has a read-only file system",
    "CorruptDockerOverlay2": "has a corrupt image store",
    "FrequentKubeletRestart": "restarts its kubelet again and again",
    "FrequentContainerdRestart": "restarts containerd again and again",
    "FrequentDockerRestart": "restarts Docker again and again",
    "FrequentUnregisterNetDevice": "loses network devices again and again",
}
"""Conditions of node-problem-detector that mean trouble while True."""


@rule(
    "node-problem",
    signature="L5-08",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="conditions of node-problem-detector, where it runs: KernelDeadlock, ReadonlyFilesystem and others.",
)
def node_problem(node: Node, situation: Situation, now: datetime) -> Verdict:
    """The node problem detector reports a kernel or file system fault."""
    found = [item for item in node.status.conditions if item.type in _PROBLEMS and item.status == "True"]
    if not found:
        return CLEAR
    return Fired(
        Ref("Node", "", node.name),
        _PROBLEMS[found[0].type],
        tuple(
            fact("nodes", f"{item.type}=True {item.reason}: {item.message}", at=item.last_transition_time)
            for item in found
        ),
        (
            describe(node, "which problem does the detector report?"),
            on_node(node.name, "dmesg", "--level=err,crit,alert,emerg", "-T", purpose="what does the kernel say?"),
        ),
        node=node.name,
    )


@rule(
    "node-network-unavailable",
    signature="L3-10",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="condition NetworkUnavailable=True on a node that is Ready.",
    look_alikes={"node-network-not-ready": "there the node is not Ready at all"},
)
def node_network_unavailable(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node has no route or its network plugin says that its network is not set up."""
    condition = find_condition(node.status.conditions, "NetworkUnavailable")
    if condition is None or condition.status != "True" or not is_node_ready(node):
        return CLEAR
    if wait := wait_until(node.metadata.creation_timestamp, JOIN_S, now):
        return wait
    why = f": {shorten(condition.reason, 40)}" if condition.reason else ""
    return Fired(
        Ref("Node", "", node.name),
        f"has no network{since_text(condition, now)}{why}",
        (fact("nodes", f"NetworkUnavailable=True: {condition.message}", at=condition.last_transition_time),),
        (
            describe(node, "what does the condition say?"),
            kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
                    purpose="is the network plugin's pod up on this node?"),
        ),
        node=node.name,
    )  # fmt: skip


@rule(
    "node-cordoned",
    signature="L2-06",
    layer=Layer.SCHEDULING,
    severity=Severity.INFO,
    kind="Node",
    needs=("nodes",),
    looks_at="spec.unschedulable and the age of the taint node.kubernetes.io/unschedulable.",
    look_alikes={
        "a node being drained": "a cordon of less than a day is silent, and so is one on a control plane node"
    },
)
def node_cordoned(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node has been cordoned for more than a day: perhaps forgotten."""
    since = cordoned_since(node)
    if not node.spec.unschedulable or since is None or is_control_plane(node):
        return CLEAR
    if wait := wait_until(since, OLD_CORDON.total_seconds(), now):
        return wait
    evidence: list[Evidence] = [fact("nodes", f"unschedulable since {since:%Y-%m-%d %H:%M}", at=since)]
    if state := node.metadata.labels.get("nvidia.com/gpu-driver-upgrade-state"):
        evidence.append(fact("nodes", f"GPU driver upgrade: {state}", Mark.OPEN))
    return Fired(
        Ref("Node", "", node.name),
        f"has been cordoned for {age_text(since, now)}",
        tuple(evidence),
        (
            describe(node, "does anything say why?"),
            kubectl("uncordon", node.name, purpose="give it back to the scheduler", effect=Effect.MUTATING),
        ),
        node=node.name,
    )


RULES: Final[tuple[Rule, ...]] = (
    *node_pressure.RULES,
    node_problem,
    node_network_unavailable,
    node_rebooted,
    node_cordoned,
)
