"""Layer 5: nodes that are Ready but under pressure, broken in part, just rebooted or cordoned (L5-03 to L5-08)."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from diagnosis.commands import fact, kubectl, on_node, said_by, shorten
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from diagnosis.rules.nodes import JOIN_S
from situation.clock import age_text
from situation.cluster import Event, Node
from situation.findings import Command, Effect, Evidence, Layer, Mark, Severity
from situation.meta import Condition, Ref, find_condition
from situation.pods import Pod
from situation.selectors import container_pairs, is_node_ready, is_settled, last_end, node_roles
from situation.situation import Situation

RECENT: Final = timedelta(minutes=10)
"""An event of a node without a lasting state counts this long: so long a container's back-off remembers a crash."""
OLD_CORDON: Final = timedelta(hours=24)
"""A cordon that outlives a day was probably forgotten; a younger one is somebody's work in progress."""


class _Pressure(NamedTuple):
    words: str
    resources: tuple[str, ...]
    """What evictions name: `The node was low on resource: memory.`"""
    look: tuple[str, ...]
    purpose: str


_PRESSURES: Final = {
    "DiskPressure": _Pressure(
        "disk", ("ephemeral-storage", "nodefs", "imagefs", "inodes"), ("df", "-h"), "which file system is full?"
    ),
    "MemoryPressure": _Pressure("memory", ("memory",), ("free", "-m"), "how much memory is left?"),
    "PIDPressure": _Pressure("process ID", ("pids",), ("cat", "/proc/loadavg"), "how many processes are there?"),
}


def _describe(node: Node, purpose: str) -> Command:
    return kubectl("describe", "node", node.name, purpose=purpose)


def _since(condition: Condition, now: datetime) -> str:
    return f" for {age_text(condition.last_transition_time, now)}" if condition.last_transition_time else ""


def _evicted(node: Node, resources: tuple[str, ...], situation: Situation) -> list[Pod]:
    return [
        pod
        for pod in situation.pods_by_node.get(node.name).values()
        if pod.status.reason == "Evicted" and any(name in pod.status.message for name in resources)
    ]


def _pressure(node: Node, situation: Situation, now: datetime, kind: str) -> Verdict:
    condition = find_condition(node.status.conditions, kind)
    if condition is None or condition.status != "True":
        return CLEAR
    pressure = _PRESSURES[kind]
    evidence = [
        fact("nodes", f"{kind}=True {condition.reason}: {condition.message}", at=condition.last_transition_time)
    ]
    events = situation.events_of(
        node, "Node", "EvictionThresholdMet", "FreeDiskSpaceFailed", "ImageGCFailed", "ContainerGCFailed"
    )
    evidence += [said_by(event) for event in events[-2:]]
    if evicted := _evicted(node, pressure.resources, situation):
        evidence.append(fact("pods", f"{len(evicted)} pods evicted: {shorten(evicted[-1].status.message, 200)}"))
    first = _describe(node, f"how much {pressure.words} is allocatable, and what do its events say?")
    top = kubectl("top", "pods", "-A", "--sort-by=memory", purpose="who uses the memory?")
    look = on_node(node.name, *pressure.look, purpose=pressure.purpose)
    return Fired(
        Ref("Node", "", node.name),
        f"is under {pressure.words} pressure{_since(condition, now)}",
        tuple(evidence),
        (first, top, look) if kind == "MemoryPressure" else (first, look),
        node=node.name,
    )


@rule(
    "node-disk-pressure",
    signature="L5-03",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="condition DiskPressure=True; EvictionThresholdMet and ImageGCFailed events; pods evicted from the node.",
    look_alikes={"a pod over its own ephemeral-storage limit": "its message names the limit, not the node"},
)
def node_disk_pressure(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node runs out of disk space or inodes and evicts pods."""
    return _pressure(node, situation, now, "DiskPressure")


@rule(
    "node-memory-pressure",
    signature="L5-04",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="condition MemoryPressure=True and pods evicted for memory.",
    look_alikes={"a container over its own memory limit": "it is killed with OOMKilled while MemoryPressure is False"},
)
def node_memory_pressure(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node runs out of memory and evicts pods."""
    return _pressure(node, situation, now, "MemoryPressure")


@rule(
    "node-pid-pressure",
    signature="L5-06",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="condition PIDPressure=True (KubeletHasInsufficientPID).",
)
def node_pid_pressure(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node runs out of process IDs: applications cannot fork."""
    return _pressure(node, situation, now, "PIDPressure")


def _recent(events: tuple[Event, ...], now: datetime) -> list[Event]:
    return [event for event in events if event.last_seen is not None and now - event.last_seen < RECENT]


def _killed(node: Node, situation: Situation, now: datetime) -> list[str]:
    """Containers on the node that were killed (exit 137) lately."""
    return [
        f"{pod.namespace}/{pod.name} {status.name}"
        for pod in situation.pods_by_node.get(node.name).values()
        for _, status in container_pairs(pod)
        if (end := last_end(status)) and end.exit_code == 137 and end.finished_at and now - end.finished_at < RECENT
    ]


@rule(
    "node-out-of-memory",
    signature="L5-05",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "events"),
    looks_at="SystemOOM events of the node in the last 10 minutes; containers there that ended with 137.",
    look_alikes={"a container over its own memory limit": "there is no SystemOOM event of the node"},
)
def node_out_of_memory(node: Node, situation: Situation, now: datetime) -> Verdict:
    """The kernel killed processes because the whole node was out of memory."""
    events = _recent(situation.events_of(node, "Node", "SystemOOM"), now)
    if not events:
        return CLEAR
    evidence = [said_by(event) for event in events[-3:]]
    if killed := _killed(node, situation, now):
        evidence.append(fact("pods", f"containers ended with 137: {', '.join(killed[:4])}"))
    return Fired(
        Ref("Node", "", node.name),
        f"ran out of memory: the kernel killed {sum(event.times for event in events)} processes",
        tuple(evidence),
        (
            kubectl("get", "events", "-A", "--field-selector", "reason=SystemOOM", purpose="which nodes and victims?"),
            kubectl("top", "pods", "-A", "--sort-by=memory", purpose="who uses the memory?"),
        ),
        node=node.name,
    )  # fmt: skip


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
    events = _recent(situation.events_of(node, "Node", "Rebooted"), now)
    if not events or not is_node_ready(node):
        return CLEAR
    away = [pod for pod in situation.pods_by_node.get(node.name).values() if not is_settled(pod, now)]
    if not away:
        return CLEAR
    return Fired(
        Ref("Node", "", node.name),
        f"rebooted {age_text(events[-1].last_seen, now)} ago; {len(away)} of its pods are not back",
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
            _describe(node, "which problem does the detector report?"),
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
    return Fired(
        Ref("Node", "", node.name),
        f"has no network{_since(condition, now)}" + (f": {shorten(condition.reason, 40)}" if condition.reason else ""),
        (fact("nodes", f"NetworkUnavailable=True: {condition.message}", at=condition.last_transition_time),),
        (
            _describe(node, "what does the condition say?"),
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
    taint = next((item for item in node.spec.taints if item.key == "node.kubernetes.io/unschedulable"), None)
    since = taint.time_added if taint else None
    if not node.spec.unschedulable or since is None or {"control-plane", "master"} & set(node_roles(node)):
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
            _describe(node, "does anything say why?"),
            kubectl("uncordon", node.name, purpose="give it back to the scheduler", effect=Effect.MUTATING),
        ),
        node=node.name,
    )


RULES: Final[tuple[Rule, ...]] = (
    node_disk_pressure,
    node_memory_pressure,
    node_pid_pressure,
    node_out_of_memory,
    node_problem,
    node_network_unavailable,
    node_rebooted,
    node_cordoned,
)
