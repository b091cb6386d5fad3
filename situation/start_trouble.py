"""Pods that have a node but have not started: whether that is so now, and what the kubelet last said about it."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from situation.cluster import Event
from situation.meta import find_condition
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation

REASONS: Final = (
    "FailedMount",
    "FailedMapVolume",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "FailedPrepareDynamicResources",
    "NetworkNotReady",
)
"""Events of pods whose containers the kubelet has not come to yet."""

RETRY: Final = timedelta(seconds=150)
"""Events this close to the newest are of the same attempt, or the one before: the kubelet repeats a failed mount after
2 min 2 s at the latest (goroutinemap/exponentialbackoff, maxDurationBeforeRetry), a sandbox much sooner."""

_UNMOUNTED: Final = re.compile(r"unmounted volumes=\[([^\]]*)\]")
_VOLUME: Final = re.compile(r'for volume "([^"]+)"')

NOT_STARTED: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


def has_not_started(pod: Pod) -> bool:
    """Tell whether a pod has a node but no sandbox with a network yet (condition PodReadyToStartContainers)."""
    if not pod.spec.node_name or is_finished(pod) or pod.metadata.deletion_timestamp is not None:
        return False
    condition = find_condition(pod.status.conditions, "PodReadyToStartContainers")
    if condition is not None:
        return condition.status != "True"
    return not has_run(pod) and (pod.spec.host_network or not pod.status.pod_ip)


def has_run(pod: Pod) -> bool:
    """Tell whether any container of the pod ever ran, or fails for a reason of its own."""
    return any(
        status.state.running
        or status.state.terminated
        or status.restart_count
        or (status.state.waiting is not None and status.state.waiting.reason not in NOT_STARTED)
        for status in pod.status.init_container_statuses + pod.status.container_statuses
    )


def start_events(pod: Pod, situation: Situation, *more: str) -> tuple[Event, ...]:
    """Return what the kubelet last said about a pod that has not started, oldest first; nothing once it has.

    Only events of the last attempts: an earlier trouble that was overcome is not the present one.
    """
    if not has_not_started(pod):
        return ()
    attached = attached_at(pod, situation)
    events = [
        event
        for event in situation.events_of(pod, "Pod", *REASONS, *more)
        if event.type == "Warning" and not (attached and _is_attached_since(event, attached, pod))
    ]
    newest = max((event.last_seen for event in events if event.last_seen), default=None)
    if newest is None:
        return tuple(events)
    return tuple(event for event in events if event.last_seen and newest - event.last_seen <= RETRY)


def attached_at(pod: Pod, situation: Situation) -> Mapping[str, datetime]:
    """Return when volumes were attached for a pod, by their names, as far as events tell.

    The attach/detach controller says `AttachVolume.Attach succeeded for volume "pv-7"`.
    """
    told = [
        (_VOLUME.search(event.message), event.last_seen)
        for event in situation.events_of(pod, "Pod", "SuccessfulAttachVolume")
    ]
    return {found[1]: at for found, at in told if found is not None and at is not None}


def _is_attached_since(event: Event, attached: Mapping[str, datetime], pod: Pod) -> bool:
    """Tell whether what an event complains of is over by an attachment: of its volume, or of as many as it lacks."""
    found, at = _VOLUME.search(event.message), event.last_seen
    since = None
    if event.reason == "FailedAttachVolume" and found is not None:
        since = attached.get(found[1])
    elif event.reason == "FailedMount" and (lacking := _UNMOUNTED.search(event.message)) is not None:
        names = lacking[1].split()
        volumes = pod.spec.volumes
        claims = {volume.name for volume in volumes if volume.persistent_volume_claim or volume.ephemeral}
        if claims.issuperset(names) and len(attached) >= len(names):  # a ConfigMap is mounted by no attachment
            since = max(attached.values())
    return since is not None and at is not None and at <= since


def waiting_since(pod: Pod) -> datetime | None:
    """Return since when the kubelet has had the pod: its start time, else when it was scheduled, else created."""
    scheduled = find_condition(pod.status.conditions, "PodScheduled")
    return (
        pod.status.start_time
        or (scheduled.last_transition_time if scheduled else None)
        or pod.metadata.creation_timestamp
    )
