"""What the API server asks others for: aggregated APIs, webhooks; objects that are too large; leaders that change."""

from typing import Any, Final

import pytest

from diagnosis.rules import (
    api_extensions,
    creation_webhooks,
    leader_changes,
    namespaces,
    rollouts,
    webhook_load,
    webhooks,
)
from situation.api_server import ApiServerPage
from situation.findings import Finding, Severity
from situation.meta import CLUSTER, Ref
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, event, meta, situation
from tests.diagnosis.api_pages import grown, scraped, took
from tests.diagnosis.objects import causes_of, endpoints, first_command, lease, service
from tests.diagnosis.test_webhooks import KUBERNETES, configuration

RULES: Final = api_extensions.RULES
OLD: Final = took(30, 5000)


def test_an_aggregated_api_explains_stuck_namespaces_and_blind_autoscalers() -> None:
    stuck = {
        "kind": "Namespace",
        "metadata": meta("old", "", age_s=9000, deletionTimestamp=ago(600)),
        "status": {"phase": "Terminating", "conditions": [
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "reason": "DiscoveryFailed"}]},
    }  # fmt: skip
    blind = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta("web"),
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5},
        "status": {"conditions": [{
            "type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message":
            "unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is "
            "currently unable to handle the request", "lastTransitionTime": ago(600)}]},
    }  # fmt: skip
    known = situation(stuck, blind)
    assert set(causes_of((*RULES, *namespaces.RULES, *rollouts.RULES), known)) == {
        "namespace-stuck",
        "autoscaler-blind",
    }
    scraped(known, *[ApiServerPage(unavailable_apis=("v1beta1.metrics.k8s.io",))] * 2)
    causes = causes_of((*RULES, *namespaces.RULES, *rollouts.RULES), known)
    assert list(causes) == ["aggregated-api-down"]
    finding = causes["aggregated-api-down"]
    assert finding.title == "aggregated API v1beta1.metrics.k8s.io does not answer"
    assert {item.rule for item in finding.consequences} == {"namespace-stuck", "autoscaler-blind"}


@pytest.mark.parametrize("first", ["v1beta1.external.metrics.k8s.io", "v1.flaky.example"])
def test_an_aggregated_api_explains_autoscalers_that_ask_it_even_if_another_one_is_named_first(first: str) -> None:
    external = "v1beta1.external.metrics.k8s.io"
    blind = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta("keda-hpa-web"),
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5},
        "status": {"conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetExternalMetric",
                                   "message": "no metrics returned", "lastTransitionTime": ago(600)}]},
    }  # fmt: skip
    known = scraped(situation(blind), *[ApiServerPage(unavailable_apis=tuple(dict.fromkeys((first, external))))] * 2)
    causes = causes_of((*RULES, *rollouts.RULES), known)
    assert list(causes) == ["aggregated-api-down"]
    assert [item.rule for item in causes["aggregated-api-down"].consequences] == ["autoscaler-blind"]


GONE: Final = ("v1beta1.metrics.k8s.io",)


@pytest.mark.parametrize(
    ("pages", "age_s"),
    [
        (((), ()), 2),
        ((GONE, GONE), 300),
        ((GONE,), 2),
        ((GONE, ()), 2),
        (((), GONE), 2),
        ((("v1.other.example",), GONE), 2),
        ((GONE, (), GONE), 2),
    ],
    ids=["none", "stale", "one page", "it is back", "only just", "another one", "comes and goes"],
)
def test_aggregated_apis_of_which_nothing_bad_is_known(pages: tuple[tuple[str, ...], ...], age_s: float) -> None:
    made = (ApiServerPage(unavailable_apis=apis) for apis in pages)
    assert not causes_of(RULES, scraped(situation(), *made, age_s=age_s))


def failing(count: float, *manifests: Manifest, name: str = "pods.guard.io") -> Situation:
    pages = grown({"webhook_failures": {name: 800.0}}, {"webhook_failures": {name: 800.0 + count}})
    return scraped(situation(KUBERNETES, *manifests), *pages)


SERVED: Final = (service("guard"), endpoints("guard", {"guard-1": True}))


@pytest.mark.parametrize(
    ("known", "severity", "subject"),
    [
        (failing(30, configuration(), *SERVED), Severity.CRITICAL,
         Ref("ValidatingWebhookConfiguration", "", "guard")),
        (failing(30, configuration(policy="Ignore"), *SERVED), Severity.WARNING,
         Ref("ValidatingWebhookConfiguration", "", "guard")),
        (failing(30), Severity.WARNING, CLUSTER),
        (failing(0, configuration(), *SERVED), None, CLUSTER),
    ],
    ids=["fails closed", "fails open", "its configuration is hidden", "failed long ago"],
)  # fmt: skip
def test_webhooks_that_fail(known: Situation, severity: Severity | None, subject: Ref) -> None:
    causes = causes_of((*webhook_load.RULES, *webhooks.RULES), known)
    assert [(item.severity, item.subject) for item in causes.values()] == ([(severity, subject)] if severity else [])


def called(*manifests: Manifest, calls: int, **failures: float) -> Situation:
    """Return a cluster in which each of these webhooks was called so often, with so many failures among the calls."""
    hooks = {name: (took(0.01, 9000), count) for name, count in failures.items()}
    pages = grown(
        {"webhooks": {name: before for name, (before, _) in hooks.items()}},
        {"webhooks": {name: took(0.01, calls, before) for name, (before, _) in hooks.items()},
         "webhook_failures": {name: count for name, (_, count) in hooks.items()}},
    )  # fmt: skip
    return scraped(situation(KUBERNETES, *manifests), *pages)


GUARD: Final = "pods.guard.io"


@pytest.mark.parametrize(
    ("calls", "failures", "severity"),
    [
        (5000, 1, Severity.INFO),
        (50, 4, Severity.WARNING),
        (1, 1, Severity.WARNING),
        (5000, 60, Severity.WARNING),
        (5000, 4000, Severity.CRITICAL),
        (5, 5, Severity.CRITICAL),
    ],
    ids=["one of thousands", "a few", "the only one", "a pod was replaced", "most", "all of a few"],
)
def test_failed_calls_are_as_grave_as_they_are_many(calls: int, failures: int, severity: Severity) -> None:
    finding = causes_of(webhook_load.RULES, called(configuration(), *SERVED, calls=calls, **{GUARD: failures}))
    assert finding["webhook-failing"].severity is severity
    assert finding["webhook-failing"].evidence[0].text.startswith(f"{failures} of {calls} call")


def test_the_gravest_webhook_comes_first_not_the_one_that_fails_most_often() -> None:
    known = called(configuration(), *SERVED, calls=50, **{GUARD: 40, "open.other.io": 45})
    finding = causes_of(webhook_load.RULES, known)["webhook-failing"]
    assert (finding.title, finding.severity) == ("webhook pods.guard.io fails: 40 calls over 30s", Severity.CRITICAL)
    assert "of open.other.io failed" in finding.evidence[1].text


def test_failures_follow_from_a_service_without_endpoints_and_explain_missing_pods() -> None:
    dead = failing(30, configuration(), service("guard"), endpoints("guard"))
    causes = causes_of((*webhook_load.RULES, *webhooks.RULES), dead)
    assert [item.rule for item in causes["validating-webhook-down"].consequences] == ["webhook-failing"]
    text = ('Internal error occurred: failed calling webhook "pods.guard.io": failed to call webhook: Post '
            '"https://guard.shop.svc:443/": context deadline exceeded')  # fmt: skip
    refused: Manifest = {
        "kind": "ReplicaSet",
        "metadata": meta("web-r"),
        "spec": {"replicas": 2},
        "status": {"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                                  "message": text, "lastTransitionTime": ago(300)}]},
    }  # fmt: skip
    causes = causes_of((*webhook_load.RULES, *creation_webhooks.RULES), failing(30, configuration(), *SERVED, refused))
    assert [item.rule for item in causes["webhook-failing"].consequences] == ["webhook-unreachable"]


def test_a_slow_webhook() -> None:
    pages = grown({"webhooks": {"a.io": OLD, "b.io": OLD}}, {"webhooks": {"a.io": took(4, 50, OLD),
                                                                          "b.io": took(0.02, 50, OLD)}})  # fmt: skip
    causes = causes_of(webhook_load.RULES, scraped(situation(), *pages))
    assert list(causes) == ["webhook-slow"]
    assert causes["webhook-slow"].title.startswith("webhook a.io is slow: p99 ")
    assert not causes_of(webhook_load.RULES, scraped(situation(), pages[1]))


CONVERSION: Final = (
    "GET /apis/nvidia.com/v1/clusterpolicies: 500 conversion webhook for nvidia.com/v1, Kind=ClusterPolicy failed: "
    'Post "https://converter.gpu-operator.svc:443/convert?timeout=30s": connection refused'
)


def erring(text: str, source: str = "kubernetes/clusterpolicies") -> Situation:
    known = situation()
    known.apply(Reading(source, SourceState.UNREACHABLE, NOW, error=text))
    return known


def test_a_conversion_webhook_stops_one_kind() -> None:
    finding = causes_of(RULES, erring(CONVERSION))["conversion-webhook-failing"]
    assert finding.title.startswith("conversion webhook fails: no ClusterPolicy can be read")
    assert first_command(finding) == ("kubectl get crd clusterpolicies.nvidia.com -o 'jsonpath={.spec.conversion}'")
    assert "kubernetes.io/service-name=converter" in finding.next[1].argv


TOO_LARGE: Final = "Error updating: etcdserver: request is too large"


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        (situation(event("ConfigMap/big", "FailedSync", TOO_LARGE)), "object-too-large"),
        (situation(event("ConfigMap/big", "FailedSync", TOO_LARGE, age_s=3000)), ""),
        (situation(event("Pod/a", "Failed", "etcdserver: mvcc: required revision has been compacted")), ""),
        (erring("too old resource version: 12 (99)", "kubernetes/pods"), ""),
        (erring("GET /apis/nvidia.com/v1/clusterpolicies: 403 forbidden"), ""),
    ],
    ids=["too large", "an hour ago", "compacted", "old watch", "forbidden"],
)
def test_texts_of_etcd_and_what_is_no_fault(known: Situation, rule: str) -> None:
    causes = causes_of(RULES, known)
    assert list(causes) == ([rule] if rule else [])
    if rule:
        assert first_command(causes[rule]) == "kubectl -n shop get configmap big -o yaml"


def elected(who: str, age_s: float, count: int = 1) -> Manifest:
    made = event("Lease/kube-scheduler", "LeaderElection", f"{who} became leader", namespace="kube-system",
                 type="Normal", age_s=age_s, count=count)  # fmt: skip
    return made


def scheduler(acquired_s: float) -> Manifest:
    made: dict[str, Any] = lease("kube-scheduler", age_s=2)
    made["spec"]["acquireTime"] = ago(acquired_s)
    return made


def changes(*manifests: Manifest) -> dict[str, Finding]:
    return causes_of(leader_changes.RULES, situation(*manifests))


FOUR: Final = [elected(f"cp-{number}", 100 + 150 * number) for number in range(4)]


@pytest.mark.parametrize(
    ("manifests", "fires"),
    [
        ([*FOUR, scheduler(100)], True),
        ([elected("cp-1", 100, count=4), scheduler(100)], True),
        ([*FOUR[:3], scheduler(100)], False),
        ([*FOUR, scheduler(5000)], False),
        ([elected("cp-1", 1000 + number, count=9) for number in range(4)] + [scheduler(100)], False),
    ],
    ids=["four leaders", "one again and again", "an upgrade", "quiet since", "long ago"],
)
def test_leaders_that_change_often(manifests: list[Manifest], fires: bool) -> None:
    causes = changes(*manifests)
    assert [item.title for item in causes.values()] == (
        ["kube-scheduler changed its leader 4 times within 15m"] if fires else []
    )
