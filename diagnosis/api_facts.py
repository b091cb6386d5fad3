"""How rules tell what the API server's own metrics say: whether they can be judged now, and wordings for evidence.

The figures themselves are selectors of `situation.api_load`.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeVar

from situation import api_load
from situation.api_load import Latency
from situation.api_memory import WINDOW
from situation.api_server import METRICS
from situation.clock import duration_text
from situation.kinds import KINDS
from situation.quantity import human_bytes, latency_text
from situation.readings import SourceState
from situation.situation import Situation

SLOW_ETCD_S: Final = 0.15
"""The etcd mixin's bound of a slow request (etcdGRPCRequestsSlow, p99)."""
SHORT: Final = ("get", "create", "update", "delete")
"""Operations of etcd on one object. A list of many takes its time without any fault."""
MIN_REQUESTS: Final = 20
"""With fewer requests in the window a p99 is just the slowest of them, and one slow request is no fault."""
MIN_LISTS: Final = 3
"""LISTs of one resource are rare: controllers list when they start, then watch."""
HANDFUL: Final = 5
"""Fewer failures than this within five minutes are a pod that was replaced, or a moment's rush. Ours."""
TOLERATED: Final = 0.01
"""Share of requests that may fail all month long: the error budget of the kubernetes mixin (99 %)."""
GRAVE: Final = 14.4 * TOLERATED
"""Share at which that budget burns 14.4 times too fast, judged over five minutes too, so that somebody is called out
(kubernetes mixin, KubeAPIErrorBudgetBurn)."""
IN_PART: Final = "the API server's metrics were read only in part"

K = TypeVar("K")


def not_live(situation: Situation, now: datetime) -> str:
    """Return why the last page of the API server's metrics is not to be believed now; empty if it is."""
    state = situation.source(METRICS).state_at(now)
    if state is SourceState.STARTING:
        return "the API server's metrics were not read yet"
    return "" if state is SourceState.LIVE else f"the API server's metrics are {state.value}"


def no_window(situation: Situation, now: datetime) -> str:
    """Return why the API server's metrics cannot be judged over a window now; empty if they can."""
    if reason := not_live(situation, now):
        return reason
    once = api_load.observed(situation.api_server) is None
    return "the API server's metrics were read only once: nothing is known of a window yet" if once else ""


def unavailable_apis(situation: Situation) -> tuple[str, ...]:
    """Return the APIServices that do not answer by the last two pages of metrics; a finding about them names the first.

    One page is not enough: an API may be asked just while its pod is replaced.
    """
    last = [page.unavailable_apis for _, page in situation.api_server.pages()[-2:]]
    return tuple(name for name in last[1] if name in last[0]) if len(last) == 2 else ()


def enough(latencies: Mapping[K, Latency] | None, at_least: int = MIN_REQUESTS) -> dict[K, Latency]:
    """Return those latencies of which enough was observed for a p99 to mean something."""
    return {key: item for key, item in (latencies or {}).items() if item.requests >= at_least}


def short_etcd_latency(situation: Situation) -> Latency | None:
    """Return how long etcd takes for single objects as the API server sees it: second-hand. None: too few requests."""
    found = api_load.etcd_latency(situation.api_server, SHORT)
    return found if found is not None and found.requests >= MIN_REQUESTS else None


def p99_text(latency: Latency) -> str:
    """Return `0.85 s`, `at least 60 s`."""
    return f"{'at least ' if latency.is_least else ''}{latency_text(latency.p99_s)}"


def window_text(situation: Situation) -> str:
    """Return how long the judged pages really span: `over 4m30s`."""
    span = api_load.observed(situation.api_server, WINDOW)
    return f"over {duration_text(span.total_seconds())}" if span is not None else "over no time"


def size_text(situation: Situation, resource: str) -> str:
    """Return count and estimated size of a resource as far as the last page tells: `48,210 objects, about 1.2 GiB`."""
    page = situation.api_server.page
    count = page.objects.get(resource) if page else None
    if page is None or count is None:
        return "how many objects there are the server does not tell"
    size = page.object_bytes.get(resource)
    return f"{count:,} objects" + (f", about {human_bytes(size)}" if size else "")


def fullest_namespaces(situation: Situation, resource: str) -> tuple[tuple[str, int], ...]:
    """Return where most objects of a resource are, of those that Midwatch holds anyway; empty for other resources."""
    name, _, group = resource.partition(".")
    kind = next(
        (item for item in KINDS if item.name == name and item.group_version.partition("/")[0] in (group, "v1")), None
    )
    if kind is None or not kind.namespaced or kind.fixed_namespace:
        return ()
    return tuple(Counter(namespace for namespace, _ in situation.table(kind.name)).most_common(3))
