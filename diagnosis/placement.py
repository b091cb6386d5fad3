"""Which node would take a pod: taints, labels and resources, as the scheduler sees them.

Follows the filters NodeUnschedulable, TaintToleration, NodeAffinity and NodeResourcesFit of kube-scheduler.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from situation import placing
from situation.affinity import NodeSelectorTerm
from situation.cluster import Node, Taint
from situation.pods import Container, Pod
from situation.quantity import human_bytes, parse_quantity
from situation.selectors import is_finished, is_sidecar
from situation.situation import Situation

CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
OLD_CORDON: Final = timedelta(hours=24)
"""A cordon that outlives a day was probably forgotten, or is meant to stay; a younger one is work in progress. Ours."""
_CONDITION_PREFIXES: Final = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_REPELLING: Final = ("NoSchedule", "NoExecute")
_BYTES: Final = ("memory", "ephemeral-storage", "storage", "hugepages-")


def untolerated(pod: Pod, node: Node) -> tuple[Taint, ...]:
    """Return the taints of a node that keep the pod away, a cordon's own taint left out."""
    return tuple(
        taint
        for taint in node.spec.taints
        if taint.effect in _REPELLING
        and taint.key != CORDON_TAINT
        and not any(placing.tolerates(toleration, taint) for toleration in pod.spec.tolerations)
    )


def is_condition(taint: Taint) -> bool:
    """Tell whether Kubernetes set the taint because of the node's state (not ready, unreachable, disk pressure ...)."""
    return taint.key.startswith(_CONDITION_PREFIXES) and taint.key != CORDON_TAINT


def is_cordoned(node: Node) -> bool:
    return node.spec.unschedulable or any(taint.key == CORDON_TAINT for taint in node.spec.taints)


def cordoned_since(node: Node) -> datetime | None:
    """Return when a node was cordoned: the node controller notes it on the cordon's taint."""
    return next((taint.time_added for taint in node.spec.taints if taint.key == CORDON_TAINT), None)


def selects(pod: Pod, node: Node) -> bool:
    """Tell whether a node has the labels (and name) that the pod's node selector and required affinity ask for."""
    return placing.selects(pod.spec, node)


def affinity_terms(pod: Pod) -> tuple[NodeSelectorTerm, ...]:
    """Return the terms of the required node affinity; a node must meet one of them."""
    return placing.affinity_terms(pod.spec)


def admits(pod: Pod, node: Node) -> bool:
    """Tell whether a node would take the pod as far as cordon, taints and labels go."""
    return not is_cordoned(node) and selects(pod, node) and not untolerated(pod, node)


def down_nodes(pod: Pod, situation: Situation) -> Iterator[Node]:
    """Yield the nodes the pod asks for that only their own state (a condition's taint) keeps it from.

    A node without the GPUs or other extended resources that the pod wants would not take it in any state.
    """
    needs = {name: wanted(pod, name) for name in _extended(pod)}
    for node in situation.nodes.values():
        if any(map(is_condition, node.spec.taints)) and not is_cordoned(node) and selects(pod, node):
            taints = untolerated(pod, node)
            enough = all(capacity(node, name) >= amount for name, amount in needs.items())
            if taints and enough and all(map(is_condition, taints)):
                yield node


def _extended(pod: Pod) -> set[str]:
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    resources = (container.resources for container in containers)
    return {name for item in resources for name in (*item.requests, *item.limits) if "/" in name}


def wanted(pod: Pod, resource: str) -> float:
    """Return how much of a resource the pod requests; limits stand in for requests that are not given.

    As in component-helpers (PodRequests): what the pod requests as a whole, else what its containers do, and in both
    cases the overhead of its runtime class.
    """
    whole = pod.spec.resources.requests.get(resource)
    amount = _of_containers(pod, resource) if whole is None else parse_quantity(whole) or 0.0
    return amount + overhead(pod, resource)


def overhead(pod: Pod, resource: str) -> float:
    """Return how much of a resource the pod's runtime class needs beside its containers."""
    raw = pod.spec.overhead.get(resource)
    return (parse_quantity(raw) or 0.0) if raw is not None else 0.0


def _of_containers(pod: Pod, resource: str) -> float:
    """Add up containers and sidecars, or the largest init container with the sidecars started before it if more."""
    running = sum(_of_container(container, resource) for container in pod.spec.containers)
    sidecars = peak = 0.0
    for container in pod.spec.init_containers:
        amount = _of_container(container, resource)
        if is_sidecar(container):
            sidecars += amount
        else:
            peak = max(peak, sidecars + amount)
    return max(running + sidecars, peak)


def _of_container(container: Container, resource: str) -> float:
    resources = container.resources
    raw = resources.requests.get(resource, resources.limits.get(resource))
    return (parse_quantity(raw) or 0.0) if raw is not None else 0.0


def used(node: str, resource: str, situation: Situation) -> float:
    """Return the sum of the requests of all unfinished pods bound to a node. Kubernetes keeps no such number itself."""
    return sum(wanted(pod, resource) for pod in situation.pods_by_node.get(node).values() if not is_finished(pod))


def allocatable(node: Node, resource: str) -> float:
    """Return what a node offers of a resource, 0 if it has none."""
    raw = node.status.allocatable.get(resource)
    return (parse_quantity(raw) or 0.0) if raw is not None else 0.0


def capacity(node: Node, resource: str) -> float:
    """Return what a node has of a resource, offered or not."""
    raw = node.status.capacity.get(resource)
    return (parse_quantity(raw) or 0.0) if raw is not None else 0.0


def amount_text(resource: str, amount: float) -> str:
    """Return an amount as people say it: `12 cpu`, `64.0 GiB memory`, `4 nvidia.com/gpu`."""
    return f"{number_text(resource, amount)} {resource}"


def number_text(resource: str, amount: float) -> str:
    """Return an amount without the resource's name, bytes in binary units."""
    return human_bytes(amount) if resource.startswith(_BYTES) else f"{amount:.10g}"
