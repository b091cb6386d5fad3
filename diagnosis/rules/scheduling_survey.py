"""What the nodes offer of one resource to one unscheduled pod."""

from collections.abc import Mapping
from typing import Final

import msgspec

from diagnosis.placement import admits, affinity_terms, allocatable, capacity, selects, used, wanted
from diagnosis.scheduler_text import CORDON, SELECTOR, TAINT, SchedulerMessage
from situation.cluster import Node
from situation.pods import Pod
from situation.situation import Situation

LOOKED_AT: Final = 12
"""Nodes whose pods are summed up; the sum is made for each waiting pod, so it must stay cheap."""


class Survey(msgspec.Struct, frozen=True):
    """What the nodes say about one resource."""

    resource: str
    wants: float
    asked: int
    """Nodes that were looked at: those the pod selects, or all of them if it selects none."""
    narrowed: bool
    """It selects some of the nodes only."""
    largest: Node | None
    """Offers most of it; None when no node offers any."""
    open: tuple[Node, ...]
    """Offer enough and would take the pod otherwise; at most LOOKED_AT."""
    blocked: int
    """Nodes that offer enough but do not take the pod: cordon, taint, or labels if it selects no node at all."""
    lost: tuple[Node, ...]
    """Offer less than they have, and the pod asks for them."""


def survey_of(pod: Pod, resource: str, situation: Situation) -> Survey:
    """Ask the nodes that a pod selects about one resource. Stops early for CPU and memory, which every node has.

    What others offer does not matter to it, unless it selects none: then they show what it does without.
    """
    nodes = _selected(pod, situation) or tuple(situation.nodes.values())
    wants = wanted(pod, resource)
    largest: Node | None = None
    most = 0.0
    found: list[Node] = []
    lost: list[Node] = []
    blocked = 0
    extended = "/" in resource
    for node in nodes:
        offered = allocatable(node, resource)
        if offered > most:
            largest, most = node, offered
        if extended and offered < capacity(node, resource) and selects(pod, node):
            lost.append(node)
        if offered >= wants > 0:
            if admits(pod, node):
                found.append(node)
            else:
                blocked += 1
            if len(found) == LOOKED_AT and not extended:
                break
    narrowed = len(nodes) < len(situation.nodes)
    return Survey(resource, wants, len(nodes), narrowed, largest, tuple(found[:LOOKED_AT]), blocked, tuple(lost))


def _selected(pod: Pod, situation: Situation) -> tuple[Node, ...]:
    """Return the nodes that a pod selects, found once a round for all pods that ask for the same."""
    spec = pod.spec
    key = ("selected nodes", tuple(sorted(spec.node_selector.items())), msgspec.json.encode(affinity_terms(pod)))
    return situation.once(key, lambda: tuple(node for node in situation.nodes.values() if selects(pod, node)))


def free_of(survey: Survey, situation: Situation) -> dict[str, tuple[float, float]]:
    """Return node name to (used, offered) for the nodes that would take the pod."""
    return {
        node.name: (used(node.name, survey.resource, situation), allocatable(node, survey.resource))
        for node in survey.open
    }


def is_elsewhere(survey: Survey, said: SchedulerMessage) -> bool:
    """Whether the nodes that offer enough are kept from the pod by something the scheduler names too."""
    if not survey.blocked or survey.open:
        return False
    return any(map(said.mentions, (TAINT, CORDON) if survey.narrowed else (TAINT, SELECTOR, CORDON)))


def fits_somewhere(survey: Survey, free: Mapping[str, tuple[float, float]]) -> bool:
    """Tell whether a node that would take the pod has that much free, by the pods that can be seen."""
    return any(offered - taken >= survey.wants for taken, offered in free.values())
