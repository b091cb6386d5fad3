"""An object that could not be decoded does not count as one that does not exist, nor as one that is well."""

from datetime import timedelta
from typing import Final, NamedTuple

import pytest

from diagnosis.engine import RECHECK, Engine, diagnose
from situation.findings import Layer, LayerState, Severity
from situation.gpu.chain import BROKEN, node_chain
from situation.kinds import kind_of
from situation.meta import ObjectKey
from situation.readings import Changed, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, broken, meta, node, pod, situation
from tests.diagnosis.healthy import GROUPS, HEALTHY
from tests.diagnosis.objects import endpoints, service, workload
from tests.diagnosis.test_claims import claim, storage_class
from tests.diagnosis.test_claims import user as claim_user
from tests.diagnosis.test_control_plane import down, new_deployment
from tests.diagnosis.test_network import DNS, KUBERNETES, ingress, namespace, policy
from tests.diagnosis.test_services import OF_WEB, ORDERS, ORDERS_POD, TERMINATING, going
from tests.diagnosis.test_webhooks import GUARD, INJECTED, PLAIN, configuration, guard_pod, selecting
from tests.diagnosis.unscheduled import none_of, waiting, wants
from tests.gpu_objects import gpu_node, operand_sets, operands

NOT_FOUND: Final = '0/1 nodes are available: persistentvolumeclaim "data" not found.'
MOUNTS: Final = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}


def job(name: str, condition: str, age_s: float) -> Manifest:
    ended = {"type": condition, "status": "True", "lastTransitionTime": ago(age_s)}
    return {
        "kind": "Job",
        "metadata": meta(name, age_s=age_s + 60, owner="CronJob/report"),
        "spec": {},
        "status": {"conditions": [ended]},
    }


class Row(NamedTuple):
    """A rule that says that something is missing, and what it misses."""

    rule: str
    manifests: tuple[Manifest, ...]
    kind: str
    key: ObjectKey


SEES: Final = (KUBERNETES, namespace("shop"))
ROWS: Final = (
    Row("validating-webhook-down", (configuration(),), "services", ("shop", "guard")),
    Row(
        "validating-webhook-down",
        (configuration(), GUARD, endpoints("guard"), guard_pod(ready=True)),
        "endpointslices",
        ("shop", "guard-x2"),
    ),
    Row("ingress-backend-missing", (ingress(),), "services", ("shop", "orders")),
    Row(
        "env-address-deployment",
        (service("web"), workload("caller", env={"ORDERS_ADDR": "orders:8080"})),
        "services",
        ("shop", "orders"),
    ),
    Row(
        "env-address-deployment",
        (service("web"), namespace("kafka"), service("a", namespace="kafka"),
         workload("caller", env={"ADDR": "kafka-0.kafka:9092"})),
        "services",
        ("shop", "kafka"),
    ),
    Row(
        "storage-class-missing",
        (claim(storageClassName="fast"), claim_user(), storage_class("slow")),
        "storageclasses",
        ("", "fast"),
    ),
    Row("claim-missing", (waiting(NOT_FOUND, spec=MOUNTS),), "persistentvolumeclaims", ("shop", "data")),
    Row("selector-matches-nothing", (ORDERS, workload("orders"), ORDERS_POD), "pods", ("shop", "orders-v2")),
    Row("selector-matches-nothing", (ORDERS, workload("orders"), ORDERS_POD), "deployments", ("shop", "orders-v2")),
    Row("egress-without-dns", (policy(), pod("web-1")), "networkpolicies", ("shop", "dns")),
    Row("egress-without-dns", (policy(), pod("web-1")), "endpointslices", ("kube-system", "kube-dns-x1")),
    Row("scaled-to-zero", (service("web"), workload("web", replicas=0)), "deployments", ("shop", "web-primary")),
    Row("deployment-not-observed", (new_deployment(age_s=60),), "replicasets", ("shop", "web-1")),
    Row("nodes-down-together", (down("a", 300), down("b", 280)), "nodes", ("", "c")),
    Row("job-failed", (job("report-1", "Failed", 300),), "jobs", ("shop", "report-2")),
)  # fmt: skip


def told(known: Situation) -> set[str]:
    return {finding.rule for cause in diagnose(known, NOW).causes for finding in (cause, *cause.consequences)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}, {row.kind}")
def test_what_could_not_be_decoded_is_not_missing(row: Row) -> None:
    manifests = (*SEES, *row.manifests)
    elsewhere = ("elsewhere", row.key[1]) if row.key[0] else None
    assert row.rule in told(situation(*manifests))
    assert row.rule not in told(broken(situation(*manifests), row.kind, row.key))
    assert row.rule not in told(broken(situation(*manifests), row.kind)), "nobody knows which one it is"
    if elsewhere is not None:
        assert row.rule in told(broken(situation(*manifests), row.kind, elsewhere)), "it is known to be another"


@pytest.mark.parametrize("group", GROUPS)
def test_no_object_of_a_healthy_cluster_that_cannot_be_decoded_is_a_fault(group: str) -> None:
    for manifest in GROUPS[group]:
        kind = kind_of(manifest["kind"], manifest["metadata"].get("namespace", ""))
        assert kind is not None
        key = (manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])
        known = broken(situation(*HEALTHY), kind.name, key)
        assert told(known) == set(), f"{kind.kind} {key}"
        if kind.name != "events":
            assert any(layer.reason or layer.status is not LayerState.OK for layer in diagnose(known, NOW).layers), key


@pytest.mark.parametrize("desired", [1, 0], ids=["wanted", "a status that wants none"])
def test_no_operand_whose_pod_cannot_be_decoded_is_missing(desired: int) -> None:
    manifests = (gpu_node(), *operand_sets(desired), *operands())
    assert told(situation(*manifests)) == set()
    for item in operands():
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        known = broken(situation(*manifests), "pods", key)
        assert told(known) == set(), key
        (made,) = known.nodes.values()
        assert not any(link.state in BROKEN for link in node_chain(made, known, NOW).links), key


def test_the_cluster_dns_is_not_down_while_its_pods_and_slices_may_be_there() -> None:
    known = situation(KUBERNETES, DNS)
    assert "cluster-dns-down" in told(known)
    broken(known, "pods", ("kube-system", "coredns-1"))
    assert "cluster-dns-down" in told(known), "the slices alone tell that nobody is ready"
    broken(known, "endpointslices", ("kube-system", "kube-dns-x1"))
    assert "cluster-dns-down" not in told(known)


def test_a_workload_that_could_not_be_decoded_may_want_pods() -> None:
    known = situation(KUBERNETES, service("web"), TERMINATING, going(since_s=60, **OF_WEB))
    assert told(known) == set()
    assert told(broken(known, "deployments", ("shop", "other"))) == set()
    assert told(broken(known, "deployments", ("shop", "web"))) == {"no-ready-endpoint"}


def test_a_namespace_that_could_not_be_decoded_may_ask_for_a_webhook() -> None:
    known = situation(KUBERNETES, selecting(configuration(), **INJECTED), *PLAIN)
    (finding,) = diagnose(known, NOW).causes
    assert finding.severity is Severity.INFO
    (finding,) = diagnose(broken(known, "namespaces", ("", "dev")), NOW).causes
    assert finding.severity is Severity.CRITICAL
    assert finding.evidence[-1].text == "requests for pods in namespaces with inject=true are refused"


def test_with_a_node_unread_the_numbers_are_the_scheduler_s() -> None:
    pods = waiting(none_of(2, "2 node(s) didn't match Pod's node affinity/selector"), spec={"nodeSelector": {"a": "b"}})
    gpus = waiting(none_of(2, "2 Insufficient nvidia.com/gpu"), name="llm-2", container=wants(gpu="8"))
    titles = []
    for known in (situation(pods, gpus, node("n")), broken(situation(pods, gpus, node("n")), "nodes", ("", "m"))):
        titles.append(" ".join(cause.title for cause in diagnose(known, NOW).causes))
    assert "that no node has" in titles[0] and "no node offers any" in titles[0]
    assert "that no node has" not in titles[1] and "no node offers any" not in titles[1]
    assert "matches no node by its node selector or affinity" in titles[1]


def test_once_the_broken_object_is_gone_it_is_missing() -> None:
    known, engine = broken(situation(*SEES, configuration()), "services", ("shop", "guard")), Engine()
    assert not engine.judge(known, (), NOW).causes
    gone = Changed("services", removed=(("shop", "guard"),))
    changes = known.apply(Reading("kubernetes/services", SourceState.LIVE, NOW, gone))
    causes = engine.judge(known, changes, NOW + RECHECK + timedelta(seconds=1)).causes
    assert [cause.rule for cause in causes] == ["validating-webhook-down"]


@pytest.mark.parametrize(
    ("kind", "key", "layer"),
    [("storageclasses", ("", "fast"), Layer.SCHEDULING), ("nodeleases", ("kube-node-lease", "node-1"), Layer.NODE)],
)
def test_a_kind_that_rules_do_without_leaves_a_doubt_where_it_was_not_read_whole(
    kind: str, key: ObjectKey, layer: Layer
) -> None:
    reasons = {item.layer: item.reason for item in diagnose(broken(situation(*HEALTHY), kind, key), NOW).layers}
    assert [(at, reason) for at, reason in reasons.items() if reason] == [(layer, f"{kind}: 1 not read")]
