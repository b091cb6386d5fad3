"""Ingresses, nameservers, policies and addresses that lead nowhere."""

from typing import Any

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import addresses, network, services
from situation.findings import Layer, Severity
from situation.kinds import BY_NAME
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from tests.build import NOW, Manifest, made, meta, pod, situation
from tests.diagnosis.objects import causes_of, endpoints, first_command, service, workload

RULES = network.RULES + addresses.RULES

KUBERNETES = service("kubernetes", namespace="default", selector={})
DNS = service("kube-dns", namespace="kube-system", labels={"k8s-app": "kube-dns"}, clusterIP="10.96.0.10")


def namespace(name: str) -> Manifest:
    return {"kind": "Namespace", "metadata": meta(name, ""), "status": {"phase": "Active"}}


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(RULES, situation(KUBERNETES, DNS, namespace("shop"), namespace("dev"), *manifests))


def ingress(
    name: str = "orders", port: Manifest | None = None, *, age_s: float = 600, address: bool = True
) -> Manifest:
    backend = {"service": {"name": name, "port": port or {"number": 80}}}
    return {
        "kind": "Ingress",
        "metadata": meta("front", age_s=age_s),
        "spec": {"rules": [{"host": "shop.example", "http": {"paths": [{"path": "/o", "backend": backend}]}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}] if address else []}},
    }


ORDERS = service("orders", ports=[{"name": "http", "port": 80, "targetPort": 8080}])


@pytest.mark.parametrize(
    ("manifest", "present", "title", "severity"),
    [
        (ingress(), [], "front leads to Service orders, which does not exist", Severity.WARNING),
        (ingress(port={"number": 81}), [ORDERS], "front leads to Service orders port 81, which", Severity.WARNING),
        (ingress(port={"name": "web"}), [ORDERS], "front leads to Service orders port web, which", Severity.WARNING),
        (ingress(address=False), [ORDERS], "front has no address: no controller has taken it", Severity.INFO),
    ],
)  # fmt: skip
def test_ingresses_that_lead_nowhere(
    manifest: Manifest, present: list[Manifest], title: str, severity: Severity
) -> None:
    finding = found(manifest, *present)["ingress-backend-missing"]
    assert finding.title.startswith(title)
    assert (finding.severity, finding.layer) == (severity, Layer.NETWORK)
    assert finding.subject == Ref("Ingress", "shop", "front")
    expected = "get services" if severity is Severity.WARNING else "describe ingress front"
    assert first_command(finding) == f"kubectl -n shop {expected}"


@pytest.mark.parametrize(
    ("manifest", "present"),
    [
        (ingress(), [ORDERS]),
        (ingress(port={"name": "http"}), [ORDERS]),
        (ingress(age_s=20), []),
        (ingress(address=False, age_s=100), [ORDERS]),
        (ingress(), [service("orders", type="ExternalName", ports=[])]),
        (ingress("ssl-redirect", {"name": "use-annotation"}), [ORDERS]),
        (ingress("orders", {"name": "use-annotation"}), [ORDERS]),
    ],
    ids=["well", "named port", "young", "no address yet", "alias", "action of a load balancer", "weighted Service"],
)
def test_ingresses_that_are_fine(manifest: Manifest, present: list[Manifest]) -> None:
    assert not found(manifest, *present)


def test_services_that_were_not_read_accuse_no_ingress() -> None:
    assert not causes_of(RULES, situation(service("other", namespace="dev"), ingress()))


@pytest.mark.parametrize(
    ("value", "fires"),
    [
        ("orders:80", False),
        ("http://orders.shop.svc.cluster.local:80/v1", False),
        ("orders.shop:80", False),
        ("orders:8080", True),
        ("http://orders.shop.svc:8080/v1", True),
        ("order:80", True),
        ("orders.dev.svc.cluster.local:80", True),
        ("db.example.com:5432", False),
        ("api.github.com:443", False),
        ("localhost:8080", False),
        ("0.0.0.0:8080", False),
        ("10.0.0.7:5432", False),
        ("headless:9092", False),
        ("kafka-0.headless:9092", False),
        ("kafka-0.kafka:9092", False),
        ("postgres:16", False),
    ],
)
def test_addresses_in_the_environment(value: str, fires: bool) -> None:
    caller = workload("caller", env={"ORDERS_ADDR": value})
    causes = found(ORDERS, service("headless", clusterIP="None"), caller)
    assert list(causes) == (["env-address-deployment"] if fires else [])
    if fires:
        finding = causes["env-address-deployment"]
        assert (finding.severity, finding.layer) == (Severity.INFO, Layer.APPLICATION)
        assert finding.subject.kind == "Service"
        assert finding.members == (Ref("Deployment", "shop", "caller"),)
        assert finding.title.startswith("caller refers to ")
        assert first_command(finding) == "kubectl -n shop set env deployment/caller --list"


def test_addresses_of_a_workload_that_is_young_off_or_another_kind() -> None:
    wrong = {"ORDERS_ADDR": "orders:8080"}
    assert not found(ORDERS, workload("caller", env=wrong, age_s=20))
    assert not found(ORDERS, workload("caller", env=wrong, replicas=0))
    assert list(found(ORDERS, workload("caller", kind="StatefulSet", env=wrong))) == ["env-address-statefulset"]


def resolving(
    *nameservers: str, policy: str = "None", env: dict[str, str] | None = None, kind: str = "Deployment"
) -> Manifest:
    spec = {"dnsPolicy": policy, "dnsConfig": {"nameservers": list(nameservers)}}
    return workload("caller", kind=kind, pod_spec=spec, env=env)


@pytest.mark.parametrize(
    ("manifest", "severity"),
    [
        (resolving("8.8.8.8", env={"A": "orders:80"}), Severity.WARNING),
        (resolving("8.8.8.8"), Severity.INFO),
        (resolving("10.96.0.10"), None),
        (resolving("169.254.20.10"), None),
        (resolving("8.8.8.8", policy="ClusterFirst"), None),
    ],
    ids=["needs a Service", "perhaps meant", "the cluster's", "cache on the node", "in addition"],
)
def test_foreign_nameservers(manifest: Manifest, severity: Severity | None) -> None:
    finding = found(ORDERS, manifest).get("foreign-nameserver-deployment")
    assert (finding.severity if finding else None) is severity
    if finding:
        assert first_command(finding).startswith("kubectl -n shop get deployment caller -o 'jsonpath=")


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_foreign_nameservers_of_other_workloads(kind: str) -> None:
    env = {"A": "orders:80"}
    assert f"foreign-nameserver-{kind.lower()}" in found(ORDERS, resolving("8.8.8.8", env=env, kind=kind))
    assert not found(ORDERS, resolving("10.96.0.10", env=env, kind=kind))


def policy(name: str = "deny", *egress: Manifest, selector: Manifest | None = None, types: str = "Egress") -> Manifest:
    return {
        "kind": "NetworkPolicy",
        "metadata": meta(name),
        "spec": {"podSelector": selector or {}, "policyTypes": [types], "egress": list(egress)},
    }


DNS_PORT = {"ports": [{"protocol": "UDP", "port": 53}]}
TO_DB = {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}


@pytest.mark.parametrize(
    ("manifests", "fires"),
    [
        ([policy(), pod()], True),
        ([policy("db", TO_DB), pod()], True),
        ([policy("https", {"ports": [{"port": 443}]}), pod()], True),
        ([policy("dns", DNS_PORT), pod()], False),
        ([policy("range", {"ports": [{"port": 1, "endPort": 100}]}), pod()], False),
        ([policy("all", {}), pod()], False),
        ([policy("out", {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}), pod()], False),
        ([policy(), policy("dns", DNS_PORT), pod()], False),
        ([policy(), policy("dns", DNS_PORT, selector={"matchLabels": {"app": "db"}}), pod()], True),
        ([policy(types="Ingress"), pod()], False),
        ([policy()], False),
        ([policy(), pod(spec={"hostNetwork": True})], False),
    ],
    ids=[
        "deny all", "only to one app", "only 443", "opens 53", "range", "opens all", "any address",
        "another policy opens 53", "but for others", "ingress only", "selects nobody", "host network",
    ],
)  # fmt: skip
def test_policies_without_a_way_to_dns(manifests: list[Manifest], fires: bool) -> None:
    causes = found(*manifests)
    assert list(causes) == (["egress-without-dns"] if fires else [])
    if fires:
        assert causes["egress-without-dns"].severity is Severity.INFO
        assert first_command(causes["egress-without-dns"]) == "kubectl -n shop get networkpolicies -o yaml"


@pytest.mark.parametrize(
    ("opened", "answers", "fires"),
    [(5353, None, False), (5353, 53, True), (5353, 5353, False), (1053, 1053, False), (53, 1053, False),
     (9153, 53, True)],
    ids=["OpenShift", "port of another cluster", "a Service that maps 53", "a port of its own", "and 53", "metrics"],
)  # fmt: skip
def test_a_policy_opens_the_port_that_dns_pods_answer_on(opened: int, answers: int | None, fires: bool) -> None:
    manifests = [policy("dns", {"ports": [{"protocol": "UDP", "port": opened}]}), pod()]
    if answers is not None:
        ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "metrics", "port": 9153}]
        named = [{"name": "dns", "port": answers, "protocol": "UDP"}, {"name": "metrics", "port": 9153}]
        manifests += [
            service("kube-dns", namespace="kube-system", ports=ports, labels={"k8s-app": "kube-dns"}),
            endpoints("kube-dns", {"coredns-1": True}, namespace="kube-system", ports=named),
        ]
    assert ("egress-without-dns" in found(*manifests)) is fires


def test_a_service_that_goes_makes_its_callers_be_judged_again() -> None:
    known = situation(KUBERNETES, namespace("shop"), ORDERS, ingress(), workload("caller", env={"A": "orders:80"}))
    engine = Engine(RULES)
    assert not engine.judge(known, (), NOW).causes
    source = BY_NAME["services"].source
    changes = known.apply(Reading(source, SourceState.LIVE, NOW, Changed("services", removed=(("shop", "orders"),))))
    found_now = {cause.rule for cause in engine.judge(known, changes, NOW).causes}
    assert found_now == {"ingress-backend-missing", "env-address-deployment"}


def test_a_policy_that_opens_dns_clears_the_others() -> None:
    known = situation(KUBERNETES, policy(), pod())
    engine = Engine(RULES)
    assert engine.judge(known, (), NOW).causes
    changed = Changed("networkpolicies", (made(policy("dns", DNS_PORT)),))
    changes = known.apply(Reading(BY_NAME["networkpolicies"].source, SourceState.LIVE, NOW, changed))
    assert not engine.judge(known, changes, NOW).causes


def test_a_hint_explains_no_fault() -> None:
    unready = pod("caller-1", labels={"app": "caller"}, owner="Deployment/caller", ready=False)
    known = situation(
        KUBERNETES,
        namespace("shop"),
        ORDERS,
        service("caller"),
        endpoints("caller", {"caller-1": False}),
        workload("caller", env={"A": "orders:81"}),
        unready,
    )
    causes = causes_of(RULES + services.RULES, known)
    assert causes["no-ready-endpoint"].severity is Severity.WARNING
    assert not causes["env-address-deployment"].consequences
