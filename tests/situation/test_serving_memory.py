"""What is kept of model servers and what follows from it: windows, restarts, clocks, NaN, and what is forgotten."""

import math
from datetime import timedelta

import pytest

from situation.readings import Changed, Reading, SourceState
from situation.serving.memory import Curve
from situation.serving.serving import serving_of
from situation.serving.windows import Buckets, Rows
from situation.situation import Situation
from tests.build import NOW, made, situation
from tests.serving_objects import MODEL, STARTED, URL, engine, page, recorded, seconds, server_pod, tell, view_of

ENGINE = (MODEL, "0")


def watched(*values: float, every_s: float = 5, of: str = "waiting") -> Situation:
    """Return a Situation with a server at URL of which a figure had these values, the last one now."""
    known = Situation()
    for number, value in enumerate(values):
        tell(known, None, engine(**{of: value}), ago_s=(len(values) - 1 - number) * every_s)
    return known


def test_rates_are_taken_over_the_last_minute_only() -> None:
    known = watched(*(100.0 * number for number in range(25)), of="generation_tokens")
    figures = view_of(known).engines[0]
    assert figures.generation_tokens_per_s == pytest.approx(20.0)
    assert figures.window == timedelta(seconds=60)


def test_one_page_is_no_rate() -> None:
    figures = view_of(watched(7.0, of="preemptions")).engines[0]
    assert (figures.preempted, figures.preemptions_per_min, figures.queue_slope_per_min) == (None, None, None)


def test_what_is_not_measured_is_not_zero() -> None:
    known = Situation()
    for ago_s in (10, 5, 0):
        tell(known, None, engine(preemptions=None, kv_usage_ratio=None, finished={}, waiting=math.nan), ago_s=ago_s)
    figures = view_of(known).engines[0]
    assert (figures.preempted, figures.kv_usage_ratio, figures.kv_held_ratio) == (None, None, None)
    assert (figures.errors_per_min, figures.waiting, figures.queue_slope_per_min) == (None, None, None)
    assert (figures.running, figures.generation_tokens_per_s) == (0.0, 0.0)


@pytest.mark.parametrize("tells_its_start", [True, False])
def test_a_restart_between_two_pages_loses_nothing_and_invents_nothing(tells_its_start: bool) -> None:
    known = Situation()
    for ago_s, count, run in ((20, 1000.0, 0), (15, 1100.0, 0), (10, 30.0, 1), (5, 50.0, 1), (0, 60.0, 1)):
        started = STARTED + run * 3000 if tells_its_start else None
        both = {"generation_tokens": count, "ttft": seconds(at_0_5=count)}
        tell(known, None, page=page(engine(**both), started_at=started), ago_s=ago_s)
    figures = view_of(known).engines[0]
    assert figures.generation_tokens_per_s == pytest.approx((100 + 60) / 20)
    assert figures.ttft.count == 160
    since = known.serving.known[URL].first_at
    assert since == NOW - timedelta(seconds=10)


def test_a_restart_is_seen_where_counters_have_grown_past_the_old_ones() -> None:
    known = Situation()
    for ago_s, count, run in ((10, 100.0, 0), (5, 150.0, 1), (0, 160.0, 1)):
        tell(known, None, page=page(engine(preemptions=count), started_at=STARTED + run * 3000), ago_s=ago_s)
    assert view_of(known).engines[0].preempted == 160


def test_time_that_runs_backwards_starts_anew() -> None:
    known = watched(*(10.0 * number for number in range(30)), of="generation_tokens")
    tell(known, None, engine(generation_tokens=5000.0), ago_s=3600)
    (kept,) = known.serving.known.values()
    assert len(kept.engines[ENGINE].rows) == 1
    assert kept.read_at == NOW - timedelta(hours=1)
    tell(known, None, engine(generation_tokens=5100.0), ago_s=3590)
    figures = view_of(known, now=NOW - timedelta(seconds=3590)).engines[0]
    assert figures.generation_tokens_per_s == pytest.approx(10.0)


def test_what_a_prometheus_scraped_before_us_is_no_clock_set_back() -> None:
    known = watched(1.0, 2.0, 3.0)
    tell(known, None, engine(waiting=99.0), ago_s=4, origin="prometheus")
    assert view_of(known).engines[0].waiting == 3.0


def test_quantiles_of_the_window_and_of_the_time_before_it() -> None:
    known = Situation()
    for number in range(31):
        slow = max(0, number - 24) * 10.0
        tell(known, None, engine(ttft=seconds(at_0_1=number * 10.0 - slow, at_20_0=slow)), ago_s=(30 - number) * 10)
    figures = view_of(known).engines[0]
    assert (figures.ttft_before.p99 or 1) <= 0.1
    assert (figures.ttft.p50 or 0) > 5


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], True),
        ([0, 0, 52, 52, 44, 36, 28], False),
        ([9, 9, 9, 9, 9, 9, 9], False),
        ([9, 8, 7, 6, 5, 4, 3], False),
        ([5, 7, 6, 8, 7, 9, 8, 10, 9.5], True),
        ([5, 50], False),
    ],
)
def test_a_queue_grows_that_is_near_its_highest_and_rises(values: list[float], grows: bool) -> None:
    figures = view_of(watched(*values)).engines[0]
    assert (figures.growing_since is not None, figures.doubles_in_s is not None) == (grows, grows)


def test_since_when_a_queue_has_been_growing() -> None:
    steady, growing = [10.0] * 40, [10.0 + number for number in range(100)]
    figures = view_of(watched(*steady, *growing)).engines[0]
    assert figures.growing_since is not None
    assert 470 <= (NOW - figures.growing_since).total_seconds() <= 560
    assert figures.queue_slope_per_min == pytest.approx(12.0)
    assert figures.doubles_in_s == pytest.approx(109 / 12 * 60)


def test_curves_are_thinned_and_bounded() -> None:
    known = watched(*map(float, range(1200)), every_s=1)
    points = known.serving.curve(URL, ENGINE, Curve.WAITING)
    assert points[-1] == (NOW, 1199.0)
    assert 180 <= len(points) <= 15 * 60 / 4 + 1
    assert points[-1][0] - points[0][0] <= timedelta(minutes=15)
    assert known.serving.curve("nobody", ENGINE, Curve.WAITING) == ()
    tokens = watched(*(100.0 * number for number in range(10)), of="generation_tokens")
    assert {round(value, 6) for _, value in tokens.serving.curve(URL, ENGINE, Curve.GENERATION_TOKENS)} == {20.0}


def test_other_bounds_start_a_histogram_anew() -> None:
    buckets = Buckets()
    buckets.add(0, seconds(at_0_5=5))
    buckets.add(10, seconds(at_0_5=9))
    assert buckets.over(timedelta(seconds=60)).total == 4
    buckets.add(20, type(seconds())((1.0, math.inf), (3.0, 4.0)))
    assert buckets.over(timedelta(seconds=60)).total == 0


def test_a_start_from_long_before_the_window_is_none() -> None:
    rows = Rows(1)
    for at in (0.0, 200.0, 260.0):
        rows.add((at,))
    assert (rows.start(timedelta(seconds=60)), rows.start(timedelta(seconds=100))) == (1, 1)
    assert rows.start(timedelta(seconds=240)) == 0


def test_an_engine_that_is_not_told_of_any_more_is_forgotten() -> None:
    known = Situation()
    tell(known, None, engine(), engine(engine="1"), ago_s=5)
    tell(known, None, engine())
    assert [item.engine for item in view_of(known).engines] == ["0"]


def test_servers_are_forgotten_with_their_pods_at_once_and_others_after_half_an_hour() -> None:
    known = situation(server_pod(1), server_pod(2))
    tell(known, 1, engine(), ago_s=2000)
    tell(known, None, engine(), ago_s=1900)
    tell(known, 2, engine(waiting=1.0))
    assert set(known.serving.known) == {"ai/llama-1-2:8000"}
    known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("ai", "llama-1-2"),))))
    assert not known.serving.known and not known.serving.by_pod
    assert [item.ref.name for item in serving_of(known, NOW).servers] == ["llama-1-1"]


def test_a_pod_of_the_same_name_is_another_server() -> None:
    known = situation(server_pod(1))
    tell(known, 1, engine(waiting=7.0))
    again = server_pod(1)
    again["metadata"]["uid"] = "another"
    known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(again),))))
    assert not known.serving.known


def test_only_pods_of_model_servers_are_in_their_index() -> None:
    known = situation(
        server_pod(1), *(server_pod(number, container={"image": "shop/web:1", "args": []}) for number in (2, 3))
    )
    assert [name for _, name in known.model_server_pods.get(True)] == ["llama-1-1"]


def test_both_recordings_end_as_they_were() -> None:
    known = Situation()
    for at_s, told in recorded("preemption"):
        tell(known, None, page=told, ago_s=60 - at_s)
        if at_s > 33.4:
            break
    figures = view_of(known).engines[0]
    assert figures.preempted == 98
    assert figures.preemptions_per_min == pytest.approx(98 / 33.4 * 60, rel=0.01)
    assert figures.kv_held_ratio == pytest.approx(0.947, abs=0.01)
