"""Services, webhooks, Ingresses and addresses that lead somewhere again, mostly because something else changed."""

from typing import Final

import pytest

from tests.build import event, node, pod
from tests.diagnosis.objects import endpoints, service, workload
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_istio_kserve import BEHIND, pool, route
from tests.diagnosis.test_network import DNS, DNS_PORT, KUBERNETES, ingress, namespace, policy, resolving
from tests.diagnosis.test_network import ORDERS as ORDERS_SERVICE
from tests.diagnosis.test_services import (
    CLASH,
    FAILED,
    NAMED,
    NODE_PORT,
    ORDERS,
    ORDERS_POD,
    balancer,
    declaring,
    dns_pod,
    ready,
    unready,
)
from tests.diagnosis.test_services import DNS as DNS_OF_PODS
from tests.diagnosis.test_webhooks import EMPTY, GUARD, configuration, guard_pod

CLUSTER: Final = [KUBERNETES, DNS, namespace("shop"), namespace("dev"), pod("dns", namespace="kube-system",
                  labels={"app": "kube-dns"}), endpoints("kube-dns", {"dns": True}, namespace="kube-system"),
                  node()]  # fmt: skip
"""A cluster whose DNS works."""
NOT_READY: Final = [service(), endpoints("web", {"web-1": False}), unready(owner="Deployment/web")]
READY: Final = [endpoints("web", {"web-1": True}), ready(owner="Deployment/web")]
WEBHOOKS: Final = {
    "validating-webhook-down": "ValidatingWebhookConfiguration",
    "mutating-webhook-down": "MutatingWebhookConfiguration",
}
LLM: Final = [service("llm", ports=[{"port": 80, "targetPort": 8000}]), BEHIND[1],
              endpoints("llm", {"llm-1": True})]  # fmt: skip
WRONG: Final = {"ORDERS_ADDR": "orders:8080"}
RIGHT_PORT: Final = service("orders", ports=[{"name": "http", "port": 8080, "targetPort": 8080}])
BEHIND_ORDERS: Final = [pod("orders-1", labels={"app": "orders"}), endpoints("orders", {"orders-1": True})]
SAME_ADDRESS: Final = event(
    "Service/web",
    "ClusterIPAlreadyAllocated",
    "Cluster IP 10.96.0.20 was assigned to multiple services; please recreate service",
    age_s=60,
)


def webhook_down(rule: str, kind: str) -> tuple[Case, ...]:
    """Return the ways out of a webhook that nobody answers."""
    before = [KUBERNETES, configuration(kind=kind), GUARD, EMPTY, guard_pod()]
    back = [endpoints("guard", {"guard-1": True}), guard_pod(ready=True)]
    return (
        Case(rule, before, back, name="its backend is back"),
        Case(rule, before, [configuration(kind=kind, policy="Ignore")], name="it may fail now",
             left=frozenset({"no-ready-endpoint", "not-ready"})),
        Case(rule, [KUBERNETES, configuration(kind=kind), *back], [GUARD], name="its Service was made"),
        Case(rule, [KUBERNETES, configuration(kind=kind)], [gone(kind, "guard", "")], name="it was removed"),
    )  # fmt: skip


def env(rule: str, kind: str) -> tuple[Case, ...]:
    caller = workload("caller", kind=kind, env=WRONG)
    calls = [*CLUSTER, ORDERS_SERVICE, *BEHIND_ORDERS, caller]
    return (
        Case(rule, calls, [RIGHT_PORT], name="the Service has that port"),
        Case(rule, calls, [workload("caller", kind=kind, env={"ORDERS_ADDR": "orders:80"})], name="edited"),
    )


CASES: Final = (
    *(case for rule, kind in WEBHOOKS.items() for case in webhook_down(rule, kind)),
    Case("no-ready-endpoint", NOT_READY, READY),
    Case("no-ready-endpoint", NOT_READY, [gone("Service", "web")], name="nobody asks",
         left=frozenset({"not-ready"})),
    Case("endpoints-not-updated", [service(), endpoints("web"), ready()], [endpoints("web", {"web-1": True})]),
    Case("endpoints-not-updated", [service(), ready()], [endpoints("web", {"web-1": True})], name="no slice yet"),
    Case("named-port-missing", [service(ports=NAMED), endpoints("web", {"web-1": True}, ports=[]),
                                ready(container={"ports": [{"name": "web", "containerPort": 8080}]})],
         [ready(container={"ports": [{"name": "http", "containerPort": 8080}]}), endpoints("web", {"web-1": True})],
         name="the pods define it"),
    Case("named-port-missing", [service(ports=NAMED), endpoints("web", {"web-1": True}, ports=[]), ready()],
         [service(), endpoints("web", {"web-1": True})], name="the Service asks for another"),
    Case("cluster-dns-down", [DNS_OF_PODS, dns_pod(is_ready=False),
                              endpoints("kube-dns", {"coredns-1": False}, namespace="kube-system")],
         [dns_pod(is_ready=True), endpoints("kube-dns", {"coredns-1": True}, namespace="kube-system")]),
    Case("selector-matches-nothing", [ORDERS, endpoints("orders"), workload("orders"), ORDERS_POD],
         [service("orders"), endpoints("orders", {"orders-1": True})], name="selector edited"),
    Case("selector-matches-nothing", [ORDERS, endpoints("orders"), workload("orders"), ORDERS_POD],
         [pod("orders-1", labels={"app": "orders-v2"}, owner="Deployment/orders"),
          endpoints("orders", {"orders-1": True})], name="labels edited"),
    Case("ingress-backend-missing", [*CLUSTER, ingress()], [ORDERS_SERVICE, *BEHIND_ORDERS], name="Service made"),
    Case("ingress-backend-missing", [*CLUSTER, ORDERS_SERVICE, *BEHIND_ORDERS, ingress(port={"number": 81})],
         [service("orders", ports=[{"port": 81, "targetPort": 8080}])], name="port added"),
    Case("egress-without-dns", [*CLUSTER, policy(), pod()], [policy("dns", DNS_PORT)], name="another policy opens it"),
    Case("egress-without-dns", [*CLUSTER, policy(), pod()], [gone("Pod", "web-1")], name="it selects nobody"),
    Case("service-allocation", [service(ports=NODE_PORT), service("shop", ports=NODE_PORT, selector={}), CLASH,
                                ready(), endpoints("web", {"web-1": True})],
         [service("shop", selector={})], name="the other gave its port up"),
    Case("service-allocation", [service(), service("shop", selector={}), SAME_ADDRESS, *READY],
         [gone("Service", "shop")], name="the other one with its address is gone"),
    Case("load-balancer-pending", [balancer(), FAILED, *READY], [balancer(address="192.0.2.7")]),
    Case("port-protocol-mismatch", [service(ports=[{"port": 53, "protocol": "UDP"}]), declaring("TCP", 53),
                                    endpoints("web", {"web-1": True})],
         [service(ports=[{"port": 53, "protocol": "TCP"}])]),
    Case("target-port-undeclared", [service(), declaring("TCP", 9090), endpoints("web", {"web-1": True})],
         [declaring("TCP", 8080)], name="the pods declare it"),
    Case("local-traffic-gap", [service(internalTrafficPolicy="Local"), endpoints("web", {"web-1": True}), ready(),
                               node(), node("node-2")], [gone("Node", "node-2", "")], name="the node is gone"),
    Case("local-traffic-gap", [service(internalTrafficPolicy="Local"), endpoints("web", {"web-1": True}), ready(),
                               node(), node("node-2")], [service()], name="edited"),
    *(case for kind in ("Deployment", "StatefulSet")
      for case in env(f"env-address-{kind.lower()}", kind)),
    *(Case(f"foreign-nameserver-{kind.lower()}", [*CLUSTER, ORDERS_SERVICE, *BEHIND_ORDERS,
           resolving("8.8.8.8", env={"A": "orders:80"}, kind=kind)],
           [resolving("10.96.0.10", env={"A": "orders:80"}, kind=kind)])
      for kind in ("Deployment", "StatefulSet", "DaemonSet")),
    Case("foreign-nameserver-deployment", [*CLUSTER, ORDERS_SERVICE, *BEHIND_ORDERS,
         resolving("10.96.0.11", env={"A": "orders:80"})],
         [service("kube-dns", namespace="kube-system", labels={"k8s-app": "kube-dns"}, clusterIP="10.96.0.11")],
         name="the cluster's DNS is there"),
    Case("istio-route-timeout", [route("15s"), *LLM], [route("300s")], name="raised"),
    Case("istio-route-timeout", [route("15s"), *LLM], [gone("Pod", "llm-1")], name="no server behind it"),
    Case("istio-connection-pool", [pool(tcp={"maxConnections": 100}), *LLM], [pool(tcp={"maxConnections": 1000})],
         name="raised"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
