"""Layer 2: an unscheduled pod waits for storage (L2-11, L2-14, L2-14b, L2-19, L2-20)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.scheduling_facts import fired, refusal, still_young
from diagnosis.scheduler_text import (
    CLAIM_UNBOUND,
    ONE_POD_VOLUME,
    VOLUME_COUNT,
    VOLUME_PLACE,
    claim_trouble,
)
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.quantity import parse_quantity
from situation.selectors import claim_names, is_finished, is_node_ready
from situation.situation import Situation
from situation.storage import PersistentVolume

CLAIM_BUDGET_S: Final = 15.0
"""A claim is created beside its pod and the scheduler retries as soon as it changes; more than seconds is no race."""


@rule(
    "claim-missing",
    signature="L2-14b",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'persistentvolumeclaim \"x\" not found', '... bound to non-existent persistentvolume', "
    "'... is being deleted' or 'waiting for ephemeral volume controller to create the ...'; the claims and quotas of "
    "the namespace.",
    look_alikes={
        "claim-unbound": "there the claim exists and is not bound",
        "quota-refused": "a storage quota refused the claim: its controller has the event",
    },
)
def claim_missing(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod mounts a claim that does not exist, is being deleted, or has lost its volume."""
    said = refusal(pod)
    match = claim_trouble(said) if said is not None else None
    if match is None:
        return CLEAR
    name = match["claim"]
    claim = situation.claims.get((pod.namespace, name))
    if match["missing"] and claim is not None:
        return _not_tried_again(pod, situation, now, f"claim {name} exists")
    if match["missing"] and situation.is_unread("persistentvolumeclaims", (pod.namespace, name)):
        return Unknown(f"claim {name} could not be decoded, so it may exist by now")
    if wait := still_young(pod, now, CLAIM_BUDGET_S):
        return wait
    follows: tuple[Ref, ...] = (Ref("PersistentVolumeClaim", pod.namespace, name),)
    evidence: list[Evidence] = []
    if match["missing"]:
        title = f"wants claim {name}, which does not exist"
        evidence = [*_quota_hints(pod.namespace, situation)]
    elif match["going"]:
        title = f"wants claim {name}, which is being deleted"
    else:
        title = f"wants claim {name}, whose volume {match['volume']} does not exist"
    next = (
        kubectl("get", "pvc", purpose="which claims are there?", namespace=pod.namespace),
        kubectl("get", "resourcequota", purpose="did a quota refuse the claim?", namespace=pod.namespace),
    )
    return fired(pod, situation, now, title, evidence, next, follows=follows)


def used_up_storage(namespace: str, situation: Situation) -> Iterator[tuple[str, str, str, str]]:
    """Yield (quota, resource, used, hard) for the storage limits of a namespace that are used up."""
    for quota in situation.quotas_by_namespace.get(namespace).values():
        for resource, hard in quota.status.hard.items():
            if "storage" not in resource and "persistentvolumeclaims" not in resource:
                continue
            taken, limit = parse_quantity(quota.status.used.get(resource, 0)), parse_quantity(hard)
            if taken is not None and limit is not None and taken >= limit:
                yield quota.name, resource, str(quota.status.used.get(resource, 0)), str(hard)


def _quota_hints(namespace: str, situation: Situation) -> Iterator[Evidence]:
    for quota, resource, taken, hard in used_up_storage(namespace, situation):
        text = f"quota {quota}: {resource} {taken} of {hard} used; it may have refused the claim"
        yield fact("resourcequotas", text, Mark.OPEN)


@rule(
    "claim-unbound",
    signature="L2-14",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'pod has unbound immediate PersistentVolumeClaims' and the phase of the pod's claims.",
    look_alikes={
        "claim-pending": "why the claim is not bound: that finding is the cause, this one its consequence",
        "claim-missing": "there the claim does not exist",
    },
)
def claim_unbound(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod waits for a claim that is not bound."""
    said = refusal(pod)
    if said is None or not said.mentions(CLAIM_UNBOUND):
        return CLEAR
    if wait := still_young(pod, now, CLAIM_BUDGET_S):
        return wait
    names = claim_names(pod)
    evidence = []
    if situation.knows("persistentvolumeclaims"):
        claims = [(name, situation.claims.get((pod.namespace, name))) for name in names]
        unbound = [name for name, claim in claims if claim is None or claim.status.phase != "Bound"]
        if names and not unbound:
            return _not_tried_again(pod, situation, now, "its claims are bound")
        names = tuple(unbound)
        evidence = [_phase(pod.namespace, name, situation) for name, _ in claims]
    else:
        evidence = [fact("persistentvolumeclaims", "claims could not be read", Mark.OPEN)]
    next = [
        kubectl("describe", "pvc", name, purpose="why is it not bound?", namespace=pod.namespace) for name in names[:2]
    ]
    if not names:
        evidence.append(fact("pods", "which claim it waits for is not told: no volume of the pod names one", Mark.OPEN))
    follows = tuple(Ref("PersistentVolumeClaim", pod.namespace, name) for name in names)
    noun = "claim" if len(names) == 1 else "claims"
    title = f"waits for {noun} {', '.join(names)}" if names else "waits for a claim that is not bound"
    return fired(pod, situation, now, title, evidence, next, follows=follows)


def _not_tried_again(pod: Pod, situation: Situation, now: datetime, what: str) -> Fired:
    """The scheduler tries again within seconds of such a change; a hint until then: the pod is not fine yet."""
    title = f"waits to be tried again: {what} by now"
    return fired(pod, situation, now, title, severity=Severity.INFO)


def _phase(namespace: str, name: str, situation: Situation) -> Evidence:
    claim = situation.claims.get((namespace, name))
    if claim is None and situation.is_unread("persistentvolumeclaims", (namespace, name)):
        return fact("persistentvolumeclaims", f"claim {name} could not be decoded", Mark.OPEN)
    phase = "does not exist" if claim is None else claim.status.phase or "no phase yet"
    return fact("persistentvolumeclaims", f"claim {name}: {phase}")


@rule(
    "volume-elsewhere",
    signature="L2-11",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'didn't match PersistentVolume's node affinity', 'no available volume zone' or older "
    "texts; the pod's claims, their volumes and the nodes these are tied to.",
    look_alikes={
        "node-selector": "there the pod's own selector, not its volume, rules the nodes out",
        "no-volume-to-bind": "there its claim has no volume yet",
    },
)
def volume_elsewhere(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod's volume is tied to nodes or a zone where the pod cannot run."""
    said = refusal(pod)
    if said is None or not said.mentions(VOLUME_PLACE):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    evidence: list[Evidence] = []
    next: list[Command] = []
    follows: list[Ref] = []
    volumes = situation.table("persistentvolumes") if read_lately("persistentvolumes", situation, now) else None
    for name in claim_names(pod):
        claim = situation.claims.get((pod.namespace, name))
        if claim is None or not claim.spec.volume_name:
            continue
        volume = claim.spec.volume_name
        next.append(
            kubectl("get", "pv", volume, "-o", "jsonpath={.spec.nodeAffinity}", purpose="which nodes can reach it?")
        )
        place, nodes = place_of(volumes.get(("", volume)) if volumes is not None else None)
        if place:
            evidence.append(fact("persistentvolumes", f"{volume} (claim {name}) is tied to {place}"))
        for node in nodes:
            found = situation.node(node)
            if found is None and situation.knows("nodes") and not situation.is_unread("nodes", ("", node)):
                evidence.append(fact("nodes", f"node {node} does not exist"))
            elif found is not None and (not is_node_ready(found) or found.spec.unschedulable):
                follows.append(Ref("Node", "", node))
    if volumes is None:
        evidence.append(fact("persistentvolumes", "where the volume is has not been read lately", Mark.OPEN))
    title = "cannot reach its volume from any node it may run on"
    return fired(pod, situation, now, title, evidence, next, follows=tuple(follows), wants="persistentvolumes")


def place_of(volume: object) -> tuple[str, tuple[str, ...]]:
    """Return what a volume is tied to, in words, and the names of nodes among it."""
    if not isinstance(volume, PersistentVolume) or volume.spec.node_affinity is None:
        return "", ()
    required = volume.spec.node_affinity.required
    if required is None:
        return "", ()
    items = [item for term in required.node_selector_terms for item in (*term.match_expressions, *term.match_fields)]
    text = "; ".join(f"{item.key} {item.operator} {', '.join(item.values)}".strip() for item in items)
    nodes = [
        value for item in items if item.key in ("kubernetes.io/hostname", "metadata.name") for value in item.values
    ]
    return text, tuple(nodes)


@rule(
    "claim-in-use",
    signature="L2-19",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with '... ReadWriteOncePod access mode already in-use by another pod'; its claims' pods.",
    look_alikes={"volume attach": "Multi-Attach concerns ReadWriteOnce and happens after scheduling"},
)
def claim_in_use(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod wants a ReadWriteOncePod claim that another pod uses."""
    said = refusal(pod)
    if said is None or not said.mentions(ONE_POD_VOLUME):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    evidence = []
    held = ""
    for name in claim_names(pod):
        claim = situation.claims.get((pod.namespace, name))
        if claim is not None and "ReadWriteOncePod" not in claim.spec.access_modes:
            continue
        for other in situation.pods_by_claim.get((pod.namespace, name)).values():
            if other.spec.node_name and not is_finished(other):
                held = held or name
                evidence.append(fact("pods", f"claim {name} is used by {other.name} on {other.spec.node_name}"))
    title = f"wants claim {held}, which another pod uses" if held else "wants a claim that another pod uses"
    next = [kubectl("get", "pods", "-o", "wide", purpose="which pod uses the claim?", namespace=pod.namespace)]
    return fired(pod, situation, now, title, evidence, next)


@rule(
    "volume-count",
    signature="L2-20",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'node(s) exceed max volume count'.",
    look_alikes={"volume attachment limit": "there the kubelet rejects a pod that already has a node"},
)
def volume_count(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The nodes have as many volumes attached as their storage driver allows."""
    said = refusal(pod)
    if said is None or not said.count(VOLUME_COUNT):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    title = f"finds no node with room for its volumes: {said.count(VOLUME_COUNT)} of {said.total} are full"
    columns = "custom-columns=N:.metadata.name,DRIVER:.spec.drivers[*].name,MAX:.spec.drivers[*].allocatable.count"
    next = [kubectl("get", "csinodes", "-o", columns, purpose="how many volumes may a node attach?")]
    return fired(pod, situation, now, title, (), next)


RULES: Final[tuple[Rule, ...]] = (
    claim_missing,
    claim_unbound,
    volume_elsewhere,
    claim_in_use,
    volume_count,
)
