"""How often the slow panes are painted again: often enough to be true, seldom enough for a slow line."""

from collections.abc import Hashable
from datetime import datetime
from typing import Final

SLOW_PANES_EVERY_S: Final = 1.5
"""Events scroll with each event, nodes and pods with each change of order: at full rate that floods a slow line.
Pods that change in place are painted at once."""
OWED_EVERY_S: Final = 0.4
"""So soon a slow pane is painted again once other causes are told: what it shows must not gainsay them."""
AGES_EVERY_S: Final = 5.0
"""Ages in the pod table are never older than this; each repaint sends the lines whose age reads different."""


class Due:
    """Whether a slow pane is to be painted again: after a while, soon if it is owed, at once in another state."""

    def __init__(self, every_s: float = SLOW_PANES_EVERY_S) -> None:
        self._every_s = every_s
        self._at: datetime | None = None
        self._state: Hashable = None
        self._is_owed = False

    def owe(self) -> None:
        """Have it painted soon."""
        self._is_owed = True

    def is_due(self, state: Hashable, now: datetime, slow_at: datetime | None = None) -> bool:
        """Tell whether it is, but later if another slow pane was painted (`slow_at`) in this turn.

        `state` is that of its sources.
        """
        if self._at is None or now < self._at or state != self._state:
            return True  # never, or before a clock was set back, or in another state
        every_s = min(OWED_EVERY_S, self._every_s) if self._is_owed else self._every_s
        if slow_at == now:  # where turns are seconds apart, another pane is always first: wait twice as long at most
            every_s *= 2
        return (now - self._at).total_seconds() >= every_s

    def painted(self, state: Hashable, now: datetime) -> datetime:
        """Note that it was painted; return when."""
        self._at, self._state, self._is_owed = now, state, False
        return now
