"""Layer 2: taints or cordons keep an unscheduled pod from the nodes it could use (L2-05, L2-06)."""

from collections import Counter
from datetime import datetime
from itertools import islice
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.gpu_ledger import gpus_wanted
from diagnosis.gpu_places import Reach, view_of
from diagnosis.placement import down_nodes, is_cordoned, selects, untolerated
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.pending_gpus_commands import TAINT_COLUMNS
from diagnosis.rules.pending_gpus_evidence import gpu_numbers
from diagnosis.rules.scheduling_facts import LISTED, fired, names, node_refs, refusal, still_young
from diagnosis.scheduler_text import CORDON, TAINT, SchedulerMessage
from situation.cluster import Node
from situation.findings import Layer, Severity
from situation.pods import Pod
from situation.situation import Situation


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
    kept = _large_enough(pod, situation) or (
        node for node in situation.nodes.values() if selects(pod, node) and untolerated(pod, node)
    )
    return _behind_taints(pod, situation, now, said, list(islice(kept, LISTED)))


def _large_enough(pod: Pod, situation: Situation) -> list[Node]:
    """Return the nodes with the GPUs that a pod wants behind a taint: those of other nodes do not matter to it."""
    return [
        place.account.node
        for resource, wants in list(gpus_wanted(pod).items())[:1]
        for place in view_of(pod, resource, situation).at(Reach.TAINTED)
        if place.account.allocatable >= wants
    ]


def _behind_down_nodes(
    pod: Pod, situation: Situation, now: datetime, said: SchedulerMessage, down: list[Node]
) -> Fired:
    states = Counter(taint.key.rpartition("/")[2] for node in down for taint in untolerated(pod, node))
    state = states.most_common(1)[0][0]
    evidence = [
        fact("nodes", f"{node.name}: {', '.join(taint.key for taint in untolerated(pod, node))}") for node in down[:3]
    ]
    next = [kubectl("get", "nodes", "-o", TAINT_COLUMNS, purpose="which node has which taint?")]
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
    evidence += gpu_numbers(pod, situation)
    key = found.most_common(1)[0][0] if found else ", ".join(said.taint_keys)
    next = [kubectl("get", "nodes", "-o", TAINT_COLUMNS, purpose="which node has which taint?")]
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
    evidence += gpu_numbers(pod, situation)
    next = [kubectl("get", "nodes", purpose="which nodes are cordoned, and since when?")]
    count = said.count(CORDON)
    title = f"has no usable node: {count} of {counted(said.total or count, 'node')} cordoned"
    return fired(pod, situation, now, title, evidence, next)


RULES: Final[tuple[Rule, ...]] = (taints, nodes_cordoned)
