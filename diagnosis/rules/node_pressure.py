"""Layer 5: nodes that run out of disk, memory or process IDs (L5-03 to L5-06), and what rules about nodes share."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from diagnosis.commands import counted, fact, kubectl, on_node, said_by, shorten
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import age_text
from situation.cluster import Event, Node
from situation.findings import Command, Layer, Severity
from situation.meta import Condition, Ref, find_condition
from situation.pods import Pod
from situation.selectors import container_pairs, last_end
from situation.situation import Situation

RECENT: Final = timedelta(minutes=10)
"""An event of a node without a lasting state counts this long: so long a container's back-off remembers a crash."""


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


def describe(node: Node, purpose: str) -> Command:
    return kubectl("describe", "node", node.name, purpose=purpose)


def since_text(condition: Condition, now: datetime) -> str:
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
        said = shorten(evicted[-1].status.message, 200)
        evidence.append(fact("pods", f"{counted(len(evicted), 'pod')} evicted: {said}"))
    first = describe(node, f"how much {pressure.words} is allocatable, and what do its events say?")
    top = kubectl("top", "pods", "-A", "--sort-by=memory", purpose="who uses the memory?")
    look = on_node(node.name, *pressure.look, purpose=pressure.purpose)
    return Fired(
        Ref("Node", "", node.name),
        f"is under {pressure.words} pressure{since_text(condition, now)}",
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


def recent(events: tuple[Event, ...], now: datetime) -> list[Event]:
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
    events = recent(situation.events_of(node, "Node", "SystemOOM"), now)
    if not events:
        return CLEAR
    evidence = [said_by(event) for event in events[-3:]]
    if killed := _killed(node, situation, now):
        evidence.append(fact("pods", f"containers ended with 137: {', '.join(killed[:4])}"))
    return Fired(
        Ref("Node", "", node.name),
        f"ran out of memory: processes killed by the kernel: {sum(event.times for event in events)}",
        tuple(evidence),
        (
            kubectl("get", "events", "-A", "--field-selector", "reason=SystemOOM", purpose="which nodes and victims?"),
            kubectl("top", "pods", "-A", "--sort-by=memory", purpose="who uses the memory?"),
        ),
        node=node.name,
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (node_disk_pressure, node_memory_pressure, node_pid_pressure, node_out_of_memory)
