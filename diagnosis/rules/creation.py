"""Pods that are missing because the API refused them (L2-13, L1-25, L1-27, L2-22)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.explaining import API_BUSY, ETCD_SLOW, NOTHING_MOVES
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules import creation_quota, creation_webhooks
from diagnosis.rules.creation_facts import CREATORS, refused, refused_fired, still_young
from situation.findings import Layer, Severity
from situation.meta import CLUSTER, Ref
from situation.situation import Situation
from situation.workloads import Workload

_LIMIT_RANGE: Final = re.compile(
    r"((?:maximum|minimum) \S+ usage per \S+ is .+|\S+ max limit to request ratio per \S+ is .+)$"
)
_SERVICE_ACCOUNT: Final = re.compile(r'serviceaccount "(?P<name>[^"]+)" not found')
_POD_SECURITY: Final = re.compile(r'violates PodSecurity "(?P<level>[^"]+)"(?:: (?P<why>.*))?')
_PRIORITY_CLASS: Final = re.compile(r"no PriorityClass with name (?P<name>\S+) was found")
_RUNTIME_CLASS: Final = re.compile(r'RuntimeClass "(?P<name>[^"]+)" not found')
_TERMINATING: Final = re.compile(r"because it is being terminated")
_TIMEOUT: Final = re.compile(r"did not complete within requested timeout|etcdserver: |context deadline exceeded")


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
    title = f"cannot create pods: {shorten(found.text, 62)}"
    return refused_fired(
        found, situation, title, next, follows=follows, of_cluster=(*NOTHING_MOVES, *ETCD_SLOW, *API_BUSY), layer=layer
    )


_KNOWN: Final = (
    *creation_quota.KNOWN,
    _LIMIT_RANGE,
    _SERVICE_ACCOUNT,
    _POD_SECURITY,
    _PRIORITY_CLASS,
    _RUNTIME_CLASS,
    *creation_webhooks.KNOWN,
)


RULES: Final[tuple[Rule, ...]] = (
    *creation_webhooks.RULES,
    *creation_quota.RULES,
    limit_range,
    service_account_missing,
    pod_security,
    class_missing,
    pods_refused,
)
