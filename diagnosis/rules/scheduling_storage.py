"""Layer 2: no node can get a volume for a claim that waits for its pod (L2-15, L2-16).

Such a claim (WaitForFirstConsumer) is bound on the node that the scheduler picks, so it has no trouble of its own to
tell: kube-scheduler looks on each node for a volume that exists, or for room to make one (volumebinding/binder.go).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules.claims_facts import misfit
from diagnosis.rules.scheduling_facts import SHOWN, fired, refusal, still_young
from diagnosis.rules.scheduling_volumes import place_of
from diagnosis.scheduler_text import NO_STORAGE, NO_VOLUME
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.pods import Pod
from situation.selectors import claim_names
from situation.situation import Situation
from situation.storage import PersistentVolume, PersistentVolumeClaim

NO_PROVISIONER: Final = ("", "kubernetes.io/no-provisioner")
"""Provisioners of classes whose volumes are made by hand (component-helpers, NotSupportedProvisioner)."""


def _unbound(pod: Pod, situation: Situation) -> list[PersistentVolumeClaim]:
    """Return the claims of a pod that are not bound, as far as they are known."""
    claims = (situation.claims.get((pod.namespace, name)) for name in claim_names(pod))
    return [claim for claim in claims if claim is not None and claim.status.phase != "Bound"]


def _wanted_by(unbound: Sequence[PersistentVolumeClaim]) -> str:
    names = ", ".join(claim.name for claim in unbound[:2]) or "its claims"
    return f"claim {names}" if len(unbound) == 1 else f"claims {names}" if unbound else names


def _asks(claim: PersistentVolumeClaim) -> Evidence:
    size, name = claim.spec.resources.requests.get("storage", "?"), claim.spec.storage_class_name or "none"
    text = f"claim {claim.name} asks for {size}, {', '.join(claim.spec.access_modes)}, class {name}"
    return fact("persistentvolumeclaims", text)


def _describe(unbound: Sequence[PersistentVolumeClaim]) -> list[Command]:
    return [
        kubectl("describe", "pvc", claim.name, purpose="what does it ask for?", namespace=claim.namespace)
        for claim in unbound[:1]
    ]


@rule(
    "no-volume-to-bind",
    signature="L2-15",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'didn't find available persistent volumes to bind'; the pod's claims that are not "
    "bound, their StorageClass, the volumes of that class.",
    look_alikes={
        "volume-elsewhere": "there the claim has its volume, and the nodes cannot reach it",
        "no-free-storage": "there volumes are made on demand, and the storage is full",
        "no-volume-fits": "there the claim does not wait for its pod: it tells itself that it finds no volume",
    },
)
def no_volume_to_bind(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """No node has a free volume for a pod's claim, and none can be made there."""
    said = refusal(pod)
    if said is None or not said.mentions(NO_VOLUME):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    unbound = _unbound(pod, situation)
    evidence: list[Evidence] = []
    next = [kubectl("get", "pv", purpose="which volumes are there, and which of them are Available?")]
    for claim in unbound:
        evidence += [_asks(claim), *_maker(claim, situation), *_volumes(claim, situation, now)]
    makers = (situation.storage_classes.get(("", claim.spec.storage_class_name or "")) for claim in unbound)
    for name in {maker.name: None for maker in makers if maker and maker.provisioner not in NO_PROVISIONER}:
        purpose = "for which nodes does it make volumes?"
        next.insert(0, kubectl("get", "storageclass", name, "-o", "jsonpath={.allowedTopologies}", purpose=purpose))
    title = f"finds no volume for {_wanted_by(unbound)} on the nodes it may run on"
    return fired(pod, situation, now, title, evidence, [*next, *_describe(unbound)], wants="persistentvolumes")


def _maker(claim: PersistentVolumeClaim, situation: Situation) -> Iterator[Evidence]:
    """Say who makes the volumes of a claim's class."""
    found = situation.storage_classes.get(("", claim.spec.storage_class_name or ""))
    if found is None:
        return
    if found.provisioner in NO_PROVISIONER:
        yield fact("storageclasses", f"class {found.name} makes no volumes: they are made by hand, node by node")
    else:
        text = f"class {found.name} ({found.provisioner}) makes volumes: allowedTopologies may leave these nodes out"
        yield fact("storageclasses", text, Mark.OPEN)


def _volumes(claim: PersistentVolumeClaim, situation: Situation, now: datetime) -> Iterator[Evidence]:
    """Say of up to three volumes of the claim's class why the pod cannot have them: those that are not bound."""
    if read_lately("persistentvolumes", situation, now) is None:
        yield fact("persistentvolumes", "which volumes there are has not been read lately", Mark.OPEN)
        return
    name = claim.spec.storage_class_name or ""
    every = (item for item in situation.table("persistentvolumes").values() if isinstance(item, PersistentVolume))
    free = [item for item in every if item.spec.storage_class_name == name and item.status.phase != "Bound"]
    for volume in free[:SHOWN]:
        place, _ = place_of(volume)
        why = misfit(claim, volume) or f"fits, and is tied to {place or 'no node'}"
        yield fact("persistentvolumes", f"{volume.name}: {why}")
    if not free:
        yield fact("persistentvolumes", f"there is no unbound volume of class {name or 'none'}")


@rule(
    "no-free-storage",
    signature="L2-16",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'did not have enough free storage'; the pod's claims that are not bound.",
    look_alikes={
        "no-volume-to-bind": "there no volume can be made at all",
        "resources-short": "Insufficient ephemeral-storage is the node's own disk, not that of a storage driver",
        "storage-quota-full": "there the claim does not exist: a quota refused it",
    },
)
def no_free_storage(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The storage driver has no room for a pod's claim on any node, by the capacities that it publishes."""
    said = refusal(pod)
    if said is None or not said.mentions(NO_STORAGE):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    unbound = _unbound(pod, situation)
    evidence = [_asks(claim) for claim in unbound]
    text = "what the driver says is free (CSIStorageCapacity) is not read here; none at all counts as full"
    evidence.append(fact("persistentvolumeclaims", text, Mark.OPEN))
    next = [
        kubectl("get", "csistoragecapacities", "-A", purpose="how much is free, for which class and which nodes?"),
        kubectl("get", "csinodes", purpose="on which nodes does the driver run?"),
        *_describe(unbound),
    ]
    title = f"finds no node with free storage for {_wanted_by(unbound)}"
    return fired(pod, situation, now, title, evidence, next)


RULES: Final[tuple[Rule, ...]] = (no_volume_to_bind, no_free_storage)
