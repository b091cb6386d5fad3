"""Layer 3: hints about Services: ports, load balancers, traffic policies (L3-02, L3-04, L3-08, L3-13, L3-14)."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, said_by
from diagnosis.endpoints import backing, first_pod, has_backend, service_ref, slices_command
from diagnosis.probe_text import port_of
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from diagnosis.rules.services import NEW_SERVICE_S
from situation.clock import age_text
from situation.findings import Command, Layer, Mark, Severity
from situation.network import Service, ServicePort
from situation.pods import Pod
from situation.selectors import is_node_ready
from situation.situation import Situation

BALANCER_S: Final = 180.0
"""Cloud load balancers take one to three minutes."""
REPAIR: Final = timedelta(minutes=10)
"""The API server's repair loops check Services every 3 minutes and repeat their event: one that is three rounds old
tells of something repaired."""


def _ports_command(service: Service) -> Command:
    return kubectl(
        "get", "service", service.name, "-o", "jsonpath={.spec.ports}",
        purpose="which ports, protocols and targets?", namespace=service.namespace,
    )  # fmt: skip


def _declared(pod: Pod) -> set[tuple[int, str]]:
    return {
        (port.container_port, port.protocol)
        for container in pod.spec.containers + pod.spec.init_containers
        for port in container.ports
    }


def _target(port: ServicePort) -> int:
    """The number a Service port leads to, 0 for a named one."""
    if isinstance(port.target_port, str):
        return int(port.target_port) if port.target_port.isdigit() else 0
    return port.target_port or port.port


@rule(
    "port-protocol-mismatch",
    signature="L3-04",
    layer=Layer.NETWORK,
    severity=Severity.INFO,
    kind="Service",
    needs=("services", "pods"),
    looks_at="protocol of each Service port against that of the container port with the same number.",
    look_alikes={"target-port-undeclared": "there no container declares the number at all"},
)
def port_protocol_mismatch(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service port has another protocol than the container port that it leads to."""
    pod = first_pod(service, situation)
    if pod is None:
        return CLEAR
    declared = _declared(pod)
    other = {"TCP": "UDP", "UDP": "TCP"}
    wrong = [
        port
        for port in service.spec.ports
        if port.protocol in other
        and (_target(port), port.protocol) not in declared
        and (_target(port), other[port.protocol]) in declared
    ]
    if not wrong:
        return CLEAR
    number, protocol = _target(wrong[0]), wrong[0].protocol
    return Fired(
        service_ref(service),
        f"sends {number}/{protocol} to pods that declare {number}/{other[protocol]}",
        tuple(
            fact("services", f"port {port.port}/{port.protocol}, the container declares {other[port.protocol]}")
            for port in wrong
        ),
        (_ports_command(service),),
    )


@rule(
    "target-port-undeclared",
    signature="L3-02",
    layer=Layer.NETWORK,
    severity=Severity.INFO,
    kind="Service",
    needs=("services", "pods"),
    looks_at="numeric targetPorts against the ports that the selected pods declare; their readiness probes' ports.",
    look_alikes={
        "named-port-missing": "there the port has a name, and without it there is no endpoint port",
        "a container that declares no port": "it may listen on any: silent",
        "port-protocol-mismatch": "there the number is declared, with another protocol",
    },
)
def target_port_undeclared(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service leads to a port that its pods do not declare: perhaps nobody listens there."""
    pod = first_pod(service, situation)
    if pod is None or not all(container.ports for container in pod.spec.containers):
        return CLEAR
    declared = {number for number, _ in _declared(pod)}
    probed = {port_of(container.readiness_probe) for container in pod.spec.containers} - {""}
    wrong = [port for port in service.spec.ports if (number := _target(port)) and number not in declared | probed]
    if not wrong:
        return CLEAR
    number = _target(wrong[0])
    probes = ", ".join(str(port) for port in sorted(probed, key=str))
    return Fired(
        service_ref(service),
        f"leads to port {number}, which its pods do not declare",
        (
            fact("services", f"port {wrong[0].port}: targetPort {number}"),
            fact("pods", f"pods declare {', '.join(map(str, sorted(declared)))}; probed: {probes or 'none'}"),
            fact("pods", "declared ports are information only: whether it listens is not known", Mark.OPEN),
        ),
        (
            slices_command(*service.key, "which address and port do clients reach?", "-o", "yaml"),
            _ports_command(service),
        ),
    )  # fmt: skip


@rule(
    "load-balancer-pending",
    signature="L3-08",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Service",
    needs=("services",),
    looks_at="status.loadBalancer of type LoadBalancer; events SyncLoadBalancerFailed, UnAvailableLoadBalancer.",
    look_alikes={"no controller for the class": "there is no event at all: a hint only"},
)  # fmt: skip
def load_balancer_pending(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service of type LoadBalancer has no address from outside."""
    if service.spec.type != "LoadBalancer" or service.status.load_balancer.ingress:
        return CLEAR
    created = service.metadata.creation_timestamp
    if wait := wait_until(created, BALANCER_S, now):
        return wait
    failed = situation.events_of(service, "Service", "SyncLoadBalancerFailed", "UnAvailableLoadBalancer")
    tried = situation.events_of(service, "Service", "EnsuringLoadBalancer")
    asked = f"class {service.spec.load_balancer_class or 'of the cloud provider'}"
    evidence = [fact("services", f"no address since {age_text(created, now)}; {asked}", at=created)]
    evidence += [said_by(event) for event in (failed or tried)[-2:]]
    if not failed and not tried:
        evidence.append(
            fact("events", "no event says that a controller tries: perhaps none serves this class", Mark.OPEN)
        )
    return Fired(
        service_ref(service),
        "gets no load balancer" if failed else "waits for a load balancer that nobody reports on",
        tuple(evidence),
        (
            kubectl("describe", "service", service.name, purpose="what does the load balancer's controller say?",
                    namespace=service.namespace),
        ),
        severity=Severity.WARNING if failed else Severity.INFO,
    )  # fmt: skip


@rule(
    "local-traffic-gap",
    signature="L3-13",
    layer=Layer.NETWORK,
    severity=Severity.INFO,
    kind="Service",
    needs=("services", "endpointslices", "nodes", "pods"),
    looks_at="internalTrafficPolicy Local against the nodes of ready endpoints, and who runs the pods.",
    look_alikes={
        "no-ready-endpoint": "there is none on any node",
        "pods of a DaemonSet": "they are on the nodes that they are meant for: silent",
        "externalTrafficPolicy Local": "load balancers check the health of each node: silent",
    },
)
def local_traffic_gap(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service that only serves locally has no endpoint on some nodes: clients there are dropped."""
    if service.spec.internal_traffic_policy != "Local" or not has_backend(service):
        return CLEAR
    behind = backing(service, situation)
    if any(owner.kind == "DaemonSet" for pod in behind.pods if (owner := pod.metadata.controller) is not None):
        return CLEAR
    serving = {endpoint.node_name for endpoint in behind.endpoints if endpoint.is_ready and endpoint.node_name}
    nodes = [node.name for node in situation.nodes.values() if is_node_ready(node)]
    without = sorted(set(nodes) - serving)
    if not serving or not without:
        return CLEAR
    if unread := [name for name in ("endpointslices", "pods") if situation.has_unread(name, service.namespace)]:
        return Unknown(f"not all {unread[0]} of namespace {service.namespace} could be decoded")
    if wait := wait_until(service.metadata.creation_timestamp, NEW_SERVICE_S, now):
        return wait
    return Fired(
        service_ref(service),
        f"answers only on {len(serving)} of {counted(len(nodes), 'node')} (internalTrafficPolicy Local)",
        (fact("endpointslices", f"no ready endpoint on {', '.join(without[:5])}"),),
        (
            kubectl("get", "service", service.name, "-o", "jsonpath={.spec.internalTrafficPolicy}",
                    purpose="is Local meant?", namespace=service.namespace),
            slices_command(*service.key, "on which nodes are the endpoints?", "-o", "yaml"),
        ),
    )  # fmt: skip


_CLASHES: Final = ("PortAlreadyAllocated", "PortOutOfRange", "ClusterIPAlreadyAllocated", "ClusterIPOutOfRange")
_REPAIRED: Final = ("PortNotAllocated", "ClusterIPNotAllocated")


def _same_port(service: Service, situation: Situation) -> list[str]:
    """Names of other Services that hold a node port of this one."""
    held = {(port.node_port, port.protocol) for port in service.spec.ports if port.node_port}
    return [
        f"{other.namespace}/{other.name}"
        for other in situation.services.values()
        if other.key != service.key and any((port.node_port, port.protocol) in held for port in other.spec.ports)
    ]


def _same_address(service: Service, situation: Situation) -> list[str]:
    """Names of other Services that have the cluster IP of this one."""
    address = service.spec.cluster_ip
    return [
        f"{other.namespace}/{other.name}"
        for other in situation.services.values()
        if address and other.key != service.key and other.spec.cluster_ip == address
    ]


_SHARED: Final = {"PortAlreadyAllocated": _same_port, "ClusterIPAlreadyAllocated": _same_address}
"""By the reason of an event: who else holds what it tells of."""


@rule(
    "service-allocation",
    signature="L3-14",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Service",
    needs=("services", "events"),
    looks_at="events of the API server's repair loops, of the last 10 minutes; other Services with the same node port "
    "or cluster IP.",
    look_alikes={"PortNotAllocated, ClusterIPNotAllocated": "the loop repairs these itself: a hint only"},
)
def service_allocation(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service's cluster IP or node port is not its own."""
    events = [
        event
        for event in situation.events_of(service, "Service", *_CLASHES, *_REPAIRED)
        if event.last_seen is not None and now - event.last_seen < REPAIR
    ]
    if not events:
        return CLEAR
    event = events[-1]
    sharing = _SHARED.get(event.reason)
    others = sharing(service, situation) if sharing is not None else []
    if sharing is not None and not others:
        return CLEAR
    evidence = [said_by(event)]
    if others:
        evidence.append(fact("services", f"also held by {', '.join(others[:3])}"))
    return Fired(
        service_ref(service),
        {
            "PortAlreadyAllocated": "shares its node port with another Service",
            "PortOutOfRange": "has a node port outside the range",
            "ClusterIPAlreadyAllocated": "shares its cluster IP with another Service",
            "ClusterIPOutOfRange": "has a cluster IP outside the range",
        }.get(event.reason, "had an address or port that was not recorded; it is repaired"),
        tuple(evidence),
        (
            kubectl("get", "services", "-A", "-o", "wide", purpose="who else holds the port or address?"),
            _ports_command(service),
        ),
        severity=Severity.INFO if event.reason in _REPAIRED else Severity.WARNING,
    )


RULES: Final[tuple[Rule, ...]] = (
    service_allocation,
    load_balancer_pending,
    port_protocol_mismatch,
    target_port_undeclared,
    local_traffic_gap,
)
