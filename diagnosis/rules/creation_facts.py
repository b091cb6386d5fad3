"""What all rules about missing pods share: is a controller refused a pod now, and in which words."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from diagnosis.commands import counted, fact, kubectl, said_by, shorten
from diagnosis.node_agents import home_layer
from diagnosis.replicas import gravity
from diagnosis.rule import Fired, Wait, wait_until
from situation.cluster import Event
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Condition, KubernetesObject, Ref, find_condition
from situation.situation import Situation
from situation.workloads import DaemonSet, Job, ReplicaSet, StatefulSet, Workload

YOUNG_BUDGET_S: Final = 10.0
"""Objects applied together race: a ServiceAccount may come seconds after its Deployment (fault_signatures L1-25)."""
EVENT_CURRENT_S: Final = 1200.0
"""A refused controller tries again at the latest after 1000 s (client-go, default controller rate limiter); an event
older than 20 minutes no longer says why pods are missing."""

CREATORS: Final = "ReplicaSet StatefulSet DaemonSet Job"
"""Kinds that create pods."""


class Refused(msgspec.Struct, frozen=True):
    """A controller that wants more pods than it has, and the error it got."""

    ref: Ref
    workload: Ref
    """The top of the chain of owners: the Deployment, the CronJob."""
    text: str
    """Newest error text."""
    has: int
    wants: int
    event: Event | None
    condition: Condition | None

    @property
    def since(self) -> datetime | None:
        if self.condition is not None and self.condition.last_transition_time is not None:
            return self.condition.last_transition_time
        return self.event.first_timestamp or self.event.last_seen if self.event is not None else None


def refused(item: Workload, situation: Situation, now: datetime) -> Refused | None:
    """Return what a controller is refused now; None when it has its pods, or nothing current says that it is refused.

    FailedCreate counts only while pods are missing: for a ReplicaSet while its condition ReplicaFailure holds, for the
    others while the newest FailedCreate is newer than the newest SuccessfulCreate (fault_signatures 0.1).
    """
    kind = type(item).__name__
    has, wants = _pods(item)
    if has >= wants or item.metadata.deletion_timestamp is not None:
        return None
    condition = find_condition(item.status.conditions, "ReplicaFailure") if isinstance(item, ReplicaSet) else None
    if isinstance(item, ReplicaSet) and (
        condition is None or condition.status != "True" or condition.reason != "FailedCreate"
    ):
        return None
    event = _newest_failure(item, kind, situation, now)
    text = event.message if event is not None else condition.message if condition is not None else ""
    if not text:
        return None
    ref = Ref(kind, item.namespace, item.name)
    return Refused(ref, situation.workload_of(item, kind), _plain(text), has, wants, event, condition)


def _pods(item: Workload) -> tuple[int, int]:
    """Return (pods there are, pods wanted)."""
    match item:
        case DaemonSet():
            return item.status.current_number_scheduled, item.status.desired_number_scheduled
        case Job():
            done = any(c.type in ("Complete", "Failed") and c.status == "True" for c in item.status.conditions)
            if done or item.spec.suspend:
                return 0, 0
            left = item.spec.parallelism
            if item.spec.completions is not None:
                left = min(left, item.spec.completions - item.status.succeeded)
            return item.status.active, left
        case ReplicaSet() | StatefulSet():
            return item.status.replicas, item.spec.replicas
    return 0, 0


def _newest_failure(item: KubernetesObject, kind: str, situation: Situation, now: datetime) -> Event | None:
    events = situation.events_of(item, kind, "FailedCreate", "SuccessfulCreate")
    if not events or events[-1].reason != "FailedCreate":
        return None
    newest = events[-1]
    seen = newest.last_seen
    if seen is None or now - seen > timedelta(seconds=EVENT_CURRENT_S):
        return None
    return newest


def _plain(text: str) -> str:
    text = text.removeprefix("(combined from similar events): ")
    return text.removeprefix("Error creating: ").strip()


def refusal_evidence(found: Refused) -> Iterator[Evidence]:
    """Yield the lines that every refused creation has: what is missing, the error, how often."""
    pods = f"{found.has} of {counted(found.wants, 'pod')}"
    yield fact(_table(found.ref.kind), f"{found.ref.kind} {found.ref.name}: {pods}")
    if found.condition is not None:
        at = found.condition.last_transition_time
        text = "" if found.event is not None else f": {shorten(found.condition.message, 300)}"
        yield fact(_table(found.ref.kind), f"ReplicaFailure=True ({found.condition.reason}){text}", at=at)
    if found.event is not None:
        yield said_by(found.event)


def _table(kind: str) -> str:
    return f"{kind.lower()}s"


def refused_fired(
    found: Refused,
    situation: Situation,
    title: str,
    next: Iterable[Command],
    *,
    about: Ref | None = None,
    evidence: Iterable[Evidence] = (),
    follows: tuple[Ref, ...] = (),
    of_cluster: tuple[str, ...] = (),
    layer: Layer | None = None,
    severity: Severity | None = None,
    wants: str = "",
) -> Fired:
    """Return the finding about the workload, or about `about` with the workload's name in front."""
    describe = kubectl(
        "describe", found.ref.kind.lower(), found.ref.name,
        purpose="what does its controller say?", namespace=found.ref.namespace,
    )  # fmt: skip
    creator = situation.get(found.workload) or situation.get(found.ref)
    return Fired(
        about or found.workload,
        title,
        (*refusal_evidence(found), *evidence),
        (*next, describe),
        severity=severity or gravity(found.workload, situation),
        layer=layer or (home_layer(creator) if creator is not None else None),
        follows=follows,
        of_cluster=of_cluster,
        who=(found.workload.name,),
        wants=wants,
    )


def tried_again(
    found: Refused, situation: Situation, what: str, next: Iterable[Command], evidence: Iterable[Evidence]
) -> Fired:
    """Return the finding about a workload that still lacks pods though what refused them is over, which `what` says."""
    told = fact(_table(found.ref.kind), "its controller tries again by itself, after 1000 s at the latest", Mark.OPEN)
    title = f"waits to be tried again: {what} by now"
    return refused_fired(found, situation, title, next, evidence=(*evidence, told), severity=Severity.WARNING)


def still_young(found: Refused, now: datetime, budget_s: float = YOUNG_BUDGET_S) -> Wait | None:
    """Return Wait while the refusal may still be a race between objects that were applied together."""
    return wait_until(found.since, budget_s, now)
