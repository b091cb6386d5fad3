"""Rollouts, Jobs, autoscalers and budgets: symptoms fold, and what was done on purpose is silent."""

from typing import Any

import pytest

from diagnosis.rule import Unknown, Wait
from diagnosis.rules import rollouts, rollouts_scaling
from playbooks.commands import Target, render
from situation.findings import Finding, Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import NOW, Manifest, ago, event, judged, made, meta, node, pod, situation

IDS = {rule.id for rule in rollouts.RULES}


def ours(*manifests: Manifest) -> list[Finding]:
    every = [item for cause in judged(*manifests).causes for item in (cause, *cause.consequences)]
    return [finding for finding in every if finding.rule in IDS]


def condition(kind: str, status: str, reason: str, message: str = "", age_s: float = 300) -> Manifest:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(age_s)}


STUCK = condition("Progressing", "False", "ProgressDeadlineExceeded", 'ReplicaSet "web-2" has timed out progressing.')


def deployment(ready: int = 1, *, stuck: bool = True, wants: int = 3, **over: Any) -> Manifest:
    labels = {"app": "web"}
    return {
        "kind": "Deployment",
        "metadata": meta("web", generation=2),
        "spec": {
            "replicas": wants,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}},
            **over.get("spec", {}),
        },
        "status": {
            "observedGeneration": 2,
            "readyReplicas": ready,
            "updatedReplicas": 1,
            "conditions": [STUCK] if stuck else [condition("Progressing", "True", "NewReplicaSetAvailable")],
            **over.get("status", {}),
        },
    }


def test_a_stuck_rollout_alone() -> None:
    [finding] = ours(deployment())
    assert (finding.title, finding.severity) == ("web is stuck in its rollout", Severity.WARNING)
    assert (finding.subject, finding.layer) == (Ref("Deployment", "shop", "web"), Layer.APPLICATION)
    assert render(finding.next[0], Target()) == "kubectl -n shop get rs -l app=web"
    assert ours(deployment(0))[0].severity is Severity.CRITICAL


@pytest.mark.parametrize(
    "healthy",
    [
        deployment(3, stuck=False),
        deployment(3, status={"updatedReplicas": 3}),
        deployment(spec={"paused": True}),
        deployment(wants=0),
        deployment(status={"observedGeneration": 1}),
    ],
    ids=["progressed", "complete", "paused", "zero", "not observed yet"],
)
def test_a_rollout_that_is_not_stuck(healthy: Manifest) -> None:
    assert "rollout-stuck" not in {item.rule for item in ours(healthy)}


def test_a_stuck_rollout_folds_under_what_refuses_its_pods() -> None:
    text = "pods is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    failure = condition("ReplicaFailure", "True", "FailedCreate", text)
    replicaset = {
        "kind": "ReplicaSet",
        "metadata": meta("web-2", owner="Deployment/web"),
        "spec": {"replicas": 2},
        "status": {"replicas": 0, "conditions": [failure]},
    }
    found = judged(deployment(), replicaset)
    [cause] = [cause for cause in found.causes if cause.rule == "quota-refused"]
    assert [item.rule for item in cause.consequences] == ["rollout-stuck"]


SERVICE = {"kind": "Service", "metadata": meta("shop-front"), "spec": {"selector": {"app": "web"}}}


def autoscaler(name: str = "web", *, least: int = 1, **over: Any) -> Manifest:
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta(name),
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web"},
            "minReplicas": least,
            "maxReplicas": 5,
        },
        "status": {"currentReplicas": 2, "conditions": over.get("conditions", [])},
    }


def primary(wants: int) -> Manifest:
    """Return the Deployment that Flagger runs in place of web."""
    labels = {"app": "web-primary"}
    return {
        "kind": "Deployment",
        "metadata": meta("web-primary"),
        "spec": {"replicas": wants, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
        "status": {"readyReplicas": wants},
    }


def test_scaled_to_zero_with_a_service() -> None:
    zero = deployment(0, stuck=False, wants=0)
    [finding] = ours(zero, SERVICE)
    assert finding.title == "web is scaled to zero, but Service shop-front points at it"
    assert finding.severity is Severity.INFO
    assert render(finding.next[0], Target()) == "kubectl -n shop get deployment web -o 'jsonpath={.spec.replicas}'"
    assert ours(zero, SERVICE, autoscaler(least=1))[0].rule == "scaled-to-zero"


@pytest.mark.parametrize(
    "others",
    [
        [],
        [{**SERVICE, "spec": {"selector": {"app": "other"}}}],
        [{**SERVICE, "spec": {}}],
        [SERVICE, pod("blue", labels={"app": "web"})],
        [SERVICE, autoscaler(least=0)],
        [SERVICE, autoscaler("keda-hpa-web")],
        [SERVICE, {**autoscaler(), "metadata": meta("scale", labels={"scaledobject.keda.sh/name": "web"})}],
        [SERVICE, primary(2)],
    ],
    ids=["no service", "another service", "no selector", "other pods behind it", "autoscaler at zero", "KEDA",
         "KEDA by a name of its own", "Flagger"],
)  # fmt: skip
def test_scaled_to_zero_on_purpose(others: list[Manifest]) -> None:
    assert ours(deployment(0, stuck=False, wants=0), *others) == []


def test_a_target_of_flagger_whose_copy_is_at_zero_too() -> None:
    assert [item.rule for item in ours(deployment(0, stuck=False, wants=0), SERVICE, primary(0))] == ["scaled-to-zero"]


@pytest.mark.parametrize("of_pods", [True, False])
def test_an_idle_revision_of_knative_is_at_zero_on_purpose(of_pods: bool) -> None:
    labels = {"app": "web", "serving.knative.dev/revision": "web-00001"}
    revision = deployment(0, stuck=False, wants=0)
    of = revision["spec"]["template"] if of_pods else revision
    of["metadata"] = {**of["metadata"], "labels": labels}
    known = situation(revision, SERVICE, missing={"horizontalpodautoscalers": SourceState.STARTING})
    assert isinstance(rollouts.scaled_to_zero.judge(made(revision), known, NOW), Wait)


def test_scaled_to_zero_asks_for_autoscalers_first() -> None:
    zero = deployment(0, stuck=False, wants=0)
    known = situation(zero, SERVICE, missing={"horizontalpodautoscalers": SourceState.STARTING})
    verdict = rollouts.scaled_to_zero.judge(made(zero), known, NOW)
    assert isinstance(verdict, Unknown)
    assert verdict.wants == "horizontalpodautoscalers"


def job(name: str = "import", *, age_s: float = 900, owner: str = "", end: Manifest | None = None) -> Manifest:
    failed = condition("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    return {
        "kind": "Job",
        "metadata": meta(name, owner=owner, age_s=age_s),
        "status": {"failed": 3, "conditions": [end or failed]},
    }


COMPLETE = condition("Complete", "True", "CompletionsReached")


def failed_pod(**status: Any) -> Manifest:
    end = {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": ago(310)}}
    return pod(
        "import-x", owner="Job/import", phase="Failed", ready=False, status=status, container_status={"state": end}
    )


def test_a_failed_job() -> None:
    [finding] = ours(job(), failed_pod())
    assert (finding.title, finding.severity) == ("import failed: its pods failed too often", Severity.WARNING)
    assert finding.subject == Ref("Job", "shop", "import")
    assert "import-x: container app exit 3 (Error)" in [line.text for line in finding.evidence]
    assert render(finding.next[0], Target()) == "kubectl -n shop logs job/import --all-containers --tail=100"


@pytest.mark.parametrize(
    ("end", "title", "severity"),
    [
        (condition("Failed", "True", "DeadlineExceeded"), "failed: it ran longer than its deadline", Severity.WARNING),
        (condition("Failed", "True", "New"), "failed: New", Severity.WARNING),
        (
            condition("Failed", "True", "BackoffLimitExceeded", age_s=7 * 3600),
            "failed: its pods failed too often",
            Severity.INFO,
        ),
    ],
)
def test_how_a_job_failed(end: Manifest, title: str, severity: Severity) -> None:
    [finding] = ours(job(end=end))
    assert (finding.title, finding.severity) == (f"import {title}", severity)


@pytest.mark.parametrize("end", [COMPLETE, condition("Suspended", "True", "JobSuspended")])
def test_a_job_that_did_not_fail(end: Manifest) -> None:
    assert ours(job(end=end), event("Job/import", "BackoffLimitExceeded", "old")) == []


def test_a_cron_job_that_works_again_is_silent() -> None:
    failed = job("night-1", owner="CronJob/night")
    [finding] = ours(failed)
    assert finding.subject == Ref("CronJob", "shop", "night")
    assert ours(failed, job("night-2", owner="CronJob/night", age_s=60, end=COMPLETE)) == []
    assert len(ours(failed, job("night-0", owner="CronJob/night", age_s=1800, end=COMPLETE))) == 1
    assert len(ours(failed, job("other-2", owner="CronJob/other", age_s=60, end=COMPLETE))) == 1


def test_a_job_whose_pods_were_taken_away_follows_the_node() -> None:
    taken = failed_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    known = situation(job(), taken, node())
    verdict = rollouts.job_failed.judge(made(job()), known, NOW)
    assert Ref("Node", "", "node-1") in getattr(verdict, "follows", ())
    plain = rollouts.job_failed.judge(made(job()), situation(job(), failed_pod(), node()), NOW)
    assert Ref("Node", "", "node-1") not in getattr(plain, "follows", ())


@pytest.mark.parametrize(
    ("kind", "reason", "message", "title", "layer"),
    [
        (
            "ScalingActive", "FailedGetResourceMetric",
            "the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu "
            "in container app of Pod web-1", "is blind: no cpu request in container app", Layer.APPLICATION,
        ),
        (
            "ScalingActive", "FailedGetResourceMetric",
            "the HPA was unable to compute the replica count: unable to get metrics for resource cpu: no "
            "metrics returned",
            "is blind: no metrics come back", Layer.CONTROL_PLANE,
        ),
        ("AbleToScale", "FailedGetScale", "deployments.apps \"web\" not found", "cannot scale Deployment web",
         Layer.APPLICATION),
    ],
)  # fmt: skip
def test_a_blind_autoscaler(kind: str, reason: str, message: str, title: str, layer: Layer) -> None:
    [finding] = ours(autoscaler(conditions=[condition(kind, "False", reason, message)]))
    assert (finding.title, finding.layer, finding.severity) == (f"web {title}", layer, Severity.WARNING)
    assert render(finding.next[0], Target()) == "kubectl -n shop describe hpa web"
    assert ours(autoscaler(conditions=[condition(kind, "False", reason, message, age_s=30)])) == []
    assert ours(autoscaler(conditions=[condition(kind, "True", "ValidMetricFound")])) == []


@pytest.mark.parametrize(
    ("reason", "api", "of_metrics_server"),
    [
        ("FailedGetResourceMetric", "v1beta1.metrics.k8s.io", True),
        ("FailedGetContainerResourceMetric", "v1beta1.metrics.k8s.io", True),
        ("FailedGetPodsMetric", "v1beta1.custom.metrics.k8s.io", False),
        ("FailedGetObjectMetric", "v1beta1.custom.metrics.k8s.io", False),
        ("FailedGetExternalMetric", "v1beta1.external.metrics.k8s.io", False),
    ],
)
def test_each_kind_of_metric_has_an_api_of_its_own(reason: str, api: str, of_metrics_server: bool) -> None:
    blind = autoscaler(conditions=[condition("ScalingActive", "False", reason, "no metrics returned")])
    stuck = deployment(0)
    stuck["metadata"] = meta("metrics-server", "kube-system", generation=2)
    [cause, *others] = judged(blind, stuck).causes
    assert cause.rule == "rollout-stuck"
    [finding] = cause.consequences if of_metrics_server else others
    assert finding.rule == "autoscaler-blind"
    assert render(finding.next[1], Target()) == f"kubectl get apiservice {api}"


def test_an_autoscaler_of_a_target_at_zero_is_not_blind() -> None:
    assert ours(autoscaler(conditions=[condition("ScalingActive", "False", "ScalingDisabled")])) == []


def budget(allowed: int = 0, expected: int = 2) -> Manifest:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": meta("web"),
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        "status": {
            "disruptionsAllowed": allowed,
            "currentHealthy": 2,
            "desiredHealthy": 2,
            "expectedPods": expected,
        },
    }


def cordon(age_s: float | None = None, labels: dict[str, str] | None = None) -> Manifest:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    return node(
        spec={"unschedulable": True, "taints": [taint | ({"timeAdded": ago(age_s)} if age_s is not None else {})]},
        labels=labels or {},
    )


CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


@pytest.mark.parametrize("drained", [cordon(), cordon(60), cordon(60, CONTROL_PLANE)])
def test_a_budget_matters_while_its_node_is_drained(drained: Manifest) -> None:
    [finding] = ours(budget(), pod("web-1"), drained)
    assert (finding.severity, finding.title) == (Severity.WARNING, "web blocks the drain of node-1")
    assert render(finding.next[0], Target()) == "kubectl get pdb -A"


@pytest.mark.parametrize("other", [node(), cordon(2 * 86400), cordon(labels=CONTROL_PLANE)])
def test_a_budget_is_silent_while_nobody_drains(other: Manifest) -> None:
    assert ours(budget(), pod("web-1"), other) == []


def test_a_budget_that_allows_an_eviction_or_has_no_pods_is_silent() -> None:
    assert ours(budget(1), pod("web-1"), node(spec={"unschedulable": True})) == []
    assert ours(budget(expected=0), node(spec={"unschedulable": True})) == []


def test_a_budget_follows_pods_that_are_not_ready() -> None:
    unready = pod("web-1", ready=False, owner="StatefulSet/web")
    verdict = rollouts_scaling.budget_blocks_eviction.judge(made(budget()), situation(budget(), unready, cordon()), NOW)
    assert getattr(verdict, "follows", ()) == (Ref("StatefulSet", "shop", "web"),)
    assert all(line.mark is Mark.SUPPORTS for line in getattr(verdict, "evidence", ()))
