"""What the API server's pages say of a window: latency, load, rejects, growth. Pure selectors over ApiServerMemory.

None means "not known yet": windows need two scrapes of the same process. An empty mapping means that nothing happened.
A counter with labels is only on the page once it has counted; on an earlier page that was read whole it was 0.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from situation.api_memory import SPAN, WINDOW, ApiServerMemory
from situation.api_server import ApiServerPage, ListKey
from situation.histograms import Histogram, merged

K = TypeVar("K")

SHORTEST_GROWTH: Final = timedelta(minutes=5)
"""Object counts are refreshed once a minute: growth per hour is not told from less than this."""


class Latency(NamedTuple):
    """What was observed over a window. Quantiles above the highest finite bucket (60 s) are told as that: at least."""

    p50_s: float | None
    p99_s: float | None
    per_s: float
    total: float
    """How many were observed."""


class ListLatency(NamedTuple):
    """LIST requests for one resource."""

    key: ListKey
    latency: Latency

    @property
    def resource(self) -> str:
        """`deployments.apps`, `pods`."""
        return resource_name(self.key)


class WebhookLoad(NamedTuple):
    """One admission webhook."""

    name: str
    latency: Latency | None
    """None: its durations are not on the page."""
    failures_per_s: float


def observed(memory: ApiServerMemory, window: timedelta = WINDOW) -> timedelta | None:
    """Return what the window really spans: between two scrapes, so never exactly `window`. None: not known yet."""
    ends = _ends(memory, window, lambda page: True)
    return timedelta(seconds=ends.seconds) if ends else None


def latency_by_verb(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, Latency] | None:
    """Return latency and rate of requests by verb, those without requests in the window left out."""
    return _latencies(memory, window, lambda page: page.durations)


def requests_per_s(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, float] | None:
    """Return requests per second by verb; requests that last (WATCH, CONNECT, logs) are not counted."""
    found = latency_by_verb(memory, window)
    return None if found is None else {verb: latency.per_s for verb, latency in found.items()}


def slow_lists(memory: ApiServerMemory, window: timedelta = WINDOW) -> tuple[ListLatency, ...] | None:
    """Return the LIST requests of each resource and scope, the slowest p99 first, then the most frequent."""
    found = _latencies(memory, window, lambda page: page.lists)
    if found is None:
        return None
    items = (ListLatency(key, latency) for key, latency in found.items())
    return tuple(sorted(items, key=lambda item: (-(item.latency.p99_s or 0.0), -item.latency.total, item.key)))


def etcd_latency(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, Latency] | None:
    """Return etcd's latency by operation as the API server sees it: second-hand, network included."""
    return _latencies(memory, window, lambda page: page.etcd_durations)


def etcd_latency_of_all(memory: ApiServerMemory, window: timedelta = WINDOW) -> Latency | None:
    """Return etcd's latency over all operations as the API server sees it; None also if there were none."""
    ends = _ends(memory, window, lambda page: bool(page.etcd_durations))
    if ends is None:
        return None
    first = merged(ends.first.etcd_durations[key] for key in sorted(ends.first.etcd_durations))
    last = merged(ends.last.etcd_durations[key] for key in sorted(ends.last.etcd_durations))
    return _latency(_grown(first, last), ends.seconds)


def rejects_per_s(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, float] | None:
    """Return requests answered 429 per second by priority level; levels that rejected none are left out."""
    return _rates(memory, window, lambda page: page.rejected)


def terminated_per_s(memory: ApiServerMemory, window: timedelta = WINDOW) -> float | None:
    """Return requests per second that the server gave up to protect itself."""
    ends = _ends(memory, window, _is_whole)
    if ends is None:
        return None
    return max(0.0, (ends.last.terminated or 0.0) - (ends.first.terminated or 0.0)) / ends.seconds


def webhook_load(memory: ApiServerMemory, window: timedelta = WINDOW) -> tuple[WebhookLoad, ...] | None:
    """Return the admission webhooks that were called in the window, failing ones first, then the slowest."""
    latencies = _latencies(memory, window, lambda page: page.webhooks, _is_whole)
    failures = _rates(memory, window, lambda page: page.webhook_failures)
    if latencies is None or failures is None:
        return None
    items = [WebhookLoad(name, latencies.get(name), failures.get(name, 0.0)) for name in {**latencies, **failures}]
    return tuple(sorted(items, key=lambda item: (-item.failures_per_s, -_p99(item.latency), item.name)))


def saturation(page: ApiServerPage | None) -> Mapping[str, float] | None:
    """Return the share of its seats that each priority level uses, 0 to 1 and above; `exempt` has no limit.

    None if the page has no seats at all.
    """
    if page is None or not page.seats:
        return None
    return {level: seats.executing / seats.limit for level, seats in page.seats.items() if seats.limit}


def open_files_ratio(page: ApiServerPage | None) -> float | None:
    """Return open file descriptors as a share of their limit; a watch costs one."""
    if page is None or page.open_files is None or not page.max_files:
        return None
    return page.open_files / page.max_files


def growth_per_hour(memory: ApiServerMemory, window: timedelta = SPAN) -> Mapping[str, float] | None:
    """Return by how many objects an hour each resource grows (negative: shrinks), those that stay as they are too.

    A resource counts if it was counted on both ends of the window; None if these are less than SHORTEST_GROWTH apart.
    """
    ends = _ends(memory, window, lambda page: bool(page.objects))
    if ends is None or ends.seconds < SHORTEST_GROWTH.total_seconds():
        return None
    before, hours = ends.first.objects, ends.seconds / 3600
    return {name: (now - before[name]) / hours for name, now in ends.last.objects.items() if name in before}


def largest_resources(page: ApiServerPage | None, number: int = 10) -> tuple[tuple[str, int], ...]:
    """Return the resources with the most objects, with their counts, largest first."""
    if page is None:
        return ()
    return tuple(sorted(page.objects.items(), key=lambda item: (-item[1], item[0]))[:number])


def resource_name(key: ListKey) -> str:
    """Return what kubectl calls the resource: `deployments.apps`, `pods`."""
    return f"{key.resource}.{key.group}" if key.group else key.resource


class _Ends(NamedTuple):
    first: ApiServerPage
    last: ApiServerPage
    seconds: float


def _ends(memory: ApiServerMemory, window: timedelta, has: Callable[[ApiServerPage], bool]) -> _Ends | None:
    """Return the first and the last page of the window that have what is asked for; None if they are one."""
    found: list[tuple[datetime, ApiServerPage]] = [item for item in memory.pages(window) if has(item[1])]
    if len(found) < 2:
        return None
    seconds = (found[-1][0] - found[0][0]).total_seconds()
    return _Ends(found[0][1], found[-1][1], seconds) if seconds > 0 else None


def _latencies(
    memory: ApiServerMemory,
    window: timedelta,
    of: Callable[[ApiServerPage], Mapping[K, Histogram]],
    has: Callable[[ApiServerPage], bool] | None = None,
) -> dict[K, Latency] | None:
    """Return what came between the ends, by key. A key that the first page lacks began after it: same process."""
    ends = _ends(memory, window, has or (lambda page: bool(of(page))))
    if ends is None:
        return None
    before = of(ends.first)
    found = ((key, _latency(_grown(before.get(key), now), ends.seconds)) for key, now in of(ends.last).items())
    return {key: latency for key, latency in found if latency is not None}


def _rates(
    memory: ApiServerMemory, window: timedelta, of: Callable[[ApiServerPage], Mapping[str, float]]
) -> dict[str, float] | None:
    ends = _ends(memory, window, _is_whole)
    if ends is None:
        return None
    before = of(ends.first)
    grown = {key: now - before.get(key, 0.0) for key, now in of(ends.last).items()}
    return {key: count / ends.seconds for key, count in grown.items() if count > 0}


def _grown(before: Histogram | None, now: Histogram) -> Histogram:
    """Return what came between two pages of one process, which cannot have lost any: then a page was damaged."""
    grown = now.since(before)
    return Histogram() if before is not None and grown is now else grown


def _latency(observed: Histogram, seconds: float) -> Latency | None:
    if observed.total <= 0:
        return None
    return Latency(observed.quantile(0.5), observed.quantile(0.99), observed.total / seconds, observed.total)


def _is_whole(page: ApiServerPage) -> bool:
    """Tell whether what is not on the page never happened, and was not merely not read."""
    return bool(page.durations) and not page.is_cut and not page.broken_lines


def _p99(latency: Latency | None) -> float:
    return (latency.p99_s or 0.0) if latency else 0.0
