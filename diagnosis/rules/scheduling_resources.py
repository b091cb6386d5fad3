"""Layer 2: no node has enough of what the pod requests, GPUs aside (L2-01, L2-10)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.placement import (
    admits,
    allocatable,
    amount_text,
    capacity,
    number_text,
    overhead,
)
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.scheduling_facts import (
    SHOWN,
    by_message,
    fired,
    names,
    node_refs,
    refusal,
    still_young,
)
from diagnosis.rules.scheduling_survey import (
    LOOKED_AT,
    Survey,
    fits_somewhere,
    free_of,
    is_elsewhere,
    survey_of,
)
from diagnosis.scheduler_text import POD_COUNT, SchedulerMessage
from situation.cluster import Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.gpu.requests import is_gpu
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation


@rule(
    "resources-short",
    signature="L2-01",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'Insufficient cpu', memory, ephemeral-storage or an extended resource; the pod's "
    "requests, allocatable of all nodes and the requests of the pods on them.",
    look_alikes={
        "gpus-short": "there the missing resource is a GPU",
        "quota-refused": "there no pod is Pending: it was never created",
        "preemption under way": "status.nominatedNodeName, and pods leave that node: a warning until these should be "
        "gone",
        "taints": "the nodes that are large enough have a taint the pod does not tolerate",
    },
)
def resources_short(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod requests more CPU, memory or another resource than any node has, or has free."""
    said = refusal(pod)
    if said is None:
        return CLEAR
    short = [name for name in said.insufficient if not is_gpu(name)]
    return _judge(pod, situation, now, said, short) if short else CLEAR


def _judge(pod: Pod, situation: Situation, now: datetime, said: SchedulerMessage, short: Sequence[str]) -> Verdict:
    if wait := still_young(pod, now):
        return wait
    for resource in short:
        if not situation.nodes:
            return by_message(pod, situation, now, resource, said, _commands(resource))
        survey = survey_of(pod, resource, situation)
        if not survey.wants:
            return by_message(pod, situation, now, resource, said, _commands(resource))
        if is_elsewhere(survey, said):
            continue
        if not survey.open and not survey.blocked:
            return _never_fits(pod, situation, now, survey)
        if not situation.sees_all:
            return by_message(pod, situation, now, resource, said, _commands(resource))
        free = free_of(survey, situation)
        if len(said.insufficient) > 1 and fits_somewhere(survey, free):
            continue
        return _full(pod, situation, now, survey, free)
    return CLEAR


def _never_fits(pod: Pod, situation: Situation, now: datetime, survey: Survey) -> Fired:
    resource, wants = survey.resource, amount_text(survey.resource, survey.wants)
    chosen = " that it selects" if survey.narrowed else ""
    if survey.largest is None:
        text = f"wants {wants}; the most a node offers is 0 of {counted(survey.asked, 'node')}{chosen}"
        evidence = [fact("nodes", text)]
        return fired(pod, situation, now, f"wants {wants}: no node{chosen} offers any", evidence, _commands(resource))
    most = number_text(resource, allocatable(survey.largest, resource))
    evidence = [
        fact(
            "nodes",
            f"wants {wants}; the most a node offers is {most} ({survey.largest.name} of {survey.asked}{chosen})",
        ),
        *_overhead(pod, resource),
    ]
    losers = [node for node in survey.lost if capacity(node, resource) >= survey.wants]
    if losers:
        return _lost(pod, situation, now, survey, losers, evidence)
    title = f"wants {wants}: the largest node{chosen} offers {most}"
    return fired(pod, situation, now, title, evidence, _commands(resource, survey.largest))


def _lost(
    pod: Pod, situation: Situation, now: datetime, survey: Survey, losers: list[Node], evidence: list[Evidence]
) -> Fired:
    resource = survey.resource
    lines = [_loss(node, resource) for node in losers[:SHOWN]]
    return fired(
        pod,
        situation,
        now,
        f"wants {amount_text(resource, survey.wants)}: {names(losers)} offers less than it has",
        [*evidence, *lines],
        _commands(resource),
        follows=node_refs(losers),
        layer=Layer.NODE,
    )


def _loss(node: Node, resource: str) -> Evidence:
    have, offers = (number_text(resource, amount) for amount in (capacity(node, resource), allocatable(node, resource)))
    return fact("nodes", f"{node.name} has {have} {resource}, offers {offers}")


def _full(
    pod: Pod, situation: Situation, now: datetime, survey: Survey, free: Mapping[str, tuple[float, float]]
) -> Fired:
    resource, wants = survey.resource, amount_text(survey.resource, survey.wants)
    roomiest = sorted(free.items(), key=lambda item: item[1][0] - item[1][1])[:SHOWN]
    evidence = [
        fact("nodes", f"{name}: {number_text(resource, taken)} of {number_text(resource, offered)} requested")
        for name, (taken, offered) in roomiest
    ]
    evidence += _overhead(pod, resource)
    if len(free) == LOOKED_AT:
        evidence.append(fact("nodes", f"the {SHOWN} freest of the {LOOKED_AT} nodes looked at", Mark.OPEN))
    if fits_somewhere(survey, free):
        evidence.append(
            fact("pods", "pods that can be seen leave room: others hold it, or it was freed just now", Mark.OPEN)
        )
    title = f"wants {wants}: no node{' that it selects' if survey.narrowed else ''} has that much free"
    fullest = situation.node(roomiest[0][0]) if roomiest else None
    return fired(pod, situation, now, title, evidence, _commands(resource, fullest))


def _overhead(pod: Pod, resource: str) -> list[Evidence]:
    """Say what of the wish no container names, so that the numbers of the pod and of the title agree."""
    if not (more := overhead(pod, resource)):
        return []
    return [fact("pods", f"{amount_text(resource, more)} of it is overhead of class {pod.spec.runtime_class_name}")]


def _commands(resource: str, node: Node | None = None) -> tuple[Command, ...]:
    escaped = resource.replace(".", "\\.")
    columns = f"N:.metadata.name,CAP:.status.capacity.{escaped},ALLOC:.status.allocatable.{escaped}"
    offers = kubectl("get", "nodes", "-o", f"custom-columns={columns}", purpose=f"which node offers {resource}?")
    if node is None:
        return (offers,)
    return (kubectl("describe", "node", node.name, purpose="what is allocated on it?"), offers)


@rule(
    "pod-slots-full",
    signature="L2-10",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'Too many pods', allocatable.pods of the nodes and the pods on them.",
    look_alikes={"pod addresses exhausted": "there the pod has a node and its sandbox fails"},
)
def pod_slots_full(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The nodes run as many pods as their kubelets allow."""
    said = refusal(pod)
    if said is None or not said.count(POD_COUNT):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    nodes = situation.nodes.values() if situation.sees_all else ()
    open_nodes = (node for node in nodes if admits(pod, node))
    evidence = [
        fact("nodes", f"{node.name}: {_pods_on(node, situation)} of {counted(round(allocatable(node, 'pods')), 'pod')}")
        for node in islice(open_nodes, SHOWN)
    ]
    columns = "custom-columns=N:.metadata.name,PODS:.status.allocatable.pods"
    full = said.count(POD_COUNT)
    title = f"finds no free pod slot: {full} of {counted(said.total or full, 'node')} full"
    next = [kubectl("get", "nodes", "-o", columns, purpose="how many pods may a node run?")]
    return fired(pod, situation, now, title, evidence, next)


def _pods_on(node: Node, situation: Situation) -> int:
    return sum(not is_finished(pod) for pod in situation.pods_by_node.get(node.name).values())


RULES: Final[tuple[Rule, ...]] = (resources_short, pod_slots_full)
