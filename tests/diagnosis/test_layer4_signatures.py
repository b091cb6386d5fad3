"""All 15 fault signatures of the control plane (L4-01 to L4-15): which rules answer each, shown by all rules together.

Besides the catalogue's look-alikes that touch this layer: the same picture from two causes is told apart.
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import pytest

from diagnosis.catalogue import ALL, BY_ID
from diagnosis.commands import fact, kubectl
from diagnosis.engine import Engine, diagnose
from diagnosis.rule import Fired, Verdict, rule
from diagnosis.rules import api_latency, leader_changes
from situation.api_server import ApiServerPage, ListKey
from situation.certificates import Certificate
from situation.findings import Finding, Layer, LayerState, Severity
from situation.kinds import WATCHED
from situation.meta import Ref
from situation.readings import OwnLoad, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, event, meta, node, pod, situation
from tests.diagnosis.api_pages import alive, certified, grown, scraped, took, unready
from tests.diagnosis.healthy import HEALTHY
from tests.diagnosis.objects import endpoints, lease, ready_condition, service, workload
from tests.diagnosis.test_webhooks import KUBERNETES, configuration

FROM_ETCD: Final = {
    "L4-01": ("etcd-no-space", "etcd-quota", "etcd-fragmented"),
    "L4-02": ("etcd-quorum-lost", "etcd-no-leader", "etcd-member-down"),
    "L4-03": ("etcd-slow-fsync", "etcd-slow-commit", "etcd-slow-peers", "etcd-elections"),
    "L4-15": ("etcd-corrupt",),
}
"""Rules that rest on what etcd's members say; tested with a real etcd elsewhere. Here only that they carry the row."""
CONTROL: Final = {"node-role.kubernetes.io/control-plane": ""}
API_LEASE: Final = lease("apiserver-abc", age_s=5)
OLD: Final = took(0.004, 5000)


class Row(NamedTuple):
    """One signature, what shows it, and which rule says so."""

    signature: str
    rule: str
    known: Situation
    layer: Layer = Layer.CONTROL_PLANE


def silent(error: str, state: SourceState = SourceState.UNREACHABLE) -> Situation:
    known = situation()
    for kind in WATCHED:
        known.apply(Reading(kind.source, state, NOW, error=error))
    return known


def refused(text: str) -> Manifest:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text,
               "lastTransitionTime": ago(300)}  # fmt: skip
    return {"kind": "ReplicaSet", "metadata": meta("web-r"), "spec": {"replicas": 2},
            "status": {"replicas": 0, "conditions": [failure]}}  # fmt: skip


CALLING: Final = (
    'Internal error occurred: failed calling webhook "pods.guard.io": failed to call webhook: Post '
    '"https://guard.shop.svc:443/": context deadline exceeded'
)
NOT_OBSERVED: Final = {**workload("web", age_s=90), "status": {"observedGeneration": 0}}


def ends(name: str, days: float) -> Certificate:
    return Certificate(
        name, f"/etc/kubernetes/pki/{name}.crt", NOW + timedelta(days=days), NOW - timedelta(days=300), node="cp-1"
    )


def slow_etcd() -> Situation:
    pages = grown({"etcd_durations": {"update": OLD}}, {"etcd_durations": {"update": took(0.4, 200, OLD)}})
    return scraped(situation(), *pages)


def slow_lists() -> Situation:
    key = ListKey("batch", "jobs", "cluster")
    return scraped(situation(), *grown({"lists": {key: OLD}}, {"lists": {key: took(40, 20, OLD)}}))


def rejecting() -> Situation:
    pages = grown({"rejected": {"global-default": 5.0}}, {"rejected": {"global-default": 90.0}})
    return scraped(situation(), *pages)


def gone(name: str) -> Manifest:
    return node(name, conditions=ready_condition("Unknown", message="Kubelet stopped posting node status."))


def stuck() -> Manifest:
    held = {"type": "NamespaceFinalizersRemaining", "status": "True", "reason": "SomeFinalizersRemain"}
    return {"kind": "Namespace", "metadata": meta("old", "", age_s=9000, deletionTimestamp=ago(900)),
            "status": {"phase": "Terminating", "conditions": [held]}}  # fmt: skip


def erring(text: str) -> Situation:
    known = situation()
    known.apply(Reading("kubernetes/clusterpolicies", SourceState.UNREACHABLE, NOW, error=text))
    return known


ROWS: Final = (
    Row("L4-01", "etcd-large-second-hand", scraped(situation(), ApiServerPage(storage_bytes=2_000_000_000))),
    Row("L4-01", "etcd-unavailable", unready(situation(), "etcd", "etcd-readiness")),
    Row("L4-02", "etcd-unavailable", unready(situation(), "etcd", "etcd-readiness")),
    Row("L4-03", "etcd-slow-second-hand", slow_etcd()),
    Row("L4-04", "api-unreachable", silent("cannot connect to https://10.0.0.1:6443: connection refused")),
    Row("L4-04", "api-not-ready", unready(situation(), "informer-sync")),
    Row("L4-05", "api-overloaded", silent("429 Too many requests, please try again later.")),
    Row("L4-05", "api-requests-rejected", rejecting()),
    Row("L4-05", "api-slow-lists", slow_lists()),
    Row("L4-06", "webhook-unreachable", situation(KUBERNETES, configuration(), refused(CALLING))),
    Row("L4-06", "validating-webhook-down",
        situation(KUBERNETES, configuration(), service("guard"), endpoints("guard"))),
    Row("L4-07", "webhook-denies",
        situation(refused('admission webhook "pods.guard.io" denied the request: no limits')), Layer.APPLICATION),
    Row("L4-08", "aggregated-api-down",
        scraped(situation(), *[ApiServerPage(unavailable_apis=("v1beta1.metrics.k8s.io",))] * 2)),
    Row("L4-09", "scheduler-down", situation(API_LEASE, lease("kube-scheduler", age_s=300))),
    Row("L4-10", "controller-manager-down", situation(API_LEASE, lease("kube-controller-manager", age_s=300))),
    Row("L4-10", "deployment-not-observed", situation(NOT_OBSERVED)),
    Row("L4-11", "certificate-expired", certified(situation(), ends("apiserver", -1))),
    Row("L4-11", "certificate-expires", certified(situation(), ends("apiserver", 20))),
    Row("L4-11", "api-certificate", silent("x509: certificate has expired or is not yet valid")),
    Row("L4-11", "credentials-refused", silent("401 Unauthorized", SourceState.UNAUTHORIZED)),
    Row("L4-11", "nodes-down-together", situation(gone("a"), gone("b"))),
    Row("L4-12", "namespace-stuck", situation(stuck())),
    Row("L4-13", "conversion-webhook-failing",
        erring("500: conversion webhook for nvidia.com/v1, Kind=ClusterPolicy failed: connection refused")),
    Row("L4-14", "object-too-large",
        situation(event("ConfigMap/big", "FailedSync", "Error updating: etcdserver: request is too large"))),
)  # fmt: skip


def everything(known: Situation) -> dict[str, Finding]:
    return {item.rule: item for cause in diagnose(known, NOW).causes for item in (cause, *cause.consequences)}


def test_every_signature_has_a_rule() -> None:
    wanted = {f"L4-{number:02}" for number in range(1, 16)}
    assert {row.signature for row in ROWS} | FROM_ETCD.keys() == wanted
    carried = {signature for rule in ALL for signature in rule.signature.split()}
    assert wanted - FROM_ETCD.keys() <= carried


@pytest.mark.parametrize("signature", FROM_ETCD)
def test_rules_about_members_carry_their_row(signature: str) -> None:
    for name in FROM_ETCD[signature]:
        assert name not in BY_ID or signature in BY_ID[name].signature.split()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.signature} {row.rule}")
def test_which_rule_finds_it(row: Row) -> None:
    assert row.signature in BY_ID[row.rule].signature.split()
    found = everything(row.known)
    assert row.rule in found, sorted(found)
    assert found[row.rule].layer is row.layer


def healthy() -> Situation:
    """Return the healthy cluster with an API server that tells all it can, and nothing bad."""
    known = alive(situation(*HEALTHY))
    both: dict[str, Any] = {
        "in_flight": {"readOnly": 12.0, "mutating": 3.0}, "rejected": {"global-default": 77.0}, "watches": 900.0,
        "objects": {"pods": 9000, "configmaps": 4000}, "storage_bytes": 400_000_000, "terminated": 12.0,
        "open_files": 1400, "max_files": 20_000, "webhook_failures": {"guard.io": 4.0},
    }  # fmt: skip
    key = ListKey("", "pods", "cluster")
    grown_pages = grown(
        {"durations": {"GET": OLD, "POST": OLD}, "lists": {key: OLD}, "etcd_durations": {"get": OLD}},
        {"durations": {"GET": took(0.01, 900, OLD), "POST": took(0.04, 300, OLD)},
         "lists": {key: took(1.5, 9, OLD)}, "etcd_durations": {"get": took(0.004, 999, OLD)}},
        **both,
    )  # fmt: skip
    scraped(known, *grown_pages)
    known.apply(Reading("midwatch/load", SourceState.LIVE, NOW, OwnLoad(latency_s=0.02, throttled=0)))
    return certified(known, ends("apiserver", 200), ends("etcd-server", 200), ends("kubelet-client", 60))


def test_a_healthy_control_plane_gives_no_finding() -> None:
    assert [f"{cause.key}: {cause.title}" for cause in diagnose(healthy(), NOW).causes] == []


UNHEALTHY: Final = event("Pod/web-1", "Unhealthy", "Readiness probe failed: Get http://10.0.0.9/: context deadline "
                         "exceeded", count=30)  # fmt: skip
EVICTION: Final = "429: Cannot evict pod as it would violate the pod's disruption budget."


@pytest.mark.parametrize(
    ("known", "cause", "consequence"),
    [
        (situation(gone("a"), gone("b")), "nodes-down-together", ""),
        (certified(situation(gone("a"), gone("b")), ends("apiserver", -1)), "certificate-expired",
         "nodes-down-together"),
        (unready(situation(gone("a"), gone("b")), "etcd"), "etcd-unavailable", "nodes-down-together"),
        (situation(NOT_OBSERVED), "deployment-not-observed", ""),
        (situation(NOT_OBSERVED, API_LEASE, lease("kube-controller-manager", age_s=300)), "controller-manager-down",
         "deployment-not-observed"),
        (situation(KUBERNETES, refused(CALLING)), "webhook-unreachable", ""),
    ],
    ids=["all nodes: nothing else known", "all nodes: certificates", "all nodes: etcd", "no pods: not looked at",
         "no pods: no controller", "deadline: a webhook"],
)  # fmt: skip
def test_what_looks_alike_is_told_apart(known: Situation, cause: str, consequence: str) -> None:
    causes = {item.rule: item for item in diagnose(known, NOW).causes}
    assert cause in causes, sorted(causes)
    assert not consequence or consequence in {item.rule for item in causes[cause].consequences}


@rule(
    "etcd-slow-fsync",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="nothing: it stands for the rule about etcd's members",
)
def slow_fsync(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd's disk is slow."""
    about = Ref("Etcd", "", "etcd")
    return Fired(about, "is slow", (fact("pods", "fsync p99 80 ms"),), (kubectl("get", "nodes", purpose="which?"),))


def test_what_a_slow_etcd_brings_about_folds_under_it() -> None:
    pages = grown({"durations": {"PUT": OLD}}, {"durations": {"PUT": took(12, 200, OLD)}})
    holders = [
        event("Lease/kube-scheduler", "LeaderElection", f"cp-{number} became leader", namespace="kube-system",
              type="Normal", age_s=60 * number + 60)
        for number in range(4)
    ]  # fmt: skip
    held = lease("kube-scheduler", age_s=2)
    held["spec"]["acquireTime"] = ago(60)
    known = scraped(situation(held, *holders), *pages)
    causes = Engine((slow_fsync, *api_latency.RULES, *leader_changes.RULES)).judge(known, (), NOW).causes
    assert [cause.rule for cause in causes] == ["etcd-slow-fsync"]
    assert {item.rule for item in causes[0].consequences} == {"api-slow-requests", "leaders-change-often"}
    assert causes[0].severity is Severity.CRITICAL, "leaders cannot renew their leases"


def test_a_probe_s_own_deadline_is_no_fault_of_the_control_plane() -> None:
    known = situation(pod("web-1", ready=False, container={"readinessProbe": {"httpGet": {"port": 80}}}), UNHEALTHY)
    assert {item.layer for item in diagnose(known, NOW).causes} == {Layer.APPLICATION}


def test_layer_4_says_which_certificates_could_not_be_judged() -> None:
    known = healthy()
    assert diagnose(known, NOW).layers[3].reason == ""
    unread = Certificate("etcd-peer", "/etc/kubernetes/pki/etcd/peer.crt", error="permission denied")
    layer = diagnose(certified(known, unread, source="control-plane/other-files"), NOW).layers[3]
    assert layer.status is LayerState.OK
    assert layer.reason == "1 certificate not readable, etcd-peer for one: permission denied"


def test_a_disruption_budget_s_429_is_no_overload() -> None:
    known = situation()
    known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, error=EVICTION))
    assert "api-overloaded" not in everything(known)


def test_an_old_watch_is_no_fault() -> None:
    assert not everything(erring("etcdserver: mvcc: required revision has been compacted"))


def test_a_certificate_that_will_expire_explains_nothing_that_is_broken() -> None:
    known = certified(situation(NOT_OBSERVED), ends("apiserver", 20))
    assert {item.rule for item in diagnose(known, NOW).causes} == {"certificate-expires", "deployment-not-observed"}
