"""What rules about how model servers are set up and reached look at besides the object itself, told backwards."""

from collections.abc import Iterator, Set
from typing import Final

from situation.cluster import Namespace
from situation.meta import ObjectKey, Ref
from situation.situation import Situation
from situation.storage import PersistentVolumeClaim
from situation.store import Change
from situation.workloads import PodDisruptionBudget

_BEHIND_SERVICES: Final = (("VirtualService", "virtualservices"), ("DestinationRule", "destinationrules"))


def setup_namespace(change: Change) -> str:
    """Return the namespace in which a change may concern the review of a workload, empty if it concerns none.

    A budget of it, a claim of it, or what the namespace itself says of sidecars.
    """
    item = change.new or change.old
    if isinstance(item, Namespace):
        return item.name
    return item.namespace if isinstance(item, PodDisruptionBudget | PersistentVolumeClaim) else ""


def reviewed(situation: Situation, namespaces: Set[str]) -> Iterator[Ref]:
    """Yield the workloads of these namespaces, whose set-up may be reviewed (`vllm-review`)."""
    if not namespaces:
        return
    tables: tuple[tuple[str, Set[ObjectKey]], ...] = (
        ("Deployment", situation.deployments.keys()),
        ("StatefulSet", situation.statefulsets.keys()),
    )
    for kind, keys in tables:
        yield from (Ref(kind, *key) for key in keys if key[0] in namespaces)


def reached(situation: Situation, services_changed: bool, pod_namespaces: Set[str]) -> Iterator[Ref]:
    """Yield Istio's objects when a Service or its pods changed, and InferenceServices beside pods that did.

    There are few of them, and none in most clusters.
    """
    if services_changed:
        for kind, name in _BEHIND_SERVICES:
            yield from (Ref(kind, *key) for key in situation.table(name))
    for key in situation.table("inferenceservices"):
        if key[0] in pod_namespaces:
            yield Ref("InferenceService", *key)
