"""Figures of pods, nodes, claims, DNS, GPUs and the API server."""

from collections.abc import Callable, Iterable
from typing import Final

from playbooks.facts import Facts
from playbooks.figure import Bound, Figure, Found, Kind, Unsure, be, first_names, unread, unseen, within
from situation.clock import duration_text
from situation.cluster import Node
from situation.gpu.chain import is_gpu_node
from situation.gpu.offer import Offer, gpu_offer, gpu_resources
from situation.meta import Ref
from situation.pods import Pod
from situation.quantity import parse_quantity
from situation.readings import SourceState
from situation.selectors import is_finished, is_node_ready

DNS: Final = Ref("Service", "kube-system", "kube-dns")
_PRESSURES: Final = ("DiskPressure", "MemoryPressure", "PIDPressure")
_READYZ: Final = "kubernetes/readyz"
_DAY_S: Final = 86_400.0


def _named(items: Iterable[str]) -> str:
    names = first_names(items)
    return f" ({names})" if names else ""


def _unsettled(facts: Facts) -> Found | Unsure:
    source, total, bad = facts.situation.source("pods"), len(facts.situation.pods), facts.unsettled_pods
    if not source.has_value:
        return Unsure(source.error or "pods have not been read yet")
    if (state := source.state_at(facts.now)) is not SourceState.LIVE:
        age = source.age_s(facts.now)
        then = "" if age is None else f" {duration_text(age)} ago"
        return Unsure(f"{state.value}; {bad} of {total} pods were not plainly fine{then}")
    if not total:
        return Unsure("no pods: nothing runs here, or this is not the cluster you mean")
    fine = f"all {total} pods are fine" if total > 1 else "the one pod is fine"
    said = f"{bad} of {total} pods {be(bad)} not plainly fine" if bad else fine
    return Found(float(bad), f"{said}{within(facts)}")


def _pending(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "pods"):
        return unsure
    count = len(facts.situation.unscheduled_pods.get(True))
    said = f"{count} {'pod has' if count == 1 else 'pods have'} no node"
    if unsure := unseen(facts):
        return Found(float(count), f"{said} in what is seen: {unsure.why}", Bound.AT_LEAST)
    return Found(float(count), said)


def _nodes(word: str, counts: Callable[[Node], bool]) -> Callable[[Facts], Found | Unsure]:
    def find(facts: Facts) -> Found | Unsure:
        if unsure := unread(facts, "nodes"):
            return unsure
        nodes = facts.situation.nodes.values()
        if not nodes:
            return Unsure("no nodes are seen")
        found = [node.name for node in nodes if counts(node)]
        return Found(float(len(found)), f"{len(found)} of {len(nodes)} nodes {word}{_named(found)}")

    return find


def _under_pressure(node: Node) -> bool:
    return any(item.type in _PRESSURES and item.status == "True" for item in node.status.conditions)


def _claims(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "persistentvolumeclaims"):
        return unsure
    found = [claim.name for claim in facts.situation.claims.values() if claim.status.phase == "Pending"]
    return Found(float(len(found)), f"{len(found)} claims Pending{within(facts)}{_named(found)}")


def _dns(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "services", "endpointslices"):
        return unsure
    if not facts.situation.sees(DNS.namespace) and (unsure := unseen(facts)):
        return unsure
    if facts.situation.get(DNS) is None:
        return Unsure("there is no Service kube-dns in kube-system: DNS is set up otherwise here")
    slices = facts.situation.slices_by_service.get(DNS).values()
    ready = {
        address for item in slices for endpoint in item.endpoints if endpoint.is_ready for address in endpoint.addresses
    }
    if not ready and facts.situation.has_unread("endpointslices", DNS.namespace):
        return Unsure("an EndpointSlice of kube-system could not be decoded")
    return Found(float(len(ready)), f"{len(ready)} ready endpoints behind kube-dns")


def _gpu_nodes_without(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "nodes"):
        return unsure
    nodes = [node for node in facts.situation.nodes.values() if is_gpu_node(node)]
    found = [node.name for node in nodes if gpu_offer(node) in (Offer.NEVER, Offer.GONE, Offer.STOPPED)]
    if not nodes:
        return Unsure("no GPU node is seen: nothing is labelled as one")
    return Found(float(len(found)), f"{len(found)} of {len(nodes)} GPU nodes offer no GPU{_named(found)}")


def _gpu_unhealthy(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "nodes"):
        return unsure
    nodes = [node for node in facts.situation.nodes.values() if gpu_resources(node.status.capacity)]
    if not nodes:
        return Unsure("no node has GPUs in its capacity")
    missing = {node.name: int(_total(node.status.capacity) - _total(node.status.allocatable)) for node in nodes}
    bad = sum(missing.values())
    return Found(
        float(bad), f"{bad} GPUs in capacity and not allocatable{_named(name for name, n in missing.items() if n > 0)}"
    )


def _gpu_free(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "nodes", "pods"):
        return unsure
    free, total = facts.situation.once("gpu.free", lambda: _count_free(facts))
    if not total:
        return Unsure("no node offers GPUs")
    if unsure := unseen(facts):
        said = f"{free} of {total} GPUs offered are not allocated in what is seen: {unsure.why}"
        return Found(float(free), said, Bound.AT_MOST)
    return Found(float(free), f"{free} of {total} GPUs offered are not allocated")


def _count_free(facts: Facts) -> tuple[int, int]:
    """Allocatable never tells what is in use: what pods request is taken off, node by node."""
    free = total = 0
    for node in facts.situation.nodes.values():
        for resource, offered in gpu_resources(node.status.allocatable).items():
            pods = facts.situation.pods_by_node.get(node.name).values()
            taken = sum(_requested(pod, resource) for pod in pods if not is_finished(pod))
            total += int(offered)
            free += max(0, int(offered - taken))
    return free, total


def _requested(pod: Pod, resource: str) -> float:
    return sum(parse_quantity(item.resources.requests.get(resource, 0)) or 0.0 for item in pod.spec.containers)


def _total(quantities: dict[str, str | int | float]) -> float:
    return sum(gpu_resources(quantities).values())


def _api_ready(facts: Facts) -> Found | Unsure:
    readiness = facts.situation.readiness
    if unsure := unread(facts, _READYZ):
        return unsure
    if readiness is None:
        return Unsure("/readyz was not read yet")
    failed = f": {', '.join(readiness.failed_checks)} failed" if readiness.failed_checks else ""
    return Found(readiness.ready, f"/readyz says {'ready' if readiness.ready else 'not ready'}{failed}")


def _api_failed(facts: Facts) -> Found | Unsure:
    found = _api_ready(facts)
    if isinstance(found, Unsure) or facts.situation.readiness is None:
        return found
    return Found(frozenset(facts.situation.readiness.failed_checks), found.text)


def _days_left(facts: Facts) -> Found | Unsure:
    known = [item for item in facts.situation.certificates if item.not_after is not None]
    if not known:
        return Unsure("no certificate of the control plane was read from here")
    first = min(known, key=lambda item: item.not_after or facts.now)
    days = ((first.not_after or facts.now) - facts.now).total_seconds() / _DAY_S
    unreadable = len(facts.situation.certificates) - len(known)
    doubt = f", {unreadable} could not be read" if unreadable else ""
    return Found(
        days,
        f"{first.name} ends in {days:.0f} days ({first.place}){doubt}",
        Bound.AT_MOST if unreadable else Bound.EXACT,
    )


CLUSTER_FIGURES: Final = {
    "pods.unsettled": Figure(Kind.NUMBER, "pods that are not plainly fine", _unsettled),
    "pods.pending": Figure(Kind.NUMBER, "pods that have no node yet", _pending),
    "nodes.not_ready": Figure(
        Kind.NUMBER, "nodes that are not Ready", _nodes("are not Ready", lambda node: not is_node_ready(node))
    ),
    "nodes.cordoned": Figure(
        Kind.NUMBER, "nodes that are cordoned", _nodes("are cordoned", lambda node: node.spec.unschedulable)
    ),
    "nodes.pressure": Figure(
        Kind.NUMBER, "nodes with DiskPressure, MemoryPressure or PIDPressure", _nodes("under pressure", _under_pressure)
    ),
    "claims.pending": Figure(Kind.NUMBER, "PersistentVolumeClaims that are Pending", _claims),
    "dns.ready": Figure(Kind.NUMBER, "ready endpoints of the Service kube-dns", _dns),
    "gpu.nodes_without": Figure(Kind.NUMBER, "GPU nodes that offer no GPU to pods", _gpu_nodes_without),
    "gpu.unhealthy": Figure(Kind.NUMBER, "GPUs in capacity that are not allocatable", _gpu_unhealthy),
    "gpu.free": Figure(
        Kind.NUMBER, "GPUs that nodes offer (whole, shared or MIG devices) and no pod has requested", _gpu_free
    ),
    "api.ready": Figure(Kind.FLAG, "what `/readyz` of the API server says", _api_ready),
    "api.failed_checks": Figure(Kind.WORDS, "names of the checks of `/readyz` that failed", _api_failed),
    "certificates.days_left": Figure(
        Kind.NUMBER, "days until the first certificate of the control plane ends", _days_left
    ),
}
