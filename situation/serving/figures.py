"""What follows from the pages of one engine: rates, quantiles, how the queue moves. Worked out once for each page."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Final

from situation.histograms import Histogram
from situation.serving.memory import KnownServer
from situation.serving.readings import EnginePage
from situation.serving.tracks import EngineTrack, finite
from situation.serving.view import EngineFigures, Spread
from situation.serving.windows import Column

WINDOW: Final = timedelta(seconds=60)
"""Over so long rates and quantiles are taken."""
BEFORE: Final = timedelta(minutes=5)
"""How far back goes what a window is compared with."""
HELD: Final = timedelta(seconds=30)
HELD_AT_MOST: Final = timedelta(minutes=3)
HELD_SCRAPES: Final = 3
"""A cache that is full for one scrape is not yet under pressure."""
GROWTH_STEP_S: Final = 30.0
"""The queue grows while its mean over each span of so long is above that of the span before: single scrapes jump."""
GROWTH_LEAST_S: Final = 10.0
"""A queue that was watched for less has no direction yet."""
GROWS_PER_MIN: Final = 1.0
"""Slower than a request a minute is no growth."""
NEAR_ITS_HIGHEST: Final = 0.9
"""A queue below this share of the window's highest has begun to drain."""


def figures(known: KnownServer) -> tuple[EngineFigures, ...]:
    """Return the figures of all engines of a server, by model and engine."""
    return known.of_pages.once(
        "figures", lambda: tuple(_figures(model, engine, track) for (model, engine), track in _ordered(known))
    )


def latencies(known: KnownServer) -> tuple[tuple[str, Histogram, Histogram], ...]:
    """Return model, TTFT and ITL of each engine as observed in the window, so that servers can be put together."""
    return known.of_pages.once(
        "latencies",
        lambda: tuple(
            (model, track.ttft.over(WINDOW), track.itl.over(WINDOW)) for (model, _), track in _ordered(known)
        ),
    )


def _ordered(known: KnownServer) -> list[tuple[tuple[str, str], EngineTrack]]:
    return sorted(known.engines.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0][1]))


def spread(observed: Histogram) -> Spread:
    """Return the quantiles of what was observed."""
    if not observed.total:
        return Spread()
    return Spread(observed.quantile(0.5), observed.quantile(0.99), observed.total, observed.bucket(0.99))


def _figures(model: str, engine: str, track: EngineTrack) -> EngineFigures:
    page, rows = track.page or EnginePage(model, engine), track.rows
    begin = rows.start(WINDOW)
    times = rows.column(Column.AT, begin)
    span_s = times[-1] - times[0] if times else 0.0
    waiting = rows.column(Column.WAITING, begin)
    slope = _slope(times, waiting)
    queue = finite(page.waiting)
    grows = _grows(queue, waiting, slope, span_s)
    grown = {column: _grown(rows.column(column, begin)) for column in Column if column >= Column.PREEMPTIONS}

    def rate(column: Column, unit_s: float = 1.0) -> float | None:
        value = grown[column]
        return value / span_s * unit_s if value is not None and span_s > 0 else None

    return EngineFigures(
        model=model,
        engine=engine,
        running=finite(page.running),
        max_running=finite(page.max_running),
        waiting=queue,
        deferred=finite(page.deferred),
        kv_usage_ratio=finite(page.kv_usage_ratio),
        preemptions_per_min=rate(Column.PREEMPTIONS, 60.0),
        ttft=spread(track.ttft.over(WINDOW)),
        itl=spread(track.itl.over(WINDOW)),
        prompt_tokens_per_s=rate(Column.PROMPT_TOKENS),
        generation_tokens_per_s=rate(Column.GENERATION_TOKENS),
        prefix_hit_ratio=_hit_ratio(grown[Column.PREFIX_HITS], grown[Column.PREFIX_QUERIES], page),
        errors_per_min=rate(Column.ERRORS, 60.0),
        aborts_per_min=rate(Column.ABORTS, 60.0),
        queue_slope_per_min=slope,
        doubles_in_s=queue / slope * 60 if grows and queue and slope else None,
        growing_since=_growing_since(track) if grows else None,
        still_since=track.moved_at if track.still_pages and (page.running or page.waiting) else None,
        window=timedelta(seconds=span_s),
        cache=page.cache,
        preempted=grown[Column.PREEMPTIONS],
        kv_held_ratio=_held(track),
        mean_running=_mean(value for value in rows.column(Column.RUNNING, begin) if value > 0),
        most_running=track.most_running,
        queued_since=track.queued_since,
        queued_scrapes=track.queued_pages,
        waiting_before=_mean(rows.column(Column.WAITING, rows.start(BEFORE))[: -len(waiting)]),
        ttft_before=spread(track.ttft.before(WINDOW)),
    )


def _hit_ratio(hits: float | None, queries: float | None, page: EnginePage) -> float | None:
    """Return the share of the window's prompt tokens that was cached, or what a gauge says where only that tells."""
    if hits is not None and queries:
        return hits / queries
    return finite(page.prefix_hit_ratio) if page.prefix_queries is None else None


def _grown(values: Iterable[float]) -> float | None:
    """Return how much a total grew, None if it was not measured twice."""
    known = _measured(values)
    return known[-1] - known[0] if len(known) > 1 else None


def _mean(values: Iterable[float]) -> float | None:
    known = _measured(values)
    return sum(known) / len(known) if known else None


def _measured(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _slope(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Return how much the values change per minute, by the line of least squares through them."""
    points = [(at, value) for at, value in zip(times, values, strict=True) if not math.isnan(value)]
    if len(points) < 2 or points[-1][0] - points[0][0] < GROWTH_LEAST_S:
        return None
    middle, mean = fmean([at for at, _ in points]), fmean([value for _, value in points])
    spread_s = sum([(at - middle) ** 2 for at, _ in points])
    return sum([(at - middle) * (value - mean) for at, value in points]) / spread_s * 60


def _grows(queue: float | None, waiting: Sequence[float], slope: float | None, span_s: float) -> bool:
    if not queue or slope is None or slope < GROWS_PER_MIN or span_s < GROWTH_LEAST_S:
        return False
    return queue >= NEAR_ITS_HIGHEST * max(_measured(waiting))


def _growing_since(track: EngineTrack) -> datetime:
    """Return when the span began from which on the queue's mean rose from span to span until now."""
    times, values = track.rows.column(Column.AT), track.rows.column(Column.WAITING)
    spans: dict[int, list[float]] = {}
    first: dict[int, float] = {}
    for at, value in zip(times, values, strict=True):
        if not math.isnan(value):
            number = int((times[-1] - at) // GROWTH_STEP_S)
            spans.setdefault(number, []).append(value)
            first.setdefault(number, at)
    since = 0
    while since + 1 in spans and fmean(spans[since]) > fmean(spans[since + 1]):
        since += 1
    return datetime.fromtimestamp(first[since], UTC)


def _held(track: EngineTrack) -> float | None:
    """Return the usage of the KV cache that half of the last scrapes reached: of 30 s, or the last three."""
    rows = track.rows
    begin = max(rows.start(HELD_AT_MOST), min(rows.start(HELD), len(rows) - HELD_SCRAPES))
    values = _measured(rows.column(Column.KV_USAGE, begin))
    return median(values) if len(values) >= HELD_SCRAPES else None
