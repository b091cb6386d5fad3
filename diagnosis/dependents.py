"""Which subjects a change may concern: what rules look at beyond the object itself, told backwards."""

from collections.abc import Iterator
from datetime import datetime

from situation.cluster import Event, Node
from situation.meta import KubernetesObject, Ref
from situation.network import EndpointSlice, Service
from situation.pods import Pod
from situation.selectors import is_settled
from situation.situation import Situation
from situation.storage import PersistentVolumeClaim
from situation.store import Change, involved_ref
from situation.workloads import Job, ReplicaSet


def dependents(situation: Situation, change: Change, now: datetime) -> Iterator[Ref]:
    """Yield the references of all objects to be judged again after `change`, the changed one included."""
    yield change.ref
    for item in (change.old, change.new):
        if item is None:
            continue
        match item:
            case Pod():
                yield from _of_pod(situation, item)
            case Event():
                yield involved_ref(item)
            case Node():
                yield from _of_node(situation, item, change, now)
            case ReplicaSet() | Job():
                yield situation.workload_of(item, change.ref.kind)
                yield from _pods(situation.pods_of(change.ref))
            case Service():
                yield from _pods(situation.pods_matching(item.namespace, item.spec.selector))
                yield from _webhooks(situation)
                yield from _callers(situation, item.namespace)
            case EndpointSlice():
                if (service := item.service) is not None:
                    yield service
                yield from _webhooks(situation)
            case PersistentVolumeClaim():
                yield from _pods(situation.pods_by_claim.get(item.key).values())
            case _:
                yield from _of_other(situation, item, change.ref.kind)


def _pods(pods: object) -> Iterator[Ref]:
    for pod in pods:  # type: ignore[attr-defined]
        yield Ref("Pod", pod.namespace, pod.name)


def _of_pod(situation: Situation, pod: Pod) -> Iterator[Ref]:
    owner = situation.workload_of(pod)
    yield owner
    if (controller := pod.metadata.controller) is not None:
        yield Ref(controller.kind, pod.namespace, controller.name)
    for service in situation.services_selecting(pod):
        yield Ref("Service", service.namespace, service.name)
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield Ref("PersistentVolumeClaim", pod.namespace, volume.persistent_volume_claim.claim_name)
    if pod.spec.node_name:
        yield Ref("Node", "", pod.spec.node_name)


def _of_node(situation: Situation, node: Node, change: Change, now: datetime) -> Iterator[Ref]:
    if isinstance(change.old, Node) and isinstance(change.new, Node) and _same_offer(change.old, change.new):
        return
    yield from _pods(situation.unscheduled_pods.get(True).values())
    yield from _pods(pod for pod in situation.pods_by_node.get(node.name).values() if not is_settled(pod, now))


def _same_offer(old: Node, new: Node) -> bool:
    """A heartbeat changes no more than time stamps; pods care only for what the node offers and whether it is well."""
    return (
        old.spec == new.spec
        and old.metadata.labels == new.metadata.labels
        and old.status.allocatable == new.status.allocatable
        and [(c.type, c.status, c.reason) for c in old.status.conditions]
        == [(c.type, c.status, c.reason) for c in new.status.conditions]
    )


def _callers(situation: Situation, namespace: str) -> Iterator[Ref]:
    """What refers to Services of its namespace by name: workloads in their environment, Ingresses in their backends."""
    for kind, name in (("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("Ingress", "ingresses")):
        for key in situation.table(name):
            if key[0] == namespace:
                yield Ref(kind, *key)


def _webhooks(situation: Situation) -> Iterator[Ref]:
    for kind, name in (
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ):
        for key in situation.table(name):
            yield Ref(kind, *key)


def _of_other(situation: Situation, item: KubernetesObject, kind: str) -> Iterator[Ref]:
    match kind:
        case "StorageClass" | "PersistentVolume":
            for key, claim in situation.claims.items():
                if claim.status.phase != "Bound":
                    yield Ref("PersistentVolumeClaim", *key)
        case "ResourceQuota" | "LimitRange":
            for key, replicaset in situation.replicasets.items():
                if key[0] == item.namespace and replicaset.status.replicas < replicaset.spec.replicas:
                    yield Ref("ReplicaSet", *key)
        case "PriorityClass" | "RuntimeClass":
            yield from _pods(situation.unscheduled_pods.get(True).values())
        case "NetworkPolicy":
            for policy in situation.policies_by_namespace.get(item.namespace).values():
                yield Ref("NetworkPolicy", policy.namespace, policy.name)
        case "Deployment" | "StatefulSet" | "DaemonSet":
            for service in situation.services_by_namespace.get(item.namespace).values():
                yield Ref("Service", service.namespace, service.name)
