"""Layer 2: no node has the labels that an unscheduled pod asks for (L2-04)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.gpu_names import near_misses
from diagnosis.node_agents import Agent, agents
from diagnosis.placement import affinity_terms, selects
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules.pending_gpus_evidence import gpu_numbers
from diagnosis.rules.scheduling_facts import fired, names, refusal, still_young
from diagnosis.scheduler_text import NODE_NAME, SELECTOR
from situation.cluster import Node
from situation.findings import Layer, Mark, Severity
from situation.gpu.offer import PRESENT, gpu_resources
from situation.meta import Ref, SelectorRequirement
from situation.pods import Pod
from situation.situation import Situation


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
        "resources-short": "nodes with the labels exist but are too small, or full",
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
    chosen = [node for node in nodes if selects(pod, node)] if said.mentions(SELECTOR) else []
    if chosen and len(said.reasons) > 1:
        return CLEAR  # nodes with the labels exist: what keeps the pod from those is another matter
    asked = () if chosen else _asked(pod)
    missing = [item for item in asked if not any(item.matches(node.metadata.labels) for node in nodes)]
    evidence = [
        fact("nodes", f"{_requirement(item)}: met by {_met_by(item, situation)} of {counted(len(nodes), 'node')}")
        for item in _asked(pod)
        if nodes
    ]
    if situation.has_unread("nodes"):
        title, missing = "matches no node by its node selector or affinity", []
    elif nodes and missing:
        title = f"selects a node label that no node has: {_requirement(missing[0])}"
    elif nodes and asked:
        title = "selects a combination of node labels that no node has"
    else:
        title = "matches no node by its node selector or affinity"
    if chosen:
        text = "labelled just now, or the scheduler asks for more than the pod does"
        evidence.append(fact("nodes", f"has what the pod asks for: {names(chosen)}; {text}", Mark.OPEN))
    for item in missing:
        evidence += [fact("nodes", text) for text in near_misses(item, situation)]
    evidence += gpu_numbers(pod, situation)
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
    if not keys:
        return ()
    gpu_nodes = [node for node in situation.nodes.values() if _has_gpus(node)]
    if any(key not in node.metadata.labels for key in keys for node in gpu_nodes):
        return tuple(agents(situation, Agent.GPU))
    return ()


def _has_gpus(node: Node) -> bool:
    return node.metadata.labels.get(PRESENT) == "true" or any(gpu_resources(node.status.capacity).values())


RULES: Final[tuple[Rule, ...]] = (node_selector,)
