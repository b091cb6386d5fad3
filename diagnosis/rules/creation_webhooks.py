"""Pods are missing because an admission webhook does not answer, or says no (the workloads' side of L4-06, L4-07)."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.endpoints import has_ready_endpoint, slices_command
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules.creation_facts import CREATORS, refused, refused_fired, still_young, tried_again
from situation.findings import Layer, Severity
from situation.meta import Ref
from situation.network import MutatingWebhookConfiguration, ValidatingWebhookConfiguration, Webhook
from situation.situation import Situation
from situation.workloads import Workload

_UNREACHABLE: Final = re.compile(r'failed calling webhook "(?P<name>[^"]+)"(?:: (?P<why>.*))?')
_DENIED: Final = re.compile(
    r'admission webhook "(?P<name>[^"]+)" denied the request(?: without explanation|: (?P<why>.*))?'
)
_POLICY: Final = re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.* denied request(?:: (?P<why>.*))?")
_WITHOUT_ENDPOINT: Final = re.compile(r"no endpoints available for service|service \"[^\"]+\" not found")
KNOWN: Final = (_UNREACHABLE, _DENIED, _POLICY)

LIST: Final = kubectl(
    "get", "validatingwebhookconfigurations,mutatingwebhookconfigurations", purpose="which webhooks are asked?"
)
_KINDS: Final = (
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
)


def configurations(situation: Situation) -> tuple[Ref, ...]:
    """Return references of all webhook configurations."""
    return tuple(Ref(kind, *key) for kind, table in _KINDS for key in situation.table(table))


def named(name: str, situation: Situation) -> Iterator[tuple[Ref, Webhook]]:
    """Yield all webhooks of that name, each with the configuration that holds it."""
    for ref in configurations(situation):
        item = situation.get(ref)
        if isinstance(item, ValidatingWebhookConfiguration | MutatingWebhookConfiguration):
            yield from ((ref, webhook) for webhook in item.webhooks if webhook.name == name)


@rule(
    "webhook-unreachable",
    signature="L4-06",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'failed calling webhook'; the configuration "
    "that names it and its Service.",
    look_alikes={
        "webhook-denies": "there the webhook answers: 'denied the request'",
        "quota-refused": "there the text names a quota",
        "pod-security": "there the text names no webhook",
    },
)
def webhook_unreachable(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """An admission webhook that must be asked does not answer, so that pods cannot be created."""
    found = refused(item, situation, now)
    match = _UNREACHABLE.search(found.text) if found is not None else None
    if found is None or match is None:
        return CLEAR
    if wait := still_young(found, now):
        return wait
    follows: list[Ref] = []
    evidence = []
    next = [LIST]
    for ref, webhook in named(match["name"], situation):
        follows.append(ref)
        evidence.append(fact(f"{ref.kind.lower()}s", f"{ref.kind} {ref.name}: failurePolicy {webhook.failure_policy}"))
        service = webhook.client_config.service
        if service is not None:
            follows.append(Ref("Service", service.namespace, service.name))
            next.append(slices_command(service.namespace, service.name, "has its Service a ready endpoint?"))
    if over := _over(match["name"], match["why"] or "", situation):
        return tried_again(found, situation, over, next, evidence)
    title = f"cannot create pods: webhook {match['name']} does not answer"
    return refused_fired(found, situation, title, next, evidence=evidence, follows=tuple(follows))


def _over(name: str, why: str, situation: Situation) -> str:
    """Return in which way a webhook refuses no more, empty if it may still.

    Endpoints say so only where there were none: one that is ready may fail for another reason, as it did then.
    """
    known = [webhook for _, webhook in named(name, situation)]
    asked = [webhook for webhook in known if webhook.failure_policy != "Ignore"]
    if known and not asked:
        return f"webhook {name} may fail"
    if not asked or not _WITHOUT_ENDPOINT.search(why):
        return ""
    targets = [webhook.client_config.service for webhook in asked]
    services = [situation.services.get((item.namespace, item.name)) for item in targets if item is not None]
    ready = len(services) == len(asked) and all(item and has_ready_endpoint(item, situation) for item in services)
    return f"webhook {name} has a ready endpoint" if ready else ""


@rule(
    "webhook-denies",
    signature="L4-07",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'admission webhook \"x\" denied the request' or a "
    "ValidatingAdmissionPolicy.",
    look_alikes={"webhook-unreachable": "there the webhook does not answer; a denial is a decision about the workload"},
)
def webhook_denies(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """An admission webhook or policy forbids a workload's pods."""
    found = refused(item, situation, now)
    match = (_DENIED.search(found.text) or _POLICY.search(found.text)) if found is not None else None
    if found is None or match is None:
        return CLEAR
    if wait := still_young(found, now):
        return wait
    why = shorten(match["why"] or "no reason given", 80)
    evidence = [
        fact(f"{ref.kind.lower()}s", f"{ref.kind} {ref.name} names it") for ref, _ in named(match["name"], situation)
    ]
    template = kubectl(
        "get", found.ref.kind.lower(), found.ref.name, "-o", "jsonpath={.spec.template}",
        purpose="what does the workload ask for?", namespace=found.ref.namespace,
    )  # fmt: skip
    return refused_fired(found, situation, f"is denied by {match['name']}: {why}", [template, LIST], evidence=evidence)


RULES: Final[tuple[Rule, ...]] = (webhook_unreachable, webhook_denies)
