"""What Midwatch costs the API server, counted where the bytes pass."""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from statistics import median
from time import monotonic
from typing import Final

import msgspec

from situation.readings import OwnLoad, Reading, SourceState

RATE_WINDOW_S: Final = 60.0
CONFIRM_S: Final = 30.0
"""An unchanged load is confirmed this often."""


class Meter:
    """Counts requests, open watches, bytes, 429s, and the time to the first byte."""

    def __init__(self, monotonic_clock: Callable[[], float] = monotonic) -> None:
        self._clock = monotonic_clock
        self._requests = 0
        self._recent: deque[float] = deque(maxlen=10_000)
        self._latencies: deque[float] = deque(maxlen=20)
        self.open_watches = 0
        self.received_bytes = 0
        self.throttled = 0

    def count_request(self) -> None:
        self._requests += 1
        self._recent.append(self._clock())

    def note_latency(self, seconds: float) -> None:
        self._latencies.append(seconds)

    def load(self) -> OwnLoad:
        """Return the load up to now."""
        now = self._clock()
        while self._recent and now - self._recent[0] > RATE_WINDOW_S:
            self._recent.popleft()
        return OwnLoad(
            self._requests,
            round(len(self._recent) / RATE_WINDOW_S, 2),
            self.open_watches,
            self.received_bytes,
            self.throttled,
            round(median(self._latencies), 4) if self._latencies else None,
        )


class LoadCollector:
    """Publishes the own load each second in which it changed; source `midwatch/load`."""

    name = "midwatch/load"
    pause_s = 1.0
    deadline_s = 5.0

    def __init__(self, meter: Meter, clock: Callable[[], datetime]) -> None:
        self._meter = meter
        self._clock = clock
        self._last: OwnLoad | None = None
        self._said_at: datetime | None = None

    async def collect(self) -> AsyncGenerator[Reading, None]:
        load, now = self._meter.load(), self._clock()
        due = self._said_at is None or (now - self._said_at).total_seconds() >= CONFIRM_S
        if due or self._last is None or msgspec.structs.asdict(load) != msgspec.structs.asdict(self._last):
            self._last, self._said_at = load, now
            yield Reading(self.name, SourceState.LIVE, now, load)
