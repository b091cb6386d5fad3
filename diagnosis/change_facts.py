"""What of a change matters to others than the object itself: whether anything does, or something in particular."""

from datetime import datetime

from situation.cluster import Lease, Namespace, Node, ResourceQuota
from situation.meta import KubernetesObject
from situation.network import Service
from situation.pods import Pod
from situation.renewals import LEASES
from situation.selectors import is_finished, is_node_ready
from situation.situation import Situation
from situation.store import Change


def turned(change: Change) -> set[str]:
    """Return the name of a node that became Ready, or ceased to be, with this change."""
    before, after = (isinstance(item, Node) and is_node_ready(item) for item in (change.old, change.new))
    return {change.ref.name} if change.ref.kind == "Node" and before != after else set()


def other_quota(change: Change) -> set[str]:
    """Return the namespace in which a quota came, went or got another limit: pods may be refused no more."""
    old, new = (item.status.hard if isinstance(item, ResourceQuota) else None for item in (change.old, change.new))
    return {change.ref.namespace} if old != new else set()


def uses_otherwise(change: Change) -> bool:
    """Tell whether a pod came, went, moved, ended or leaves: others may get the claims that it uses, or learn of it."""
    before, after = (_use(item) for item in (change.old, change.new))
    return before != after


def _use(item: KubernetesObject | None) -> tuple[str, bool, bool] | None:
    if not isinstance(item, Pod):
        return None
    return item.spec.node_name, is_finished(item), item.metadata.deletion_timestamp is not None


def begins_to_schedule(change: Change, situation: Situation) -> bool:
    """Tell whether a scheduler was elected, or leases are renewed again: it has yet to get to the pods that wait."""
    old, new = change.old, change.new
    if not isinstance(new, Lease):
        return False
    resumed = situation.renewals.resumed_at
    if resumed is not None and situation.renewals.at[LEASES].get(new.key) == resumed:
        return True
    return new.name == "kube-scheduler" and isinstance(old, Lease) and old.spec.acquire_time != new.spec.acquire_time


def same_to_others(old: KubernetesObject | None, new: KubernetesObject | None) -> bool:
    """Tell whether a change concerns nobody but the object itself: a heartbeat, an annotation."""
    match old, new:
        case Pod(), Pod():
            return (
                old.status == new.status
                and old.spec == new.spec
                and old.metadata.labels == new.metadata.labels
                and old.metadata.owner_references == new.metadata.owner_references
                and old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
            )
        case Node(), Node():
            return _same_offer(old, new)
        case Service(), Service():
            return old.spec == new.spec and old.metadata.labels == new.metadata.labels
        case Namespace(), Namespace():
            return old.metadata.labels == new.metadata.labels
    return False


def _same_offer(old: Node, new: Node) -> bool:
    """A heartbeat changes only its own time stamps; pods care for what the node offers and whether it is well."""
    return (
        old.spec == new.spec
        and old.metadata.labels == new.metadata.labels
        and old.status.allocatable == new.status.allocatable
        and old.status.capacity == new.status.capacity
        and _conditions(old) == _conditions(new)
    )


def _conditions(node: Node) -> list[tuple[str, str, str, datetime | None]]:
    """Return what a heartbeat leaves alone; a node that was away unseen is told by its transition."""
    return [(item.type, item.status, item.reason, item.last_transition_time) for item in node.status.conditions]
