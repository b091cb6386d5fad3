"""The cluster's objects by kind, with their indexes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from situation.cluster import Event, Lease, Namespace, Node, ResourceQuota
from situation.gpu.operator import ResourceSlice
from situation.gpu.requests import asks_for_gpus
from situation.indexes import Index, controller_ref
from situation.kinds import BY_NAME, KINDS, NAMES_OF
from situation.meta import KubernetesObject, ObjectKey, Ref
from situation.network import EndpointSlice, NetworkPolicy, Service
from situation.placing import target_node
from situation.pods import Pod
from situation.selectors import claim_names
from situation.serving.pods import serves_models
from situation.storage import PersistentVolumeClaim, StorageClass
from situation.workloads import DaemonSet, Deployment, Job, ReplicaSet, StatefulSet

EVENT_LIMIT: Final = 10_000
"""Events kept; those told of first go first; the API server keeps them for an hour (fault_signatures 0.1)."""


class Change(NamedTuple):
    """One object before and after; None where it did not exist."""

    ref: Ref
    old: KubernetesObject | None
    new: KubernetesObject | None


def involved_ref(event: Event) -> Ref:
    """Reference of the object an event is about; nodes are cluster-scoped whatever the event says."""
    about = event.involved_object
    namespace = "" if about.kind in ("Node", "Namespace", "PersistentVolume") else about.namespace
    return Ref(about.kind, namespace, about.name)


def _owner_key(item: KubernetesObject) -> tuple[Ref, ...]:
    owner = controller_ref(item)
    return (owner,) if owner else ()


def _selector_key(service: Service) -> tuple[tuple[str, str, str], ...]:
    """One label of the selector is enough to find the Services that may select a pod."""
    selector = service.spec.selector
    return ((service.namespace, *min(selector.items())),) if selector else ()


class Store:
    """Tables of frozen objects: what was returned stays as it was, whatever changes later."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[ObjectKey, KubernetesObject]] = {kind.name: {} for kind in KINDS}
        self._revisions = dict.fromkeys(self._tables, 0)
        """How many changes of each kind there have been."""
        self.pods_by_node: Index[str, Pod] = Index(lambda pod: (pod.spec.node_name,) if pod.spec.node_name else ())
        self.gpu_pods_by_node: Index[str, Pod] = Index(
            lambda pod: (pod.spec.node_name,) if pod.spec.node_name and asks_for_gpus(pod) else ()
        )
        """GPUs of any vendor: who asks for one vendor's looks at the amounts of that resource."""
        self.pods_by_owner: Index[Ref, Pod] = Index(_owner_key)
        self.pods_by_namespace: Index[str, Pod] = Index(lambda pod: (pod.namespace,))
        self.pods_by_label: Index[tuple[str, str, str], Pod] = Index(
            lambda pod: [(pod.namespace, key, value) for key, value in pod.metadata.labels.items()]
        )
        self.pods_by_claim: Index[tuple[str, str], Pod] = Index(
            lambda pod: [(pod.namespace, name) for name in claim_names(pod)]
        )
        self.unscheduled_pods: Index[bool, Pod] = Index(
            lambda pod: (True,) if not pod.spec.node_name and pod.status.phase == "Pending" else ()
        )
        self.unscheduled_by_target: Index[str, Pod] = Index(
            lambda pod: (target,) if not pod.spec.node_name and (target := target_node(pod.spec)) else ()
        )
        """Pods of DaemonSets that are not bound yet, by the node that they are made for."""
        self.model_server_pods: Index[bool, Pod] = Index(lambda pod: (True,) if serves_models(pod) else ())
        self.replicasets_by_owner: Index[Ref, ReplicaSet] = Index(_owner_key)
        self.events_by_object: Index[Ref, Event] = Index(lambda event: (involved_ref(event),))
        self.slices_by_service: Index[Ref, EndpointSlice] = Index(
            lambda item: (service,) if (service := item.service) else ()
        )
        self.services_by_namespace: Index[str, Service] = Index(lambda item: (item.namespace,))
        self.services_by_selector: Index[tuple[str, str, str], Service] = Index(_selector_key)
        self.policies_by_namespace: Index[str, NetworkPolicy] = Index(lambda item: (item.namespace,))
        self.quotas_by_namespace: Index[str, ResourceQuota] = Index(lambda item: (item.namespace,))
        self.devices_by_node: Index[str, ResourceSlice] = Index(
            lambda item: (item.spec.node_name,) if item.spec.node_name else ()
        )
        self._indexes: dict[str, tuple[Index[Any, Any], ...]] = {
            "pods": (
                self.pods_by_node,
                self.gpu_pods_by_node,
                self.pods_by_owner,
                self.pods_by_namespace,
                self.pods_by_label,
                self.pods_by_claim,
                self.unscheduled_pods,
                self.unscheduled_by_target,
                self.model_server_pods,
            ),
            "replicasets": (self.replicasets_by_owner,),
            "events": (self.events_by_object,),
            "endpointslices": (self.slices_by_service,),
            "services": (self.services_by_namespace, self.services_by_selector),
            "networkpolicies": (self.policies_by_namespace,),
            "resourcequotas": (self.quotas_by_namespace,),
            "resourceslices": (self.devices_by_node,),
        }

    def _put(self, name: str, key: ObjectKey, new: KubernetesObject | None) -> Change:
        table = self._tables[name]
        self._revisions[name] += 1
        old = table.get(key)
        if new is None or name == "events":
            table.pop(key, None)  # so that the last in the table is the one that was told of last
        if new is not None:
            table[key] = new
        for index in self._indexes.get(name, ()):
            index.replace(key, old, new)
        if name == "events" and len(table) > EVENT_LIMIT:
            self._put(name, next(iter(table)), None)
        return Change(Ref(BY_NAME[name].kind, *key), old, new)

    def _fill(self, name: str, objects: Sequence[KubernetesObject]) -> list[Change]:
        """Take in the first objects of a kind of which none is held. Of two with one name the later one counts."""
        kind, table = BY_NAME[name].kind, self._tables[name]
        table.update((item.key, item) for item in objects)
        self._revisions[name] += len(table)
        for index in self._indexes.get(name, ()):
            index.fill(table)
        return [Change(Ref(kind, *key), None, item) for key, item in table.items()]

    def revision(self, *names: str) -> tuple[int, ...]:
        """Return what is another after any change of an object of these kinds."""
        return tuple(self._revisions[name] for name in names)

    def arrivals(self) -> list[Change]:
        """Return all objects as if each had come just now."""
        return [
            Change(Ref(kind.kind, *key), None, item) for kind in KINDS for key, item in self._tables[kind.name].items()
        ]

    def table(self, name: str) -> Mapping[ObjectKey, KubernetesObject]:
        """All objects of a kind by (namespace, name)."""
        return self._tables[name]

    def get(self, ref: Ref) -> KubernetesObject | None:
        """Return the object that `ref` names, if known."""
        for name in NAMES_OF.get(ref.kind, ()):
            if (found := self._tables[name].get((ref.namespace, ref.name))) is not None:
                return found
        return None

    @property
    def pods(self) -> Mapping[ObjectKey, Pod]:
        return cast(Mapping[ObjectKey, Pod], self._tables["pods"])

    @property
    def nodes(self) -> Mapping[ObjectKey, Node]:
        return cast(Mapping[ObjectKey, Node], self._tables["nodes"])

    @property
    def events(self) -> Mapping[ObjectKey, Event]:
        return cast(Mapping[ObjectKey, Event], self._tables["events"])

    @property
    def namespaces(self) -> Mapping[ObjectKey, Namespace]:
        return cast(Mapping[ObjectKey, Namespace], self._tables["namespaces"])

    @property
    def services(self) -> Mapping[ObjectKey, Service]:
        return cast(Mapping[ObjectKey, Service], self._tables["services"])

    @property
    def claims(self) -> Mapping[ObjectKey, PersistentVolumeClaim]:
        return cast(Mapping[ObjectKey, PersistentVolumeClaim], self._tables["persistentvolumeclaims"])

    @property
    def storage_classes(self) -> Mapping[ObjectKey, StorageClass]:
        return cast(Mapping[ObjectKey, StorageClass], self._tables["storageclasses"])

    @property
    def deployments(self) -> Mapping[ObjectKey, Deployment]:
        return cast(Mapping[ObjectKey, Deployment], self._tables["deployments"])

    @property
    def replicasets(self) -> Mapping[ObjectKey, ReplicaSet]:
        return cast(Mapping[ObjectKey, ReplicaSet], self._tables["replicasets"])

    @property
    def statefulsets(self) -> Mapping[ObjectKey, StatefulSet]:
        return cast(Mapping[ObjectKey, StatefulSet], self._tables["statefulsets"])

    @property
    def daemonsets(self) -> Mapping[ObjectKey, DaemonSet]:
        return cast(Mapping[ObjectKey, DaemonSet], self._tables["daemonsets"])

    @property
    def jobs(self) -> Mapping[ObjectKey, Job]:
        return cast(Mapping[ObjectKey, Job], self._tables["jobs"])

    @property
    def quotas(self) -> Mapping[ObjectKey, ResourceQuota]:
        return cast(Mapping[ObjectKey, ResourceQuota], self._tables["resourcequotas"])

    @property
    def leases(self) -> Mapping[ObjectKey, Lease]:
        """Leases outside kube-node-lease."""
        return cast(Mapping[ObjectKey, Lease], self._tables["leases"])

    def node(self, name: str) -> Node | None:
        return self.nodes.get(("", name))

    def node_lease(self, name: str) -> Lease | None:
        return cast(Lease | None, self._tables["nodeleases"].get(("kube-node-lease", name)))
