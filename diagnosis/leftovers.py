"""Failed pods are left lying about: whether one still matters, or its workload has long replaced it."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import fact, shorten
from diagnosis.container_facts import field, siblings
from diagnosis.rule import CLEAR, Clear, Wait
from situation.findings import Command, Evidence
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_finished, is_ready
from situation.situation import Situation
from situation.workloads import DaemonSet, Deployment, ReplicaSet, StatefulSet

FRESH: Final = timedelta(hours=1)
"""A failed pod of a workload is old news after this: its events have expired too (default time to live of events)."""

RECHECK: Final = timedelta(seconds=60)
"""A replaced pod is looked at again, because a workload's status lags behind its pods."""

REPEATED: Final = 2
"""Failed pods of one workload and reason within `FRESH` from which it happens again and again, though each
is replaced."""


def failed_at(pod: Pod) -> datetime | None:
    """Return when the pod failed: from its DisruptionTarget condition, its containers, or its Ready condition."""
    target = find_condition(pod.status.conditions, "DisruptionTarget")
    if target is not None and target.status == "True" and target.last_transition_time is not None:
        return target.last_transition_time
    ends = [
        status.state.terminated.finished_at
        for status in pod.status.container_statuses + pod.status.init_container_statuses
        if status.state.terminated and status.state.terminated.finished_at
    ]
    if ends:
        return max(ends)
    ready = find_condition(pod.status.conditions, "Ready")
    if ready is not None and ready.last_transition_time is not None:
        return ready.last_transition_time
    return pod.status.start_time or pod.metadata.creation_timestamp


def still_matters(pod: Pod, situation: Situation, now: datetime) -> Clear | Wait | None:
    """Return None when a failed pod is a present fault: not replaced, its replacement not ready, or it repeats.

    A pod of a Job is judged with its Job.
    """
    workload = situation.workload_of(pod)
    if pod.metadata.controller is None or workload.kind == "Pod":
        return None
    if pod.metadata.controller.kind == "Job":
        return CLEAR
    when = failed_at(pod)
    if when is not None and now - when > FRESH:
        return CLEAR
    if not _is_whole(workload, pod, situation) or _repeats(pod, situation, now):
        return None
    return Wait(now + RECHECK)


def _is_whole(workload: Ref, pod: Pod, situation: Situation) -> bool:
    match situation.get(workload):
        case Deployment() | StatefulSet() | ReplicaSet() as item:
            return item.status.ready_replicas >= item.spec.replicas
        case DaemonSet() as item:
            return item.status.number_ready >= item.status.desired_number_scheduled
    # The workload is not known: a ready pod under the same owner, made no earlier, is taken for the replacement.
    made = pod.metadata.creation_timestamp
    return any(
        is_ready(other) and (made is None or (other.metadata.creation_timestamp or made) >= made)
        for other in siblings(pod, situation)
        if not is_finished(other)
    )


def _repeats(pod: Pod, situation: Situation, now: datetime) -> bool:
    same = 1
    for other in siblings(pod, situation):
        if other.status.phase == "Failed" and other.status.reason == pod.status.reason:
            when = failed_at(other)
            same += when is not None and now - when <= FRESH
    return same >= REPEATED


def is_failed(pod: Pod, *reasons: str) -> bool:
    return (
        pod.status.phase == "Failed"
        and pod.metadata.deletion_timestamp is None
        and (not reasons or pod.status.reason in reasons)
    )


def status_command(pod: Pod) -> Command:
    return field(pod, "{.status.reason}{.status.message}", "what did the kubelet say?")


def told(pod: Pod) -> Evidence:
    text = f"{pod.status.reason}: {shorten(pod.status.message, 280)}" if pod.status.message else pod.status.reason
    return fact("pods", f"pod {pod.name} on {pod.spec.node_name or 'no node'}: {text}", at=failed_at(pod))
