"""What the API server's pages say of a window, and what they do not: one scrape, replicas, damage."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from situation import api_load
from situation.api_load import Latency
from situation.api_memory import REPLICAS, SPAN, ApiServerMemory
from situation.api_server import ApiServerPage, ApiServerReading, ListKey, Seats
from situation.histograms import Histogram

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
BOUNDS = (0.1, 1.0, 10.0, math.inf)
PODS, EVENTS = ListKey("", "pods", "cluster"), ListKey("", "events", "cluster")
DEPLOYMENTS = ListKey("apps", "deployments", "namespace")


def seen(*counts: float) -> Histogram:
    """Cumulative counts, as a page has them."""
    return Histogram(BOUNDS, counts)


IDLE = {"GET": seen(100, 100, 100, 100)}


def memory(*pages: ApiServerPage, every_s: float = 60) -> ApiServerMemory:
    known = ApiServerMemory()
    for number, page in enumerate(pages):
        known.take(ApiServerReading(page, START + timedelta(seconds=number * every_s)))
    return known


def page(started_at: float = 1.0, **fields: Any) -> ApiServerPage:
    return ApiServerPage(**{"started_at": started_at, "durations": IDLE, **fields})


def etcd_get(known: ApiServerMemory) -> Latency | None:
    return api_load.etcd_latency(known, ("get",))


WINDOWED: tuple[Callable[[ApiServerMemory], object], ...] = (
    api_load.observed,
    api_load.latency_by_verb,
    api_load.list_latencies,
    api_load.webhook_latencies,
    api_load.etcd_latencies,
    etcd_get,
    api_load.rejects,
    api_load.webhook_failures,
    api_load.given_up,
    api_load.growths,
)


@pytest.mark.parametrize("selector", WINDOWED)
def test_nothing_is_known_before_the_second_scrape_of_the_same_process(
    selector: Callable[[ApiServerMemory], object],
) -> None:
    full: dict[str, Any] = {
        "lists": {PODS: seen(1, 1, 1, 1)},
        "etcd_durations": {"get": seen(1, 1, 1, 1)},
        "rejected": {"low": 5.0},
        "terminated": 5.0,
        "objects": {"pods": 5},
    }
    assert selector(ApiServerMemory()) is None
    assert selector(memory(page(**full))) is None
    assert selector(memory(page(**full), page(2.0, **full))) is None, "that is another replica"
    assert selector(memory(page(**full), page(**full), every_s=0)) is None, "no time has passed"
    assert selector(memory(ApiServerPage(started_at=1.0), ApiServerPage(started_at=1.0))) in (
        None,
        timedelta(seconds=60),
    )


def test_latency_and_rate_by_verb_are_those_of_the_window_not_since_the_start() -> None:
    known = memory(
        page(durations={"GET": seen(9000, 9000, 9000, 9000), "LIST": seen(5, 5, 5, 5)}),
        page(durations={"GET": seen(9000, 9060, 9060, 9060), "LIST": seen(5, 5, 5, 5), "POST": seen(0, 0, 0, 6)}),
    )
    found = api_load.latency_by_verb(known)
    assert found is not None
    assert set(found) == {"GET", "POST"}, "LIST had no requests in the window"
    assert found["GET"].p99_s == pytest.approx(0.991)
    assert found["POST"] == Latency(10.0, 6, is_least=True), "it had none before; above 10 s is at least 10 s"
    assert api_load.observed(known) == timedelta(seconds=60)


def test_the_window_leaves_older_scrapes_out() -> None:
    slow, later = seen(0, 0, 1000, 1000), seen(60, 60, 1060, 1060)
    pages = [page(durations={"GET": seen(0, 0, 0, 0)}), *[page(durations={"GET": slow})] * 9]
    found = api_load.latency_by_verb(memory(*pages, page(durations={"GET": later})))
    assert found is not None
    assert found["GET"].p99_s == pytest.approx(0.099)


def test_the_guilty_list_comes_first() -> None:
    known = memory(
        page(lists={PODS: seen(5, 5, 5, 5), DEPLOYMENTS: seen(1, 1, 1, 1)}),
        page(lists={PODS: seen(9, 9, 9, 9), DEPLOYMENTS: seen(1, 1, 1, 1), EVENTS: seen(0, 0, 3, 3)}),
    )
    found = api_load.list_latencies(known)
    assert found is not None
    assert [(key, item.requests) for key, item in found.items()] == [(EVENTS, 3), (PODS, 4)]
    assert api_load.resource_name(DEPLOYMENTS) == "deployments.apps"


def test_a_process_does_not_forget_so_a_histogram_that_fell_is_not_believed() -> None:
    known = memory(page(durations={"GET": seen(50, 90, 90, 90)}), page(durations={"GET": seen(50, 60, 60, 60)}))
    assert api_load.latency_by_verb(known) == {}
    known = memory(page(etcd_durations={"get": seen(5, 5, 5, 5)}), page(etcd_durations={"get": seen(4, 5, 5, 5)}))
    assert api_load.etcd_latencies(known) == {}
    assert etcd_get(known) is None


def test_a_histogram_that_a_damaged_page_lacks_did_not_begin_after_it() -> None:
    """Else a window would show all that happened since the server started."""
    since_start = {PODS: seen(0, 0, 9000, 9000)}
    damaged, later = page(is_cut=True), page(lists={PODS: seen(60, 60, 9060, 9060)})
    assert api_load.list_latencies(memory(damaged, page(lists=since_start))) is None
    found = api_load.list_latencies(memory(damaged, page(lists=since_start), later))
    assert found is not None
    assert found[PODS].p99_s == pytest.approx(0.099)
    assert found[PODS].requests == 60


def test_etcd_as_the_api_server_sees_it() -> None:
    known = memory(
        page(etcd_durations={"get": seen(5, 5, 5, 5), "update": seen(0, 0, 0, 0), "list": seen(0, 0, 0, 0)}),
        page(etcd_durations={"get": seen(9, 9, 9, 9), "update": seen(0, 6, 6, 6), "list": seen(0, 0, 0, 0)}),
    )
    assert set(api_load.etcd_latencies(known) or ()) == {"get", "update"}
    both, one = (api_load.etcd_latency(known, names) for names in (("get", "update"), ("update",)))
    assert both is not None and one is not None
    assert (both.requests, one.requests) == (10, 6)


def test_rejects_that_begin_within_the_window_are_counted() -> None:
    """A counter with labels is only on the page once it has counted."""
    assert api_load.rejects(memory(page(), page(rejected={"workload-low": 6.0}))) == {"workload-low": 6}
    assert api_load.rejects(memory(page(rejected={"a": 6.0}), page(rejected={"a": 6.0}))) == {}
    assert api_load.given_up(memory(page(), page(terminated=6.0))) == 6
    assert api_load.given_up(memory(page(), page())) == 0


@pytest.mark.parametrize("damage", [{"is_cut": True}, {"broken_lines": 1}, {"durations": {}}])
def test_rejects_are_not_told_from_a_page_that_may_lack_them(damage: dict[str, Any]) -> None:
    rejecting = page(rejected={"workload-low": 600.0})
    assert api_load.rejects(memory(page(**damage), rejecting)) is None
    assert api_load.rejects(memory(rejecting, page(**damage), rejecting)) == {}, "the others are whole"
    cut = [page(rejected={"workload-low": count}, **damage) for count in (600.0, 606.0)]
    assert api_load.rejects(memory(*cut)) == {"workload-low": 6}, "both have it"


def test_the_webhook_that_fails_most_and_the_slowest_come_first() -> None:
    known = memory(
        page(webhooks={"slow": seen(0, 0, 0, 0)}, webhook_failures={"b": 1.0, "fine": 3.0}),
        page(
            webhooks={"quick": seen(6, 6, 6, 6), "slow": seen(0, 0, 6, 6)},
            webhook_failures={"a": 2.0, "b": 7.0, "fine": 3.0},
        ),
    )
    assert list((api_load.webhook_failures(known) or {}).items()) == [("b", 6), ("a", 2)]
    found = api_load.webhook_latencies(known)
    assert found is not None
    assert list(found) == ["slow", "quick"]
    assert found["slow"].p99_s == pytest.approx(9.91)


def test_what_is_derived_from_pages_is_kept_until_the_next_one() -> None:
    known = memory(page(), page(rejected={"a": 6.0}))
    first = api_load.rejects(known)
    assert api_load.rejects(known) is first
    known.take(ApiServerReading(page(rejected={"a": 9.0}), START + timedelta(seconds=120)))
    assert api_load.rejects(known) == {"a": 9}
    assert api_load.rejects(known, timedelta(seconds=60)) == {"a": 3}, "another window is another question"


@pytest.mark.parametrize(
    ("counts", "still"),
    [((None, 3, 9), {"high"}), ((3, 3, 9), set()), ((3, 9, 9), set()), ((3, 9), set()), ((9, 3, 9), set())],
    ids=["from the first one on", "only now", "no more", "two pages", "falls"],
)
def test_which_levels_reject_from_page_to_page(counts: tuple[float | None, ...], still: set[str]) -> None:
    pages = [page(durations={"GET": seen(1, 1, 1, 1)}, rejected={"high": count} if count else {}) for count in counts]
    assert api_load.rejecting_still(memory(*pages)) == still


def test_growth_per_hour_over_the_longer_window() -> None:
    pages = [page(objects={"events": 1000 + 10 * minute, "pods": 50 - minute, "nodes": 3}) for minute in range(11)]
    last = page(objects={"events": 1100, "pods": 40, "nodes": 3, "x": 9})
    found = api_load.growths(memory(*pages[:-1], last))
    assert found is not None
    assert [(name, round(item.per_hour)) for name, item in found.items()] == [
        ("events", 600),
        ("nodes", 0),
        ("pods", -60),
    ]
    assert api_load.growths(memory(*pages[:5])) is None, "4 minutes say nothing of an hour"
    uncounted = [page(objects={}), *pages[1:]]
    assert (api_load.growths(memory(*uncounted)) or {})["events"].per_hour == pytest.approx(600)


def test_saturation_and_open_files_need_one_page_only() -> None:
    now = page(
        seats={"low": Seats(96, 96), "exempt": Seats(5, 1), "none": Seats(5, None), "high": Seats(0, 40)},
        open_files=9,
        max_files=10,
    )
    assert api_load.saturation(now) == {"low": 1.0, "high": 0.0}
    assert api_load.open_files_ratio(now) == 0.9
    assert api_load.saturation(page()) is None
    assert api_load.saturation(None) is None
    assert api_load.open_files_ratio(page(open_files=9)) is None
    assert api_load.open_files_ratio(None) is None
    assert api_load.largest_resources(page(objects={"a": 1, "b": 5, "c": 5}), 2) == (("b", 5), ("c", 5))
    assert api_load.largest_resources(None) == ()


def test_replicas_behind_one_address_are_never_compared() -> None:
    """A load balancer alternates between two processes with different counts."""
    counts = [1000.0 * (number % 2) + 30 * number for number in range(6)]
    pages = [page(1.0 + number % 2, durations={"GET": seen(*[count] * 4)}) for number, count in enumerate(counts)]
    known = memory(*pages)
    assert known.page is pages[-1]
    assert (api_load.latency_by_verb(known) or {})["GET"].requests == 120


def test_few_replicas_and_half_an_hour_are_kept() -> None:
    known = memory(*(page(float(number)) for number in range(3 * REPLICAS)))
    assert len(known._pages) == REPLICAS
    known = memory(*[page()] * 200, every_s=30)
    assert len(known.pages()) <= SPAN / timedelta(seconds=30) + 1
    assert known.pages()[-1][0] - known.pages()[0][0] == SPAN
    assert known.read_at == known.pages()[-1][0]


def test_pages_older_than_ten_minutes_are_kept_without_their_histograms() -> None:
    known = memory(*(page(durations={"GET": seen(*[60.0 * n] * 4)}, objects={"pods": n}) for n in range(31)))
    pages = known.pages()
    assert [found.objects["pods"] for _, found in pages] == list(range(31))
    assert [bool(found.durations) for _, found in pages] == [False] * 20 + [True] * 11
    latencies = api_load.latency_by_verb(known, SPAN)
    assert latencies is not None
    assert latencies["GET"].requests == 600, "what ten minutes brought"
    assert len({at for at, _ in pages}) == 31
