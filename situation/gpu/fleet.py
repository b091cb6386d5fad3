"""The chains of all GPU nodes, kept up as the cluster changes: the cost follows what changed."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from situation.cluster import Event, Node
from situation.gpu.chain import is_gpu_node, node_chain
from situation.gpu.components import component_of
from situation.gpu.links import Component, LinkState, NodeChain
from situation.meta import KubernetesObject, find_condition
from situation.placing import target_node
from situation.pods import Pod
from situation.situation import Situation
from situation.store import Change, involved_ref
from situation.workloads import DaemonSet, Deployment

RECHECK: Final = timedelta(seconds=10)
"""A node whose chain is not at rest is judged again this often: a container outlives its last crash, a budget ends."""

_UNSETTLED: Final = frozenset({LinkState.FAILING, LinkState.ABSENT, LinkState.WAITING, LinkState.STARTING})
_KINDS: Final = ("nodes", "pods", "daemonsets", "deployments", "events")


class Fleet:
    """The chain of every GPU node. One Fleet belongs to one Situation; it is told of each change, as the engine is."""

    def __init__(self) -> None:
        self._chains: dict[str, NodeChain] = {}
        self._due: dict[str, datetime] = {}
        self._known: tuple[bool, ...] = ()
        """Which kinds have been read; a kind that comes or goes changes everything."""

    @property
    def chains(self) -> Mapping[str, NodeChain]:
        """Chains by node name."""
        return MappingProxyType(self._chains)

    def update(self, situation: Situation, changes: Iterable[Change], now: datetime) -> frozenset[str]:
        """Judge the nodes that `changes` concern or whose time has come; return those whose chain is another now."""
        known = tuple(situation.knows(name) for name in _KINDS)
        concerned = set[str]()
        everything = known != self._known
        self._known = known
        for change in changes:
            if not everything:
                everything = _concerns_all(change)
                concerned.update(_nodes_of(change, situation))
        if everything:
            concerned = set(self._chains) | {name for _, name in situation.nodes}
        else:
            concerned.update(name for name, due in self._due.items() if due <= now)
        return frozenset(name for name in concerned if self._judge(name, situation, now))

    def _judge(self, name: str, situation: Situation, now: datetime) -> bool:
        """Judge one node anew; tell whether its chain changed."""
        before = self._chains.pop(name, None)
        self._due.pop(name, None)
        node = situation.node(name)
        if node is None or not is_gpu_node(node):
            return before is not None
        chain = self._chains[name] = node_chain(node, situation, now)
        if any(link.state in _UNSETTLED for link in chain.links):
            dues = [link.until for link in chain.links if link.state is LinkState.STARTING and link.until is not None]
            self._due[name] = min((*dues, now + RECHECK))
        return chain != before


def _concerns_all(change: Change) -> bool:
    """Tell whether a change concerns the chain as a whole: its DaemonSets, the operator, NFD's master."""
    old, new = change.old, change.new
    match new if new is not None else old:
        case DaemonSet():
            return _is_part(change) and _daemon_facts(old) != _daemon_facts(new)
        case Deployment():
            return _is_part(change) and _deployment_facts(old) != _deployment_facts(new)
        case Pod() as pod:
            if component_of(pod) is Component.NFD:
                return pod.metadata.labels.get("role") == "master"
            return component_of(pod) is Component.OPERATOR
        case Event() as event:
            return event.reason == "FailedCreate" and event.involved_object.kind == "DaemonSet"
    return False


def _is_part(change: Change) -> bool:
    return any(item is not None and component_of(item) is not None for item in (change.old, change.new))


def _daemon_facts(item: KubernetesObject | None) -> object:
    """Return what of a DaemonSet the chains of nodes look at: not how many pods are ready."""
    if not isinstance(item, DaemonSet):
        return None
    status, spec = item.status, item.spec.template.spec
    return (
        item.metadata.labels,
        status.desired_number_scheduled == 0,
        status.current_number_scheduled < status.desired_number_scheduled,
        spec.node_selector,
        spec.affinity,
        spec.tolerations,
    )


def _deployment_facts(item: KubernetesObject | None) -> object:
    if not isinstance(item, Deployment):
        return None
    return (item.metadata.labels, item.spec.replicas, bool(item.status.ready_replicas))


def _nodes_of(change: Change, situation: Situation) -> Iterable[str]:
    for item in (change.old, change.new):
        match item:
            case Pod() if component_of(item) is not None:
                yield item.spec.node_name or target_node(item.spec)
            case Event() if item.involved_object.kind == "Pod" and item.type == "Warning":
                about = situation.get(involved_ref(item))
                if isinstance(about, Pod) and component_of(about) is not None:
                    yield about.spec.node_name
            case Node() if _node_facts(change.old) != _node_facts(change.new):
                yield item.name


def _node_facts(item: KubernetesObject | None) -> object:
    """Return what of a node its chain looks at: not its heartbeats."""
    if not isinstance(item, Node):
        return None
    ready = find_condition(item.status.conditions, "Ready")
    return (
        item.metadata.labels,
        item.spec.taints,
        item.status.capacity,
        item.status.allocatable,
        ready and (ready.status, ready.last_transition_time),
    )
