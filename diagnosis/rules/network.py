"""Layer 3: Ingresses that lead nowhere and policies that cut pods off from DNS (L3-05, L3-12)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.endpoints import DNS_NAMESPACE, is_cluster_dns, service_ref, services_known
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.network import BackendPort, Ingress, IngressBackend, NetworkPolicy, PolicyPort, PolicyRule, Service
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation

APPLIED_S: Final = 60.0
"""Objects that refer to each other are applied together; the last may come this much later."""
DNS_PORT: Final = 53
ELSEWHERE: Final = frozenset({5353})
"""Where DNS pods answer on OpenShift (cluster-dns-operator, dns-default)."""
_TELL_DNS: Final = ("services", "endpointslices")
"""Kinds that tell where the cluster's DNS answers."""
_BY_ANNOTATION: Final = "use-annotation"
"""Port name by which the AWS load balancer controller marks a backend that is an action of its annotations
(`alb.ingress.kubernetes.io/actions.NAME`): a redirect, a fixed answer, weighted targets. It names no Service."""
ADDRESS_S: Final = 300.0
"""An Ingress controller writes the address within minutes."""


def _backends(ingress: Ingress) -> Iterator[tuple[str, IngressBackend]]:
    if ingress.spec.default_backend is not None:
        yield "default backend", ingress.spec.default_backend
    for entry in ingress.spec.rules:
        for path in entry.http.paths if entry.http else ():
            yield f"{entry.host or '*'}{path.path}", path.backend


def _has_port(service: Service, wanted: BackendPort) -> bool:
    if service.spec.type == "ExternalName":
        return True
    return any(
        (wanted.name and port.name == wanted.name) or (wanted.number and port.port == wanted.number)
        for port in service.spec.ports
    )


def _unread_backends(ingress: Ingress, situation: Situation) -> list[str]:
    """Return the names of Services of which nobody knows whether they exist: some could not be decoded."""
    names = {backend.service.name for _, backend in _backends(ingress) if backend.service is not None}
    keys = [(ingress.namespace, name) for name in sorted(names)]
    return [key[1] for key in keys if key not in situation.services and situation.is_unread("services", key)]


def _dead_backends(ingress: Ingress, situation: Situation, unread: list[str]) -> list[tuple[str, str]]:
    """Return (where from, what is wrong) for each backend without Service or port; those `unread` are passed over."""
    found = []
    for where, backend in _backends(ingress):
        target = backend.service
        if target is None or target.name in unread or target.port.name == _BY_ANNOTATION:
            continue
        service = situation.services.get((ingress.namespace, target.name))
        if service is None:
            found.append((where, f"Service {target.name}, which does not exist"))
        elif not _has_port(service, target.port):
            found.append(
                (where, f"Service {target.name} port {target.port.name or target.port.number}, which it lacks")
            )
    return found


@rule(
    "ingress-backend-missing",
    signature="L3-12",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Ingress",
    needs=("services", "ingresses"),
    looks_at="backends of each Ingress against the Services of its namespace and their ports; status.loadBalancer.",
    look_alikes={
        "no-ready-endpoint": "there the Service exists, but nothing behind it is ready",
        "an action of the AWS load balancer controller": "port name use-annotation: such a backend names no Service",
        "an Ingress without address": "its backends exist; perhaps no controller serves its class: a hint only",
    },
)
def ingress_backend_missing(ingress: Ingress, situation: Situation, now: datetime) -> Verdict:
    """An Ingress leads to a Service or port that does not exist, or no controller has given it an address."""
    if not services_known(situation, ingress.namespace):
        return Unknown(f"the Services of namespace {ingress.namespace} are not known")
    unread = _unread_backends(ingress, situation)
    dead = _dead_backends(ingress, situation, unread)
    addressed = bool(ingress.status.load_balancer.ingress)
    if not dead and unread:
        return Unknown(f"Service {unread[0]} could not be decoded")
    if not dead and addressed:
        return CLEAR
    if wait := wait_until(ingress.metadata.creation_timestamp, APPLIED_S if dead else ADDRESS_S, now):
        return wait
    describe = kubectl(
        "describe", "ingress", ingress.name, purpose="which backends, class and events?", namespace=ingress.namespace
    )
    classes = kubectl("get", "ingressclasses", purpose="is there a controller for its class?")
    name = ingress.spec.ingress_class_name or "none (the default class)"
    no_address = fact("ingresses", f"it has no address yet; class {name}", Mark.OPEN)
    ref = Ref("Ingress", *ingress.key)
    if not dead:
        return Fired(ref, "has no address: no controller has taken it", (no_address,), (describe, classes),
                     severity=Severity.INFO)  # fmt: skip
    return Fired(
        ref,
        f"leads to {dead[0][1]}",
        (
            *(fact("ingresses", f"{where} leads to {what}") for where, what in dead[:4]),
            *(() if addressed else (no_address,)),
        ),
        (
            kubectl("get", "services", purpose="which Services and ports are there?", namespace=ingress.namespace),
            describe,
        ),
    )  # fmt: skip


def _dns_ports(situation: Situation) -> frozenset[int]:
    """Return the ports on which pods of the cluster's DNS answer: a policy sees those, not the port of the Service."""
    own = frozenset(
        port.port
        for service in situation.services.values()
        if is_cluster_dns(service)
        for part in situation.slices_by_service.get(service_ref(service)).values()
        for port in part.ports
        if port.port is not None and port.name in {entry.name for entry in service.spec.ports if entry.port == DNS_PORT}
    )
    return (own or ELSEWHERE) | {DNS_PORT}


def _opens_dns(entry: PolicyRule, situation: Situation) -> bool:
    """Tell whether an egress rule may let DNS queries through (a port of DNS, or a named port that speaks of it)."""
    if not entry.ports:
        return not entry.peers_to or any(peer.keys() & {"namespaceSelector", "ipBlock"} for peer in entry.peers_to)
    wanted = situation.while_same(_TELL_DNS, "ports of DNS", lambda: _dns_ports(situation))
    return any(_covers(port, wanted) for port in entry.ports)


def _covers(port: PolicyPort, wanted: frozenset[int]) -> bool:
    first = port.port
    if isinstance(first, int):
        return any(first <= number <= (port.end_port or first) for number in wanted)
    return first is None or "dns" in first


def _limits_egress(policy: NetworkPolicy) -> bool:
    return "Egress" in policy.spec.policy_types


def _cut_off(policy: NetworkPolicy, situation: Situation) -> list[Pod]:
    """Pods that this policy selects and that no policy lets ask for names."""
    open_to = [
        other.spec.pod_selector
        for other in situation.policies_by_namespace.get(policy.namespace).values()
        if _limits_egress(other) and any(_opens_dns(entry, situation) for entry in other.spec.egress)
    ]
    return [
        pod
        for pod in situation.pods_matching(policy.namespace, policy.spec.pod_selector)
        if not is_finished(pod)
        and not pod.spec.host_network
        and pod.spec.dns_policy != "None"
        and not any(selector.matches(pod.metadata.labels) for selector in open_to)
    ]


@rule(
    "egress-without-dns",
    signature="L3-05",
    layer=Layer.NETWORK,
    severity=Severity.INFO,
    kind="NetworkPolicy",
    needs=("networkpolicies", "pods"),
    looks_at="policies of type Egress that do not open port 53, or the port of the cluster's DNS pods by its slices; "
    "whether another one opens it for the same pods.",
    look_alikes={
        "cluster-dns-down": "there no pod of any namespace can resolve names",
        "DNS on port 5353": "where no DNS Service is known in kube-system, as on OpenShift, that is taken for it too",
    },
)
def egress_without_dns(policy: NetworkPolicy, situation: Situation, now: datetime) -> Verdict:
    """A policy denies egress and leaves no way to DNS for some pods: they can resolve no name."""
    if not _limits_egress(policy) or any(_opens_dns(entry, situation) for entry in policy.spec.egress):
        return CLEAR
    pods = _cut_off(policy, situation)
    if not pods:
        return CLEAR
    if any(situation.has_unread(name, DNS_NAMESPACE) for name in _TELL_DNS):
        return Unknown("not all that tells the ports of the cluster's DNS could be decoded")
    if situation.has_unread("networkpolicies", policy.namespace):
        return Unknown(f"not all policies of namespace {policy.namespace} could be decoded: one may open port 53")
    names = ", ".join(pod.name for pod in pods[:3])
    return Fired(
        Ref("NetworkPolicy", *policy.key),
        f"leaves {counted(len(pods), 'pod')} without DNS (egress without port 53)",
        (
            fact("networkpolicies", f"selects {names}; no policy opens port 53 for them"),
            fact("networkpolicies", "whether the network plugin enforces policies is not known", Mark.OPEN),
        ),
        (
            kubectl("get", "networkpolicies", "-o", "yaml", purpose="which policies select these pods?",
                    namespace=policy.namespace),
        ),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (ingress_backend_missing, egress_without_dns)
