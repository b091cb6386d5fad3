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
