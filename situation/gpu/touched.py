"""Whose chain a change may tell on: one node's, every node's, or none."""

from collections.abc import Iterator

from situation.cluster import Event, Node
from situation.gpu.components import component_of
from situation.gpu.links import Component
from situation.meta import KubernetesObject, find_condition
from situation.placing import target_node
from situation.pods import Pod
from situation.situation import Situation
from situation.store import Change, involved_ref
from situation.workloads import DaemonSet, Deployment


def concerns_all(change: Change, situation: Situation) -> bool:
    """Tell whether a change concerns the chain as a whole: its DaemonSets, the operator, NFD's master."""
    old, new = change.old, change.new
    match new if new is not None else old:
        case DaemonSet():
            return _is_part(change) and _daemon_facts(old) != _daemon_facts(new)
        case Deployment():
            return _is_part(change) and _deployment_facts(old) != _deployment_facts(new)
        case Pod() as pod:
            component = component_of(pod)
            is_master = component is Component.NFD and pod.metadata.labels.get("role") == "master"
            return is_master or component is Component.OPERATOR
        case Event() as event:
            if event.reason != "FailedCreate" or event.involved_object.kind != "DaemonSet":
                return False
            about = situation.get(involved_ref(event))
            return about is not None and component_of(about) is not None
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
        component_of(item),
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


def nodes_of(change: Change, situation: Situation) -> Iterator[str]:
    """Yield the nodes on whose chain a change may tell: of an operand's pod, an event about it, or the node itself."""
    for item in _sides(change):
        match item:
            case Pod() if component_of(item) is not None:
                yield item.spec.node_name or target_node(item.spec)
            case Event() if item.involved_object.kind == "Pod" and item.type == "Warning":
                about = situation.get(involved_ref(item))
                if isinstance(about, Pod) and component_of(about) is not None:
                    yield about.spec.node_name
            case Node() if _node_facts(change.old) != _node_facts(change.new):
                yield item.name


def _sides(change: Change) -> tuple[KubernetesObject | None, ...]:
    """Return the object before and after, of a pod that stayed where it was and what it was only the latter."""
    old, new = change.old, change.new
    if isinstance(old, Pod) and isinstance(new, Pod) and old.metadata.labels == new.metadata.labels:
        if old.spec.node_name and old.spec.node_name == new.spec.node_name:
            return (new,)
    return (old, new)


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
