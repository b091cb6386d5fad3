"""When an object was last known to change: the time that a dump shows."""

from collections.abc import Iterator
from datetime import datetime

from situation.cluster import Event, Lease, Node
from situation.meta import Condition, KubernetesObject
from situation.pods import ContainerState, Pod


def newest_time(item: KubernetesObject, until: datetime | None = None) -> datetime | None:
    """Return the newest time stamp of something that has happened, by `until` if that is given.

    deletionTimestamp lies in the future.
    """
    times = (time for time in _times(item) if time is not None and (until is None or time <= until))
    return max(times, default=None)


def _times(item: KubernetesObject) -> Iterator[datetime | None]:
    yield item.metadata.creation_timestamp
    match item:
        case Event():
            yield item.last_seen
        case Lease():
            yield item.spec.renew_time
        case Pod():
            yield item.status.start_time
            for status in (*item.status.container_statuses, *item.status.init_container_statuses):
                yield from _state_times(status.state)
                yield from _state_times(status.last_state)
        case Node():
            yield from (taint.time_added for taint in item.spec.taints)
    conditions: tuple[Condition, ...] = getattr(getattr(item, "status", None), "conditions", ())
    for condition in conditions:
        yield condition.last_transition_time
        yield condition.last_heartbeat_time


def _state_times(state: ContainerState) -> Iterator[datetime | None]:
    if state.running:
        yield state.running.started_at
    if state.terminated:
        yield state.terminated.started_at
        yield state.terminated.finished_at
