"""What the rules about claims share: why a claim is not bound, and who waits for it."""

import re
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

import msgspec

from diagnosis.commands import fact, kubectl, said_by
from diagnosis.replicas import gravity
from diagnosis.rule import Fired
from situation.cluster import Event
from situation.findings import Command, Evidence, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.quantity import parse_quantity
from situation.selectors import is_finished
from situation.situation import Situation
from situation.storage import PersistentVolume, PersistentVolumeClaim

FAILURE_CURRENT_S: Final = 600.0
"""A failure counts this long although later events of other reasons came: a provisioner that backs off tries again
within 5 minutes (external-provisioner, retry-interval-max)."""

_CLASS_MISSING: Final = re.compile(r'storageclass(?:es)?(?:\.storage\.k8s\.io)? "(?P<name>[^"]+)" not found')
_FAILURES: Final = ("ProvisioningFailed", "FailedBinding", "VolumeMismatch")
_PROGRESS: Final = ("ExternalProvisioning", "Provisioning", "WaitForFirstConsumer", "WaitForPodScheduled")
_ORDINAL: Final = re.compile(r"^(?P<stem>.+-)(?P<ordinal>[1-9]\d*)$")


class Why(Enum):
    CLASS = "the StorageClass does not exist"
    UNREAD = "the StorageClass could not be decoded"
    STATIC = "no volume fits"
    FAILED = "the provisioner fails"
    SILENT = "the provisioner does not answer"
    UNSAID = "nothing says why"


class Pending(msgspec.Struct, frozen=True):
    why: Why
    text: str
    """Name of the class for CLASS and UNREAD, else what the event says."""
    event: Event | None
    users: tuple[Pod, ...]


def pending(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Pending | None:
    """Return why a claim is not bound; None when it is, or when it rightly waits for its first pod to be scheduled."""
    if claim.status.phase != "Pending" or claim.metadata.deletion_timestamp is not None:
        return None
    pods = situation.pods_by_claim.get(claim.key).values()
    users = tuple(pod for pod in pods if not is_finished(pod) and pod.metadata.deletion_timestamp is None)
    name = claim.spec.storage_class_name
    unread = _is_unread(name or "", situation)
    if name and situation.storage_classes and ("", name) not in situation.storage_classes and not unread:
        failure = newest_event(claim, situation, _FAILURES)
        return Pending(Why.CLASS, name, failure, users)
    newest, failure = newest_event(claim, situation, _FAILURES + _PROGRESS), newest_event(claim, situation, _FAILURES)
    if failure is not None and (failure is newest or _is_recent(failure, now)):
        return _failed(failure, users, situation)
    if newest is None and unread:
        return Pending(Why.UNREAD, name or "", None, users)
    if newest is None:
        known = situation.storage_classes.get(("", name or ""))
        waits = known is not None and known.volume_binding_mode == "WaitForFirstConsumer"
        return None if waits else Pending(Why.UNSAID, "", None, users)
    if newest.reason in ("ExternalProvisioning", "Provisioning"):
        return Pending(Why.SILENT, newest.message, newest, users)
    return None


def _is_unread(name: str, situation: Situation) -> bool:
    """Tell whether nobody knows if there is a StorageClass of that name: one could not be decoded."""
    key = ("", name)
    return bool(name) and key not in situation.storage_classes and situation.is_unread("storageclasses", key)


def newest_event(claim: PersistentVolumeClaim, situation: Situation, reasons: tuple[str, ...]) -> Event | None:
    events = situation.events_of(claim, "PersistentVolumeClaim", *reasons)
    return events[-1] if events else None


def _is_recent(event: Event, now: datetime) -> bool:
    return event.last_seen is not None and now - event.last_seen < timedelta(seconds=FAILURE_CURRENT_S)


def _failed(event: Event, users: tuple[Pod, ...], situation: Situation) -> Pending | None:
    if match := _CLASS_MISSING.search(event.message):
        if ("", match["name"]) in situation.storage_classes:
            return None  # made by now: the controller tries again within seconds
        if _is_unread(match["name"], situation):
            return Pending(Why.UNREAD, match["name"], event, users)
        return Pending(Why.CLASS, match["name"], event, users)
    if event.reason == "ProvisioningFailed":
        return Pending(Why.FAILED, event.message, event, users)
    return Pending(Why.STATIC, event.message, event, users)


def misfit(claim: PersistentVolumeClaim, volume: PersistentVolume) -> str:
    """Return the first reason why a volume does not fit, in the order of the volume controller's checks."""
    owner = volume.spec.claim_ref
    has = parse_quantity(volume.spec.capacity.get("storage", 0))
    asks = parse_quantity(claim.spec.resources.requests.get("storage", 0))
    if owner is not None and (owner.namespace, owner.name) != claim.key:
        return f"{volume.status.phase}, kept for claim {owner.namespace}/{owner.name}"
    if volume.status.phase != "Available":
        return f"is {volume.status.phase or 'without phase'}"
    if volume.spec.storage_class_name != (claim.spec.storage_class_name or ""):
        return f"has class {volume.spec.storage_class_name or 'none'}"
    missing = [mode for mode in claim.spec.access_modes if mode not in volume.spec.access_modes]
    if missing:
        return f"does not offer {', '.join(missing)}"
    if has is not None and asks is not None and has < asks:
        return f"has {volume.spec.capacity.get('storage')}, asked are {claim.spec.resources.requests.get('storage')}"
    return "the claim has a selector" if claim.spec.selector is not None else ""


def claim_fired(
    claim: PersistentVolumeClaim,
    situation: Situation,
    users: tuple[Pod, ...],
    what: str,
    evidence: list[Evidence],
    next: list[Command],
    *,
    event: Event | None = None,
    follows: tuple[Ref, ...] = (),
    wants: str = "",
) -> Fired:
    workloads = list(dict.fromkeys(situation.workload_of(pod) for pod in users))
    wanted = claim.spec.resources.requests.get("storage", "?")
    modes = ", ".join(claim.spec.access_modes) or "no access mode"
    storage_class = claim.spec.storage_class_name
    asks = "the default class" if storage_class is None else f"class {storage_class or 'none'}"
    lines = [fact("persistentvolumeclaims", f"phase {claim.status.phase}; asks for {wanted}, {modes}, {asks}")]
    if event is not None:
        lines.append(said_by(event))
    if workloads:
        lines.append(fact("pods", f"used by {_names(workloads)} (pods: {len(users)})"))
    describe = kubectl("describe", "pvc", claim.name, purpose="why is it not bound?", namespace=claim.namespace)
    severities = [gravity(workload, situation) for workload in workloads]
    return Fired(
        Ref("PersistentVolumeClaim", claim.namespace, claim.name),
        f"waits for claim {claim.name}: {what}" if workloads else f"is {claim.status.phase}: {what}",
        (*lines, *evidence),
        (*next, describe),
        severity=min(severities, key=lambda item: item.rank) if severities else Severity.WARNING,
        follows=(*_first_of_set(claim, situation), *follows),
        who=tuple(workload.name for workload in workloads),
        wants=wants,
    )


def _names(workloads: list[Ref]) -> str:
    names = [workload.name for workload in workloads]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more


def _first_of_set(claim: PersistentVolumeClaim, situation: Situation) -> tuple[Ref, ...]:
    """The claims of a StatefulSet wait for one reason: later ordinals follow the first while that waits too."""
    match = _ORDINAL.match(claim.name)
    first = situation.claims.get((claim.namespace, f"{match['stem']}0")) if match else None
    if first is None or first.status.phase != "Pending":
        return ()
    return (Ref("PersistentVolumeClaim", first.namespace, first.name),)
