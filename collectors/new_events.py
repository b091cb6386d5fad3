"""Events of the group events.k8s.io, as `kubectl get events.events.k8s.io -o json` writes them.

They are the same objects as the core group's, under other names (API reference, "Event v1 events.k8s.io"); here they
become the one Event type. Only dumps hold them: the live collector reads the core group.
"""

from typing import Final

from situation.cluster import Event, EventSeries, EventSource, InvolvedObject
from situation.kinds import ObjectKind
from situation.meta import KubernetesObject, Time


class NewEvent(KubernetesObject, frozen=True):
    """An Event of events.k8s.io."""

    regarding: InvolvedObject = InvolvedObject()
    type: str = ""
    reason: str = ""
    note: str = ""
    event_time: Time | None = None
    series: EventSeries | None = None
    reporting_controller: str = ""
    deprecated_count: int = 0
    deprecated_first_timestamp: Time | None = None
    deprecated_last_timestamp: Time | None = None
    deprecated_source: EventSource = EventSource()

    def as_event(self) -> Event:
        """Return it under the core group's names."""
        return Event(
            metadata=self.metadata,
            involved_object=self.regarding,
            type=self.type,
            reason=self.reason,
            message=self.note,
            count=self.deprecated_count,
            first_timestamp=self.deprecated_first_timestamp,
            last_timestamp=self.deprecated_last_timestamp,
            event_time=self.event_time,
            series=self.series,
            source=self.deprecated_source,
            reporting_component=self.reporting_controller,
        )


NEW_EVENTS: Final = ObjectKind("events", "Event", "events.k8s.io/v1", NewEvent)
"""Named as the core group's kind: where both are in a dump, an event counts once."""
