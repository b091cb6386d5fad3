"""What the API server's pages say of a window: latency, rejects, seats, growth. Pure selectors over ApiServerMemory.

None means "not known": windows need two scrapes of the same process. An empty mapping means that nothing happened.
A counter with labels is only on the page once it has counted; on an earlier page that was read whole it was 0. What
is a fault is not decided here: the thresholds are those of the rules. Each answer is worked out once for each page.
"""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from itertools import pairwise
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from situation.api_memory import SPAN, WINDOW, ApiServerMemory
from situation.api_server import ApiServerPage, ListKey
from situation.histograms import Histogram, merged

K = TypeVar("K")
V = TypeVar("V")
P = ParamSpec("P")
R = TypeVar("R")

SHORTEST_GROWTH: Final = timedelta(minutes=5)
"""Object counts are refreshed once a minute: growth per hour is not told from less than this."""
EXEMPT: Final = "exempt"
"""Priority level of the administrators of the cluster: it has no limit, whatever number stands beside it."""


class Latency(NamedTuple):
    """What was observed over a window."""

    p99_s: float
    requests: int
    is_least: bool = False
    """The p99 lies above the highest finite bound of the histogram (60 s): at least so long."""


class Growth(NamedTuple):
    """How many objects of a resource there were at both ends of a window."""

    before: int
    objects: int
    span: timedelta

    @property
    def per_hour(self) -> float:
        """Objects an hour; negative where it shrinks."""
        return (self.objects - self.before) / (self.span.total_seconds() / 3600)


def _once_a_page(
    selector: Callable[Concatenate[ApiServerMemory, P], R],
) -> Callable[Concatenate[ApiServerMemory, P], R]:
    """Keep what a selector returns until the next page: rules ask every second, pages come every 30 s."""

    @wraps(selector)
    def kept(memory: ApiServerMemory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return memory.derived.once((selector, args, tuple(kwargs.items())), lambda: selector(memory, *args, **kwargs))

    return kept


def observed(memory: ApiServerMemory, window: timedelta = WINDOW) -> timedelta | None:
    """Return what the window really spans: between two scrapes, so never exactly `window`. None: not known yet."""
    pages = memory.pages(window)
    span = pages[-1][0] - pages[0][0] if pages else timedelta(0)
    return span or None


@_once_a_page
def latency_by_verb(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, Latency] | None:
    """Return the latency of requests by verb, those without requests in the window left out."""
    return _latencies(_observed(memory, window, lambda page: page.durations))


@_once_a_page
def list_latencies(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[ListKey, Latency] | None:
    """Return the latency of LISTs by resource and scope, the slowest p99 first, then the most frequent."""
    return _slowest_first(_latencies(_observed(memory, window, lambda page: page.lists)))


@_once_a_page
def webhook_latencies(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, Latency] | None:
    """Return the latency of admission webhooks by name, the slowest p99 first, then the most often called."""
    return _slowest_first(_latencies(_observed(memory, window, lambda page: page.webhooks)))


@_once_a_page
def etcd_latencies(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, Latency] | None:
    """Return etcd's latency by operation as the API server sees it: second-hand, network included."""
    return _latencies(_observed(memory, window, lambda page: page.etcd_durations))


@_once_a_page
def etcd_latency(memory: ApiServerMemory, operations: tuple[str, ...], window: timedelta = WINDOW) -> Latency | None:
    """Return etcd's latency over these operations together, second-hand; None also if there were none."""
    found = _observed(memory, window, lambda page: page.etcd_durations) or {}
    return latency_of(merged(found[name] for name in sorted(found) if name in operations))


@_once_a_page
def rejects(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, int] | None:
    """Return how many requests were answered 429 by priority level, most first; levels without are left out."""
    return _most_first(_counted(memory, window, lambda page: page.rejected))


@_once_a_page
def rejecting_still(memory: ApiServerMemory) -> frozenset[str]:
    """Return the priority levels that answered 429 between the last two pages, and between the two before as well."""
    pages = [page for _, page in memory.pages(WINDOW)[-3:]]
    if len(pages) < 3:
        return frozenset()
    return frozenset(
        level for level in pages[-1].rejected if all(_has_rejected(level, *pair) for pair in pairwise(pages))
    )


def _has_rejected(level: str, before: ApiServerPage, after: ApiServerPage) -> bool:
    """Tell whether a priority level's rejects grew; it is on the page from the first one on."""
    counted = level in before.rejected or _is_whole(before)
    return counted and after.rejected.get(level, 0.0) > before.rejected.get(level, 0.0)


@_once_a_page
def webhook_failures(memory: ApiServerMemory, window: timedelta = WINDOW) -> Mapping[str, int] | None:
    """Return how often each admission webhook failed, the most often first; those that did not are left out."""
    return _most_first(_counted(memory, window, lambda page: page.webhook_failures))


@_once_a_page
def given_up(memory: ApiServerMemory, window: timedelta = WINDOW) -> int | None:
    """Return how many requests the server gave up to protect itself."""
    found = _counted(memory, window, lambda page: {} if page.terminated is None else {"": page.terminated})
    return None if found is None else found.get("", 0)


def saturation(page: ApiServerPage | None) -> Mapping[str, float] | None:
    """Return the share of its seats that each priority level uses, 0 to 1 and above; levels without limit are left out.

    None if the page has no seats at all.
    """
    if page is None or not page.seats:
        return None
    seats = {level: item for level, item in page.seats.items() if level != EXEMPT}
    return {level: item.executing / item.limit for level, item in seats.items() if item.limit}


def open_files_ratio(page: ApiServerPage | None) -> float | None:
    """Return open file descriptors as a share of their limit; a watch costs one."""
    if page is None or page.open_files is None or not page.max_files:
        return None
    return page.open_files / page.max_files


@_once_a_page
def growths(memory: ApiServerMemory, window: timedelta = SPAN) -> Mapping[str, Growth] | None:
    """Return how the number of objects of each resource changed, the fastest growing first.

    A resource counts if it was counted on both ends of the window; None if these are less than SHORTEST_GROWTH apart.
    """
    pages = [item for item in memory.pages(window) if item[1].objects]
    if not pages or (span := pages[-1][0] - pages[0][0]) < SHORTEST_GROWTH:
        return None
    before, now = pages[0][1].objects, pages[-1][1].objects
    found = {name: Growth(before[name], count, span) for name, count in now.items() if name in before}
    return dict(sorted(found.items(), key=lambda item: (-item[1].per_hour, item[0])))


def largest_resources(page: ApiServerPage | None, number: int = 10) -> tuple[tuple[str, int], ...]:
    """Return the resources with the most objects, with their counts, largest first."""
    if page is None:
        return ()
    return tuple(sorted(page.objects.items(), key=lambda item: (-item[1], item[0]))[:number])


def resource_name(key: ListKey) -> str:
    """Return what kubectl calls the resource: `deployments.apps`, `pods`."""
    return f"{key.resource}.{key.group}" if key.group else key.resource


# Between the ends of a window

_NOTHING: Final = Histogram()


def _ends(
    memory: ApiServerMemory, window: timedelta, of: Callable[[ApiServerPage], Mapping[K, V]], zero: V
) -> dict[K, tuple[V, V]] | None:
    """Return of each key its first and its last value in the window: `zero` on a page read whole that lacks it.

    Keys that stand on one page only are left out. None if that leaves nothing, and no two pages can be compared.
    """
    found: dict[K, tuple[V, V]] = {}
    pages = [page for _, page in memory.pages(window)] if observed(memory, window) else []
    for key in dict.fromkeys(key for page in pages for key in of(page)):
        values = [of(page).get(key, zero) for page in pages if key in of(page) or _is_whole(page)]
        if len(values) > 1:
            found[key] = (values[0], values[-1])
    return found if found or sum(map(_is_whole, pages)) > 1 else None


def _is_whole(page: ApiServerPage) -> bool:
    """Tell whether what is not on the page never happened, and was not merely not read."""
    return bool(page.durations) and not page.is_cut and not page.broken_lines


def _observed(
    memory: ApiServerMemory, window: timedelta, of: Callable[[ApiServerPage], Mapping[K, Histogram]]
) -> dict[K, Histogram] | None:
    """Return what came between the ends, by key. A process cannot lose observations: then a page was damaged."""
    ends = _ends(memory, window, of, _NOTHING)
    if ends is None:
        return None
    grown = {key: (before, now, now.since(before)) for key, (before, now) in ends.items()}
    return {key: since for key, (before, now, since) in grown.items() if before is _NOTHING or since is not now}


def _counted(
    memory: ApiServerMemory, window: timedelta, of: Callable[[ApiServerPage], Mapping[str, float]]
) -> dict[str, int] | None:
    ends = _ends(memory, window, of, 0.0)
    return None if ends is None else {key: round(max(0.0, now - before)) for key, (before, now) in ends.items()}


def _most_first(counts: Mapping[str, int] | None) -> dict[str, int] | None:
    if counts is None:
        return None
    return dict(
        sorted(((name, count) for name, count in counts.items() if count), key=lambda item: (-item[1], item[0]))
    )


def _latencies(seen: Mapping[K, Histogram] | None) -> dict[K, Latency] | None:
    if seen is None:
        return None
    return {key: latency for key, histogram in seen.items() if (latency := latency_of(histogram)) is not None}


def latency_of(seen: Histogram) -> Latency | None:
    """Return what a histogram over a window says; None if nothing was observed."""
    p99 = seen.quantile(0.99)
    if p99 is None:
        return None
    finite = [bound for bound in seen.bounds if not math.isinf(bound)]
    return Latency(p99, round(seen.total), bool(finite) and p99 >= finite[-1])


def _slowest_first(found: Mapping[K, Latency] | None) -> dict[K, Latency] | None:
    if found is None:
        return None
    return dict(sorted(found.items(), key=lambda item: (-item[1].p99_s, -item[1].requests, str(item[0]))))
