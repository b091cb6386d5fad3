"""What is kept of one engine for windows and curves, as packed numbers: hundreds of servers cost little."""

import math
from array import array
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from itertools import pairwise
from operator import add, sub
from typing import Final

from situation.histograms import Histogram

SPAN: Final = timedelta(minutes=15)
"""Curves show as much."""
SPACING: Final = timedelta(seconds=5)
HISTOGRAM_SPAN: Final = timedelta(minutes=5)
"""The last minute, and enough before it to tell whether it is worse."""
HISTOGRAM_SPACING: Final = timedelta(seconds=10)
SLACK: Final = timedelta(seconds=30)
"""So much longer than asked for a window may be; a start from before that would be told of the window."""


class Column(IntEnum):
    """What a row holds. NaN: not measured. Those from PREEMPTIONS on are totals since the engine was first seen."""

    AT = 0
    """Seconds since 1970."""
    RUNNING = 1
    WAITING = 2
    KV_USAGE = 3
    PREEMPTIONS = 4
    PROMPT_TOKENS = 5
    GENERATION_TOKENS = 6
    PREFIX_QUERIES = 7
    PREFIX_HITS = 8
    ERRORS = 9
    ABORTS = 10


NAN: Final = math.nan


class Rows:
    """Rows of equally many numbers, the time first, oldest row first.

    Rows closer than the spacing replace the last one, so that the newest is there.
    """

    def __init__(self, width: int = len(Column), span: timedelta = SPAN, spacing: timedelta = SPACING) -> None:
        self._width = width
        self._span_s = span.total_seconds()
        self._spacing_s = spacing.total_seconds()
        self._kept = array("d")

    def add(self, row: Sequence[float]) -> None:
        """Note a row. Time that runs backwards empties what was kept."""
        kept, width = self._kept, self._width
        if kept and row[0] < kept[-width]:
            del kept[:]
        if len(kept) > width and row[0] - kept[-2 * width] < self._spacing_s:
            del kept[-width:]
        kept.extend(row)
        old = 0
        while kept[-width] - kept[old] > self._span_s:
            old += width
        del kept[:old]

    def clear(self) -> None:
        del self._kept[:]

    def __len__(self) -> int:
        return len(self._kept) // self._width

    def row(self, number: int) -> "array[float]":
        """Return a row; -1 is the newest."""
        begin = (number % len(self)) * self._width
        return self._kept[begin : begin + self._width]

    def start(self, window: timedelta) -> int:
        """Return the number of the row that the window before the newest one begins with.

        That is the last one before it, unless it is so old that what came since would be told of the window.
        """
        kept, width = self._kept, self._width
        if not kept:
            return 0
        start = kept[-width] - window.total_seconds()
        position = len(kept) - width
        while position and kept[position] > start:
            position -= width
        if start - kept[position] > SLACK.total_seconds() and position < len(kept) - width:
            position += width
        return position // width

    def column(self, column: int, begin: int = 0) -> "array[float]":
        """Return the values of a column from row `begin` on."""
        return self._kept[begin * self._width + column :: self._width]


class Buckets:
    """One histogram's counts at several times, under one set of bounds."""

    def __init__(self) -> None:
        self._bounds: tuple[float, ...] = ()
        self._rows = Rows(1)
        self._last: Histogram | None = None

    def add(self, at: float, page: Histogram | None) -> None:
        """Note what a page holds; other bounds start anew, a restart of the process does not."""
        if page is None or not page.counts:
            return
        if page.bounds != self._bounds or (len(self._rows) and at < self._rows.row(-1)[0]):
            self._bounds = page.bounds
            self.clear()
        counts: Sequence[float] = page.counts
        if len(self._rows):
            counts = tuple(map(add, self._rows.row(-1)[1:], page.since(self._last).counts))
        self._last = page
        self._rows.add((at, *counts))

    def clear(self) -> None:
        self._rows = Rows(1 + len(self._bounds), HISTOGRAM_SPAN, HISTOGRAM_SPACING)
        self._last = None

    def over(self, window: timedelta) -> Histogram:
        """Return what was observed in the window that ends with the newest page; empty if it was not measured twice."""
        return self._between(self._rows.start(window), len(self._rows) - 1)

    def before(self, window: timedelta) -> Histogram:
        """Return what was observed from the oldest page kept to the start of that window."""
        return self._between(0, self._rows.start(window))

    def steps(self, step_s: float) -> list[tuple[float, Histogram]]:
        """Return what was observed in each step of `step_s` seconds, with the time of its last page, oldest first."""
        times = self._rows.column(0)
        last_of = {int(at // step_s): position for position, at in enumerate(times)}
        ends = [0, *last_of.values()]
        return [(times[last], self._between(first, last)) for first, last in pairwise(ends) if last > first]

    def _between(self, first: int, last: int) -> Histogram:
        if last <= first:
            return Histogram()
        return Histogram(self._bounds, tuple(map(sub, self._rows.row(last)[1:], self._rows.row(first)[1:])))
