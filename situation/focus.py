"""One focus for all panes: what the engineer looks at, and what of the cluster relates to it."""

from collections.abc import Iterable, Iterator

import msgspec

from situation.etcd.cluster import ETCD
from situation.etcd.places import member_nodes, member_pods
from situation.etcd.standing import etcd_pods
from situation.findings import Diagnosis, Finding, Layer
from situation.gpu.links import Component, Link
from situation.meta import ObjectKey, Ref
from situation.network import Service
from situation.pods import Pod
from situation.serving.pods import server_refs, specs_of
from situation.serving.view import MODEL_SERVER, pod_of_server, server_ref
from situation.situation import Situation
from situation.workloads import WORKLOAD_KINDS


class Focus(msgspec.Struct, frozen=True):
    """At most one of layer, cause and ref is set; none of them is the whole cluster."""

    layer: Layer | None = None
    cause: str = ""
    """`Finding.key`."""
    ref: Ref | None = None
    component: Component | None = None
    """A link of the GPU chain of the node that `ref` names."""

    @property
    def is_cluster(self) -> bool:
        return self == EVERYTHING


EVERYTHING = Focus()


class Relation(msgspec.Struct, frozen=True):
    """What relates to a focus. None means "all"; an empty set means nothing does."""

    pods: frozenset[ObjectKey] | None = None
    nodes: frozenset[str] | None = None
    objects: frozenset[Ref] | None = None
    """Whose events belong to it."""
    causes: frozenset[str] | None = None
    """Keys of the causes, consequences' keys not among them."""
    namespaces: frozenset[str] | None = None
    """Their events all belong, whatever they are about."""
    servers: frozenset[Ref] | None = None
    """Model servers: those whose pods relate, and those named themselves (at a URL)."""
    unmatched: tuple[Service, ...] = ()
    """Services whose selector no pod matches."""


def related(focus: Focus, situation: Situation, diagnosis: Diagnosis, link: Link | None = None) -> Relation:
    """Return what relates to `focus` now; `link` is the one that it is on, None where that is not known (any more)."""
    if focus.is_cluster:
        return Relation()
    if focus.component is not None and focus.ref is not None and link is not None:
        return _related_to_link(link, focus.ref, situation, diagnosis)
    if focus.ref is not None:
        refs = {focus.ref}
        pods = _pods(refs, situation)
        about = refs | {ETCD} if focus.ref.kind == "EtcdMember" else refs  # what ails etcd concerns each member
        causes = [cause for cause in diagnosis.causes if _touches(cause, about, pods, situation)]
        return _relation(refs, pods, causes, situation)
    if focus.layer is not None:
        causes = [cause for cause in diagnosis.causes if cause.layer is focus.layer]
    else:
        causes = [cause for cause in diagnosis.causes if focus.cause in _keys(cause)]
    refs = {ref for cause in causes for ref in refs_of(cause)}
    return _relation(refs, _pods(refs, situation), causes, situation)


def _related_to_link(link: Link, node: Ref, situation: Situation, diagnosis: Diagnosis) -> Relation:
    """What relates to one component on one node: its pods there (anywhere, if it is not a DaemonSet's), owner, node.

    What has no pods of its own, as the capacity, relates to all on the node.
    """
    refs = {ref for ref in (link.pod, link.owner) if ref is not None}
    pods = _pods(refs or {node}, situation)
    if link.owner is not None and link.owner.kind == "DaemonSet":
        pods = {key: pod for key, pod in pods.items() if pod.spec.node_name == node.name}
    wanted = refs | {Ref("Pod", *key) for key in pods} if refs else {node}
    causes = [
        cause
        for cause in diagnosis.causes
        if any(ref in wanted and _is_of_node(finding, ref, node) for finding in _all(cause) for ref in _of(finding))
    ]
    return _relation({*refs, node}, pods, causes, situation)


def _is_of_node(finding: Finding, ref: Ref, node: Ref) -> bool:
    """A finding about a DaemonSet may be about another node only."""
    return ref.kind != "DaemonSet" or not finding.node or finding.node == node.name


def refs_of(cause: Finding) -> Iterator[Ref]:
    """Yield subject and members of a cause and of all its consequences."""
    for finding in _all(cause):
        yield from _of(finding)


def _all(cause: Finding) -> Iterator[Finding]:
    yield cause
    yield from cause.consequences


def _of(finding: Finding) -> Iterator[Ref]:
    yield finding.subject
    yield from finding.members


def _keys(cause: Finding) -> Iterator[str]:
    return (finding.key for finding in _all(cause))


def _touches(cause: Finding, refs: set[Ref], pods: dict[ObjectKey, Pod], situation: Situation) -> bool:
    wanted = refs | {Ref("Pod", *key) for key in pods} | {situation.workload_of(pod) for pod in pods.values()}
    wanted |= {ref for pod in pods.values() for ref in _servers_of(pod, situation)}
    return any(ref in wanted for ref in refs_of(cause))


def _relation(refs: set[Ref], pods: dict[ObjectKey, Pod], causes: list[Finding], situation: Situation) -> Relation:
    nodes = {ref.name for ref in refs if ref.kind == "Node"}
    nodes |= {pod.spec.node_name for pod in pods.values() if pod.spec.node_name}
    nodes |= {node for ref in refs if ref.kind == "EtcdMember" for node in member_nodes(ref.name, situation)}
    objects = set(refs) | {Ref("Pod", *key) for key in pods}
    for pod in pods.values():
        if (owner := pod.metadata.controller) is not None:
            objects.add(Ref(owner.kind, pod.namespace, owner.name))
        objects.add(situation.workload_of(pod))
    servers = {ref for ref in refs if ref.kind == MODEL_SERVER}
    for ref in servers:
        if (at := pod_of_server(ref)) is not None and (at.namespace, at.name) in pods:
            selecting = situation.services_selecting(pods[at.namespace, at.name])
            objects |= {_of_service(service) for service in selecting}
    serving = situation.model_server_pods.get(True)
    for key, pod in pods.items():
        if key in serving or key in situation.serving.by_pod:
            servers.update(_servers_of(pod, situation))
    return Relation(
        pods=frozenset(pods),
        nodes=frozenset(nodes),
        objects=frozenset(objects | {Ref("Node", "", ref.name) for ref in refs if ref.kind == "Node"}),
        causes=frozenset(cause.key for cause in causes),
        namespaces=frozenset(ref.name for ref in refs if ref.kind == "Namespace"),
        servers=frozenset(servers),
        unmatched=tuple(_unmatched(refs, situation)),
    )


def _unmatched(refs: Iterable[Ref], situation: Situation) -> Iterator[Service]:
    for ref in sorted(ref for ref in refs if ref.kind == "Service"):
        service = situation.get(ref)
        if isinstance(service, Service) and service.spec.selector and not _pods_of(ref, situation):
            yield service


def _servers_of(pod: Pod, situation: Situation) -> tuple[Ref, ...]:
    if pod.key not in situation.model_server_pods.get(True):
        return (server_ref(pod.key, ""),)
    return server_refs(pod, specs_of(pod, situation.serving.specs))


def _of_service(service: Service) -> Ref:
    return Ref("Service", service.namespace, service.name)


def _pods(refs: Iterable[Ref], situation: Situation) -> dict[ObjectKey, Pod]:
    found: dict[ObjectKey, Pod] = {}
    for ref in refs:
        found.update((pod.key, pod) for pod in _pods_of(ref, situation))
    return found


def _pods_of(ref: Ref, situation: Situation) -> Iterable[Pod]:
    match ref.kind:
        case "Node":
            return situation.pods_by_node.get(ref.name).values()
        case "Namespace":
            return situation.pods_by_namespace.get(ref.name).values()
        case "PersistentVolumeClaim":
            return situation.pods_by_claim.get((ref.namespace, ref.name)).values()
        case "EtcdMember":
            return member_pods(ref.name, situation)
        case "Service":
            service = situation.get(ref)
            return situation.pods_matching(ref.namespace, service.spec.selector) if isinstance(service, Service) else ()
        case "Etcd":
            return etcd_pods(situation)
        case kind if kind == MODEL_SERVER:
            at = pod_of_server(ref)
            pod = situation.pods.get((at.namespace, at.name)) if at is not None else None
            return (pod,) if pod is not None else ()
        case kind if kind in WORKLOAD_KINDS or kind == "Pod":
            return situation.pods_of(ref)
    return ()
