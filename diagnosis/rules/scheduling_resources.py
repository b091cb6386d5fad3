"""Layer 2: no node has enough of what the pod requests (L2-01, L2-02, L2-03, L2-10; the pods' side of L5-09)."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.node_agents import Agent, agents
from diagnosis.placement import (
    admits,
    allocatable,
    amount_text,
    capacity,
    number_text,
    wanted,
)
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.scheduling_facts import SHOWN, fired, names, node_refs, refusal, still_young
from diagnosis.rules.scheduling_survey import (
    LOOKED_AT,
    Survey,
    fits_somewhere,
    free_of,
    is_elsewhere,
    is_gpu,
    survey_of,
)
from diagnosis.scheduler_text import POD_COUNT, SchedulerMessage
from situation.cluster import Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.gpu.offer import MIG_STATE, PRESENT
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation


@rule(
    "gpus-short",
    signature="L2-02 L2-03 L5-09",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'Insufficient <GPU resource>', the pod's requests, capacity and allocatable of all "
    "nodes, the requests of the pods on them, the label nvidia.com/gpu.present.",
    look_alikes={
        "resources-short": "there the nodes with free GPUs lack CPU or memory",
        "taints": "the nodes that offer enough GPUs have a taint the pod does not tolerate",
        "GPUs lost on a node": "a node has the GPU label or a capacity but offers less: layer 5, the node is followed",
    },
)
def gpus_short(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod wants GPUs that no node offers, or that are all in use."""
    said = refusal(pod)
    if said is None:
        return CLEAR
    short = {name: count for name, count in said.insufficient.items() if is_gpu(name)}
    return _judge(pod, situation, now, said, short) if short else CLEAR


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
        "taints": "the nodes that are large enough have a taint the pod does not tolerate",
    },
)
def resources_short(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod requests more CPU, memory or another resource than any node has, or has free."""
    said = refusal(pod)
    if said is None:
        return CLEAR
    short = {name: count for name, count in said.insufficient.items() if not is_gpu(name)}
    return _judge(pod, situation, now, said, short) if short else CLEAR


def _judge(pod: Pod, situation: Situation, now: datetime, said: SchedulerMessage, short: Mapping[str, int]) -> Verdict:
    if wait := still_young(pod, now):
        return wait
    for resource, count in short.items():
        if not situation.nodes:
            return _by_message(pod, situation, now, resource, count, said)
        survey = survey_of(pod, resource, situation)
        if not survey.wants:
            return _by_message(pod, situation, now, resource, count, said)
        if is_elsewhere(survey, said):
            continue
        if not survey.open and not survey.blocked:
            return _never_fits(pod, situation, now, survey)
        free = free_of(survey, situation)
        if len(said.insufficient) > 1 and fits_somewhere(survey, free):
            continue
        return _full(pod, situation, now, survey, free)
    return CLEAR


def _by_message(
    pod: Pod, situation: Situation, now: datetime, resource: str, count: int, said: SchedulerMessage
) -> Fired:
    """Without nodes only the scheduler's numbers are left, and its hint about preemption (noderesources/fit.go)."""
    busy = "No preemption victims found" in said.afterwards
    hint = "nodes offer that much but are busy" if busy else "no node offers that much, or preemption is not allowed"
    wants = wanted(pod, resource)
    return fired(
        pod,
        situation,
        now,
        f"wants {amount_text(resource, wants)}: too little on {count} of {counted(said.total or count, 'node')}",
        [fact("pods", f"by the scheduler's preemption text, {hint}", Mark.OPEN)],
        _commands(resource),
    )


def _never_fits(pod: Pod, situation: Situation, now: datetime, survey: Survey) -> Fired:
    resource, wants = survey.resource, amount_text(survey.resource, survey.wants)
    total = len(situation.nodes)
    if survey.largest is None:
        if is_gpu(resource):
            return _no_gpu(pod, situation, now, survey)
        evidence = [fact("nodes", f"wants {wants}; the most a node offers is 0 of {counted(total, 'node')}")]
        return fired(pod, situation, now, f"wants {wants}: no node offers any", evidence, _commands(resource))
    most = number_text(resource, allocatable(survey.largest, resource))
    evidence = [
        fact(
            "nodes",
            f"wants {wants}; the most a node offers is {most} ({survey.largest.name} of {total})",
        )
    ]
    losers = [node for node in survey.lost if capacity(node, resource) >= survey.wants]
    if losers:
        return _lost(pod, situation, now, survey, losers, evidence)
    title = f"wants {wants}: the largest node offers {most}"
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
        follows=(*node_refs(losers), *_operands(resource, situation)),
        layer=Layer.NODE,
    )


def _loss(node: Node, resource: str) -> Evidence:
    have, offers = (number_text(resource, amount) for amount in (capacity(node, resource), allocatable(node, resource)))
    return fact("nodes", f"{node.name} has {have} {resource}, offers {offers}")


def _operands(resource: str, situation: Situation) -> tuple[Ref, ...]:
    return tuple(agents(situation, Agent.GPU)) if resource.startswith("nvidia.com/") else ()


def _no_gpu(pod: Pod, situation: Situation, now: datetime, survey: Survey) -> Fired:
    """No node offers the resource: no such hardware, another shape of it, or a chain that does not bring it up."""
    resource, wants = survey.resource, amount_text(survey.resource, survey.wants)
    nodes = situation.nodes.values()
    evidence = [fact("nodes", f"wants {wants}; the most a node offers is 0 of {counted(len(nodes), 'node')}")]
    shapes = _shapes(situation)
    failed = [node for node in nodes if node.metadata.labels.get(MIG_STATE) == "failed"]
    if shapes and not survey.lost:
        evidence.append(fact("nodes", f"nodes offer instead: {', '.join(shapes)}"))
        if failed:
            evidence.append(fact("nodes", f"{MIG_STATE}=failed on {names(failed)}"))
        return fired(
            pod, situation, now, f"wants {wants}: no node offers that shape", evidence, _commands(resource),
            follows=node_refs(failed), layer=Layer.NODE if failed else None,
        )  # fmt: skip
    silent = [node for node in nodes if node.metadata.labels.get(PRESENT) == "true"] or list(survey.lost)
    if not silent or not resource.startswith("nvidia.com/"):
        evidence.append(fact("nodes", f"no node has the label {PRESENT}=true or a capacity of {resource}"))
        return fired(pod, situation, now, f"wants {wants}: no node offers any", evidence, _commands(resource))
    evidence.append(fact("nodes", f"has GPUs by its labels or its capacity, but offers none: {names(silent)}"))
    evidence += [_loss(node, resource) for node in survey.lost[:SHOWN]]
    return fired(
        pod,
        situation,
        now,
        f"wants {wants}: the GPU nodes offer none",
        evidence,
        _commands(resource),
        follows=(*node_refs(silent), *_operands(resource, situation)),
        layer=Layer.NODE,
        severity=Severity.WARNING if _all_new(silent, now) else None,
    )


def _all_new(nodes: list[Node], now: datetime) -> bool:
    ages = [(now - made).total_seconds() for node in nodes if (made := node.metadata.creation_timestamp) is not None]
    return len(ages) == len(nodes) and all(age < DRIVER_START_S for age in ages)


def _shapes(situation: Situation) -> list[str]:
    """GPU resources that some node offers now."""
    found: dict[str, None] = {}
    for node in situation.nodes.values():
        found.update(
            dict.fromkeys(name for name in node.status.allocatable if is_gpu(name) and allocatable(node, name))
        )
    return sorted(found)


def _full(
    pod: Pod, situation: Situation, now: datetime, survey: Survey, free: Mapping[str, tuple[float, float]]
) -> Fired:
    resource, wants = survey.resource, amount_text(survey.resource, survey.wants)
    roomiest = sorted(free.items(), key=lambda item: item[1][0] - item[1][1])[:SHOWN]
    evidence = [
        fact("nodes", f"{name}: {number_text(resource, taken)} of {number_text(resource, offered)} requested")
        for name, (taken, offered) in roomiest
    ]
    if len(free) == LOOKED_AT:
        evidence.append(fact("nodes", f"the {SHOWN} freest of the {LOOKED_AT} nodes looked at", Mark.OPEN))
    if fits_somewhere(survey, free):
        evidence.append(
            fact("pods", "pods that can be seen leave room: others hold it, or it was freed just now", Mark.OPEN)
        )
    lost = list(survey.lost) if is_gpu(resource) else []
    evidence += [_loss(node, resource) for node in lost[:SHOWN]]
    if is_gpu(resource) and not lost:
        evidence.append(fact("nodes", f"no node offers less {resource} than it has", Mark.EXCLUDES))
    title = f"wants {wants}: all are in use" if is_gpu(resource) else f"wants {wants}: no node has that much free"
    fullest = situation.node(roomiest[0][0]) if roomiest else None
    return fired(
        pod, situation, now, title, evidence, _commands(resource, fullest),
        follows=(*node_refs(lost), *_operands(resource, situation)) if lost else (),
        layer=Layer.NODE if lost else None,
    )  # fmt: skip


def _commands(resource: str, node: Node | None = None) -> tuple[Command, ...]:
    escaped = resource.replace(".", "\\.")
    columns = f"N:.metadata.name,CAP:.status.capacity.{escaped},ALLOC:.status.allocatable.{escaped}"
    offers = kubectl("get", "nodes", "-o", f"custom-columns={columns}", purpose=f"which node offers {resource}?")
    if is_gpu(resource):
        if "mig-" in resource:
            shapes = kubectl(
                "get", "nodes", "-L", f"nvidia.com/mig.config,{MIG_STATE}", purpose="which MIG layout do nodes have?"
            )
            return (shapes, offers)
        return (offers,)
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
    open_nodes = (node for node in situation.nodes.values() if admits(pod, node))
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


RULES: Final[tuple[Rule, ...]] = (gpus_short, resources_short, pod_slots_full)
