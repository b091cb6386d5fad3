"""What is kept of one engine for windows and curves, as packed numbers: hundreds of servers cost little."""

import math
from array import array
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from itertools import pairwise
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


WIDTH: Final = len(Column)
NAN: Final = math.nan


class Rows:
    """Rows of numbers, oldest first. Rows closer than the spacing replace the last one, so that the newest is there."""

    def __init__(self, span: timedelta = SPAN, spacing: timedelta = SPACING) -> None:
        self._span_s = span.total_seconds()
        self._spacing_s = spacing.total_seconds()
        self._kept = array("d")

    def add(self, row: Sequence[float]) -> None:
        """Note a row, `Column.AT` first. Time that runs backwards empties what was kept."""
        kept = self._kept
        if kept and row[0] < kept[-WIDTH]:
            del kept[:]
        if len(kept) > WIDTH and row[0] - kept[-2 * WIDTH] < self._spacing_s:
            del kept[-WIDTH:]
        kept.extend(row)
        old = 0
        while kept[-WIDTH] - kept[old] > self._span_s:
            old += WIDTH
        del kept[:old]

    def clear(self) -> None:
        del self._kept[:]

    def __len__(self) -> int:
        return len(self._kept) // WIDTH

    def column(self, column: Column, window: timedelta | None = None) -> "array[float]":
        """Return the values of a column over the window, with the last one before it as its start; all if None."""
        kept = self._kept
        if window is None or not kept:
            return kept[column::WIDTH]
        start = kept[-WIDTH] - window.total_seconds()
        position = len(kept) - WIDTH
        while position and kept[position] > start:
            position -= WIDTH
        if start - kept[position] > SLACK.total_seconds() and position < len(kept) - WIDTH:
            position += WIDTH
        return kept[position + column :: WIDTH]


class Buckets:
    """One histogram's counts at several times, oldest first, under one set of bounds."""

    def __init__(self) -> None:
        self._bounds: tuple[float, ...] = ()
        self._kept: deque[tuple[float, array[float]]] = deque()
        self._last: Histogram | None = None

    def add(self, at: float, page: Histogram | None) -> None:
        """Note what a page holds; other bounds start anew, a restart of the process does not."""
        if page is None or not page.counts:
            return
        kept = self._kept
        if page.bounds != self._bounds or (kept and at < kept[-1][0]):
            self.clear()
            self._bounds = page.bounds
        if kept:
            grown = page.since(self._last).counts
            total = array("d", map(sum, zip(kept[-1][1], grown, strict=True)))
        else:
            total = array("d", page.counts)
        self._last = page
        if len(kept) > 1 and at - kept[-2][0] < HISTOGRAM_SPACING.total_seconds():
            kept.pop()
        kept.append((at, total))
        while at - kept[0][0] > HISTOGRAM_SPAN.total_seconds():
            kept.popleft()

    def clear(self) -> None:
        self._kept.clear()
        self._last = None

    def over(self, window: timedelta) -> Histogram:
        """Return what was observed in the window that ends with the newest page; empty if it was not measured twice."""
        return self._between(self._start(window), len(self._kept) - 1)

    def before(self, window: timedelta) -> Histogram:
        """Return what was observed from the oldest page kept to the start of that window."""
        return self._between(0, self._start(window))

    def steps(self, step_s: float) -> list[tuple[float, Histogram]]:
        """Return what was observed in each step of `step_s` seconds, with the time of its last page, oldest first."""
        last_of = {int(at // step_s): position for position, (at, _) in enumerate(self._kept)}
        ends = list(last_of.values())
        return [
            (self._kept[last][0], self._between(first, last)) for first, last in pairwise([0, *ends]) if last > first
        ]

    def _start(self, window: timedelta) -> int:
        kept = self._kept
        if not kept:
            return 0
        start = kept[-1][0] - window.total_seconds()
        position = len(kept) - 1
        while position and kept[position][0] > start:
            position -= 1
        late = start - kept[position][0] > SLACK.total_seconds() and position < len(kept) - 1
        return position + 1 if late else position

    def _between(self, first: int, last: int) -> Histogram:
        if last <= first:
            return Histogram()
        old, new = self._kept[first][1], self._kept[last][1]
        return Histogram(self._bounds, tuple(now - then for now, then in zip(new, old, strict=True)))
