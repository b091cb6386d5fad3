"""The newest time stamp in decoded objects: what counts as "now" where nobody wrote the time down."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from situation.cluster import Event, Lease, Node
from situation.meta import Condition, KubernetesObject
from situation.pods import ContainerStatus, Pod
from situation.workloads import Deployment, HorizontalPodAutoscaler, Job, ReplicaSet, StatefulSet


def newest_stamp(objects: Iterable[KubernetesObject], until: datetime | None = None) -> datetime | None:
    """Return the latest time at which something in these objects happened, or None.

    Only stamps of the past are looked at: a deletion time stamp may lie in the future. `until` leaves out what is
    later, for example the stamp of a node whose clock is wrong.
    """
    stamps = (stamp for item in objects for stamp in _stamps(item) if stamp is not None and stamp.tzinfo is not None)
    return max((stamp for stamp in stamps if until is None or stamp <= until), default=None)


def _stamps(item: KubernetesObject) -> Iterator[datetime | None]:
    yield item.metadata.creation_timestamp
    match item:
        case Event():
            yield item.last_seen
        case Lease():
            yield item.spec.renew_time
        case Pod():
            yield item.status.start_time
            yield from _condition_stamps(item.status.conditions)
            for status in (*item.status.init_container_statuses, *item.status.container_statuses):
                yield from _container_stamps(status)
        case Node():
            yield from _condition_stamps(item.status.conditions)
        case Deployment() | StatefulSet() | ReplicaSet() | Job() | HorizontalPodAutoscaler():
            yield from _condition_stamps(item.status.conditions)


def _condition_stamps(conditions: Iterable[Condition]) -> Iterator[datetime | None]:
    for condition in conditions:
        yield condition.last_transition_time
        yield condition.last_heartbeat_time


def _container_stamps(status: ContainerStatus) -> Iterator[datetime | None]:
    for state in (status.state, status.last_state):
        if state.running is not None:
            yield state.running.started_at
        if state.terminated is not None:
            yield state.terminated.started_at
            yield state.terminated.finished_at
