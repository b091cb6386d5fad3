"""What the API server's own metrics say of the last minutes: latencies, rejects, saturation, growth of resources.

Selectors over `situation.api_server`. All of them look at a window, never at the time since the server started; what
was not measured twice is None or empty, not 0.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from situation.api_memory import WINDOW
from situation.api_server import ApiServerPage, ListKey
from situation.clock import duration_text
from situation.histograms import Histogram, merged
from situation.kinds import KINDS
from situation.readings import SourceState
from situation.situation import Situation

METRICS: Final = "control-plane/metrics"
LIVEZ: Final = "control-plane/livez"
SLOW_ETCD_S: Final = 0.15
"""The etcd mixin's bound of a slow request (etcdGRPCRequestsSlow, p99)."""
SHORT: Final = ("get", "create", "update", "delete")
"""Operations of etcd on one object. A list of many takes its time without any fault."""
MIN_REQUESTS: Final = 20
"""With fewer requests in the window a p99 is just the slowest of them, and one slow request is no fault."""
MIN_LISTS: Final = 3
"""LISTs of one resource are rare: controllers list when they start, then watch."""


K = TypeVar("K", bound=Hashable)


class Latency(NamedTuple):
    """p99 of the requests of a window."""

    p99_s: float
    requests: int
    is_least: bool = False
    """It lies above the highest bound of the histogram: it takes at least so long."""

    @property
    def text(self) -> str:
        return f"{'at least ' if self.is_least else ''}{seconds_text(self.p99_s)}"


def seconds_text(seconds: float) -> str:
    """Return a latency as people read it: `4 ms`, `0.85 s`, `12 s`."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def bytes_text(size: float) -> str:
    """Return a size with a binary unit: `812 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def resource_name(key: ListKey) -> str:
    """Return a resource with its group, as `ApiServerPage.objects` names it: `deployments.apps`, `pods`."""
    return f"{key.resource}.{key.group}" if key.group else key.resource


def not_live(situation: Situation, now: datetime) -> str:
    """Return why the last page of the API server's metrics is not to be believed now; empty if it is."""
    state = situation.source(METRICS).state_at(now)
    if state is SourceState.STARTING:
        return "the API server's metrics were not read yet"
    return "" if state is SourceState.LIVE else f"the API server's metrics are {state.value}"


def not_measured(situation: Situation, now: datetime) -> str:
    """Return why the API server's metrics cannot be judged over a window now; empty if they can."""
    if reason := not_live(situation, now):
        return reason
    once = len(situation.api_server.pages(WINDOW)) < 2
    return "the API server's metrics were read only once: nothing is known of a window yet" if once else ""


def window_text(situation: Situation) -> str:
    """Return how long the judged pages really span: `over 4m30s`."""
    pages = situation.api_server.pages(WINDOW)
    return f"over {duration_text((pages[-1][0] - pages[0][0]).total_seconds())}" if pages else "over no time"


def latency(observed: Histogram, at_least: int = MIN_REQUESTS) -> Latency | None:
    """Return the p99 of what was observed, None with fewer than `at_least` observations."""
    if observed.total < at_least or (p99 := observed.quantile(0.99)) is None:
        return None
    finite = [bound for bound in observed.bounds if not math.isinf(bound)]
    return Latency(p99, round(observed.total), bool(finite) and p99 >= finite[-1])


def observed(situation: Situation, of: Callable[[ApiServerPage], Mapping[K, Histogram]], key: K) -> Histogram:
    """Return what one histogram of a table observed over the window."""
    return situation.api_server.over(lambda page: of(page).get(key))


def verb_latency(situation: Situation, *verbs: str) -> Latency | None:
    """Return the p99 of requests of these verbs over the window."""
    return latency(merged([observed(situation, lambda page: page.durations, verb) for verb in verbs]))


def list_latencies(situation: Situation) -> dict[ListKey, Latency]:
    """Return the p99 of LISTs over the window by what they were for, the slowest first."""
    return _slowest(situation, lambda page: page.lists, MIN_LISTS)


def webhook_latencies(situation: Situation) -> dict[str, Latency]:
    """Return the p99 of admission webhooks over the window by name, the slowest first."""
    return _slowest(situation, lambda page: page.webhooks, MIN_REQUESTS)


def _slowest(
    situation: Situation, of: Callable[[ApiServerPage], Mapping[K, Histogram]], at_least: int
) -> dict[K, Latency]:
    page = situation.api_server.page
    found = {key: latency(observed(situation, of, key), at_least) for key in (of(page) if page else ())}
    known = {key: item for key, item in found.items() if item is not None}
    return dict(sorted(known.items(), key=lambda item: (-item[1].p99_s, str(item[0]))))


def etcd_latency(situation: Situation, *operations: str) -> Latency | None:
    """Return the p99 of etcd's answers as the API server sees it: second-hand. Of all operations if none is named."""
    page = situation.api_server.page
    wanted = sorted(page.etcd_durations if page else ())
    return latency(
        merged(
            [
                observed(situation, lambda page: page.etcd_durations, name)
                for name in wanted
                if not operations or name in operations
            ]
        )
    )


def webhook_failures(situation: Situation) -> dict[str, int]:
    """Return how often each webhook failed over the window, the most often first; those that did not are left out."""
    return _grown(situation, lambda page: page.webhook_failures)


def rejects(situation: Situation) -> dict[str, int]:
    """Return the requests answered 429 over the window by priority level, most first; levels without are left out."""
    return _grown(situation, lambda page: page.rejected)


def _grown(situation: Situation, of: Callable[[ApiServerPage], Mapping[str, float]]) -> dict[str, int]:
    page = situation.api_server.page
    found = {name: _increase(situation, of, name) for name in (of(page) if page else ())}
    known = {name: round(grown) for name, grown in found.items() if grown is not None and round(grown) > 0}
    return dict(sorted(known.items(), key=lambda item: (-item[1], item[0])))


def _increase(situation: Situation, of: Callable[[ApiServerPage], Mapping[str, float]], name: str) -> float | None:
    """Return how much a counter grew over the window.

    A page that was read whole and does not have it says 0: such a counter starts with the first event.
    """
    return situation.api_server.increase(
        lambda page: of(page).get(name, None if page.is_cut or page.broken_lines else 0.0)
    )


def last_pages(situation: Situation, count: int = 2) -> tuple[ApiServerPage, ...]:
    """Return the last pages of the replica read last; fewer than `count` if there are no more."""
    return tuple(page for _, page in situation.api_server.pages()[-count:])


class Growth(NamedTuple):
    """How a resource grew while it was watched."""

    resource: str
    before: int
    objects: int
    span: timedelta

    @property
    def per_hour(self) -> float:
        return (self.objects - self.before) / (self.span.total_seconds() / 3600)


def growths(situation: Situation, at_least: timedelta) -> tuple[Growth, ...]:
    """Return how resources grew over the kept pages, the fastest first; those not counted at the start are left out.

    Empty while the pages span less than `at_least`.
    """
    pages = situation.api_server.pages()
    if len(pages) < 2 or (span := pages[-1][0] - pages[0][0]) < at_least:
        return ()
    first, last = pages[0][1].objects, pages[-1][1].objects
    found = [Growth(name, first[name], many, span) for name, many in last.items() if many > first.get(name, many)]
    return tuple(sorted(found, key=lambda item: (-item.per_hour, item.resource)))


def size_text(situation: Situation, resource: str) -> str:
    """Return count and estimated size of a resource as far as the last page tells: `48,210 objects, about 1.2 GiB`."""
    page = situation.api_server.page
    count = page.objects.get(resource) if page else None
    if page is None or count is None:
        return "how many objects there are the server does not tell"
    size = page.object_bytes.get(resource)
    return f"{count:,} objects" + (f", about {bytes_text(size)}" if size else "")


def fullest_namespaces(situation: Situation, resource: str) -> tuple[tuple[str, int], ...]:
    """Return where most objects of a resource are, of those that Midwatch holds anyway; empty for other resources."""
    name, _, group = resource.partition(".")
    kind = next(
        (item for item in KINDS if item.name == name and item.group_version.partition("/")[0] in (group, "v1")), None
    )
    if kind is None or not kind.namespaced or kind.fixed_namespace:
        return ()
    return tuple(Counter(namespace for namespace, _ in situation.table(kind.name)).most_common(3))
