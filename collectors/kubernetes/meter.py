"""What Midwatch costs the API server, and how far its clock is from ours: counted where the bytes pass."""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from statistics import median
from time import monotonic
from typing import Final

import msgspec

from collectors.kubernetes.cluster_clock import ClusterClock
from situation.readings import OwnLoad, Reading, ServerClock, SourceState

RATE_WINDOW_S: Final = 60.0
CONFIRM_S: Final = 30.0
"""An unchanged load is confirmed this often."""
CLOCK_EVERY_S: Final = 10.0
CLOCK_FRESH_S: Final = 90.0
SLOWEST_S: Final = 5.0
"""An answer that took longer says too little about when its date was written."""
_CLOCK: Final = "midwatch/clock"


def clock_of(date: str, sent_at: datetime, came_at: datetime) -> ServerClock | None:
    """Compare clocks by the `Date` of an answer and our times of question and answer; None if that tells nothing.

    The server wrote a whole second somewhere between the two.
    """
    took_s = (came_at - sent_at).total_seconds()
    try:
        written = parsedate_to_datetime(date)
        least, most = (sent_at - written - timedelta(seconds=1), came_at - written)
    except (ValueError, TypeError, OverflowError):
        return None  # not a date, or one without a zone
    if not 0 <= took_s <= SLOWEST_S:
        return None
    return ServerClock(round((least + most).total_seconds() / 2, 1), round((most - least).total_seconds() / 2, 1))


class Meter:
    """Counts requests, open watches, bytes, 429s, and the time to the first byte."""

    def __init__(self, cluster_clock: ClusterClock, monotonic_clock: Callable[[], float] = monotonic) -> None:
        """`cluster_clock` is told of each comparison."""
        self._cluster_clock = cluster_clock
        self._clock = monotonic_clock
        self._requests = 0
        self._recent: deque[float] = deque(maxlen=10_000)
        self._latencies: deque[float] = deque(maxlen=20)
        self.open_watches = 0
        self.received_bytes = 0
        self.throttled = 0
        self.clock: ServerClock | None = None
        """Our clock against the server's, as the last answer that tells of it has it."""
        self.compared_at = 0.0
        """When that was, in seconds of the monotonic clock."""

    def count_request(self) -> None:
        self._requests += 1
        self._recent.append(self._clock())

    def note_latency(self, seconds: float) -> None:
        self._latencies.append(seconds)

    def note_date(self, date: str, sent_at: datetime, came_at: datetime) -> None:
        """Take in the `Date` of an answer; the times are those of our own clock."""
        if (clock := clock_of(date, sent_at, came_at)) is not None:
            self.clock, self.compared_at = self._cluster_clock.compare(clock), self._clock()

    @property
    def compared_ago(self) -> timedelta:
        """How old `clock` is."""
        return timedelta(seconds=self._clock() - self.compared_at)

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
    """Publishes the own load each second in which it changed, source `midwatch/load`; and now and then how our clock
    stands to the server's, source `midwatch/clock`."""

    name = "midwatch/load"
    pause_s = 1.0
    deadline_s = 5.0

    def __init__(self, meter: Meter, clock: Callable[[], datetime]) -> None:
        self._meter = meter
        self._clock = clock
        self._last: OwnLoad | None = None
        self._said_at: datetime | None = None
        self._clock_said: ServerClock | None = None
        self._clock_said_at = 0.0

    async def collect(self) -> AsyncGenerator[Reading, None]:
        load, now = self._meter.load(), self._clock()
        # Also due when our clock was set back: then the last word lies ahead.
        due = self._said_at is None or not 0 <= (now - self._said_at).total_seconds() < CONFIRM_S
        if due or self._last is None or msgspec.structs.asdict(load) != msgspec.structs.asdict(self._last):
            self._last, self._said_at = load, now
            yield Reading(self.name, SourceState.LIVE, now, load)
        clock, at = self._meter.clock, self._meter.compared_at
        if clock is not None and self._is_clock_due(clock, at):
            self._clock_said, self._clock_said_at = clock, at
            yield Reading(_CLOCK, SourceState.LIVE, now - self._meter.compared_ago, clock, fresh_for_s=CLOCK_FRESH_S)

    def _is_clock_due(self, clock: ServerClock, at: float) -> bool:
        said = self._clock_said
        return said is None or said.taken_off_s != clock.taken_off_s or at - self._clock_said_at >= CLOCK_EVERY_S
