"""When a screen that stands for all to see was left alone, so that the next person sees the whole cluster."""

from datetime import datetime
from typing import Final

from textual import events

_IDLE_S: Final = 60.0
"""A kiosk that nobody touched for this long shows the whole cluster again."""


class Idleness:
    """Told of what comes from the terminal. Who writes a note is there: each of its keys counts."""

    def __init__(self, now: datetime) -> None:
        self._touched_at: datetime | None = now

    def note(self, event: events.Event, now: datetime) -> None:
        """Take note of a key, a paste, or the mouse."""
        if isinstance(event, events.Key | events.Paste | events.MouseEvent):
            self._touched_at = now

    def was_left(self, now: datetime) -> bool:
        """Tell, once after each time somebody was there, that nobody is any more."""
        if self._touched_at is None or (now - self._touched_at).total_seconds() <= _IDLE_S:
            return False
        self._touched_at = None
        return True
