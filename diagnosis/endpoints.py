"""What stands behind a Service: its pods, and what its endpoint slices say of them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from diagnosis.commands import kubectl
from situation.findings import Command
from situation.meta import Ref, find_condition
from situation.network import Endpoint, EndpointSlice, Service
from situation.node_returns import back_at
from situation.pods import Pod
from situation.selectors import container_pairs, is_finished, is_node_ready, is_ready
from situation.situation import Situation

SETTLE_S: Final = 30.0
"""A pod that turned unready has this long before its Service is called broken: one failed probe period or two."""
DEFAULT_GRACE_S: Final = 30
"""Of a pod that is deleted, where the object does not say (core/v1, terminationGracePeriodSeconds)."""
DNS_NAMESPACE: Final = "kube-system"
"""Of the Service that pods ask for names."""
CREATE_S: Final = 120.0
"""A scheduled pod may take this long to pull its image and start before its Service is called broken."""


class Backing(NamedTuple):
    """The pods that a Service selects and the endpoints that its slices hold."""

    pods: tuple[Pod, ...]
    """Selected pods that are not finished, those on their way out included."""
    slices: tuple[EndpointSlice, ...]
    endpoints: tuple[Endpoint, ...]

    @property
    def ready_endpoints(self) -> int:
        return sum(endpoint.is_ready and bool(endpoint.addresses) for endpoint in self.endpoints)

    @property
    def ready_pods(self) -> tuple[Pod, ...]:
        """Pods that are Ready and not being deleted: each should be an endpoint."""
        return tuple(filter(is_serving, self.pods))


def is_serving(pod: Pod) -> bool:
    """Tell whether a pod should be an endpoint: Ready, and not on its way out."""
    return pod.metadata.deletion_timestamp is None and is_ready(pod)


def left_at(pod: Pod) -> datetime | None:
    """When a pod ceased to be an endpoint: when it was deleted if it is Ready still, else when it turned unready."""
    gone_by, grace_s = pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds
    if gone_by is None or not is_ready(pod):
        return readiness_changed_at(pod)
    return gone_by - timedelta(seconds=DEFAULT_GRACE_S if grace_s is None else grace_s)


def backing(service: Service, situation: Situation) -> Backing:
    """Return what stands behind `service` now."""
    pods = tuple(
        pod for pod in situation.pods_matching(service.namespace, service.spec.selector) if not is_finished(pod)
    )
    slices = tuple(situation.slices_by_service.get(service_ref(service)).values())
    return Backing(pods, slices, tuple(endpoint for part in slices for endpoint in part.endpoints))


def first_pod(service: Service, situation: Situation) -> Pod | None:
    """Return one pod that the Service selects and that is not finished: all are taken to have the same ports."""
    if not has_backend(service):
        return None
    pods = situation.pods_matching(service.namespace, service.spec.selector)
    return next((pod for pod in pods if not is_finished(pod)), None)


def has_ready_endpoint(service: Service, situation: Situation) -> bool:
    """Tell whether a slice of the Service holds an address that is ready."""
    return any(
        endpoint.is_ready and endpoint.addresses
        for part in situation.slices_by_service.get(service_ref(service)).values()
        for endpoint in part.endpoints
    )


def service_ref(service: Service) -> Ref:
    return Ref("Service", service.namespace, service.name)


def slices_command(namespace: str, service: str, purpose: str, *output: str) -> Command:
    """Return the command that lists a Service's endpoint slices; `output` is for example `-o yaml`."""
    return kubectl(
        "get", "endpointslices", "-l", f"kubernetes.io/service-name={service}", *output,
        purpose=purpose, namespace=namespace,
    )  # fmt: skip


def has_backend(service: Service) -> bool:
    """Tell whether the control plane is to find pods for this Service: it has a selector and is no alias."""
    return service.spec.type != "ExternalName" and bool(service.spec.selector)


def is_cluster_dns(service: Service) -> bool:
    """Tell whether this is the Service that pods ask for names (kubeadm, kops, RKE2 and most others keep its label)."""
    return service.namespace == DNS_NAMESPACE and (
        service.metadata.labels.get("k8s-app") == "kube-dns" or service.name in ("kube-dns", "coredns")
    )


def services_known(situation: Situation, namespace: str) -> bool:
    """Tell whether the list that was read covers the Services of `namespace`.

    A dump may be that of one namespace, and does not say so. Every API server keeps the Service `default/kubernetes`,
    so a list with it is one of the whole cluster.
    """
    if not situation.sees_all:
        return situation.knows("services") and situation.sees(namespace)
    return situation.knows("services") and (
        ("default", "kubernetes") in situation.services or bool(situation.services_by_namespace.get(namespace))
    )


def serves_unseen(service: Service, situation: Situation) -> bool:
    """Tell whether a pod that serves may not be seen: of both pods and endpoint slices some could not be decoded.

    The slices alone tell which pods are ready, and so do the pods.
    """
    return all(situation.has_unread(name, service.namespace) for name in ("pods", "endpointslices"))


def readiness_changed_at(pod: Pod) -> datetime | None:
    """When the Ready condition took its present value; the pod's creation if it does not say."""
    condition = find_condition(pod.status.conditions, "Ready")
    return (condition.last_transition_time if condition else None) or pod.metadata.creation_timestamp


def ready_due(pods: Iterable[Pod], not_before: datetime | None, situation: Situation) -> datetime | None:
    """Return when the last of these unready pods has used up its time to become ready, None if no time is known.

    A container that runs for the first time has its startup and readiness probes' budgets, a pod that is being made has
    CREATE_S, any other SETTLE_S, one that is Ready but Terminating since it was deleted; all have until their node has
    been back for a while.
    """
    times = [due for pod in pods for due in (_due(pod), back_at(pod, situation)) if due is not None]
    if not_before is not None:
        times.append(not_before + timedelta(seconds=SETTLE_S))
    return max(times, default=None)


def _due(pod: Pod) -> datetime | None:
    since = left_at(pod)
    if since is None:
        return None
    due = since + timedelta(seconds=SETTLE_S)
    if pod.metadata.deletion_timestamp is not None:
        return due
    if pod.status.phase == "Pending" and pod.spec.node_name:
        placed = find_condition(pod.status.conditions, "PodScheduled")
        due = max(since, (placed.last_transition_time if placed else None) or since) + timedelta(seconds=CREATE_S)
    for container, status in container_pairs(pod):
        running = status.state.running
        if status.restart_count or running is None or running.started_at is None:
            continue
        probes = (container.startup_probe, container.readiness_probe)
        budget_s = sum(probe.budget_s for probe in probes if probe is not None)
        due = max(due, running.started_at + timedelta(seconds=budget_s))
    return due


def explained_by(pods: Iterable[Pod], situation: Situation) -> tuple[Ref, ...]:
    """Return what would explain that these pods do not serve: themselves, their workloads, nodes that are not Ready."""
    refs: dict[Ref, None] = {}
    for pod in pods:
        refs[Ref("Pod", *pod.key)] = None
        refs[situation.workload_of(pod)] = None
        if (owner := pod.metadata.controller) is not None:
            refs[Ref(owner.kind, pod.namespace, owner.name)] = None
        node = situation.node(pod.spec.node_name)
        if node is not None and not is_node_ready(node):
            refs[Ref("Node", "", node.name)] = None
    return tuple(refs)
