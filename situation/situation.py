"""The Situation: every reading with its age and state, and the cluster's objects with their indexes."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import msgspec

from situation.cluster import Event, Lease, Namespace, Node, ResourceQuota
from situation.indexes import Index, controller_ref
from situation.kinds import BY_NAME, KINDS, NAMES_OF
from situation.meta import KubernetesObject, LabelSelector, Ref
from situation.network import EndpointSlice, NetworkPolicy, Service
from situation.pods import Pod
from situation.readings import (
    Changed,
    Listed,
    ObjectKey,
    OwnLoad,
    Readiness,
    Reading,
    ServerVersion,
    Source,
    SourceState,
)
from situation.storage import PersistentVolumeClaim, StorageClass
from situation.workloads import DaemonSet, Deployment, Job, ReplicaSet, StatefulSet

EVENT_LIMIT: Final = 10_000
"""Events kept, newest first out last; the API server keeps them for an hour (fault_signatures 0.1)."""


class Change(NamedTuple):
    """One object before and after; None where it did not exist."""

    ref: Ref
    old: KubernetesObject | None
    new: KubernetesObject | None


class Situation:
    """All that is known now. Readings are folded in with `apply`; everything else only looks.

    Objects are frozen: what a selector returned stays as it was, whatever is applied later.
    """

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.version: ServerVersion | None = None
        self.readiness: Readiness | None = None
        self.own_load = OwnLoad()
        self._tables: dict[str, dict[ObjectKey, KubernetesObject]] = {kind.name: {} for kind in KINDS}
        self.pods_by_node: Index[str, Pod] = Index(lambda pod: (pod.spec.node_name,) if pod.spec.node_name else ())
        self.pods_by_owner: Index[Ref, Pod] = Index(_owner_key)
        self.pods_by_namespace: Index[str, Pod] = Index(lambda pod: (pod.namespace,))
        self.pods_by_label: Index[tuple[str, str, str], Pod] = Index(
            lambda pod: [(pod.namespace, key, value) for key, value in pod.metadata.labels.items()]
        )
        self.pods_by_claim: Index[tuple[str, str], Pod] = Index(
            lambda pod: [
                (pod.namespace, volume.persistent_volume_claim.claim_name)
                for volume in pod.spec.volumes
                if volume.persistent_volume_claim
            ]
        )
        self.unscheduled_pods: Index[bool, Pod] = Index(
            lambda pod: (True,) if not pod.spec.node_name and pod.status.phase == "Pending" else ()
        )
        self.replicasets_by_owner: Index[Ref, ReplicaSet] = Index(_owner_key)
        self.events_by_object: Index[Ref, Event] = Index(lambda event: (involved_ref(event),))
        self.slices_by_service: Index[Ref, EndpointSlice] = Index(
            lambda item: (service,) if (service := item.service) else ()
        )
        self.services_by_namespace: Index[str, Service] = Index(lambda item: (item.namespace,))
        self.policies_by_namespace: Index[str, NetworkPolicy] = Index(lambda item: (item.namespace,))
        self.quotas_by_namespace: Index[str, ResourceQuota] = Index(lambda item: (item.namespace,))
        self._indexes: dict[str, tuple[Index[Any, Any], ...]] = {
            "pods": (
                self.pods_by_node,
                self.pods_by_owner,
                self.pods_by_namespace,
                self.pods_by_label,
                self.pods_by_claim,
                self.unscheduled_pods,
            ),
            "replicasets": (self.replicasets_by_owner,),
            "events": (self.events_by_object,),
            "endpointslices": (self.slices_by_service,),
            "services": (self.services_by_namespace,),
            "networkpolicies": (self.policies_by_namespace,),
            "resourcequotas": (self.quotas_by_namespace,),
        }

    def apply(self, reading: Reading) -> list[Change]:
        """Fold a reading in and return what it changed, in order."""
        self._note_source(reading)
        match reading.value:
            case Listed() as listed:
                return self._replace_all(listed)
            case Changed() as changed:
                return self._change(changed)
            case ServerVersion() as version:
                self.version = version
            case Readiness() as readiness:
                self.readiness = readiness
            case OwnLoad() as load:
                self.own_load = load
        return []

    def _note_source(self, reading: Reading) -> None:
        before = self.sources.get(reading.source) or Source(reading.source)
        live = reading.state is SourceState.LIVE
        skipped = before.skipped
        if isinstance(reading.value, Listed):
            skipped = reading.value.skipped
        elif isinstance(reading.value, Changed):
            skipped += reading.value.skipped
        self.sources[reading.source] = Source(
            reading.source,
            reading.state,
            reading.error,
            reading.observed_at if live else before.observed_at,
            reading.fresh_for_s,
            skipped,
        )

    def _replace_all(self, listed: Listed) -> list[Change]:
        table = self._tables[listed.kind]
        seen = {item.key for item in listed.objects}
        changes = [self._put(listed.kind, key, None) for key in [key for key in table if key not in seen]]
        for item in listed.objects:
            before = table.get(item.key)
            if before is None or not _same_version(before, item):
                changes.append(self._put(listed.kind, item.key, item))
        return changes

    def _change(self, changed: Changed) -> list[Change]:
        changes = [self._put(changed.kind, item.key, item) for item in changed.upserts]
        changes += [self._put(changed.kind, key, None) for key in changed.removed if key in self._tables[changed.kind]]
        return changes

    def _put(self, name: str, key: ObjectKey, new: KubernetesObject | None) -> Change:
        table = self._tables[name]
        old = table.get(key)
        if new is None:
            del table[key]
        else:
            table[key] = new
        for index in self._indexes.get(name, ()):
            index.replace(old, new)
        if name == "events" and len(table) > EVENT_LIMIT:
            self._put(name, next(iter(table)), None)
        return Change(Ref(BY_NAME[name].kind, *key), old, new)

    # What is known of the sources

    def source(self, name: str) -> Source:
        """Return a source by kind name (`pods`) or full name (`kubernetes/pods`); `starting` if it never spoke."""
        full = BY_NAME[name].source if name in BY_NAME else name
        return self.sources.get(full) or Source(full)

    def knows(self, *names: str) -> bool:
        """Tell whether each of these kinds has been read at least once (its last value may be stale)."""
        return all(self.source(name).has_value for name in names)

    # Objects

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

    # Relations

    def workload_of(self, item: KubernetesObject, kind: str = "Pod") -> Ref:
        """Follow controllers up to the top: pod, ReplicaSet, Deployment; pod, Job, CronJob. The object itself if none.

        A ReplicaSet that is not known (RBAC) is taken to belong to the Deployment whose name it carries. A static pod is its
        own workload, although its Node owns it.
        """
        owner = controller_ref(item)
        if owner is None or owner.kind == "Node":
            return Ref(kind, item.namespace, item.name)
        if owner.kind in ("ReplicaSet", "Job"):
            known = self.replicasets if owner.kind == "ReplicaSet" else self.jobs
            parent = cast(KubernetesObject | None, known.get((owner.namespace, owner.name)))
            if parent is not None:
                return controller_ref(parent) or owner
            suffix = f"-{item.metadata.labels.get('pod-template-hash', '')}"
            if owner.kind == "ReplicaSet" and len(suffix) > 1 and owner.name.endswith(suffix):
                return Ref("Deployment", owner.namespace, owner.name.removesuffix(suffix))
        return owner

    def pods_of(self, workload: Ref) -> tuple[Pod, ...]:
        """Pods under a workload, directly or through its ReplicaSets."""
        found = list(self.pods_by_owner.get(workload).values())
        for replicaset in self.replicasets_by_owner.get(workload).values():
            found += self.pods_by_owner.get(Ref("ReplicaSet", replicaset.namespace, replicaset.name)).values()
        if workload.kind == "Pod" and (pod := self.pods.get((workload.namespace, workload.name))):
            found.append(pod)
        return tuple(found)

    def pods_matching(self, namespace: str, selector: Mapping[str, str] | LabelSelector) -> tuple[Pod, ...]:
        """Pods of a namespace that a selector selects; an empty mapping (a Service without selector) selects none."""
        if isinstance(selector, LabelSelector):
            if not selector.match_labels:
                pods: Iterable[Pod] = self.pods_by_namespace.get(namespace).values()
            else:
                pods = self.pods_matching(namespace, selector.match_labels)
            return tuple(pod for pod in pods if selector.matches(pod.metadata.labels))
        if not selector:
            return ()
        buckets = [self.pods_by_label.get((namespace, key, value)) for key, value in selector.items()]
        smallest = min(buckets, key=len)
        return tuple(pod for key, pod in smallest.items() if all(key in bucket for bucket in buckets))

    def services_selecting(self, pod: Pod) -> tuple[Service, ...]:
        labels = pod.metadata.labels
        return tuple(
            service
            for service in self.services_by_namespace.get(pod.namespace).values()
            if service.spec.selector and all(labels.get(key) == value for key, value in service.spec.selector.items())
        )

    def events_of(self, item: KubernetesObject, kind: str, *reasons: str) -> tuple[Event, ...]:
        """Events about an object, oldest first, of these reasons (all if none is given).

        Events about an earlier object of the same name (another uid) are left out.
        """
        uid = item.metadata.uid
        found = [
            event
            for event in self.events_by_object.get(Ref(kind, item.namespace, item.name)).values()
            if (not reasons or event.reason in reasons)
            and (not uid or event.involved_object.uid in ("", uid) or kind == "Node")
        ]
        return tuple(sorted(found, key=_event_time))


_LONG_AGO: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _event_time(event: Event) -> datetime:
    return event.last_seen or _LONG_AGO


def involved_ref(event: Event) -> Ref:
    """Reference of the object an event is about; nodes are cluster-scoped whatever the event says."""
    about = event.involved_object
    namespace = "" if about.kind in ("Node", "Namespace", "PersistentVolume") else about.namespace
    return Ref(about.kind, namespace, about.name)


def _owner_key(item: KubernetesObject) -> tuple[Ref, ...]:
    owner = controller_ref(item)
    return (owner,) if owner else ()


def _same_version(before: KubernetesObject, after: KubernetesObject) -> bool:
    version = after.metadata.resource_version
    if version:
        return before.metadata.resource_version == version and before.metadata.uid == after.metadata.uid
    return msgspec.structs.asdict(before) == msgspec.structs.asdict(after)
