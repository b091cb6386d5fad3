"""Layer 2: an unscheduled pod waits for devices by a claim, not by an extended resource (L2-18)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from diagnosis.commands import counted, fact, kubectl
from diagnosis.gpu_facts import CLAIMS, SLICES
from diagnosis.node_agents import Agent, agents
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.scheduling_facts import fired, refusal, still_young
from diagnosis.scheduler_text import RESOURCE_CLAIM
from situation.findings import Evidence, Layer, Mark, Severity
from situation.gpu.operator import ResourceClaim, ResourceSlice
from situation.meta import ObjectKey, Ref
from situation.pods import Pod
from situation.situation import Situation

HOLDERS: Final = 3
"""Pods named per driver."""


class Published(msgspec.Struct, frozen=True):
    """The devices that one driver publishes."""

    driver: str
    devices: int
    nodes: int


class Taken(msgspec.Struct, frozen=True):
    """The devices of one driver that claims have been given."""

    devices: int
    holders: tuple[tuple[str, int], ...]
    """`namespace/pod` with its number of devices, the largest first."""


@rule(
    "device-claim",
    signature="L2-18",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'cannot allocate all claims', 'device class x does not exist', 'resourceclaim in use'; "
    "the pod's resource claims, the ResourceSlices and all ResourceClaims if they can be read.",
    look_alikes={
        "DRA driver missing (L5-16)": "there the pod has a node, or no driver publishes resource slices at all",
        "gpus-short": "there the pod asks for an extended resource, nvidia.com/gpu",
    },
)
def device_claim(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """No node can satisfy a pod's resource claims (dynamic resource allocation)."""
    said = refusal(pod)
    if said is None or not said.mentions(RESOURCE_CLAIM):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    return _device_claim(pod, situation, now, said.text)


def _device_claim(pod: Pod, situation: Situation, now: datetime, text: str) -> Fired:
    devices = published(situation, now)
    follows: tuple[Ref, ...] = ()
    if "device class" in text:
        title = "wants a device class that does not exist"
    elif "in use" in text:
        title = "wants a resource claim that is in use"
    elif devices is not None and not devices:
        title = "has resource claims, and no driver publishes devices"
        follows = tuple(agents(situation, Agent.GPU))
    else:
        title = "has resource claims that no node can satisfy"
    taken = allocated(situation, now)
    evidence = [*_claims(pod, taken is not None, situation), *_devices(devices, taken if situation.sees_all else None)]
    names = [name for name in _claim_names(pod).values() if name]
    next = [
        kubectl("get", "resourceclaims", *names, purpose="which claims are allocated?", namespace=pod.namespace),
        kubectl("get", "resourceslices", purpose="does a driver publish devices?"),
        kubectl("get", "deviceclasses", purpose="which device classes are there?"),
    ]
    return fired(pod, situation, now, title, evidence, next, follows=follows, wants=f"{SLICES} {CLAIMS}")


def _claim_names(pod: Pod) -> dict[str, str]:
    """Return the pod's name for each claim -> the claim's own name, empty while it is not made from its template."""
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    return {claim.name: claim.resource_claim_name or made.get(claim.name, "") for claim in pod.spec.resource_claims}


def _claims(pod: Pod, are_read: bool, situation: Situation) -> Iterator[Evidence]:
    names = _claim_names(pod)
    for claim in pod.spec.resource_claims:
        if name := names[claim.name]:
            if are_read:
                yield fact(CLAIMS, f"claim {claim.name} is {name}: {_state_of((pod.namespace, name), situation)}")
            else:
                yield fact("pods", f"claim {claim.name} is {name}: who has its devices is not known", Mark.OPEN)
        else:
            template = claim.resource_claim_template_name or "unnamed"
            yield fact("pods", f"claim {claim.name}: not made yet from template {template}")


def _state_of(key: ObjectKey, situation: Situation) -> str:
    found = situation.table(CLAIMS).get(key)
    if isinstance(found, ResourceClaim):
        return _state(found)
    return "it could not be decoded" if situation.is_unread(CLAIMS, key) else "there is none of that name"


def _state(claim: ResourceClaim) -> str:
    if claim.status.allocation is None:
        return "no device has been given to it"
    users = ", ".join(user.name for user in claim.status.reserved_for[:HOLDERS])
    return f"it has {counted(len(claim.status.allocation.devices.results), 'device')}, in use by {users or 'nobody'}"


def allocated(situation: Situation, now: datetime) -> Mapping[str, Taken] | None:
    """Return what claims have been given, by driver; None if that is not known. Access of monitoring takes nothing."""
    if read_lately(CLAIMS, situation, now) is None:
        return None
    return situation.once("devices taken", lambda: _allocated(situation))


def _allocated(situation: Situation) -> Mapping[str, Taken]:
    devices: dict[str, set[tuple[str, str]]] = {}
    holders: dict[str, Counter[str]] = {}
    for claim in situation.table(CLAIMS).values():
        if not isinstance(claim, ResourceClaim) or claim.status.allocation is None:
            continue
        for given in claim.status.allocation.devices.results:
            if not given.admin_access:
                devices.setdefault(given.driver, set()).add((given.pool, given.device))
                by = holders.setdefault(given.driver, Counter())
                by.update(f"{claim.namespace}/{user.name}" for user in claim.status.reserved_for)
    return {driver: Taken(len(found), tuple(holders[driver].most_common())) for driver, found in devices.items()}


def published(situation: Situation, now: datetime) -> tuple[Published, ...] | None:
    """Return what drivers publish, by driver; None if that is not known."""
    if read_lately(SLICES, situation, now) is None:
        return None
    devices: Counter[str] = Counter()
    nodes: dict[str, set[str]] = {}
    for item in situation.table(SLICES).values():
        if isinstance(item, ResourceSlice):
            driver = item.spec.driver or "unnamed"
            devices[driver] += len(item.spec.devices)
            nodes.setdefault(driver, set()).add(item.spec.node_name)
    return tuple(Published(driver, count, len(nodes[driver] - {""})) for driver, count in sorted(devices.items()))


def _devices(devices: tuple[Published, ...] | None, taken: Mapping[str, Taken] | None) -> Iterator[Evidence]:
    if devices is None:
        yield fact("pods", "resource slices have not been read lately: the message decides", Mark.OPEN)
        return
    if not devices:
        yield fact(SLICES, "there are no resource slices: no driver publishes any device")
    for item in devices[:3]:
        where = f" on {counted(item.nodes, 'node')}" if item.nodes else ""
        yield fact(SLICES, f"driver {item.driver} publishes {counted(item.devices, 'device')}{where}")
        if taken is not None:
            yield fact(CLAIMS, _taken(item.driver, taken.get(item.driver)))


def _taken(driver: str, taken: Taken | None) -> str:
    if taken is None:
        return f"no claim has a device of {driver}"
    named = ", ".join(f"{count} by {pod}" for pod, count in taken.holders[:HOLDERS])
    more = f" and {len(taken.holders) - HOLDERS} more pods" if len(taken.holders) > HOLDERS else ""
    return f"claims have {taken.devices} of {driver}: {named or 'in use by no pod'}{more}"


RULES: Final[tuple[Rule, ...]] = (device_claim,)
