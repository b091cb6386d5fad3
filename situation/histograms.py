"""Prometheus histograms as frozen values: what came between two scrapes, and quantiles of that.

Quantiles since the start of a server say nothing of now, so they are only ever taken of a difference.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Self

import msgspec


class Histogram(msgspec.Struct, frozen=True, gc=False):
    """Cumulative counts by upper bound, as a page holds them in its `_bucket` lines."""

    bounds: tuple[float, ...] = ()
    """Upper bounds (`le`), ascending, the last one infinite; in the metric's unit, seconds nearly always."""
    counts: tuple[float, ...] = ()
    """How many observations were at or below each bound."""

    @classmethod
    def of(cls, buckets: Mapping[float, float]) -> Self:
        """Return the histogram of upper bounds and cumulative counts, in any order.

        Bounds that are NaN, and counts that are NaN or infinite, are left out.
        """
        kept = sorted(
            (bound, count) for bound, count in buckets.items() if math.isfinite(count) and not math.isnan(bound)
        )
        return cls(tuple(bound for bound, _ in kept), tuple(count for _, count in kept))

    @property
    def total(self) -> float:
        """All observations."""
        return self.counts[-1] if self.counts else 0.0

    def since(self, before: "Histogram | None") -> "Histogram":
        """Return what was observed after `before`: all of it if the server restarted, or has other bounds, since.

        A bucket that lost observations tells of a restart, even where the total has grown past the old one.
        """
        if before is None or before.bounds != self.bounds:
            return self
        grown = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        if any(high < low for low, high in pairwise((0.0, *grown))):
            return self
        return Histogram(self.bounds, grown)

    def quantile(self, ratio: float) -> float | None:
        """Return the quantile (`ratio` 0 to 1), interpolated in its bucket as Prometheus does.

        None without observations. What lies above the highest finite bound is told as that bound: at least so much.
        What lies in a bucket that does not begin at a number (or is the first, and not above 0) is told as its upper
        bound.
        """
        if (position := self._position(ratio)) is None:
            return None
        rank = ratio * self.total
        upper = self.bounds[position]
        if position == 0 and upper <= 0:
            return upper
        lower = self.bounds[position - 1] if position else 0.0
        if math.isinf(upper):
            return lower if position else None
        below = self.counts[position - 1] if position else 0.0
        inside = self.counts[position] - below
        if inside <= 0:
            return upper
        found = lower + (upper - lower) * (rank - below) / inside
        return found if math.isfinite(found) else upper

    def bucket(self, ratio: float) -> tuple[float, float] | None:
        """Return the bounds of the bucket that holds a quantile: the first begins at 0. None without observations."""
        if (position := self._position(ratio)) is None:
            return None
        return (self.bounds[position - 1] if position else 0.0), self.bounds[position]

    def _position(self, ratio: float) -> int | None:
        if self.total <= 0:
            return None
        rank = ratio * self.total
        return next(index for index, count in enumerate(self.counts) if count >= rank)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of histograms with equal bounds; empty ones, and others than the first, are left out."""
    total: Histogram | None = None
    for item in histograms:
        if total is None:
            total = item if item.bounds else None
        elif item.bounds == total.bounds:
            total = Histogram(total.bounds, tuple(a + b for a, b in zip(total.counts, item.counts, strict=True)))
    return total or Histogram()


def increase(values: Iterable[float | None]) -> float | None:
    """Return how much a counter grew over its values, oldest first; a fall is a restart from 0.

    None if fewer than two of them were measured: then nothing is known of its growth.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return None
    return sum(now - then if now >= then else now for then, now in pairwise(known))
