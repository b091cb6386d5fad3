"""How often the slow panes are painted again: often enough to be true, seldom enough for a slow line."""

from datetime import datetime
from typing import Final

from situation.readings import Source, SourceState

SLOW_PANES_EVERY_S: Final = 1.5
"""Events scroll with each event, nodes and pods with each change of order: at full rate that floods a slow line.
Pods that change in place are painted at once."""
AGES_EVERY_S: Final = 5.0
"""Ages in the pod table are never older than this; each repaint sends the lines whose age reads different."""


class Due:
    """Whether a slow pane is to be painted again: after a while, or at once when its source's state changes."""

    def __init__(self, every_s: float = SLOW_PANES_EVERY_S) -> None:
        self._every_s = every_s
        self._at: datetime | None = None
        self._state: SourceState | None = None

    def is_due(self, source: Source, now: datetime, slow_at: datetime | None = None) -> bool:
        """Tell whether it is, but later if another slow pane was painted (`slow_at`) in this turn."""
        if self._at is None or now < self._at or source.state is not self._state:
            return True  # never, or before a clock was set back, or in another state
        waited_s = (now - self._at).total_seconds()
        if slow_at == now:  # where turns are seconds apart, another pane is always first: wait twice as long at most
            return waited_s >= 2 * self._every_s
        return waited_s >= self._every_s

    def painted(self, source: Source, now: datetime) -> datetime:
        """Note that it was painted; return when."""
        self._at, self._state = now, source.state
        return now
