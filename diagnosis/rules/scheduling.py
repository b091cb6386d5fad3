"""Layer 2: a pod has no node (L2-04, L2-05, L2-06, L2-17, L2-21), and the order of all rules about such pods.

kube-scheduler asks cordon, taints, labels, ports, resources, volumes, spread and affinity in this order and reports the
first refusal of each node. So the last of these that a message names is what keeps the pod from the node that came
furthest, and the rules stand here in the opposite order.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.node_agents import Agent, agents
from diagnosis.placement import affinity_terms, down_nodes, is_cordoned, selects, untolerated
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from diagnosis.rules import scheduling_neighbours, scheduling_resources, scheduling_volumes
from diagnosis.rules.scheduling_facts import (
    LISTED,
    fired,
    names,
    node_refs,
    refusal,
    scheduled_condition,
    still_young,
)
from diagnosis.scheduler_text import CORDON, NODE_NAME, SELECTOR, TAINT, SchedulerMessage
from situation.cluster import Node
from situation.findings import Layer, Mark, Severity
from situation.gpu.offer import PRESENT
from situation.meta import CLUSTER, Ref, SelectorRequirement, find_condition
from situation.pods import Pod
from situation.situation import Situation

NO_ANSWER_BUDGET_S: Final = 10.0
"""A scheduler that runs has judged a new pod within 10 s (fault_signatures L4-09)."""
DEFAULT_SCHEDULER: Final = "default-scheduler"


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
        "a pod a few seconds old": "given 10 s",
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
        follows=(CLUSTER,), layer=Layer.CONTROL_PLANE, severity=Severity.WARNING,
    )  # fmt: skip


@rule(
    "node-selector",
    signature="L2-04",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with \"didn't match Pod's node affinity/selector\"; the pod's node selector and required "
    "affinity, the labels of all nodes.",
    look_alikes={
        "volume-elsewhere": "there the volume's affinity rules the nodes out",
        "taints": "nodes with the labels exist but repel the pod",
        "GPU labels not set yet": "nodes with GPUs lack the label: the GPU operator's daemons are followed",
    },
)
def node_selector(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """No node has the labels a pod asks for."""
    said = refusal(pod)
    if said is None or not (said.mentions(SELECTOR) or said.mentions(NODE_NAME)):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    nodes = situation.nodes.values()
    if any(selects(pod, node) for node in nodes) and (said.count(TAINT) or said.count(CORDON)):
        return CLEAR
    missing = [item for item in _asked(pod) if not any(item.matches(node.metadata.labels) for node in nodes)]
    evidence = [
        fact("nodes", f"{_requirement(item)}: met by {_met_by(item, situation)} of {counted(len(nodes), 'node')}")
        for item in _asked(pod)
        if nodes
    ]
    if nodes and missing:
        title = f"selects a node label that no node has: {_requirement(missing[0])}"
    elif nodes and _asked(pod):
        title = "selects a combination of node labels that no node has"
    else:
        title = "matches no node by its node selector or affinity"
    keys = ",".join(dict.fromkeys(item.key for item in missing or _asked(pod)))
    show = ("-L", keys) if keys else ("--show-labels",)
    next = [kubectl("get", "nodes", *show, purpose="which node has which of these labels?")]
    return fired(pod, situation, now, title, evidence, next, follows=_gpu_chain(missing, situation))


def _asked(pod: Pod) -> tuple[SelectorRequirement, ...]:
    """Return the label requirements of a pod; of the affinity those of its first term, others being alternatives."""
    asked = [SelectorRequirement(key, "In", (value,)) for key, value in sorted(pod.spec.node_selector.items())]
    terms = affinity_terms(pod)
    return (*asked, *(terms[0].match_expressions if terms else ()))


def _requirement(item: SelectorRequirement) -> str:
    if item.operator == "In" and len(item.values) == 1:
        return f"{item.key}={item.values[0]}"
    return f"{item.key} {item.operator} {', '.join(item.values)}".strip()


def _met_by(item: SelectorRequirement, situation: Situation) -> int:
    return sum(item.matches(node.metadata.labels) for node in situation.nodes.values())


def _gpu_chain(missing: list[SelectorRequirement], situation: Situation) -> tuple[Ref, ...]:
    """A GPU label that GPU nodes lack altogether is set by GPU feature discovery, one of the operator's daemons."""
    keys = [item.key for item in missing if item.key.startswith("nvidia.com/")]
    gpu_nodes = [node for node in situation.nodes.values() if node.metadata.labels.get(PRESENT) == "true"]
    if any(key not in node.metadata.labels for key in keys for node in gpu_nodes):
        return tuple(agents(situation, Agent.GPU))
    return ()


@rule(
    "taints",
    signature="L2-05",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'had untolerated taint(s)'; the taints of the nodes (the message may not name them), "
    "the pod's tolerations.",
    look_alikes={
        "node down": "taints node.kubernetes.io/* are set because of the node's state: the node is the cause, layer 5",
        "nodes-cordoned": "a cordon has a taint of its own and its own wording",
    },
)
def taints(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """Every node that a pod could use has a taint that it does not tolerate."""
    said = refusal(pod)
    if said is None or not said.count(TAINT):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    down = list(islice(down_nodes(pod, situation), LISTED))
    if down:
        return _behind_down_nodes(pod, situation, now, said, down)
    kept = (node for node in situation.nodes.values() if selects(pod, node) and untolerated(pod, node))
    return _behind_taints(pod, situation, now, said, list(islice(kept, LISTED)))


_TAINT_COLUMNS: Final = "custom-columns=N:.metadata.name,TAINTS:.spec.taints[*].key,EFFECT:.spec.taints[*].effect"


def _behind_down_nodes(
    pod: Pod, situation: Situation, now: datetime, said: SchedulerMessage, down: list[Node]
) -> Fired:
    states = Counter(taint.key.rpartition("/")[2] for node in down for taint in untolerated(pod, node))
    state = states.most_common(1)[0][0]
    evidence = [
        fact("nodes", f"{node.name}: {', '.join(taint.key for taint in untolerated(pod, node))}") for node in down[:3]
    ]
    next = [kubectl("get", "nodes", "-o", _TAINT_COLUMNS, purpose="which node has which taint?")]
    count = len(down) if len(down) < LISTED else said.count(TAINT)
    noun = "node is" if count == 1 else "nodes are"
    return fired(
        pod, situation, now, f"has no usable node: {count} {noun} {state}", evidence, next,
        follows=node_refs(down), layer=Layer.NODE,
    )  # fmt: skip


def _behind_taints(pod: Pod, situation: Situation, now: datetime, said: SchedulerMessage, kept: list[Node]) -> Fired:
    found = Counter(
        f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"
        for node in kept
        for taint in untolerated(pod, node)
    )
    evidence = [
        fact("nodes", f"taint {taint} on {count} of {counted(len(kept), 'node')} looked at")
        for taint, count in found.most_common(3)
    ]
    tolerated = ", ".join(sorted({item.key or "everything" for item in pod.spec.tolerations}))
    evidence.append(fact("pods", f"the pod tolerates: {tolerated or 'nothing'}"))
    key = found.most_common(1)[0][0] if found else ", ".join(said.taint_keys)
    next = [kubectl("get", "nodes", "-o", _TAINT_COLUMNS, purpose="which node has which taint?")]
    title = f"does not tolerate the taint {key}" if key else "does not tolerate the taints of the nodes"
    return fired(pod, situation, now, title, evidence, next)


@rule(
    "nodes-cordoned",
    signature="L2-06",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'node(s) were unschedulable' and no other reason that a node could take the pod.",
    look_alikes={
        "a permanently cordoned node": "it is in nearly every message: any other reason wins, the cordon is mentioned"
    },
)
def nodes_cordoned(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """All nodes a pod could use are cordoned."""
    said = refusal(pod)
    if said is None or not said.count(CORDON):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    cordoned = [node for node in situation.nodes.values() if is_cordoned(node) and selects(pod, node)]
    evidence = [fact("nodes", f"cordoned: {names(cordoned)}")] if cordoned else []
    next = [kubectl("get", "nodes", purpose="which nodes are cordoned, and since when?")]
    count = said.count(CORDON)
    title = f"has no usable node: {count} of {counted(said.total or count, 'node')} cordoned"
    return fired(pod, situation, now, title, evidence, next)


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
    return fired(pod, situation, now, f"cannot be scheduled: {shorten(said.text, 100) or 'no reason given'}")


def _rules() -> Iterator[Rule]:
    yield from (scheduling_gates, nobody_schedules)
    yield from scheduling_volumes.RULES
    yield from scheduling_neighbours.RULES
    yield from scheduling_resources.RULES
    yield from (node_selector, taints, nodes_cordoned, unschedulable)


RULES: Final[tuple[Rule, ...]] = tuple(_rules())
