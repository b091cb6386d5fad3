"""Layer 2: a pod has no node and nothing says more (L2-01, L2-17, L2-21), and the order of all rules about such pods.

kube-scheduler asks cordon, taints, labels, ports, resources, volumes, spread and affinity in this order and reports the
first refusal of each node. So the last of these that a message names is what keeps the pod from the node that came
furthest, and the rules stand here in the opposite order.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.explaining import SCHEDULER_DOWN
from diagnosis.rule import CLEAR, Rule, Verdict, rule, wait_until
from diagnosis.rules import (
    pending_gpus,
    scheduling_devices,
    scheduling_labels,
    scheduling_neighbours,
    scheduling_resources,
    scheduling_storage,
    scheduling_taints,
    scheduling_volumes,
)
from diagnosis.rules.pending_gpus_evidence import gang_numbers
from diagnosis.rules.scheduling_facts import fired, refusal, scheduled_condition, still_young
from situation.findings import Layer, Mark, Severity
from situation.leases import at_work_since
from situation.meta import CLUSTER, find_condition
from situation.pods import Pod
from situation.situation import Situation

NO_ANSWER_BUDGET_S: Final = 10.0
"""A scheduler that runs has judged a new pod within 10 s (fault_signatures L4-09)."""
DEFAULT_SCHEDULER: Final = "default-scheduler"
SCHEDULER: Final = "kube-scheduler"
"""Its lease in kube-system."""


@rule(
    "scheduling-gates",
    signature="L2-21",
    layer=Layer.SCHEDULING,
    severity=Severity.INFO,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled=False with reason SchedulingGated; spec.schedulingGates.",
    look_alikes={"nobody-schedules": "there the condition PodScheduled is missing altogether"},
)
def scheduling_gates(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod is held back by scheduling gates: a queue has not admitted it yet."""
    condition = scheduled_condition(pod)
    if condition is None or condition.reason != "SchedulingGated":
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    gates = ", ".join(gate.name for gate in pod.spec.scheduling_gates) or "unnamed"
    next = [
        kubectl(
            "get", "pod", pod.name, "-o", "jsonpath={.spec.schedulingGates}",
            purpose="who holds it back?", namespace=pod.namespace,
        )
    ]  # fmt: skip
    evidence = [fact("pods", f"the owner of the gate (a queue such as Kueue) must remove it: {gates}")]
    return fired(
        pod, situation, now, f"is held back by scheduling gate {gates}", evidence, next, severity=Severity.INFO
    )


@rule(
    "nobody-schedules",
    signature="L2-17 L4-09",
    layer=Layer.SCHEDULING,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="phase Pending, no node, no condition PodScheduled and no event for 10 s; spec.schedulerName.",
    look_alikes={
        "scheduler down": "with the default scheduler the pod is one of many: the scheduler's own finding explains it",
        "scheduling-gates": "there the condition PodScheduled says SchedulingGated",
        "a pod a few seconds old": "given 10 s, as is a scheduler that was just elected",
    },
)
def nobody_schedules(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """No scheduler has looked at a pod."""
    if pod.spec.node_name or pod.status.phase not in ("", "Pending") or pod.metadata.deletion_timestamp is not None:
        return CLEAR
    if find_condition(pod.status.conditions, "PodScheduled") is not None or situation.events_of(pod, "Pod"):
        return CLEAR
    if wait := wait_until(pod.metadata.creation_timestamp, NO_ANSWER_BUDGET_S, now):
        return wait
    name = pod.spec.scheduler_name
    if name == DEFAULT_SCHEDULER and (wait := wait_until(at_work_since(situation, SCHEDULER), NO_ANSWER_BUDGET_S, now)):
        return wait
    evidence = [fact("pods", "phase Pending, no node, no condition PodScheduled, no event")]
    if name != DEFAULT_SCHEDULER:
        others = [other for other in situation.unscheduled_pods.get(True).values() if other.spec.scheduler_name != name]
        if any(find_condition(other.status.conditions, "PodScheduled") for other in others):
            evidence.append(fact("pods", "other schedulers judge their pods: only this one is silent", Mark.EXCLUDES))
        next = [
            kubectl(
                "get", "pod", pod.name, "-o", "jsonpath={.spec.schedulerName}",
                purpose="which scheduler should place it?", namespace=pod.namespace,
            ),
            kubectl("get", "pods", "-A", "-l", f"component={name}", purpose="does that scheduler run?"),
        ]  # fmt: skip
        return fired(
            pod, situation, now, f"waits for scheduler {name}, which does not answer", evidence, next,
            severity=Severity.WARNING,
        )  # fmt: skip
    next = [
        kubectl(
            "get", "lease", "kube-scheduler", "-o", "jsonpath={.spec.renewTime}",
            purpose="is the scheduler alive?", namespace="kube-system",
        )
    ]  # fmt: skip
    return fired(
        pod, situation, now, "is not looked at by the scheduler", evidence, next,
        follows=(CLUSTER,), of_cluster=SCHEDULER_DOWN, layer=Layer.CONTROL_PLANE, severity=Severity.WARNING,
    )  # fmt: skip


@rule(
    "unschedulable",
    signature="L2-01",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled=False with a text that no other rule knows.",
    look_alikes={"all other scheduling rules": "they come first"},
)
def unschedulable(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The scheduler cannot place a pod, for a reason that no other rule knows."""
    said = refusal(pod)
    if said is None:
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    title = f"cannot be scheduled: {shorten(said.text, 100) or 'no reason given'}"
    return fired(pod, situation, now, title, gang_numbers(pod, situation))


def _rules() -> Iterator[Rule]:
    yield from (scheduling_gates, nobody_schedules)
    for family in (
        scheduling_storage,
        scheduling_volumes,
        scheduling_devices,
        scheduling_neighbours,
        pending_gpus,
        scheduling_resources,
        scheduling_labels,
        scheduling_taints,
    ):
        yield from family.RULES
    yield unschedulable


RULES: Final[tuple[Rule, ...]] = tuple(_rules())
