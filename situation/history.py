"""What was read before, bounded in time and number: windows for rates, quantiles and small curves."""

from collections import deque
from datetime import datetime, timedelta
from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """Values with their times, oldest first. Keeps `span` at most; values closer than `spacing` replace the last one.

    Kept in the Situation and not in a collector, so that a tape that is played back leads to the same picture.
    """

    def __init__(self, span: timedelta, spacing: timedelta = timedelta(0)) -> None:
        self.span = span
        self.spacing = spacing
        self._kept: deque[tuple[datetime, T]] = deque()

    def add(self, at: datetime, value: T) -> None:
        """Note a value. Time that runs backwards (a clock was set, a tape was wound back) empties the history."""
        kept = self._kept
        if kept and at < kept[-1][0]:
            kept.clear()
        if len(kept) > 1 and at - kept[-2][0] < self.spacing:
            kept.pop()
        kept.append((at, value))
        while at - kept[0][0] > self.span:
            kept.popleft()

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def within(self, window: timedelta) -> tuple[tuple[datetime, T], ...]:
        """Return the values of the last `window` before the newest one, with the last one before it as the start."""
        if not self._kept:
            return ()
        start = self._kept[-1][0] - window
        found: list[tuple[datetime, T]] = []
        for item in reversed(self._kept):
            found.append(item)
            if item[0] <= start:
                break
        return tuple(reversed(found))

    def __len__(self) -> int:
        return len(self._kept)
