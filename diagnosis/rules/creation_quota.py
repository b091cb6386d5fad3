"""Pods that are missing because a ResourceQuota refuses them, or is used up (L2-12)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.explaining import CONTROLLERS_DOWN
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.creation_facts import CREATORS, Refused, refused, refused_fired, still_young, tried_again
from diagnosis.rules.pending_gpus_evidence import quota_numbers
from diagnosis.rules.scheduling_facts import refusal
from diagnosis.rules.scheduling_volumes import used_up_storage
from diagnosis.scheduler_text import claim_trouble
from situation.cluster import ResourceQuota
from situation.findings import Evidence, Layer, Mark, Severity
from situation.gpu.requests import is_gpu
from situation.meta import CLUSTER, Ref
from situation.quantity import parse_quantity
from situation.situation import Situation
from situation.workloads import Workload

_EXCEEDED: Final = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>.+?), used: (?P<used>.+?), limited: (?P<limited>.+)$"
)
_UNSPECIFIED: Final = re.compile(r"failed quota: (?P<quota>[^:]+): must specify (?P<what>.+)$")
_UNCOUNTED: Final = re.compile(r"status unknown for quota: (?P<quota>[^,]+), resources: (?P<what>.+)$")
_UNMATCHED: Final = re.compile(r"insufficient quota to match these scopes")
"""Some clusters let pods of the system's priority classes be made only where a quota names these classes."""
KNOWN: Final = (_EXCEEDED, _UNSPECIFIED, _UNCOUNTED, _UNMATCHED)

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
    "'status unknown for quota', 'insufficient quota to match these scopes'; the ResourceQuota itself.",
    look_alikes={
        "resources-short": "there the pod exists and is Pending",
        "gpus-short": "there the pod exists; here GPUs may be free: the evidence says how many",
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
    if _UNMATCHED.search(found.text):
        return still_young(found, now) or _unmatched(found, situation)
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
        key = min(asked, key=lambda name: not _gpu(name), default="")
        what = f"{asked[key]} {_gpu(key)}" if _gpu(key) else f"{key} {asked.get(key, '?')}"
        title = f"is refused by quota {quota}: {what} asked, {used.get(key, '?')} of {limited.get(key, '?')} used"
    needed = _amounts(exceeded["asked"]) if exceeded else {}
    evidence = _quota_now(found, situation, quota, needed)
    next = [
        kubectl("describe", "resourcequota", quota, purpose="what is used of it?", namespace=found.ref.namespace),
        kubectl("get", "pods", "-o", "wide", purpose="who uses the quota?", namespace=found.ref.namespace),
    ]
    if _has_room_now(found, situation, quota, needed):
        return tried_again(found, situation, f"quota {quota} has room", next, evidence)
    about = Ref("ResourceQuota", found.ref.namespace, quota)
    return refused_fired(found, situation, title, next, about=about, evidence=evidence)


def _has_room_now(found: Refused, situation: Situation, name: str, asked: dict[str, str]) -> bool:
    quota = situation.quotas.get((found.ref.namespace, name))
    return quota is not None and bool(asked) and all(_has_room(quota, key, amount) for key, amount in asked.items())


def _fields(what: str) -> str:
    """`limits.cpu for: app; limits.memory for: app` -> `limits.cpu, limits.memory`."""
    return ", ".join(part.partition(" for:")[0].strip() for part in what.split(";"))


def _quota_now(found: Refused, situation: Situation, name: str, asked: dict[str, str]) -> list[Evidence]:
    if not situation.knows("resourcequotas"):
        return [fact("resourcequotas", "quotas could not be read", Mark.OPEN)]
    key = (found.ref.namespace, name)
    quota = situation.quotas.get(key)
    if quota is None and situation.is_unread("resourcequotas", key):
        return [fact("resourcequotas", f"quota {name} could not be decoded", Mark.OPEN)]
    if quota is None:
        return [fact("resourcequotas", f"quota {name} is gone by now: the controller tries again by itself", Mark.OPEN)]
    lines = [
        fact(
            "resourcequotas", f"{key}: {quota.status.used.get(key, '?')} of {quota.status.hard.get(key, '?')} used now"
        )
        for key in asked
    ]
    for resource in filter(None, map(_gpu, asked)):
        lines += quota_numbers(found.ref.namespace, resource, situation)
    return lines


def _gpu(key: str) -> str:
    """`requests.nvidia.com/gpu` -> `nvidia.com/gpu`; empty for what is no GPU."""
    resource = key.removeprefix("requests.")
    return resource if is_gpu(resource) else ""


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
        follows=(CLUSTER,), of_cluster=CONTROLLERS_DOWN, layer=Layer.CONTROL_PLANE,
    )  # fmt: skip


def _unmatched(found: Refused, situation: Situation) -> Fired:
    namespace = found.ref.namespace
    quotas = [name for where, name in situation.quotas if where == namespace]
    told = fact("resourcequotas", f"quotas of namespace {namespace}: {', '.join(sorted(quotas)) or 'none'}")
    look = kubectl("get", "resourcequota", "-o", "yaml", purpose="does one name these priority classes?",
                   namespace=namespace)  # fmt: skip
    title = "is refused: its namespace has no quota for its priority class"
    return refused_fired(found, situation, title, [look], evidence=[told])


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
        match = claim_trouble(said) if said is not None else None
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


RULES: Final[tuple[Rule, ...]] = (quota_refused, storage_quota_full)
