"""What all rules about unscheduled pods share: the scheduler's words, the budget, severity and common evidence."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Final

from diagnosis.commands import counted, fact, kubectl, said_by, shorten
from diagnosis.placement import amount_text, down_nodes, is_cordoned, wanted
from diagnosis.replacements import lost_nodes
from diagnosis.replicas import gravity
from diagnosis.rule import Fired, Wait, wait_until
from diagnosis.rules.terminating import OVERDUE_S
from diagnosis.scheduler_text import CORDON, TAINT, SchedulerMessage, parse_scheduler_message
from situation.clock import moment_text
from situation.cluster import Event, Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Condition, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation

UNSCHEDULED_BUDGET_S: Final = 30.0
"""A pod may wait this long for a node: rolling updates and preemption free room within the default termination grace
period of 30 s (core/v1, terminationGracePeriodSeconds)."""
CRITICAL_AFTER_S: Final = 60.0
"""A workload without any ready pod is given this long before it counts as down because of scheduling."""
SCALE_UP_BUDGET_S: Final = 900.0
"""While a node autoscaler says that it brings a node, the pod is degraded, not down: cluster-autoscaler gives a new
node 15 minutes (max-node-provision-time)."""
SHOWN: Final = 3
"""Nodes named in titles and evidence."""
LISTED: Final = 50
"""Nodes that are looked at for taints, and followed: in a large outage each of hundreds of pods asks for them."""

_SCALING_UP: Final = ("TriggeredScaleUp", "Nominated")
_NOT_SCALING_UP: Final = ("NotTriggerScaleUp", "FailedScaleUp")


def scheduled_condition(pod: Pod) -> Condition | None:
    """Return the condition PodScheduled of a pod that waits for a node, None for any other pod or without condition."""
    if pod.spec.node_name or pod.status.phase not in ("", "Pending") or pod.metadata.deletion_timestamp is not None:
        return None
    condition = find_condition(pod.status.conditions, "PodScheduled")
    return condition if condition is not None and condition.status == "False" else None


def refusal(pod: Pod) -> SchedulerMessage | None:
    """Return why the scheduler cannot place the pod now, None if it does not say so.

    The condition PodScheduled decides; events are history (fault_signatures 0.1).
    """
    condition = scheduled_condition(pod)
    if condition is None or condition.reason == "SchedulingGated":
        return None
    return parse_scheduler_message(condition.message)


def waiting_since(pod: Pod) -> datetime | None:
    condition = scheduled_condition(pod)
    return (condition.last_transition_time if condition else None) or pod.metadata.creation_timestamp


def still_young(pod: Pod, now: datetime, budget_s: float = UNSCHEDULED_BUDGET_S) -> Wait | None:
    """Return Wait while the pod is within its budget of `budget_s` seconds without a node."""
    return wait_until(waiting_since(pod), budget_s, now)


def node_refs(nodes: Iterable[Node]) -> tuple[Ref, ...]:
    """Return references of at most 50 nodes."""
    return tuple(Ref("Node", "", node.name) for node, _ in zip(nodes, range(LISTED), strict=False))


def names(nodes: Iterable[Node]) -> str:
    """Return `a, b, c and 4 more`."""
    every = [node.name for node in nodes]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def fired(
    pod: Pod,
    situation: Situation,
    now: datetime,
    title: str,
    evidence: Iterable[Evidence] = (),
    next: Iterable[Command] = (),
    *,
    follows: tuple[Ref, ...] = (),
    of_cluster: tuple[str, ...] = (),
    layer: Layer | None = None,
    severity: Severity | None = None,
    wants: str = "",
) -> Fired:
    """Return the finding about the pod's workload: the scheduler's own words first, what holds for every reason last.

    Nodes that are down (a condition's taint keeps the pod away) are followed whatever the reason on the others is; so
    are those with which the workload lost the pods that this one replaces.
    """
    said = refusal(pod)
    down = list(islice(down_nodes(pod, situation), LISTED)) if said is not None and said.count(TAINT) else []
    lines = [*_said(pod, situation), *_room_made(pod, situation, now), *evidence, *_cordoned(said, situation)]
    if down:
        lines.append(fact("nodes", f"would be asked but for their own state: {names(down)}"))
    lost = lost_nodes(pod, situation)
    if lost:
        nodes = ", ".join(ref.name for ref in lost[:SHOWN])
        lines.append(fact("pods", f"made after pods of the same workload were lost with {nodes}"))
    lines += _autoscaler(pod, situation)
    if not situation.knows("nodes"):
        lines.append(fact("nodes", "nodes could not be read: the numbers are the scheduler's", Mark.OPEN))
    elif situation.has_unread("nodes"):
        lines.append(fact("nodes", "not all nodes could be decoded: one of those may do", Mark.OPEN))
    describe = kubectl("describe", "pod", pod.name, purpose="what does the scheduler say?", namespace=pod.namespace)
    return Fired(
        situation.workload_of(pod),
        title,
        tuple(lines),
        (*next, describe),
        severity=severity or _severity(pod, situation, now),
        layer=layer,
        follows=(*follows, *node_refs(down), *lost),
        of_cluster=of_cluster,
        wants=wants,
    )


def by_message(
    pod: Pod, situation: Situation, now: datetime, resource: str, said: SchedulerMessage, next: Iterable[Command]
) -> Fired:
    """Without nodes, or all pods on them, only the scheduler's numbers are left, and its hint about preemption.

    Source of the hint: kube-scheduler, noderesources/fit.go.
    """
    busy = "No preemption victims found" in said.afterwards
    hint = "nodes offer that much but are busy" if busy else "no node offers that much, or preemption is not allowed"
    count = said.insufficient[resource]
    title = f"wants {amount_text(resource, wanted(pod, resource))}: too little on {count} of "
    title += counted(said.total or count, "node")
    evidence = [fact("pods", f"by the scheduler's preemption text, {hint}", Mark.OPEN)]
    if situation.nodes and situation.part:
        evidence.append(fact("pods", f"{situation.part}: what others hold is not known", Mark.OPEN))
    return fired(pod, situation, now, title, evidence, next)


def _severity(pod: Pod, situation: Situation, now: datetime) -> Severity:
    if wait_until(waiting_since(pod), CRITICAL_AFTER_S, now) is not None:
        return Severity.WARNING
    leaving = _leaving(pod, situation)
    if leaving and wait_until(_last_end(leaving), OVERDUE_S, now) is not None:
        return Severity.WARNING
    scaling = situation.events_of(pod, "Pod", *_SCALING_UP, *_NOT_SCALING_UP)
    if scaling and scaling[-1].reason in _SCALING_UP:
        if wait_until(scaling[-1].last_seen, SCALE_UP_BUDGET_S, now) is not None:
            return Severity.WARNING
    return gravity(situation.workload_of(pod), situation)


def _leaving(pod: Pod, situation: Situation) -> list[Pod]:
    """Return the pods that leave the node which the scheduler has picked for a pod: it waits until they are gone.

    Source: kube-scheduler, DefaultPreemption, PodEligibleToPreemptOthers.
    """
    if not (node := pod.status.nominated_node_name):
        return []
    there = situation.pods_by_node.get(node).values()
    return [other for other in there if other.metadata.deletion_timestamp is not None and not is_finished(other)]


def _last_end(leaving: list[Pod]) -> datetime | None:
    """Return when the last of them has to be gone; a deletionTimestamp holds the grace period."""
    return max((pod.metadata.deletion_timestamp for pod in leaving if pod.metadata.deletion_timestamp), default=None)


def _room_made(pod: Pod, situation: Situation, now: datetime) -> list[Evidence]:
    leaving = _leaving(pod, situation)
    if (end := _last_end(leaving)) is None:
        return []
    due = "should have been gone by" if end < now else "gone by"
    where = f"{counted(len(leaving), 'pod')} to leave {pod.status.nominated_node_name}"
    text = f"the scheduler waits for {where}: {due} {moment_text(end, now)}"
    return [fact("pods", text, at=end if end < now else None)]


def _said(pod: Pod, situation: Situation) -> list[Evidence]:
    condition = scheduled_condition(pod)
    if condition is None:
        return []
    text = f"PodScheduled=False ({condition.reason}): {shorten(condition.message, 300)}"
    lines = [fact("pods", text, at=condition.last_transition_time)]
    newest = _newest(situation.events_of(pod, "Pod", "FailedScheduling"))
    if newest is not None and newest.message.strip() != condition.message.strip():
        lines.append(said_by(newest))
    return lines


def _newest(events: tuple[Event, ...]) -> Event | None:
    return events[-1] if events else None


def _cordoned(said: SchedulerMessage | None, situation: Situation) -> list[Evidence]:
    """Cordons are mentioned, not blamed: a permanently cordoned node is in nearly every message (L2-06)."""
    if said is None or not said.count(CORDON) or said.count(CORDON) == said.total:
        return []
    cordoned = [node for node in situation.nodes.values() if is_cordoned(node)]
    return [fact("nodes", f"cordoned, not counted as the cause: {names(cordoned)}")] if cordoned else []


def _autoscaler(pod: Pod, situation: Situation) -> list[Evidence]:
    newest = _newest(situation.events_of(pod, "Pod", *_SCALING_UP, *_NOT_SCALING_UP))
    return [said_by(newest)] if newest is not None else []
