"""Pods that were evicted, preempted, or shut down with their node (L1-28, L2-22, L5-03, L5-04, L5-07)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, said_by, shorten
from diagnosis.container_facts import field, gravity
from diagnosis.leftovers import is_failed, status_command, still_matters, told
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.quantity import human_bytes, parse_quantity
from situation.selectors import last_end
from situation.situation import Situation

LARGE_BYTES: Final = {"memory": 4 * 2**30, "ephemeral-storage": 100 * 2**30, "inodes": 0}
"""An eviction with so much still available points at the kubelet's thresholds: the defaults are 100Mi of memory and 10
or 15 % of a disk (fault_signatures L5-03)."""

_OWN_LIMIT: Final = (
    (re.compile(r"ephemeral local storage usage exceeds the total limit of containers (\S+?)\.?\s*$"),
     "exceeded its ephemeral-storage limit {0}"),
    (re.compile(r"Container (\S+) exceeded its local ephemeral storage limit \"([^\"]+)\""),
     "exceeded its ephemeral-storage limit {1}"),
    (re.compile(r"Usage of EmptyDir volume \"([^\"]+)\" exceeds the limit \"([^\"]+)\""),
     "exceeded the size limit {1} of its emptyDir {0}"),
)  # fmt: skip
_NODE_LOW: Final = re.compile(r"node was low on resource: ([^.\s]+)")
_NODE_CONDITION: Final = re.compile(r"node had condition: (?:\[)?([^\].]+)")
_NUMBERS: Final = re.compile(r"Threshold quantity: ([^,\s]+), available: ([^\s,.]+)")
_PREEMPTOR: Final = re.compile(r"^Preempted by (?:a )?(?:pod )?(\S+) on node (\S+?)\.?$")


@rule(
    "over-own-storage",
    signature="L1-28",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods with reason Evicted whose message names the pod's own limit, while the workload is not "
    "whole again or it happened twice within an hour.",
    look_alikes={"evicted-by-node": "Evicted too, but the message says that the node was low on a resource"},
)
def over_own_storage(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod was evicted because it wrote more than its own storage limit."""
    if not is_failed(pod, "Evicted"):
        return CLEAR
    for pattern, text in _OWN_LIMIT:
        if found := pattern.search(pod.status.message):
            if (verdict := still_matters(pod, situation, now)) is not None:
                return verdict
            return Fired(
                situation.workload_of(pod),
                f"was evicted: {text.format(*found.groups())}",
                (told(pod), fact("pods", "the node was not low on storage", Mark.EXCLUDES)),
                (
                    field(pod, "{.status.message}", "which limit?"),
                    field(pod, "{.spec.containers[*].resources}", "which limits are set?"),
                ),
                severity=gravity(pod, situation, now),
                node=pod.spec.node_name,
            )
    return CLEAR


@rule(
    "evicted-by-node",
    signature="L5-03 L5-04",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods with reason Evicted whose message says that the node was low on a resource, while the "
    "workload is not whole again, or it happened twice within an hour.",
    look_alikes={"over-own-storage": "the message names the pod's own limit"},
)
def evicted_by_node(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A node evicts pods because it is low on memory, disk or process ids."""
    if not is_failed(pod, "Evicted"):
        return CLEAR
    low = _NODE_LOW.search(pod.status.message)
    found = low or _NODE_CONDITION.search(pod.status.message)
    if found is None:
        return CLEAR
    if (verdict := still_matters(pod, situation, now)) is not None:
        return verdict
    node = Ref("Node", "", pod.spec.node_name)
    evidence = [told(pod)]
    if numbers := _NUMBERS.search(pod.status.message):
        evidence += _threshold(found[1], numbers[1], numbers[2])
    commands: tuple[Command, ...] = (
        kubectl("describe", "node", node.name, purpose="is it under pressure now, and what uses it?"),
    )
    if found[1] == "memory":
        top = kubectl("top", "pods", "-A", "--sort-by=memory", purpose="which pods use the memory?")
        commands = (top, *commands)
    return Fired(
        node,
        f"evicts pods: low on {found[1]}" if low else f"refuses pods: {found[1]}",
        tuple(evidence),
        commands,
        follows=(node,),
        node=node.name,
    )


def _threshold(resource: str, threshold: str, available: str) -> list[Evidence]:
    count = parse_quantity(available)
    large = LARGE_BYTES.get(resource, 0)
    if count is None or not large or count < large:
        return [fact("pods", f"threshold {threshold}, available {available}")]
    text = f"{human_bytes(count)} was still available (threshold {threshold}): are the kubelet's thresholds right?"
    return [fact("pods", text, Mark.OPEN)]


@rule(
    "node-shutdown",
    signature="L5-07",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods with reason Terminated or NodeShutdown, or a container in ContainerStatusUnknown, while "
    "the workload is not whole again.",
    look_alikes={"evicted-by-node": "reason Evicted", "kubelet-refused": "reason OutOf..."},
)
def node_shutdown(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod was ended, or refused, because its node shut down, and its workload has not come back."""
    if not is_failed(pod):
        return CLEAR
    text = pod.status.message
    lost = any(
        (end := last_end(status)) is not None and end.reason == "ContainerStatusUnknown"
        for status in pod.status.container_statuses
    )
    if "node shutdown" not in text and "node is shutting down" not in text and not (lost and not pod.status.reason):
        return CLEAR
    if (verdict := still_matters(pod, situation, now)) is not None:
        return verdict
    node = Ref("Node", "", pod.spec.node_name)
    evidence = [told(pod)]
    if lost:
        evidence.append(fact("pods", "its containers could not be found when it was ended (ContainerStatusUnknown)"))
    boot = kubectl("get", "node", node.name, "-o", "jsonpath={.status.nodeInfo.bootID}", purpose="did it boot again?")
    return Fired(
        situation.workload_of(pod), f"lost pods when node {node.name} shut down", tuple(evidence),
        (boot, status_command(pod)), severity=gravity(pod, situation, now), follows=(node,), node=node.name,
    )  # fmt: skip


@rule(
    "preempted",
    signature="L2-22",
    layer=Layer.SCHEDULING,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="Condition DisruptionTarget=True with reason PreemptionByScheduler, the Preempted event, while the "
    "workload is not whole again.",
    look_alikes={"evicted-by-node": "reason TerminationByKubelet: the node was low on a resource"},
)
def preempted(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod was removed to make room for one of higher priority."""
    target = find_condition(pod.status.conditions, "DisruptionTarget")
    if target is None or target.status != "True" or target.reason != "PreemptionByScheduler":
        return CLEAR
    if (verdict := still_matters(pod, situation, now)) is not None:
        return verdict
    evidence = [fact("pods", f"{target.reason}: {shorten(target.message, 200)}", at=target.last_transition_time)]
    winner = ""
    for event in situation.events_of(pod, "Pod", "Preempted")[-1:]:
        evidence.append(said_by(event))
        if found := _PREEMPTOR.match(event.message):
            winner = _name_of(found[1], found[2], situation)
    title = f"was preempted by {winner}" if winner else "was preempted by a pod of higher priority"
    return Fired(
        situation.workload_of(pod), title, tuple(evidence),
        (
            kubectl("get", "events", "-A", "--field-selector", "reason=Preempted", purpose="who was preempted?"),
            field(pod, "{.spec.priorityClassName}", "which priority has it?"),
        ),
        node=pod.spec.node_name,
    )  # fmt: skip


def _name_of(winner: str, node: str, situation: Situation) -> str:
    """Return the preemptor's `namespace/name`; the event gives its uid, or in older versions the name itself."""
    if "/" in winner:
        return winner
    near = [*situation.pods_by_node.get(node).values(), *situation.unscheduled_pods.get(True).values()]
    return next((f"{pod.namespace}/{pod.name}" for pod in near if pod.metadata.uid == winner), "")


RULES: Final[tuple[Rule, ...]] = (preempted, over_own_storage, evicted_by_node, node_shutdown)
