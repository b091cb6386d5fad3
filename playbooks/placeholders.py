"""The one table of placeholders: how each is filled from the focus, and what may be chosen where that gives nothing."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from playbooks.choices import (
    Choice,
    claim_choices,
    container_choices,
    member_choices,
    mig_choices,
    namespace_choices,
    node_choices,
    pod_choices,
    service_choices,
    workload_choices,
)
from playbooks.context import WORKLOADS, Context
from situation.etcd.cluster import etcd_of
from situation.etcd.standing import etcd_pods
from situation.gpu.offer import MIG_CONFIG
from situation.gpu.operand_pods import driver_pod
from situation.gpu.operator_namespace import operator_namespace
from situation.logs import log_target
from situation.selectors import claim_names, container_pairs, is_control_plane

Words = tuple[str, ...]


class Placeholder(NamedTuple):
    """How one is filled."""

    found: str
    """For the documentation: where it comes from."""
    find: Callable[[Context], Words | None]
    """None: it is missing. Several words only where `is_several`."""
    choices: Callable[[Context], tuple[Choice, ...]] | None = None
    """What may be chosen by hand; None: it can only be found."""
    is_several: bool = False
    """It stands for several words, or none, and must be a word of its own."""


def _one(text: str | None) -> Words | None:
    return (text,) if text else None


def _namespace(context: Context) -> Words | None:
    return _one(context.home)


def _pod(context: Context) -> Words | None:
    pod = context.pod()
    return _one(pod.name if pod is not None else None)


def _container(context: Context) -> Words | None:
    pod = context.pod()
    if pod is None:
        return None
    log = context.log
    if log is not None and log.container and (log.namespace, log.pod) == pod.key:
        return (log.container,)
    target = log_target(pod)
    first = pod.spec.containers[0].name if pod.spec.containers else None
    return _one(target.container if target is not None else first)


def _ended_container(context: Context) -> Words | None:
    pod = context.pod()
    if pod is None:
        return None
    ended = [status.name for _, status in container_pairs(pod) if status.last_state.terminated is not None]
    wanted = context.log.container if context.log is not None and context.log.pod == pod.name else ""
    return _one(wanted if wanted in ended else next(iter(ended), None))


def _port(context: Context) -> Words | None:
    pod = context.pod()
    ports = [port.container_port for item in pod.spec.containers for port in item.ports] if pod is not None else []
    return _one(str(ports[0]) if ports else None)


def _pod_ip(context: Context) -> Words | None:
    pod = context.pod()
    return _one(pod.status.pod_ip if pod is not None else None)


def _node(context: Context) -> Words | None:
    ref = context.first("Node")
    if ref is not None:
        return (ref.name,)
    pod = context.pod()
    return _one(pod.spec.node_name if pod is not None else None)


def _service(context: Context) -> Words | None:
    ref, pod = context.first("Service"), context.pod()
    if ref is not None:
        return (ref.name,)
    selecting = context.situation.services_selecting(pod) if pod is not None else ()
    return _one(min((service.name for service in selecting), default=None))


def _workload(context: Context) -> Words | None:
    pod, ref = context.pod(), context.first(*WORKLOADS)
    if ref is None and pod is not None:
        ref = context.situation.workload_of(pod)
    return (f"{ref.kind.lower()}/{ref.name}",) if ref is not None else None


def _claim(context: Context) -> Words | None:
    ref, pod = context.first("PersistentVolumeClaim"), context.pod()
    if ref is not None:
        return (ref.name,)
    if pod is None:
        return None
    names = claim_names(pod)
    known = context.situation.claims
    unbound = [name for name in names if (pod.namespace, name) in known
               and known[pod.namespace, name].status.phase != "Bound"]  # fmt: skip
    return _one(next(iter(unbound or names), None))


def _control_plane_node(context: Context) -> Words | None:
    ref = context.first("Node")
    nodes = sorted(node.name for node in context.situation.nodes.values() if is_control_plane(node))
    return _one(ref.name if ref is not None and ref.name in nodes else next(iter(nodes), None))


def _etcd_pod(context: Context) -> Words | None:
    pods = etcd_pods(context.situation)
    return _one(pods[0].name if pods else None)


def _member(context: Context) -> Words | None:
    ref = context.first("EtcdMember")
    named = next((member for member in context.etcd().members if ref is not None and member.name == ref.name), None)
    return _one(named.endpoint if named is not None else None)


def _member_name(context: Context) -> Words | None:
    ref = context.first("EtcdMember")
    return _one(ref.name if ref is not None else None)


def _peer_url(context: Context) -> Words | None:
    ref = context.first("EtcdMember")
    listed = context.situation.etcd_list
    named = next((member for member in listed if ref is not None and member.name == ref.name), None)
    return _one(named.peer_urls[0] if named is not None and named.peer_urls else None)


def _initial_cluster(context: Context) -> Words | None:
    listed = context.situation.etcd_list
    if not listed or not all(member.name and member.peer_urls for member in listed):
        return None
    return _one(",".join(f"{member.name}={member.peer_urls[0]}" for member in listed if not member.is_learner))


def _revision(context: Context) -> Words | None:
    told = [member.status.revision for member in etcd_of(context.situation, context.now).answering if member.status]
    return _one(str(max(told)) if told else None)


def _gpu_namespace(context: Context) -> Words | None:
    return _one(operator_namespace(context.situation))


def _driver_pod(context: Context) -> Words | None:
    node = _node(context)
    pod = driver_pod(node[0], context.situation) if node is not None else None
    return _one(pod.name if pod is not None else None)


def _mig_config(context: Context) -> Words | None:
    name = _node(context)
    node = context.situation.node(name[0]) if name is not None else None
    return _one(node.metadata.labels.get(MIG_CONFIG) if node is not None else None)


def _never(_: Context) -> Words | None:
    return None


def _nothing(_: Context) -> tuple[Choice, ...]:
    return ()


PLACEHOLDERS: Final[Mapping[str, Placeholder]] = {
    "namespace": Placeholder("of the first object meant that has one", _namespace, namespace_choices),
    "pod": Placeholder(
        "the pod selected or shown by the cause; else of the workload, Service or claim, one with trouble first",
        _pod,
        pod_choices,
    ),
    "container": Placeholder(
        "of the pod: the one whose log the cause points at, else the first not ready", _container, container_choices
    ),
    "ended-container": Placeholder(
        "of the pod: one that has ended before, so that `--previous` has something to show", _ended_container
    ),
    "port": Placeholder("the first port that the pod declares", _port),
    "pod-ip": Placeholder("the pod's address", _pod_ip),
    "node": Placeholder("the node selected or of the cause, else the pod's", _node, node_choices),
    "service": Placeholder("the Service of the cause, else one that selects the pod", _service, service_choices),
    "workload": Placeholder("`kind/name` of what controls the pod", _workload, workload_choices),
    "claim": Placeholder("the claim of the cause, else one of the pod's, unbound ones first", _claim, claim_choices),
    "control-plane-node": Placeholder("the node meant if it is one, else the first by name", _control_plane_node),
    "etcdctl": Placeholder(
        "`etcdctl` with the endpoints of all members and the certificate files, as Midwatch reaches them",
        lambda context: context.way().etcdctl(),
        is_several=True,
    ),
    "etcd-files": Placeholder(
        "`--cacert`, `--cert` and `--key` with their files; nothing where etcd speaks plain HTTP",
        lambda context: context.way().files,
        is_several=True,
    ),
    "etcd-endpoints": Placeholder(
        "client URLs of all members, with commas", lambda context: _one(",".join(context.way().endpoints))
    ),
    "etcd-member": Placeholder("client URL of the member selected", _member, member_choices),
    "etcd-name": Placeholder("name of the member selected", _member_name, member_choices),
    "etcd-peer-url": Placeholder("peer URL of that member, from the member list", _peer_url, member_choices),
    "etcd-initial-cluster": Placeholder(
        "`name=peer-url` of all voting members, from the member list", _initial_cluster
    ),
    "etcd-pod": Placeholder("etcd's first static pod", _etcd_pod),
    "etcd-revision": Placeholder("the newest revision that a member told", _revision),
    "etcd-place": Placeholder(
        "where etcdctl finds its files: `node X` or `here`", lambda context: _one(context.way().where)
    ),
    "gpu-operator-namespace": Placeholder("where the GPU Operator's pods run", _gpu_namespace),
    "driver-pod": Placeholder("the driver's pod on the node", _driver_pod),
    "mig-config": Placeholder("the MIG layout that the node's label asks for", _mig_config, mig_choices),
    "snapshot-file": Placeholder("typed by hand: the path of a snapshot", _never, _nothing),
}
