"""The last minutes of model servers as curves: values step by step, over all engines that belong together."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import repeat
from statistics import fmean
from typing import Final

from situation.serving.memory import Curve, ServingMemory
from situation.serving.view import EngineFigures
from widgets.blocks import NOT_MEASURED

Points = tuple[tuple[datetime, float], ...]
"""Values with their times, oldest first."""
Join = Callable[[list[float]], float]
EngineOf = tuple[str, EngineFigures]
"""Key of a server, and one of its engines."""

STEP_S: Final = 30
"""Seconds that one value stands for."""
LEAST_TOP: Final = {
    Curve.WAITING: 10.0,
    Curve.RUNNING: 1.0,
    Curve.KV_USAGE: 1.0,
    Curve.PREEMPTIONS: 10.0,
    Curve.PROMPT_TOKENS: 1.0,
    Curve.GENERATION_TOKENS: 1.0,
}
"""What a curve reaches its full height at, at least: one waiting request is no mountain."""
_RATES: Final = (Curve.PROMPT_TOKENS, Curve.GENERATION_TOKENS)
"""Of what counts up, the mean over a step is told; of all else the highest: a queue that was long for a moment was."""
_FASTEST_S: Final = 0.05
_DOUBLINGS: Final = 10
"""From 50 ms to 51 s, a latency's curve rises by as much with each doubling."""


def stepped(points: Points, now: datetime, cells: int, join: Join = max) -> list[float | None]:
    """Return the last steps up to now, oldest first: of several values of a step what `join` makes of them.

    None where nothing was measured. Steps before the first value are left out: nobody watched.
    """
    last = _step(now)
    found: defaultdict[int, list[float]] = defaultdict(list)
    for at, value in points:
        found[_step(at)].append(value)
    if not found:
        return []
    first = max(min(found), last - cells)
    return [join(found[step]) if step in found else None for step in range(first, last + 1)]


def _step(at: datetime) -> int:
    return int(at.timestamp()) // STEP_S


def added(series: Iterable[Sequence[float | None]]) -> list[float | None]:
    """Return several histories that end at one step as one: the sum of what was measured of each step."""
    return _joined(series, math.fsum)


def topmost(series: Iterable[Sequence[float | None]]) -> list[float | None]:
    """Return several histories that end at one step as one: the highest of each step."""
    return _joined(series, max)


def _joined(series: Iterable[Sequence[float | None]], join: Join) -> list[float | None]:
    kept = list(series)
    length = max(map(len, kept), default=0)
    padded: list[list[float | None]] = [[*repeat(None, length - len(values)), *values] for values in kept]
    columns = ([value for value in column if value is not None] for column in zip(*padded, strict=True))
    joined = [join(column) if column else None for column in columns]
    return joined[:-1] if joined and joined[-1] is None else joined  # no page of the present step yet: that is no gap


def heights(values: Iterable[float | None], top: float) -> bytes:
    """Return values as heights, 0 to 100 where `top` is; a gap where nothing was measured."""
    return bytes(
        NOT_MEASURED if value is None else round(100 * min(1.0, max(0.0, value / top if top else 0.0)))
        for value in values
    )


def latency_heights(values: Iterable[float | None]) -> bytes:
    """Return latencies in seconds as heights: by doublings, equal for all servers."""
    return bytes(
        NOT_MEASURED
        if value is None
        else round(100 * min(1.0, max(0.0, math.log2(max(value, _FASTEST_S) / _FASTEST_S) / _DOUBLINGS)))
        for value in values
    )


def top_of(values: Iterable[float | None], of: Curve, limit: float | None = None) -> float:
    """Return what the full height of a curve stands for: its limit, else its highest value."""
    known = [value for value in values if value is not None]
    return max(limit or LEAST_TOP[of], *known) if known else (limit or LEAST_TOP[of])


class ServingCurves:
    """Reads curves of engines, and keeps those of the queues until there are new pages or a new step."""

    def __init__(self) -> None:
        self._kept: dict[object, tuple[object, bytes]] = {}

    def queue(
        self, name: object, engines: Sequence[EngineOf], memory: ServingMemory, now: datetime, cells: int
    ) -> bytes:
        """Return the curve of how many waited at engines together; `name` is what it is kept under."""
        stamp = (_step(now), tuple(_read_at(key, memory) for key in dict.fromkeys(key for key, _ in engines)))
        held = self._kept.get(name)
        if held is None or held[0] != stamp:
            values = self.values(engines, Curve.WAITING, memory, now, cells)
            held = self._kept[name] = (stamp, heights(values, top_of(values, Curve.WAITING)))
        return held[1]

    def values(
        self, engines: Sequence[EngineOf], of: Curve, memory: ServingMemory, now: datetime, cells: int
    ) -> list[float | None]:
        """Return the last steps of a figure over engines: added, of the KV cache the fullest."""
        join: Join = fmean if of in _RATES else max
        series = [stepped(memory.curve(key, engine.key, of), now, cells, join) for key, engine in engines]
        return topmost(series) if of is Curve.KV_USAGE else added(series)

    def ttft(self, engines: Sequence[EngineOf], memory: ServingMemory, now: datetime, cells: int) -> list[float | None]:
        """Return the last steps of the p99 of TTFT: that of the slowest engine."""
        return topmost(stepped(memory.ttft_curve(key, engine.key, STEP_S), now, cells) for key, engine in engines)

    def keep(self, names: Iterable[object]) -> None:
        """Forget all but these."""
        kept = frozenset(names)
        self._kept = {name: held for name, held in self._kept.items() if name in kept}


def _read_at(key: str, memory: ServingMemory) -> datetime | None:
    known = memory.known.get(key)
    return known.page_at if known is not None else None
