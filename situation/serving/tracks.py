"""What is followed of one engine from page to page: numbers for windows, what moves, restarts of counters."""

import math
from collections.abc import Sequence
from datetime import datetime

from situation.serving.readings import EnginePage
from situation.serving.windows import NAN, Buckets, Rows


class Totals:
    """What counters have counted since they were first seen, over restarts of the process."""

    def __init__(self) -> None:
        self._totals: list[float] = []
        self._last: list[float] = []

    def add(self, values: Sequence[float | None], *, restarted: bool) -> tuple[float, ...]:
        """Return the totals; NaN for what is not measured now. What fell, or is of a new process, began at 0."""
        if not self._totals:
            self._totals, self._last = [0.0] * len(values), [NAN] * len(values)
        found = []
        for position, value in enumerate(map(_or_nan, values)):
            before = self._last[position]
            if math.isfinite(value):
                if math.isfinite(before):
                    self._totals[position] += value if restarted or value < before else value - before
                self._last[position] = value
            found.append(self._totals[position] if math.isfinite(value) else NAN)
        return tuple(found)


class EngineTrack:
    """One engine and model of a server."""

    def __init__(self) -> None:
        self.page: EnginePage | None = None
        """The last one."""
        self.rows = Rows()
        self.ttft = Buckets()
        self.itl = Buckets()
        self.most_running: float | None = None
        """The most requests that were seen running while others waited: what the engine takes at once."""
        self.moved_at: datetime | None = None
        """When anything of it was seen to move last, or when it was first seen."""
        self.still_pages = 0
        """Pages in a row, after the one that moved last, on which nothing moved."""
        self.queued_since: datetime | None = None
        """When requests were first seen to wait, of all pages since one on which none did."""
        self.queued_pages = 0
        """Pages in a row on which requests wait."""
        self._totals = Totals()

    def take(self, at: datetime, page: EnginePage, *, restarted: bool) -> None:
        """Fold the next page in; `restarted`: it is the first of a new process."""
        if self.page is None or restarted or _signs(page) != _signs(self.page):
            self.moved_at, self.still_pages = at, 0
        else:
            self.still_pages += 1
        if restarted:
            self.most_running = None
        self.page = page
        seconds = at.timestamp()
        gauges = (_or_nan(page.running), _or_nan(page.waiting), _or_nan(page.kv_usage_ratio))
        self.rows.add((seconds, *gauges, *self._totals.add(_counters(page), restarted=restarted)))
        self.ttft.add(seconds, page.ttft)
        self.itl.add(seconds, page.itl)
        self._note_queue(at, finite(page.running), finite(page.waiting))

    def _note_queue(self, at: datetime, running: float | None, waiting: float | None) -> None:
        if not waiting:
            self.queued_since, self.queued_pages = None, 0
            return
        self.queued_since = self.queued_since or at
        self.queued_pages += 1
        if running is not None:
            self.most_running = max(self.most_running or 0.0, running)

    def set_clock_back(self, at: datetime) -> None:
        """Nothing that was seen can lie ahead."""
        self.rows.clear()
        self.ttft.clear()
        self.itl.clear()
        self.moved_at, self.still_pages = at, 0
        self.queued_since, self.queued_pages = None, 0


def _counters(page: EnginePage) -> tuple[float | None, ...]:
    """Return the counters in the order of their columns."""
    finished = page.finished
    return (
        page.preemptions,
        page.prompt_tokens,
        page.generation_tokens,
        page.prefix_queries,
        page.prefix_hits,
        finished.get("error", 0.0) if finished else None,
        finished.get("abort", 0.0) if finished else None,
    )


def _or_nan(value: float | None) -> float:
    return NAN if value is None or not math.isfinite(value) else value


def finite(value: float | None) -> float | None:
    """Return a number that was measured; NaN and infinity are none."""
    return value if value is not None and math.isfinite(value) else None


def _signs(page: EnginePage) -> tuple[object, ...]:
    """Return what moves while an engine makes progress."""
    return (
        *map(finite, (page.running, page.waiting, page.kv_usage_ratio, *_counters(page))),
        page.ttft.total if page.ttft is not None else None,
        page.itl.total if page.itl is not None else None,
        sum(filter(math.isfinite, page.finished.values())),
    )
