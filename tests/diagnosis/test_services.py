"""Services: nothing behind them, nothing ready behind them, and what only looks so."""

from typing import Any

import pytest

from diagnosis.rules import service_hints, service_selectors, services
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import Manifest, ago, event, node, pod, situation
from tests.diagnosis.objects import causes_of, endpoints, first_command, service, workload

RULES = services.RULES + service_selectors.RULES + service_hints.RULES


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(RULES, situation(*manifests))


def unready(name: str = "web-1", *, age_s: float = 600, **fields: Any) -> Manifest:
    return pod(name, age_s=age_s, ready=False, **fields)


def ready(name: str = "web-1", *, ip: str = "10.0.0.1", **fields: Any) -> Manifest:
    made = pod(name, **fields)
    made["status"]["podIP"] = ip
    return made


ORDERS = service("orders", selector={"app": "orders-v2"})
ORDERS_POD = pod("orders-1", labels={"app": "orders"}, owner="Deployment/orders")


def test_a_selector_that_matches_nothing_is_critical_while_the_workload_of_that_name_runs() -> None:
    causes = found(ORDERS, endpoints("orders"), workload("orders"), ORDERS_POD)
    assert list(causes) == ["selector-matches-nothing"]
    finding = causes["selector-matches-nothing"]
    assert finding.subject == Ref("Service", "shop", "orders")
    assert (finding.layer, finding.severity) == (Layer.NETWORK, Severity.CRITICAL)
    assert finding.title == "orders selects no pod (app=orders-v2)"
    assert first_command(finding) == "kubectl -n shop get pods -l app=orders-v2 -o wide"
    assert "1 of 1 pod ready, labelled app=orders" in finding.evidence[1].text


@pytest.mark.parametrize(
    ("selector", "labels", "severity"),
    [
        ({"app": "chekout"}, {"app": "checkout"}, Severity.CRITICAL),
        ({"app": "checkout"}, {"app.kubernetes.io/name": "checkout"}, Severity.CRITICAL),
        ({"app": "checkout", "track": "stable"}, {"app": "checkout", "track": "stable-v2"}, Severity.CRITICAL),
        ({"pod": "kafka-3"}, {"pod": "kafka-1"}, None),
        ({"app": "flagd"}, {"app": "cart"}, None),
        ({"app": "redis"}, {"app": "redis-exporter"}, None),
    ],
)
def test_labels_that_nearly_match_tell_a_slip_from_a_service_nobody_uses(
    selector: dict[str, str], labels: dict[str, str], severity: Severity | None
) -> None:
    causes = found(
        service("front", selector=selector),
        workload("other", labels=labels),
        pod("other-1", labels=labels, owner="Deployment/other"),
    )
    assert [cause.severity for cause in causes.values()] == ([severity] if severity else [])


@pytest.mark.parametrize(
    "manifests",
    [
        (service("orders", selector={"app": "orders-v2"}, age_s=20), workload("orders"), ORDERS_POD),
        (service("orders"), workload("orders", replicas=0)),
        (service("orders"), workload("orders"), ORDERS_POD, endpoints("orders", {"orders-1": True})),
        (service("orders", selector={}), ORDERS_POD),
        (service("orders", type="ExternalName", externalName="orders.example.com"), ORDERS_POD),
    ],
    ids=["young", "scaled to zero", "recovered", "no selector", "alias"],
)
def test_no_finding_about_selectors(manifests: tuple[Manifest, ...]) -> None:
    assert not found(*manifests)


def test_no_ready_endpoint_is_about_the_service_and_names_its_pods() -> None:
    causes = found(service(), endpoints("web", {"web-1": False}), unready())
    finding = causes["no-ready-endpoint"]
    assert list(causes) == ["no-ready-endpoint"]
    assert (finding.subject, finding.layer) == (Ref("Service", "shop", "web"), Layer.NETWORK)
    assert finding.severity is Severity.WARNING
    assert finding.title == "web has no ready endpoint: 0 of 1 pod ready"
    assert first_command(finding) == "kubectl -n shop get pods -l app=web -o wide"


def starting(age_s: float) -> Manifest:
    probe = {"httpGet": {"port": 8000}, "periodSeconds": 10, "failureThreshold": 60}
    return unready(age_s=age_s, container={"startupProbe": probe})


@pytest.mark.parametrize(
    ("behind", "fires"),
    [
        ([unready(age_s=10)], False),
        ([unready(age_s=40)], True),
        ([starting(400)], False),
        ([starting(700)], True),
        ([unready(), ready("web-2", ip="10.0.0.2")], False),
        ([unready(phase="Pending", age_s=60)], False),
        ([unready(phase="Pending", age_s=180)], True),
        ([unready(phase="Pending", node="", age_s=60)], True),
        ([unready(phase="Succeeded")], False),
    ],
    ids=[
        "young",
        "due",
        "within its startup probe",
        "after it",
        "one ready",
        "being made",
        "not made",
        "no node",
        "finished",
    ],
)
def test_when_a_service_counts_as_without_endpoint(behind: list[Manifest], fires: bool) -> None:
    slices = endpoints("web", {item["metadata"]["name"]: item["metadata"]["name"] == "web-2" for item in behind})
    assert ("no-ready-endpoint" in found(service(), slices, *behind)) is fires


def going(name: str = "web-1", *, since_s: float = 5, grace_s: int = 600, **fields: Any) -> Manifest:
    """Return a Ready pod that was deleted `since_s` seconds ago."""
    made = ready(name, **fields)
    made["metadata"] |= {"deletionTimestamp": ago(since_s - grace_s), "deletionGracePeriodSeconds": grace_s}
    return made


OF_WEB: Manifest = {"owner": "ReplicaSet/web-5d8", "labels": {"app": "web", "pod-template-hash": "5d8"}}
TERMINATING = endpoints("web", {"web-1": False})


@pytest.mark.parametrize(
    "manifests",
    [
        (going(since_s=500, **OF_WEB), workload("web", replicas=0)),
        (going(since_s=500, **OF_WEB),),
        (going(since_s=500),),
        (going(**OF_WEB), workload("web")),
        (going(since_s=20, grace_s=30, **OF_WEB), unready("web-2", phase="Pending", age_s=60), workload("web")),
    ],
    ids=["scaled to zero", "its workload is deleted", "a pod by hand", "deleted just now", "its successor comes"],
)
def test_the_last_pods_on_their_way_out_are_no_fault(manifests: tuple[Manifest, ...]) -> None:
    assert not found(service(), TERMINATING, *manifests)


@pytest.mark.parametrize(
    ("manifests", "title", "states"),
    [
        ((going(since_s=60, **OF_WEB), workload("web")), "all its pods are Terminating", "web-1 Terminating"),
        ((going(since_s=60, owner="Cluster/pg"),), "all its pods are Terminating", "web-1 Terminating"),
        (
            (going(since_s=60, **OF_WEB), unready("web-2"), workload("web")),
            "0 of 1 pod ready",
            "web-1 Terminating, web-2 Running, not ready",
        ),
    ],
    ids=["its workload wants pods", "whether its owner does is not known", "its successor is not ready"],
)
def test_a_service_whose_pods_went_and_are_missed(manifests: tuple[Manifest, ...], title: str, states: str) -> None:
    finding = found(service(), TERMINATING, *manifests)["no-ready-endpoint"]
    assert finding.title == f"web has no ready endpoint: {title}"
    assert states in [line.text for line in finding.evidence]


def test_a_workload_that_could_not_be_read_may_want_pods() -> None:
    known = situation(
        service(), TERMINATING, going(since_s=60, **OF_WEB), missing={"deployments": SourceState.FORBIDDEN}
    )
    assert list(causes_of(RULES, known)) == ["no-ready-endpoint"]


def test_published_unready_addresses_are_meant() -> None:
    assert not found(service(publishNotReadyAddresses=True), endpoints("web", {"web-1": False}), unready())


@pytest.mark.parametrize(
    ("slices", "pods", "severity"),
    [
        ([endpoints("web")], [ready()], Severity.CRITICAL),
        ([], [ready()], Severity.CRITICAL),
        ([endpoints("web", {"web-1": True})], [ready(), ready("web-2", ip="10.0.0.9")], Severity.WARNING),
        ([endpoints("web", {"web-1": True})], [ready()], None),
        ([endpoints("web")], [ready(age_s=20)], None),
    ],
    ids=["empty", "no slice", "one missing", "kept up", "ready just now"],
)
def test_slices_that_nobody_keeps_up(slices: list[Manifest], pods: list[Manifest], severity: Severity | None) -> None:
    finding = found(service(), *slices, *pods).get("endpoints-not-updated")
    if severity is None:
        assert finding is None
    else:
        assert finding is not None
        assert (finding.severity, finding.layer) == (severity, Layer.CONTROL_PLANE)
        assert "endpointslices" in first_command(finding)


NAMED = [{"port": 80, "targetPort": "http"}]


def test_a_named_port_that_no_pod_defines() -> None:
    web = ready(container={"ports": [{"name": "web", "containerPort": 8080}]})
    causes = found(service(ports=NAMED), endpoints("web", {"web-1": True}, ports=[]), web)
    finding = causes["named-port-missing"]
    assert finding.title == "web sends port 80 to http, which no pod defines"
    assert finding.severity is Severity.CRITICAL
    assert first_command(finding) == "kubectl -n shop get pod web-1 -o 'jsonpath={.spec.containers[*].ports}'"


def test_the_ports_of_sidecars_are_shown_too() -> None:
    sidecar = {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "envoy", "containerPort": 15001}]}
    web = ready(spec={"initContainers": [sidecar]})
    finding = found(service(ports=NAMED), endpoints("web", {"web-1": True}, ports=[]), web)["named-port-missing"]
    assert "its pods (1) define: envoy" in [line.text for line in finding.evidence]
    path = "{.spec.initContainers[*].ports}{.spec.containers[*].ports}"
    assert first_command(finding) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path}'"


@pytest.mark.parametrize(
    ("svc", "ports"),
    [
        (service(ports=NAMED), [{"name": "http", "containerPort": 8080}]),
        (service(ports=NAMED, age_s=10), []),
        (service(), []),
    ],
    ids=["defined", "young", "numeric"],
)
def test_named_ports_that_are_fine(svc: Manifest, ports: list[Manifest]) -> None:
    web = ready(container={"ports": ports})
    assert "named-port-missing" not in found(svc, endpoints("web", {"web-1": True}), web)


DNS = service("kube-dns", namespace="kube-system", selector={"k8s-app": "kube-dns"}, labels={"k8s-app": "kube-dns"})


def dns_pod(*, is_ready: bool, age_s: float = 600) -> Manifest:
    labels = {"k8s-app": "kube-dns"}
    return pod("coredns-1", namespace="kube-system", labels=labels, ready=is_ready, age_s=age_s)


@pytest.mark.parametrize(
    ("behind", "fires"),
    [
        ([dns_pod(is_ready=False), endpoints("kube-dns", {"coredns-1": False}, namespace="kube-system")], True),
        ([], True),
        ([dns_pod(is_ready=True), endpoints("kube-dns", {"coredns-1": True}, namespace="kube-system")], False),
        ([dns_pod(is_ready=False, age_s=10)], False),
        ([going("coredns-1", namespace="kube-system", labels={"k8s-app": "kube-dns"})], False),
        ([going("coredns-1", since_s=60, namespace="kube-system", labels={"k8s-app": "kube-dns"})], True),
    ],
    ids=["unready", "no pod", "well", "just restarted", "just deleted", "deleted a minute ago"],
)
def test_cluster_dns(behind: list[Manifest], fires: bool) -> None:
    causes = found(DNS, *behind)
    assert list(causes) == (["cluster-dns-down"] if fires else [])
    if fires:
        finding = causes["cluster-dns-down"]
        assert (finding.severity, finding.subject.name) == (Severity.CRITICAL, "kube-dns")
        assert first_command(finding) == ("kubectl -n kube-system get pods,endpointslices -l k8s-app=kube-dns -o wide")


def hints(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(service_hints.RULES, situation(*manifests))


def declaring(protocol: str, port: int) -> Manifest:
    return ready(container={"ports": [{"containerPort": port, "protocol": protocol}]})


@pytest.mark.parametrize(
    ("svc", "behind", "expected"),
    [
        (service(), declaring("TCP", 8080), None),
        (service(), declaring("TCP", 9090), "target-port-undeclared"),
        (service(), ready(), None),
        (service(ports=[{"port": 53, "protocol": "UDP"}]), declaring("TCP", 53), "port-protocol-mismatch"),
        (service(ports=[{"port": 53, "protocol": "UDP"}]), declaring("UDP", 53), None),
    ],
)
def test_ports_are_hints_only(svc: Manifest, behind: Manifest, expected: str | None) -> None:
    causes = hints(svc, behind, endpoints("web", {"web-1": True}))
    assert list(causes) == ([expected] if expected else [])
    assert all(cause.severity is Severity.INFO for cause in causes.values())


def balancer(age_s: float = 600, *, address: str = "") -> Manifest:
    made = service(type="LoadBalancer", age_s=age_s)
    made["status"] = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
    return made


FAILED = event("Service/web", "SyncLoadBalancerFailed", "Error syncing load balancer: quota exceeded", age_s=60)


@pytest.mark.parametrize(
    ("manifests", "severity"),
    [
        ((balancer(), FAILED), Severity.WARNING),
        ((balancer(),), Severity.INFO),
        ((balancer(60), FAILED), None),
        ((balancer(address="192.0.2.7"), FAILED), None),
    ],
    ids=["failing", "nobody tries", "young", "recovered, stale event"],
)
def test_load_balancer(manifests: tuple[Manifest, ...], severity: Severity | None) -> None:
    finding = hints(*manifests).get("load-balancer-pending")
    assert (finding.severity if finding else None) is severity
    if finding:
        assert first_command(finding) == "kubectl -n shop describe service web"


@pytest.mark.parametrize(
    ("policy", "serving", "fires"),
    [
        ({"internalTrafficPolicy": "Local"}, "node-1", True),
        ({"internalTrafficPolicy": "Cluster"}, "node-1", False),
        ({"externalTrafficPolicy": "Local", "type": "NodePort"}, "node-1", False),
        ({"externalTrafficPolicy": "Local", "type": "LoadBalancer"}, "node-1", False),
    ],
)
def test_local_traffic(policy: dict[str, Any], serving: str, fires: bool) -> None:
    slices = endpoints("web", {"web-1": True}, node=serving)
    finding = hints(service(**policy), slices, ready(), node("node-1"), node("node-2")).get("local-traffic-gap")
    assert (finding is not None) is fires
    if finding:
        assert finding.severity is Severity.INFO
        assert "1 of 2 nodes" in finding.title


CLASH = event("Service/web", "PortAlreadyAllocated", "Port 30080 was assigned to multiple services", age_s=60)
NODE_PORT = [{"port": 80, "targetPort": 8080, "nodePort": 30080}]


@pytest.mark.parametrize(
    ("others", "said", "fires"),
    [
        ([service("shop", ports=NODE_PORT, selector={})], CLASH, True),
        ([], CLASH, False),
        ([service("shop", ports=NODE_PORT, selector={})], {**CLASH, "lastTimestamp": ago(900)}, False),
    ],
    ids=["shared", "the other is gone", "old event"],
)
def test_shared_node_port(others: list[Manifest], said: Manifest, fires: bool) -> None:
    finding = hints(service(ports=NODE_PORT), *others, said).get("service-allocation")
    assert (finding is not None) is fires
    if finding:
        assert any("shop/shop" in line.text and line.mark is Mark.SUPPORTS for line in finding.evidence)
