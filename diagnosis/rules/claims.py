"""Layer 2: a PersistentVolumeClaim is not bound (L2-15, L2-16), or has lost its volume."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.node_agents import Agent, agents
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Rule, Unknown, Verdict, rule, wait_until
from diagnosis.rules.claims_facts import Why, claim_fired, misfit, newest_event, pending
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.selectors import is_finished
from situation.situation import Situation
from situation.storage import PersistentVolume, PersistentVolumeClaim

CLAIM_BUDGET_S: Final = 15.0
"""The volume controller looks at a new claim at once and again every 15 s (pv-controller, syncPeriod)."""
PROVISION_BUDGET_S: Final = 120.0
"""Cloud disks take up to a minute to be made; a provisioner that says nothing for two is not at work."""


@rule(
    "storage-class-missing",
    signature="L2-16",
    layer=Layer.SCHEDULING,
    severity=Severity.WARNING,
    kind="PersistentVolumeClaim",
    needs=("persistentvolumeclaims",),
    looks_at="Pending claims: ProvisioningFailed 'storageclass.storage.k8s.io \"x\" not found', the StorageClasses.",
    look_alikes={
        "no-volume-fits": "there no class is asked for, or a volume of that class exists",
        "provisioning-fails": "there the class exists and its provisioner answers",
    },
)
def storage_class_missing(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Verdict:
    """A claim asks for a StorageClass that does not exist."""
    found = pending(claim, situation, now)
    if found is not None and found.why is Why.UNREAD:
        return Unknown(f"StorageClass {found.text} could not be decoded")
    if found is None or found.why is not Why.CLASS:
        return CLEAR
    if wait := wait_until(claim.metadata.creation_timestamp, CLAIM_BUDGET_S, now):
        return wait
    evidence = []
    if situation.storage_classes:
        have = ", ".join(sorted(name for _, name in situation.storage_classes)[:5])
        evidence.append(fact("storageclasses", f"StorageClasses there are: {have}"))
    next = [kubectl("get", "storageclass", purpose="which StorageClasses are there?")]
    what = f"StorageClass {found.text} does not exist"
    return claim_fired(claim, situation, found.users, what, evidence, next, event=found.event)


@rule(
    "no-volume-fits",
    signature="L2-15",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="PersistentVolumeClaim",
    needs=("persistentvolumeclaims", "events"),
    looks_at="Pending claims that a pod uses: FailedBinding (a Normal event) 'no persistent volumes available ...', "
    "VolumeMismatch; the PersistentVolumes.",
    look_alikes={
        "storage-class-missing": "there the event names a class",
        "WaitForFirstConsumer": "healthy until a pod uses the claim",
    },
)
def no_volume_fits(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Verdict:
    """A claim without dynamic provisioning finds no volume that fits it."""
    found = pending(claim, situation, now)
    if found is None or found.why is not Why.STATIC or not found.users:
        return CLEAR
    if wait := wait_until(claim.metadata.creation_timestamp, CLAIM_BUDGET_S, now):
        return wait
    evidence = list(_candidates(claim, situation))
    if read_lately("persistentvolumes", situation, now) is None:
        evidence = [fact("persistentvolumes", "which volumes there are has not been read lately", Mark.OPEN)]
    elif not evidence:
        evidence = [fact("persistentvolumes", "there is no unbound volume")]
    next = [
        kubectl("get", "pv", purpose="which volumes are free?"),
        kubectl("get", "pvc", claim.name, "-o", "yaml", purpose="what does it ask for?", namespace=claim.namespace),
    ]
    bare = "no persistent volumes available" in found.text
    what = "no volume fits and no StorageClass is set" if bare else shorten(found.text, 80)
    return claim_fired(
        claim, situation, found.users, what, evidence, next, event=found.event, wants="persistentvolumes"
    )


def _candidates(claim: PersistentVolumeClaim, situation: Situation) -> Iterator[Evidence]:
    """Say of up to three volumes why they do not fit: those of the same class that are not bound."""
    shown = 0
    for volume in situation.table("persistentvolumes").values():
        if not isinstance(volume, PersistentVolume) or volume.status.phase == "Bound":
            continue
        why = misfit(claim, volume)
        if why and shown < 3:
            shown += 1
            yield fact("persistentvolumes", f"{volume.name}: {why}")


@rule(
    "provisioning-fails",
    signature="L2-16",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="PersistentVolumeClaim",
    needs=("persistentvolumeclaims", "events"),
    looks_at="Pending claims that a pod uses: ProvisioningFailed with another text than a missing StorageClass.",
    look_alikes={
        "storage-class-missing": "there the class does not exist",
        "provisioner-silent": "there the provisioner says nothing at all",
    },
)
def provisioning_fails(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Verdict:
    """The provisioner of a claim's StorageClass cannot make a volume."""
    found = pending(claim, situation, now)
    if found is None or found.why is not Why.FAILED or not found.users:
        return CLEAR
    if wait := wait_until(claim.metadata.creation_timestamp, CLAIM_BUDGET_S * 2, now):
        return wait
    said = re.sub(r"^failed to provision volume with StorageClass \"[^\"]*\": ", "", found.text)
    what = f"provisioning fails: {shorten(said, 80)}"
    follows = tuple(_drivers(situation))
    return claim_fired(
        claim, situation, found.users, what, [], _driver_commands(claim), event=found.event, follows=follows
    )


@rule(
    "provisioner-silent",
    signature="L2-16",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="PersistentVolumeClaim",
    needs=("persistentvolumeclaims", "events"),
    looks_at="Claims that a pod uses, Pending for two minutes, whose newest event is still ExternalProvisioning.",
    look_alikes={"provisioning-fails": "there the provisioner answers with an error"},
)
def provisioner_silent(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Verdict:
    """A claim waits for an external provisioner that does not answer."""
    found = pending(claim, situation, now)
    if found is None or found.why is not Why.SILENT or found.event is None or not found.users:
        return CLEAR
    since = found.event.first_timestamp or claim.metadata.creation_timestamp
    if wait := wait_until(since, PROVISION_BUDGET_S, now):
        return wait
    known = situation.storage_classes.get(("", claim.spec.storage_class_name or ""))
    evidence = [fact("storageclasses", f"provisioner {known.provisioner}")] if known is not None else []
    what = (
        f"provisioner {known.provisioner} does not answer" if known is not None else "its provisioner does not answer"
    )
    follows = tuple(_drivers(situation))
    next = _driver_commands(claim)
    return claim_fired(claim, situation, found.users, what, evidence, next, event=found.event, follows=follows)


def _drivers(situation: Situation) -> Iterator[Ref]:
    """Yield the workloads that look like storage drivers: their DaemonSets, and controllers named so."""
    yield from agents(situation, Agent.CSI)
    for kind, table in (("Deployment", situation.deployments), ("StatefulSet", situation.statefulsets)):
        for namespace, name in table:
            if "csi" in name.split("-") or "provisioner" in name:
                yield Ref(kind, namespace, name)


def _driver_commands(claim: PersistentVolumeClaim) -> list[Command]:
    chosen = (claim.spec.storage_class_name,) if claim.spec.storage_class_name else ()
    return [
        kubectl("get", "storageclass", *chosen, purpose="which provisioner makes the volume?"),
        kubectl("get", "csidrivers", purpose="is its driver registered?"),
    ]


@rule(
    "claim-pending",
    signature="L2-14",
    layer=Layer.SCHEDULING,
    severity=Severity.WARNING,
    kind="PersistentVolumeClaim",
    needs=("persistentvolumeclaims", "pods"),
    looks_at="Claims that an unscheduled pod uses, Pending for two minutes without any event.",
    look_alikes={"WaitForFirstConsumer": "a class with that binding mode waits for the pod: healthy"},
)
def claim_pending(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Verdict:
    """A claim is not bound and nothing says why."""
    found = pending(claim, situation, now)
    if found is None or found.why is not Why.UNSAID or all(pod.spec.node_name for pod in found.users):
        return CLEAR
    if wait := wait_until(claim.metadata.creation_timestamp, PROVISION_BUDGET_S, now):
        return wait
    evidence = [
        fact("events", "no event about it: events are kept for an hour, or its controller is silent", Mark.OPEN)
    ]
    next = [kubectl("get", "storageclass", purpose="is there a class for it, or a default one?")]
    return claim_fired(claim, situation, found.users, "nothing says why", evidence, next)


@rule(
    "claim-lost",
    signature="L2-16",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="PersistentVolumeClaim",
    needs=("persistentvolumeclaims",),
    looks_at="Phase Lost; the event ClaimLost.",
    look_alikes={"no-volume-fits": "there the claim never had a volume: phase Pending"},
)
def claim_lost(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Verdict:
    """A claim has lost its volume, and the data on it."""
    if claim.status.phase != "Lost":
        return CLEAR
    pods = situation.pods_by_claim.get(claim.key).values()
    users = tuple(pod for pod in pods if not is_finished(pod))
    volume = claim.spec.volume_name
    event = newest_event(claim, situation, ("ClaimLost", "ClaimMisbound"))
    next = [kubectl("get", "pv", *([volume] if volume else []), purpose="is the volume there?")]
    fired = claim_fired(claim, situation, users, f"its volume {volume or '(unnamed)'} is gone", [], next, event=event)
    title = f"has lost its volume {volume}".rstrip()
    return msgspec.structs.replace(fired, title=title, who=(claim.name,), severity=Severity.CRITICAL)


RULES: Final[tuple[Rule, ...]] = (
    storage_class_missing,
    no_volume_fits,
    provisioning_fails,
    provisioner_silent,
    claim_pending,
    claim_lost,
)
