"""How the cluster's objects belong together: owners, pods of a workload, selectors, events about an object."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, cast

from situation.cluster import Event
from situation.indexes import controller_ref
from situation.meta import KubernetesObject, LabelSelector, Ref
from situation.network import Service
from situation.pods import Pod
from situation.store import Store


class Relations(Store):
    """A Store that is asked for what belongs together."""

    def workload_of(self, item: KubernetesObject, kind: str = "Pod") -> Ref:
        """Follow controllers up to the top: pod, ReplicaSet, Deployment; pod, Job, CronJob. The object itself if none.

        A ReplicaSet that is not known (RBAC) is taken to belong to the Deployment whose name it carries. A static pod
        is its own workload, although its Node owns it.
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
        if len(buckets) == 1:
            return tuple(buckets[0].values())
        smallest = min(buckets, key=len)
        return tuple(pod for key, pod in smallest.items() if all(key in bucket for bucket in buckets))

    def services_selecting(self, pod: Pod) -> tuple[Service, ...]:
        labels = pod.metadata.labels
        return tuple(
            service
            for label in labels.items()
            for service in self.services_by_selector.get((pod.namespace, *label)).values()
            if service.spec.selector.items() <= labels.items()
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
        return by_time(found)


_LONG_AGO: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def by_time(events: Iterable[KubernetesObject]) -> tuple[Event, ...]:
    """Return events by when they happened last; those that do not tell come first."""
    return tuple(sorted((item for item in events if isinstance(item, Event)), key=_event_time))


def _event_time(event: Event) -> datetime:
    return event.last_seen or _LONG_AGO
