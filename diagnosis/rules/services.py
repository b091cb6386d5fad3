"""Layer 3: the pods of a Service do not serve it: not ready, no such port, not listed; cluster DNS (L3-03, L3-06)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.container_facts import every_path, field
from diagnosis.endpoints import (
    SETTLE_S,
    Backing,
    backing,
    explained_by,
    has_backend,
    has_ready_endpoint,
    is_cluster_dns,
    is_serving,
    left_at,
    readiness_changed_at,
    ready_due,
    serves_unseen,
    service_ref,
    slices_command,
)
from diagnosis.explaining import CONTROLLERS_DOWN
from diagnosis.replicas import wants_pods
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, Wait, rule, wait_until
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER, Ref
from situation.network import Service, ServicePort
from situation.pods import Pod
from situation.situation import Situation
from situation.workloads import selector_text

NEW_SERVICE_S: Final = 60.0
"""A Service is often applied before its workload; an empty one is not judged earlier."""
SLICE_LAG_S: Final = 60.0
"""The endpoint slice controller follows a pod within seconds; a minute of lag means that it does not work (L4-10)."""

_UNSEEN: Final = "not all pods and endpoint slices of namespace {} could be decoded"


def list_pods(service: Service, purpose: str) -> Command:
    return kubectl(
        "get", "pods", "-l", selector_text(service.spec.selector), "-o", "wide",
        purpose=purpose, namespace=service.namespace,
    )  # fmt: skip


def _port_names(pod: Pod) -> set[tuple[str, str]]:
    return {
        (port.name, port.protocol)
        for container in pod.spec.containers + pod.spec.init_containers
        for port in container.ports
        if port.name
    }


def _served(port: ServicePort, behind: Backing) -> bool:
    """Tell whether a slice resolves this Service port to a number now."""
    return any(
        entry.name == port.name and entry.port is not None and part.endpoints
        for part in behind.slices
        for entry in part.ports
    )


@rule(
    "named-port-missing",
    signature="L3-03",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Service",
    needs=("services", "pods", "endpointslices"),
    looks_at="named targetPorts against the port names of the selected pods; the slices' ports.",
    look_alikes={"target-port-undeclared": "there the port is a number, which needs no declaration"},
)
def named_port_missing(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service's named targetPort is not defined by any of its pods, so its endpoints have no port."""
    named = [
        port for port in service.spec.ports if isinstance(port.target_port, str) and not port.target_port.isdigit()
    ]
    if not named or not has_backend(service):
        return CLEAR
    behind = backing(service, situation)
    if not behind.pods:
        return CLEAR
    known = set().union(*(_port_names(pod) for pod in behind.pods))
    missing = [port for port in named if (port.target_port, port.protocol) not in known and not _served(port, behind)]
    if not missing:
        return CLEAR
    if serves_unseen(service, situation):
        return Unknown(_UNSEEN.format(service.namespace))
    if wait := wait_until(service.metadata.creation_timestamp, NEW_SERVICE_S, now):
        return wait
    names = sorted(name for name, _ in known)
    pod = behind.pods[0]
    return Fired(
        service_ref(service),
        f"sends port {missing[0].port} to {missing[0].target_port}, which no pod defines",
        (
            *(fact("services", f"port {port.port}/{port.protocol}: targetPort {port.target_port}") for port in missing),
            fact("pods", f"its pods ({len(behind.pods)}) define: {', '.join(names) or 'no named port'}"),
        ),
        (
            field(pod, every_path(pod, "ports"), "which ports do the pods name?"),
            kubectl("describe", "service", service.name, purpose="endpoints without a port?",
                    namespace=service.namespace),
        ),
        severity=Severity.CRITICAL if len(missing) == len(service.spec.ports) else Severity.WARNING,
    )  # fmt: skip


@rule(
    "endpoints-not-updated",
    signature="L4-10",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Service",
    needs=("services", "pods", "endpointslices"),
    looks_at="selected pods that are Ready for more than a minute against the endpoints of the Service's slices.",
    look_alikes={"no-ready-endpoint": "there the pods themselves are not ready"},
)
def endpoints_not_updated(service: Service, situation: Situation, now: datetime) -> Verdict:
    """Ready pods are missing from their Service's endpoint slices: nobody keeps the slices up."""
    if not has_backend(service):
        return CLEAR
    if wait := wait_until(service.metadata.creation_timestamp, SLICE_LAG_S, now):
        return wait
    behind = backing(service, situation)
    if not behind.pods:
        return CLEAR
    addresses = {address for endpoint in behind.endpoints if endpoint.is_ready for address in endpoint.addresses}
    unlisted = [pod for pod in behind.pods if pod.status.pod_ip and pod.status.pod_ip not in addresses]
    if not unlisted:
        return CLEAR  # as nearly always: only now it matters which of them are ready
    listed = {endpoint.target_ref.name for endpoint in behind.endpoints if endpoint.is_ready and endpoint.target_ref}
    absent = [pod for pod in unlisted if pod.name not in listed and is_serving(pod)]
    since = {pod.name: readiness_changed_at(pod) or now for pod in absent}
    lag = timedelta(seconds=SLICE_LAG_S)
    late = [pod for pod in absent if now - since[pod.name] >= lag]
    if not late:
        return Wait(min(since.values()) + lag) if absent else CLEAR
    if situation.has_unread("endpointslices", service.namespace):
        return Unknown(_UNSEEN.format(service.namespace))
    none = not behind.ready_endpoints
    oldest = min(since[pod.name] for pod in late)
    return Fired(
        service_ref(service),
        f"has {'no endpoint' if none else 'too few endpoints'} for {counted(len(late), 'ready pod')}",
        (
            fact("pods", f"pod {late[0].name} is Ready since {oldest:%H:%M:%S}", at=oldest),
            fact("endpointslices", f"ready endpoints in its slices: {behind.ready_endpoints}"),
        ),
        (
            slices_command(*service.key, "when was the slice written last?", "-o", "yaml"),
            kubectl("get", "lease", "kube-controller-manager", "-o", "yaml",
                    purpose="does the controller manager live?", namespace="kube-system"),
        ),
        severity=Severity.CRITICAL if none else Severity.WARNING,
        follows=(CLUSTER,),
        follows_only=CONTROLLERS_DOWN,
    )  # fmt: skip


def _unready(service: Service, situation: Situation, now: datetime) -> Backing | Verdict:
    """Return what stands behind the Service if its pods had their time and none is ready, else why not."""
    if has_ready_endpoint(service, situation):
        return CLEAR
    behind = backing(service, situation)
    if not behind.pods or behind.ready_pods:
        return CLEAR
    if serves_unseen(service, situation):
        return Unknown(_UNSEEN.format(service.namespace))
    if _is_to_rest(behind.pods, situation):
        return Wait(now + timedelta(seconds=SETTLE_S))
    due = ready_due(behind.pods, service.metadata.creation_timestamp, situation)
    return Wait(due) if due is not None and now < due else behind


def _is_to_rest(pods: tuple[Pod, ...], situation: Situation) -> bool:
    """Tell whether all these pods go away and none is wanted in their place: scaled to zero, or deleted."""
    return not _staying(pods) and not any(wants_pods(situation.workload_of(pod), situation) for pod in pods)


def _staying(pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
    return tuple(pod for pod in pods if pod.metadata.deletion_timestamp is None)


def _state_text(pod: Pod) -> str:
    return f"{pod.status.phase}, not ready" if pod.metadata.deletion_timestamp is None else "Terminating"


def _pod_evidence(behind: Backing) -> tuple[Evidence, ...]:
    phases = ", ".join(f"{pod.name} {_state_text(pod)}" for pod in behind.pods[:3])
    more = f" and {len(behind.pods) - 3} more" if len(behind.pods) > 3 else ""
    since = max((time for pod in behind.pods if (time := left_at(pod))), default=None)
    return (
        fact("endpointslices", f"{counted(len(behind.endpoints), 'endpoint')}, 0 ready"),
        fact("pods", f"{phases}{more}", at=since),
        fact("services", "the selector finds pods", Mark.EXCLUDES),
    )


@rule(
    "no-ready-endpoint",
    signature="L1-06",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Service",
    needs=("services", "pods", "endpointslices"),
    looks_at="the Service's slices (endpoints with ready: false), the Ready conditions and deletion times of the "
    "selected pods, and whether their workloads want pods.",
    look_alikes={
        "scaled down to zero": "its last pods are Terminating and no workload wants others: silent",
        "selector-matches-nothing": "there the selector finds no pod at all",
        "endpoints-not-updated": "there pods are ready, but the slices do not say so",
    },
)
def no_ready_endpoint(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service selects pods, but none of them is ready."""
    if not has_backend(service) or is_cluster_dns(service) or service.spec.publish_not_ready_addresses:
        return CLEAR
    behind = _unready(service, situation, now)
    if not isinstance(behind, Backing):
        return behind
    staying = _staying(behind.pods)
    why = f"0 of {counted(len(staying), 'pod')} ready" if staying else "all its pods are Terminating"
    return Fired(
        service_ref(service),
        f"has no ready endpoint: {why}",
        _pod_evidence(behind),
        (
            list_pods(service, "why is none of its pods ready?"),
            slices_command(*service.key, "which endpoints does it have?", "-o", "yaml"),
        ),
        follows=explained_by(behind.pods, situation),
    )


@rule(
    "cluster-dns-down",
    signature="L3-06",
    layer=Layer.NETWORK,
    severity=Severity.CRITICAL,
    kind="Service",
    needs=("services", "pods", "endpointslices"),
    looks_at="the pods and slices of the cluster's DNS Service (kube-system, label k8s-app=kube-dns).",
    look_alikes={
        "foreign-nameserver": "there one workload brings its own nameserver",
        "egress-without-dns": "there a policy keeps some pods from asking",
    },
)
def cluster_dns_down(service: Service, situation: Situation, now: datetime) -> Verdict:
    """The cluster's DNS has no ready server: names do not resolve in any namespace."""
    if not is_cluster_dns(service) or not has_backend(service) or has_ready_endpoint(service, situation):
        return CLEAR
    behind = backing(service, situation)
    if behind.ready_pods:
        return CLEAR
    if serves_unseen(service, situation):
        return Unknown(_UNSEEN.format(service.namespace))
    if wait := wait_until(service.metadata.creation_timestamp, NEW_SERVICE_S, now):
        return wait
    due = ready_due(behind.pods, None, situation)
    if due is not None and now < due:
        return Wait(due)
    empty = (fact("pods", f"selector {selector_text(service.spec.selector)} matches 0 pods"),)
    return Fired(
        service_ref(service),
        "answers no name: the cluster's DNS has no ready pod",
        _pod_evidence(behind) if behind.pods else empty,
        (
            kubectl("get", "pods,endpointslices", "-l", selector_text(service.spec.selector), "-o", "wide",
                    purpose="are the DNS pods there, and ready?", namespace="kube-system"),
            kubectl("logs", "-l", selector_text(service.spec.selector), "--tail=50",
                    purpose="what does the DNS server say?", namespace="kube-system"),
        ),
        follows=(*explained_by(behind.pods, situation), *_dns_workloads(service, situation)),
    )  # fmt: skip


def _dns_workloads(service: Service, situation: Situation) -> Iterator[Ref]:
    for (namespace, name), workload in situation.deployments.items():
        labels = workload.spec.template.metadata.labels
        if namespace == service.namespace and service.spec.selector.items() <= labels.items():
            yield Ref("Deployment", namespace, name)


RULES: Final[tuple[Rule, ...]] = (
    cluster_dns_down,
    named_port_missing,
    endpoints_not_updated,
    no_ready_endpoint,
)
