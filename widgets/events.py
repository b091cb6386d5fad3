"""The events: what happened, newest first."""

from collections.abc import Hashable, Sequence
from datetime import UTC
from typing import Final

from textual.app import ComposeResult
from textual.message import Message

from situation.cluster import Event
from situation.meta import Ref
from situation.store import involved_ref
from widgets.columns import Cell, Column
from widgets.pane import Pane
from widgets.table import RowTable

COLUMNS: Final = (
    Column("time", 8, priority=1),
    Column("reason", 18, priority=0, least=15),
    Column("object", 30, priority=2, least=14),
    Column("", 5, priority=3, align="right"),
    Column("message", 0, priority=0),
)
"""When, what and why come first; then to which object, then how often."""


class EventsPane(Pane):
    """A table of events."""

    TITLE = "Events"

    class EventPicked(Message):
        """An event was picked; carries the object it is about."""

        def __init__(self, ref: Ref) -> None:
            self.ref = ref
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: dict[Hashable, Event] = {}

    def compose_body(self) -> ComposeResult:
        yield RowTable[Event](
            COLUMNS,
            key_of=lambda event: event.key,
            cells_of=event_cells,
            header=False,
            id="events-table",
        )

    @property
    def table(self) -> RowTable[Event]:
        return self.query_one(RowTable)

    def show(self, events: Sequence[Event], empty: str) -> None:
        """Show these events, newest first."""
        self._shown = {event.key: event for event in events}
        self.table.empty_text = empty
        self.table.show(events)

    def on_row_table_row_selected(self, message: RowTable.RowSelected) -> None:
        message.stop()
        if (event := self._shown.get(message.key)) is not None:
            self.post_message(self.EventPicked(involved_ref(event)))


def event_cells(event: Event) -> tuple[Cell, ...]:
    """Return the cells of an event: time (UTC), reason, object, how often, message."""
    seen = event.last_seen
    warning = event.type == "Warning"
    return (
        (f"{seen.astimezone(UTC):%H:%M:%S}" if seen else "?", "dim"),
        (event.reason, "warning" if warning else "dim"),
        (event.involved_object.name, ""),
        (f"×{event.times}" if event.times > 1 else "", "dim"),
        (event.message, "" if warning else "dim"),
    )
