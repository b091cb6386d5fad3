"""The small curves of the members: WAL fsync p99 step by step over the last minutes, worked out once a page."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from situation.etcd.figures import P99
from situation.etcd.memory import KnownMember
from situation.histograms import Histogram
from widgets.blocks import NOT_MEASURED
from widgets.etcd_members import CURVE

STEP_S: Final = 30
"""Seconds that one value stands for: the curve shows the last five minutes."""
_LOWEST_S: Final = 0.001
"""The first bucket of etcd's histogram: what is faster cannot be told apart."""
_DOUBLINGS: Final = 10
"""From 1 ms to 1 s, where the etcd mixin calls it critical, the curve rises by as much with each doubling."""


def height(seconds: float | None) -> int:
    """Return the height of a latency in the curve, 0 (1 ms or less) to 100 (1 s or more); equal for all members."""
    if seconds is None:
        return NOT_MEASURED
    return round(100 * min(1.0, max(0.0, math.log2(max(seconds, _LOWEST_S) / _LOWEST_S) / _DOUBLINGS)))


def heights(known: KnownMember, now: datetime) -> bytes:
    """Return the heights of the last steps up to now, oldest first; a gap where nothing was measured.

    Steps before the first page are left out: nobody watched.
    """
    last = _step(now)
    ends: dict[int, Histogram] = {}
    for at, page in known.pages.within(timedelta(seconds=STEP_S * (CURVE + 1))):
        if page.fsync is not None:
            ends[_step(at)] = page.fsync
    found: dict[int, int] = {}
    before: Histogram | None = None
    for step, histogram in ends.items():
        if before is not None:
            found[step] = height(histogram.since(before).quantile(P99))
        before = histogram
    steps = range(last - CURVE + 1, last + 1)
    if last not in found:  # no page of the present step yet: that is no gap
        steps = range(last - CURVE, last)
    first = min(ends, default=last)
    return bytes(found.get(step, NOT_MEASURED) for step in steps if step > first)


def _step(at: datetime) -> int:
    return int(at.timestamp()) // STEP_S


class FsyncCurves:
    """Keeps the curve of each member until there is a new page or a new step."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[datetime | None, int], bytes]] = {}

    def of(self, known: KnownMember, now: datetime) -> bytes:
        """Return the curve of a member; empty before anything was measured."""
        if len(known.pages) < 2:
            return b""
        endpoint, stamp = known.member.endpoint, (known.page_at, _step(now))
        held = self._kept.get(endpoint)
        if held is None or held[0] != stamp:
            held = self._kept[endpoint] = (stamp, heights(known, now))
        return held[1]

    def keep(self, endpoints: Iterable[str]) -> None:
        """Forget all members but these."""
        kept = frozenset(endpoints)
        self._kept = {endpoint: held for endpoint, held in self._kept.items() if endpoint in kept}
