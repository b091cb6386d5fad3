"""Pods that are missing because the API refused them (L2-12, L2-13, L1-25, L1-27, L2-22)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules import creation_webhooks
from diagnosis.rules.creation_facts import CREATORS, Refused, refused, refused_fired, still_young
from diagnosis.rules.scheduling_facts import refusal
from diagnosis.rules.scheduling_volumes import used_up_storage
from diagnosis.scheduler_text import CLAIM_TROUBLE
from situation.cluster import ResourceQuota
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER, Ref
from situation.quantity import parse_quantity
from situation.situation import Situation
from situation.workloads import Workload

_EXCEEDED: Final = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>.+?), used: (?P<used>.+?), limited: (?P<limited>.+)$"
)
_UNSPECIFIED: Final = re.compile(r"failed quota: (?P<quota>[^:]+): must specify (?P<what>.+)$")
_UNCOUNTED: Final = re.compile(r"status unknown for quota: (?P<quota>[^,]+), resources: (?P<what>.+)$")
_LIMIT_RANGE: Final = re.compile(
    r"((?:maximum|minimum) \S+ usage per \S+ is .+|\S+ max limit to request ratio per \S+ is .+)$"
)
_SERVICE_ACCOUNT: Final = re.compile(r'serviceaccount "(?P<name>[^"]+)" not found')
_POD_SECURITY: Final = re.compile(r'violates PodSecurity "(?P<level>[^"]+)"(?:: (?P<why>.*))?')
_PRIORITY_CLASS: Final = re.compile(r"no PriorityClass with name (?P<name>\S+) was found")
_RUNTIME_CLASS: Final = re.compile(r'RuntimeClass "(?P<name>[^"]+)" not found')
_TERMINATING: Final = re.compile(r"because it is being terminated")
_TIMEOUT: Final = re.compile(r"did not complete within requested timeout|etcdserver: |context deadline exceeded")

UNCOUNTED_BUDGET_S: Final = 60.0
"""The quota controller counts a new quota within seconds; a minute without is not normal."""


def _amounts(text: str) -> dict[str, str]:
    """Return `a=1,b=2` as a mapping (quota admission, prettyPrint)."""
    pairs = (part.partition("=") for part in text.split(","))
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


@rule(
    "quota-refused",
    signature="L2-12",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'exceeded quota', 'failed quota: ... must specify', "
    "'status unknown for quota'; the ResourceQuota itself.",
    look_alikes={
        "resources-short": "there the pod exists and is Pending",
        "limit-range": "the text names a maximum or minimum per container, no quota",
        "pod-security": "all say 'is forbidden'; only a quota says 'quota: NAME'",
    },
)
def quota_refused(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """A ResourceQuota refuses a workload's pods."""
    found = refused(item, situation, now)
    if found is None:
        return CLEAR
    if match := _UNCOUNTED.search(found.text):
        return still_young(found, now, UNCOUNTED_BUDGET_S) or _uncounted(found, situation, match["quota"])
    exceeded, unspecified = _EXCEEDED.search(found.text), _UNSPECIFIED.search(found.text)
    match = exceeded or unspecified
    if match is None:
        return CLEAR
    if wait := still_young(found, now):
        return wait
    quota = match["quota"]
    title = f"is refused by quota {quota}: it does not set {_fields(match['what'])}" if unspecified else ""
    if exceeded:
        asked, used, limited = (_amounts(exceeded[name]) for name in ("asked", "used", "limited"))
        parts = [
            f"{key} {value} asked, {used.get(key, '?')} of {limited.get(key, '?')} used" for key, value in asked.items()
        ]
        title = f"is refused by quota {quota}: {'; '.join(parts[:2])}"
    evidence = _quota_now(found, situation, quota, _amounts(exceeded["asked"]) if exceeded else {})
    next = [
        kubectl("describe", "resourcequota", quota, purpose="what is used of it?", namespace=found.ref.namespace),
        kubectl("get", "pods", "-o", "wide", purpose="who uses the quota?", namespace=found.ref.namespace),
    ]
    about = Ref("ResourceQuota", found.ref.namespace, quota)
    return refused_fired(found, situation, title, next, about=about, evidence=evidence)


def _fields(what: str) -> str:
    """`limits.cpu for: app; limits.memory for: app` -> `limits.cpu, limits.memory`."""
    return ", ".join(part.partition(" for:")[0].strip() for part in what.split(";"))


def _quota_now(found: Refused, situation: Situation, name: str, asked: dict[str, str]) -> list[Evidence]:
    if not situation.knows("resourcequotas"):
        return [fact("resourcequotas", "quotas could not be read", Mark.OPEN)]
    quota = situation.quotas.get((found.ref.namespace, name))
    if quota is None:
        return [fact("resourcequotas", f"quota {name} is gone by now: the controller tries again by itself", Mark.OPEN)]
    lines = [
        fact(
            "resourcequotas", f"{key}: {quota.status.used.get(key, '?')} of {quota.status.hard.get(key, '?')} used now"
        )
        for key in asked
    ]
    if asked and all(_has_room(quota, key, amount) for key, amount in asked.items()):
        lines.append(fact("resourcequotas", "there is room by now: the controller tries again by itself", Mark.OPEN))
    return lines


def _has_room(quota: ResourceQuota, key: str, amount: str) -> bool:
    hard, used, asked = (
        parse_quantity(value) for value in (quota.status.hard.get(key, ""), quota.status.used.get(key, ""), amount)
    )
    return hard is not None and used is not None and asked is not None and used + asked <= hard


def _uncounted(found: Refused, situation: Situation, quota: str) -> Fired:
    lease = kubectl(
        "get", "lease", "kube-controller-manager", "-o", "yaml",
        purpose="is the controller manager alive?", namespace="kube-system",
    )  # fmt: skip
    look = kubectl("describe", "resourcequota", quota, purpose="is it counted?", namespace=found.ref.namespace)
    return refused_fired(
        found, situation, f"is refused: quota {quota} has not been counted", [look, lease],
        follows=(CLUSTER,), layer=Layer.CONTROL_PLANE,
    )  # fmt: skip


@rule(
    "limit-range",
    signature="L2-13",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'maximum cpu usage per Container is 2, but ...'.",
    look_alikes={"quota-refused": "there the text names a quota"},
)
def limit_range(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """A LimitRange refuses a workload's pods."""
    found = refused(item, situation, now)
    match = _LIMIT_RANGE.search(found.text) if found is not None else None
    if found is None or match is None:
        return CLEAR
    if wait := still_young(found, now):
        return wait
    next = [kubectl("get", "limitrange", "-o", "yaml", purpose="which limits hold?", namespace=found.ref.namespace)]
    return refused_fired(found, situation, f"is refused by a LimitRange: {shorten(match[1], 90)}", next)


@rule(
    "service-account-missing",
    signature="L1-25",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'serviceaccount \"x\" not found'.",
    look_alikes={
        "quota-refused": "both say 'is forbidden'; there the text names a quota",
        "start-up race": "the account came a moment later: pods are no longer missing, or the refusal is seconds old",
    },
)
def service_account_missing(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """A workload's ServiceAccount does not exist."""
    found = refused(item, situation, now)
    match = _SERVICE_ACCOUNT.search(found.text) if found is not None else None
    if found is None or match is None:
        return CLEAR
    if wait := still_young(found, now):
        return wait
    name = match["name"]
    next = [kubectl("get", "serviceaccount", name, purpose="is it there?", namespace=found.ref.namespace)]
    return refused_fired(found, situation, f"wants ServiceAccount {name}, which does not exist", next)


@rule(
    "pod-security",
    signature="L1-27",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'violates PodSecurity'; the namespace's label.",
    look_alikes={"webhook-denies": "there the text names an admission webhook"},
)
def pod_security(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """The namespace's pod security level refuses a workload's pods; pods that run already stay."""
    found = refused(item, situation, now)
    match = _POD_SECURITY.search(found.text) if found is not None else None
    if found is None or match is None:
        return CLEAR
    if wait := still_young(found, now):
        return wait
    namespace = found.ref.namespace
    evidence = []
    known = situation.get(Ref("Namespace", "", namespace))
    enforced = known.metadata.labels.get("pod-security.kubernetes.io/enforce") if known is not None else None
    if enforced:
        evidence.append(fact("namespaces", f"namespace {namespace}: pod-security.kubernetes.io/enforce={enforced}"))
    next = [kubectl("get", "namespace", namespace, "--show-labels", purpose="which level is enforced?")]
    title = f"violates PodSecurity {match['level']}: {shorten(match['why'] or 'no reason given', 80)}"
    return refused_fired(found, situation, title, next, evidence=evidence)


@rule(
    "class-missing",
    signature="L2-22 L5-15",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate: 'no PriorityClass with name x was found', "
    "'RuntimeClass \"x\" not found'.",
    look_alikes={"preempted": "there the pod existed and was removed for another"},
)
def class_missing(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """A workload's PriorityClass or RuntimeClass does not exist."""
    found = refused(item, situation, now)
    if found is None:
        return CLEAR
    for kind, pattern in (("PriorityClass", _PRIORITY_CLASS), ("RuntimeClass", _RUNTIME_CLASS)):
        if match := pattern.search(found.text):
            if wait := still_young(found, now):
                return wait
            next = [kubectl("get", kind.lower(), purpose=f"which {kind} objects are there?")]
            return refused_fired(found, situation, f"wants {kind} {match['name']}, which does not exist", next)
    return CLEAR


@rule(
    "pods-refused",
    signature="L4-06 L4-12",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind=CREATORS,
    needs=("replicasets",),
    looks_at="Missing pods with ReplicaFailure or FailedCreate and a text that no other rule knows.",
    look_alikes={
        "all other rules about missing pods": "they come first; controller manager down: no FailedCreate at all"
    },
)
def pods_refused(item: Workload, situation: Situation, now: datetime) -> Verdict:
    """A workload's pods cannot be created, for a reason that no other rule knows."""
    found = refused(item, situation, now)
    if found is None or any(pattern.search(found.text) for pattern in _KNOWN):
        return CLEAR
    if wait := still_young(found, now):
        return wait
    namespace = found.ref.namespace
    follows: tuple[Ref, ...] = ()
    layer = None
    next = [
        kubectl(
            "get",
            "events",
            "--field-selector",
            "reason=FailedCreate",
            purpose="who else is refused?",
            namespace=namespace,
        )
    ]
    if _TERMINATING.search(found.text):
        follows, layer = (Ref("Namespace", "", namespace),), Layer.CONTROL_PLANE
    elif _TIMEOUT.search(found.text):
        follows, layer = (CLUSTER, *creation_webhooks.configurations(situation)), Layer.CONTROL_PLANE
        next.insert(0, creation_webhooks.LIST)
    title = f"cannot create pods: {shorten(found.text, 100)}"
    return refused_fired(found, situation, title, next, follows=follows, layer=layer)


_KNOWN: Final = (
    _EXCEEDED,
    _UNSPECIFIED,
    _UNCOUNTED,
    _LIMIT_RANGE,
    _SERVICE_ACCOUNT,
    _POD_SECURITY,
    _PRIORITY_CLASS,
    _RUNTIME_CLASS,
    *creation_webhooks.KNOWN,
)


@rule(
    "storage-quota-full",
    signature="L2-12",
    layer=Layer.SCHEDULING,
    severity=Severity.INFO,
    kind="ResourceQuota",
    needs=("resourcequotas", "pods"),
    looks_at="used == hard of storage limits while a pod of the namespace waits for a claim that does not exist.",
    look_alikes={"a quota that is merely used up": "as long as nobody waits for a missing claim it is silent"},
)
def storage_quota_full(quota: ResourceQuota, situation: Situation, now: datetime) -> Verdict:
    """A storage quota is used up while a pod waits for a missing claim; such a refusal leaves no event."""
    full = [entry for entry in used_up_storage(quota.namespace, situation) if entry[0] == quota.name]
    if not full:
        return CLEAR
    waiting = []
    for pod in situation.unscheduled_pods.get(True).values():
        said = refusal(pod) if pod.namespace == quota.namespace else None
        match = CLAIM_TROUBLE.search(said.text) if said is not None else None
        if match is not None and match["missing"]:
            waiting.append(f"{pod.name} waits for claim {match['claim']}")
    if not waiting:
        return CLEAR
    _, resource, taken, hard = full[0]
    evidence = (
        *(fact("resourcequotas", f"{name}: {used} of {limit} used") for _, name, used, limit in full),
        *(fact("pods", text, Mark.OPEN) for text in waiting[:3]),
    )
    look = kubectl("describe", "resourcequota", quota.name, purpose="what is used of it?", namespace=quota.namespace)
    about = Ref("ResourceQuota", quota.namespace, quota.name)
    return Fired(about, f"is used up: {resource} {taken} of {hard}", evidence, (look,))


RULES: Final[tuple[Rule, ...]] = (
    *creation_webhooks.RULES,
    quota_refused,
    limit_range,
    service_account_missing,
    pod_security,
    class_missing,
    pods_refused,
    storage_quota_full,
)
