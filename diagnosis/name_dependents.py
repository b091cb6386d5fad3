"""What refers to others by their names or namespace, or is selected by them by labels, told backwards."""

from collections.abc import Iterator, Mapping, Set

from situation.meta import KubernetesObject, ObjectKey, Ref
from situation.network import MutatingWebhookConfiguration, ValidatingWebhookConfiguration
from situation.pods import Pod, PodSpec
from situation.situation import Situation
from situation.store import Change
from situation.workloads import DaemonSet, Deployment, StatefulSet


def may_be_meant(change: Change) -> bool:
    """Tell whether a Service may now be, or no more be, meant for a workload or a pod without one."""
    return _meant_labels(change.old) != _meant_labels(change.new)


def _meant_labels(item: KubernetesObject | None) -> Mapping[str, str] | None:
    match item:
        case Pod():
            return item.metadata.labels if item.metadata.controller is None else None
        case Deployment() | StatefulSet() | DaemonSet():
            return item.spec.template.metadata.labels
    return None


def callers(situation: Situation) -> Iterator[Ref]:
    """Yield what refers to Services by name: Ingresses, and workloads by an address or a nameserver of their own."""
    for key in situation.table("ingresses"):
        yield Ref("Ingress", *key)
    tables: tuple[tuple[str, Mapping[ObjectKey, Deployment | StatefulSet | DaemonSet]], ...] = (
        ("Deployment", situation.deployments),
        ("StatefulSet", situation.statefulsets),
        ("DaemonSet", situation.daemonsets),
    )
    for kind, table in tables:
        for key, workload in table.items():
            if _asks_by_name(workload.spec.template.spec):
                yield Ref(kind, *key)


def _asks_by_name(spec: PodSpec) -> bool:
    return spec.dns_policy == "None" or any(
        variable.value for container in spec.init_containers + spec.containers for variable in container.env
    )


def creators(situation: Situation, namespaces: Set[str]) -> Iterator[Ref]:
    """Yield what makes pods in these namespaces."""
    if not namespaces:
        return
    for kind, name in (
        ("ReplicaSet", "replicasets"),
        ("StatefulSet", "statefulsets"),
        ("DaemonSet", "daemonsets"),
        ("Job", "jobs"),
    ):
        yield from (Ref(kind, *key) for key in situation.table(name) if key[0] in namespaces)


def told_of(situation: Situation) -> Iterator[Ref]:
    """Yield the Services that an event is about: it may say that another one has their port or address."""
    for key in situation.services:
        if situation.events_by_object.get(ref := Ref("Service", *key)):
            yield ref


def webhooks(situation: Situation, services: set[Ref]) -> Iterator[Ref]:
    """Yield the configurations of which a webhook is served by one of `services`."""
    for kind, name in (
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ):
        for key, item in situation.table(name).items():
            if isinstance(item, ValidatingWebhookConfiguration | MutatingWebhookConfiguration):
                targets = (webhook.client_config.service for webhook in item.webhooks)
                if any(target and Ref("Service", target.namespace, target.name) in services for target in targets):
                    yield Ref(kind, *key)
