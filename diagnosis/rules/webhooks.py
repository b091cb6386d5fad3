"""Layer 4: admission webhooks that fail closed and have nobody to answer them (L4-06)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from diagnosis.commands import counted, fact, kubectl
from diagnosis.endpoints import (
    backing,
    explained_by,
    has_backend,
    ready_due,
    serves_unseen,
    services_known,
    slices_command,
)
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, Wait, rule, wait_until
from diagnosis.webhook_reach import Reach, reach_of
from situation.findings import Evidence, Layer, Severity
from situation.meta import Ref
from situation.network import MutatingWebhookConfiguration, ValidatingWebhookConfiguration, Webhook
from situation.situation import Situation

INSTALL_S: Final = 120.0
"""Configuration, Service and pods of a webhook are applied together; the pods need this long to start."""

Configuration = ValidatingWebhookConfiguration | MutatingWebhookConfiguration


class _Dead(NamedTuple):
    """A webhook that nobody answers."""

    webhook: Webhook
    evidence: tuple[Evidence, ...]
    follows: tuple[Ref, ...]


def _dead(webhook: Webhook, situation: Situation, now: datetime) -> _Dead | Verdict:
    target = webhook.client_config.service
    if target is None:
        return CLEAR
    if not services_known(situation, target.namespace):
        return Unknown(f"the Services of namespace {target.namespace} are not known")
    ref = Ref("Service", target.namespace, target.name)
    policy = fact("services", f"webhook {webhook.name}: failurePolicy {webhook.failure_policy}")
    service = situation.services.get((target.namespace, target.name))
    if service is None and situation.is_unread("services", (target.namespace, target.name)):
        return Unknown(f"Service {target.namespace}/{target.name} could not be decoded")
    if service is None:
        gone = fact("services", f"Service {target.namespace}/{target.name} does not exist")
        return _Dead(webhook, (policy, gone), (ref,))
    behind = backing(service, situation)
    if behind.ready_endpoints or not has_backend(service):
        return CLEAR
    if serves_unseen(service, situation) or (
        behind.ready_pods and situation.has_unread("endpointslices", target.namespace)
    ):
        return Unknown(f"not all pods and endpoint slices of namespace {target.namespace} could be decoded")
    due = ready_due(behind.pods, service.metadata.creation_timestamp, situation)
    if due is not None and now < due:
        return Wait(due)
    ready = len(behind.ready_pods)
    return _Dead(
        webhook,
        (
            policy,
            fact("endpointslices", f"Service {target.namespace}/{target.name} has no ready endpoint"),
            fact("pods", f"{counted(len(behind.pods), 'pod')} selected, {ready} ready"),
        ),
        (ref, *explained_by(behind.pods, situation)),
    )


def _judge(kind: str, configuration: Configuration, situation: Situation, now: datetime) -> Verdict:
    judged = [_dead(webhook, situation, now) for webhook in configuration.webhooks if webhook.failure_policy == "Fail"]
    dead = [item for item in judged if isinstance(item, _Dead)]
    if not dead:
        waits = [item for item in judged if isinstance(item, Wait)]
        unknown = [item for item in judged if isinstance(item, Unknown)]
        return min(waits, key=lambda wait: wait.until) if waits else unknown[0] if unknown else CLEAR
    if wait := wait_until(configuration.metadata.creation_timestamp, INSTALL_S, now):
        return wait
    service = dead[0].webhook.client_config.service
    assert service is not None  # noqa: S101 - by construction of _dead
    reaches = sorted((reach_of(item.webhook, situation) for item in dead), key=lambda reach: _severity(reach).rank)
    severity = _severity(reaches[0])
    verb = "would block" if severity is Severity.INFO else "blocks"
    return Fired(
        Ref(kind, "", configuration.name),
        f"{verb} requests: its Service {service.name} does not answer",
        (
            *(line for item in dead[:3] for line in item.evidence),
            *(fact(f"{kind.lower()}s", text) for text in [*dict.fromkeys(reach.text() for reach in reaches)][:3]),
        ),
        (
            slices_command(service.namespace, service.name, "has the webhook's Service an endpoint?"),
            kubectl("get", kind.lower(), configuration.name, "-o", "yaml", purpose="what does the webhook guard?"),
        ),
        severity=severity,
        follows=tuple(dict.fromkeys(_follows(dead))),
    )


def _severity(reach: Reach) -> Severity:
    if reach.is_empty:
        return Severity.INFO
    return Severity.CRITICAL if reach.stops_workloads else Severity.WARNING


def _follows(dead: list[_Dead]) -> Iterator[Ref]:
    for item in dead:
        yield from item.follows


_LOOKS_AT: Final = (
    "failurePolicy and the Service of every webhook; that Service's slices and pods; which namespaces and objects it "
    "selects. Needs no event."
)
_LOOK_ALIKES: Final = {
    "failurePolicy Ignore": "the API server goes on without the webhook: silent",
    "a webhook that no namespace asked for": "its namespaceSelector selects none: a hint, nothing is refused now",
    "a webhook that denies": "it answers: `admission webhook ... denied the request`",
    "quota or Pod Security": "their refusals name no webhook",
}


@rule(
    "validating-webhook-down",
    signature="L4-06",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="ValidatingWebhookConfiguration",
    needs=("validatingwebhookconfigurations", "services", "endpointslices", "pods"),
    looks_at=_LOOKS_AT,
    look_alikes=_LOOK_ALIKES,
)
def validating_webhook_down(
    configuration: ValidatingWebhookConfiguration, situation: Situation, now: datetime
) -> Verdict:
    """A validating webhook that fails closed has nobody to answer it: what it guards cannot be changed."""
    return _judge("ValidatingWebhookConfiguration", configuration, situation, now)


@rule(
    "mutating-webhook-down",
    signature="L4-06",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="MutatingWebhookConfiguration",
    needs=("mutatingwebhookconfigurations", "services", "endpointslices", "pods"),
    looks_at=_LOOKS_AT,
    look_alikes=_LOOK_ALIKES,
)
def mutating_webhook_down(configuration: MutatingWebhookConfiguration, situation: Situation, now: datetime) -> Verdict:
    """A mutating webhook that fails closed has nobody to answer it: what it guards cannot be created."""
    return _judge("MutatingWebhookConfiguration", configuration, situation, now)


RULES: Final[tuple[Rule, ...]] = (validating_webhook_down, mutating_webhook_down)
