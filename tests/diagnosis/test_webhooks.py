"""Admission webhooks that nobody answers."""

from typing import Any

import pytest

from diagnosis.rules import services, webhooks
from situation.findings import Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, meta, pod, situation
from tests.diagnosis.objects import causes_of, endpoints, first_command, service

KUBERNETES = service("kubernetes", namespace="default", selector={})


def configuration(
    *, policy: str = "Fail", resource: str = "pods", kind: str = "ValidatingWebhookConfiguration", age_s: float = 600,
    client: Manifest | None = None,
) -> Manifest:  # fmt: skip
    return {
        "kind": kind,
        "metadata": meta("guard", "", age_s=age_s),
        "webhooks": [
            {
                "name": "pods.guard.io",
                "failurePolicy": policy,
                "clientConfig": client or {"service": {"name": "guard", "namespace": "shop"}},
                "rules": [{"apiGroups": ["*"], "resources": [resource], "operations": ["CREATE"]}],
            }
        ],
    }


GUARD = service("guard")
EMPTY = endpoints("guard")


def guard_pod(*, ready: bool = False, age_s: float = 600) -> Manifest:
    return pod("guard-1", labels={"app": "guard"}, ready=ready, age_s=age_s)


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(webhooks.RULES, situation(KUBERNETES, *manifests))


@pytest.mark.parametrize(
    ("made", "severity"),
    [
        (configuration(), Severity.CRITICAL),
        (configuration(resource="certificates"), Severity.WARNING),
    ],
)
def test_how_grave_a_dead_webhook_is(made: Manifest, severity: Severity) -> None:
    finding = found(made, GUARD, EMPTY, guard_pod())["validating-webhook-down"]
    assert (finding.severity, finding.layer) == (severity, Layer.CONTROL_PLANE)
    assert finding.subject == Ref("ValidatingWebhookConfiguration", "", "guard")
    assert first_command(finding) == "kubectl -n shop get endpointslices -l kubernetes.io/service-name=guard"


def namespace(name: str, **labels: str) -> Manifest:
    return {"kind": "Namespace", "metadata": meta(name, "", labels={"kubernetes.io/metadata.name": name, **labels})}


def selecting(made: Manifest, **fields: Any) -> Manifest:
    """Return a configuration whose webhook has these fields too."""
    return {**made, "webhooks": [{**made["webhooks"][0], **fields}]}


INJECTED = {"namespaceSelector": {"matchLabels": {"inject": "true"}}}
EXPRESSIONS = {"matchExpressions": [
    {"key": "tier", "operator": "In", "values": ["web", "api"]}, {"key": "skip", "operator": "DoesNotExist"},
    {"key": "team", "operator": "Exists"}]}  # fmt: skip
PLAIN = (namespace("default"), namespace("shop"))
ASKED = (*PLAIN, namespace("dev", inject="true"))
NOT_NAMESPACED = [{"apiGroups": ["*"], "resources": ["pods", "nodes"], "operations": ["CREATE"]}]
ANY_SCOPE = [{"apiGroups": ["*"], "resources": ["*"], "operations": ["*"]}]
IN_NAMESPACES = [{"apiGroups": ["*"], "resources": ["*"], "operations": ["*"], "scope": "Namespaced"}]


@pytest.mark.parametrize(
    ("fields", "namespaces", "severity", "text"),
    [
        ({}, PLAIN, Severity.CRITICAL, "requests for pods are refused"),
        (INJECTED, PLAIN, Severity.INFO, "nothing is refused now: none of 2 namespaces has inject=true"),
        (INJECTED, ASKED, Severity.CRITICAL, "requests for pods in 1 of 3 namespaces (dev) are refused"),
        (INJECTED, (), Severity.CRITICAL, "requests for pods in namespaces with inject=true are refused"),
        (INJECTED, PLAIN[1:], Severity.CRITICAL, "requests for pods in namespaces with inject=true are refused"),
        ({**INJECTED, "rules": NOT_NAMESPACED}, PLAIN, Severity.WARNING,
         "requests for nodes, pods in 0 of 2 namespaces and outside of all are refused"),
        ({**INJECTED, "rules": ANY_SCOPE}, ASKED, Severity.CRITICAL,
         "requests for * in 1 of 3 namespaces (dev) and outside of all are refused"),
        ({**INJECTED, "rules": IN_NAMESPACES}, PLAIN, Severity.INFO,
         "nothing is refused now: none of 2 namespaces has inject=true"),
        ({"objectSelector": EXPRESSIONS}, PLAIN, Severity.CRITICAL,
         "requests for pods labelled tier in (web,api),!skip,team are refused"),
        ({"matchConditions": [{"name": "no-leases", "expression": "true"}]}, PLAIN, Severity.CRITICAL,
         "requests for pods that meet its conditions (no-leases) are refused"),
    ],
    ids=["all", "no namespace", "some", "not known", "a dump of few", "nodes too", "any kind", "any kind in namespaces",
         "some objects", "some requests"],
)  # fmt: skip
def test_whom_a_dead_webhook_concerns(
    fields: Manifest, namespaces: tuple[Manifest, ...], severity: Severity, text: str
) -> None:
    finding = found(selecting(configuration(), **fields), GUARD, EMPTY, guard_pod(), *namespaces)[
        "validating-webhook-down"
    ]
    assert finding.severity is severity
    assert finding.evidence[-1].text == text
    verb = "would block" if severity is Severity.INFO else "blocks"
    assert finding.title == f"guard {verb} requests: its Service guard does not answer"


def test_of_several_webhooks_the_one_that_stops_most_counts() -> None:
    made = configuration()
    made["webhooks"] = [{**made["webhooks"][0], "name": "opt-in.guard.io", **INJECTED}, *made["webhooks"]]
    finding = found(made, GUARD, EMPTY, guard_pod(), *PLAIN)["validating-webhook-down"]
    assert finding.severity is Severity.CRITICAL
    assert [line.text for line in finding.evidence[-2:]] == [
        "requests for pods are refused",
        "nothing is refused now: none of 2 namespaces has inject=true",
    ]


def test_a_dead_webhook_that_may_fail_is_silent() -> None:
    assert not found(configuration(policy="Ignore"), GUARD, EMPTY, guard_pod())


def test_a_mutating_webhook_whose_service_is_gone() -> None:
    finding = found(configuration(kind="MutatingWebhookConfiguration"))["mutating-webhook-down"]
    assert finding.title == "guard blocks requests: its Service guard does not answer"
    assert any("shop/guard does not exist" in line.text for line in finding.evidence)


@pytest.mark.parametrize(
    "manifests",
    [
        (configuration(), GUARD, endpoints("guard", {"guard-1": True}), guard_pod(ready=True)),
        (configuration(age_s=30), GUARD, EMPTY, guard_pod()),
        (configuration(), GUARD, EMPTY, guard_pod(age_s=10)),
        (configuration(client={"url": "https://guard.example.com"}), guard_pod()),
    ],
    ids=["answers", "being installed", "its pod restarts", "outside the cluster"],
)
def test_webhooks_that_are_well_or_given_time(manifests: tuple[Manifest, ...]) -> None:
    assert not found(*manifests)


def test_a_namespace_whose_services_are_not_known_gives_no_verdict() -> None:
    assert not causes_of(webhooks.RULES, situation(service("other", namespace="dev"), configuration()))


def test_the_webhook_follows_its_service() -> None:
    known = situation(KUBERNETES, configuration(), GUARD, endpoints("guard", {"guard-1": False}), guard_pod())
    causes = causes_of(webhooks.RULES + services.RULES, known)
    assert list(causes) == ["no-ready-endpoint"]
    assert causes["no-ready-endpoint"].severity is Severity.CRITICAL
    assert [item.rule for item in causes["no-ready-endpoint"].consequences] == ["validating-webhook-down"]
