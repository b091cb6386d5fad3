"""Histograms: what came between two scrapes, quantiles of it, sums; counters that start again."""

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from situation.histograms import Histogram, increase, merged

BOUNDS = (0.005, 0.1, 1.0, 60.0, math.inf)
per_bucket = st.lists(st.integers(0, 1000), min_size=len(BOUNDS), max_size=len(BOUNDS))
ratios = st.floats(0, 1)


def histogram(*observed: float) -> Histogram:
    """A histogram with so many observations in each bucket."""
    return Histogram(BOUNDS, tuple(float(sum(observed[: n + 1])) for n in range(len(BOUNDS))))


def plus(first: Histogram, second: Histogram) -> Histogram:
    return Histogram(BOUNDS, tuple(a + b for a, b in zip(first.counts, second.counts, strict=True)))


@given(per_bucket, ratios, ratios)
def test_quantiles_rise_with_their_ratio_and_stay_within_the_bounds(
    observed: list[int], low: float, high: float
) -> None:
    found = histogram(*observed)
    low, high = sorted((low, high))
    first, second = found.quantile(low), found.quantile(high)
    if sum(observed) == 0:
        assert first is second is None
        return
    assert first is not None
    assert second is not None
    assert 0 <= first <= second <= 60


@given(per_bucket, ratios)
def test_a_quantile_lies_in_the_bucket_that_holds_it(observed: list[int], ratio: float) -> None:
    """As Prometheus says it: interpolated in the bucket where so many observations are reached."""
    assume(sum(observed) > 0)
    found = histogram(*observed)
    value = found.quantile(ratio)
    rank = ratio * sum(observed)
    bucket = next(n for n, count in enumerate(found.counts) if count >= rank)
    lower = BOUNDS[bucket - 1] if bucket else 0.0
    assert value is not None
    assert lower <= value <= (BOUNDS[bucket] if bucket + 1 < len(BOUNDS) else lower)


@pytest.mark.parametrize(
    ("observed", "ratio", "expected"),
    [
        ((10, 0, 0, 0, 0), 0.5, 0.0025),
        ((0, 10, 0, 0, 0), 0.5, 0.0525),
        ((0, 0, 0, 0, 10), 0.99, 60.0),
        ((99, 0, 1, 0, 0), 0.99, 0.005),
        ((50, 0, 50, 0, 0), 1.0, 1.0),
        ((0, 0, 0, 0, 0), 0.5, None),
    ],
)
def test_quantiles(observed: tuple[int, ...], ratio: float, expected: float | None) -> None:
    value = histogram(*observed).quantile(ratio)
    assert value == (None if expected is None else pytest.approx(expected))


def test_quantiles_of_unusual_histograms() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram((math.inf,), (5,)).quantile(0.5) is None, "there is no bound to tell"
    assert Histogram((-1.0, 1.0, math.inf), (4, 4, 4)).quantile(0.5) == -1, "it begins below 0, nobody knows where"
    assert Histogram((0.0, 1.0, math.inf), (4, 4, 4)).quantile(0.5) == 0


@given(per_bucket, per_bucket)
def test_what_came_since_is_what_was_added(before: list[int], added: list[int]) -> None:
    old, new = histogram(*before), histogram(*added)
    assert plus(old, new).since(old) == new


@given(per_bucket, per_bucket)
def test_after_a_restart_all_of_it_came_since(before: list[int], after: list[int]) -> None:
    """Also where the new process has already counted more than the old one had."""
    old, new = histogram(*before), histogram(*after)
    if any(now < then for now, then in zip(after, before, strict=True)):
        assert new.since(old) == new
    else:
        assert new.since(old).total == sum(after) - sum(before)


@given(per_bucket, per_bucket)
def test_a_difference_never_falls_from_bucket_to_bucket(before: list[int], after: list[int]) -> None:
    counts = histogram(*after).since(histogram(*before)).counts
    assert list(counts) == sorted(counts)
    assert all(count >= 0 for count in counts)


def test_since_nothing_and_since_other_bounds() -> None:
    found = histogram(1, 2, 3, 4, 5)
    assert found.since(None) == found
    assert found.since(Histogram((1.0, math.inf), (1, 1))) == found


@given(st.lists(per_bucket, max_size=4))
def test_a_sum_has_all_observations(parts: list[list[int]]) -> None:
    histograms = [histogram(*part) for part in parts]
    total = merged(histograms)
    assert total.total == sum(map(sum, parts))
    assert merged(reversed(histograms)) == total
    assert merged([Histogram(), *histograms]) == total, "an empty one sets no bounds"


def test_others_than_the_first_bounds_are_left_out_of_a_sum() -> None:
    found = histogram(1, 1, 1, 1, 1)
    assert merged([found, Histogram((1.0, math.inf), (7, 7)), found]).total == 10
    assert merged([]) == Histogram()


@example({-math.inf: 0.0, 0.0: 1.0})
@example({-1e308: -1e308, 1e308: 1e308})
@given(st.dictionaries(st.floats(allow_nan=True), st.floats(allow_nan=True), max_size=8))
def test_any_lines_make_a_histogram_that_can_be_asked(buckets: dict[float, float]) -> None:
    found = Histogram.of(buckets)
    assert list(found.bounds) == sorted(found.bounds)
    value = found.quantile(0.5)
    assert value is None or not math.isnan(value)
    assert found.since(found).total in (0.0, found.total)


@given(st.lists(st.one_of(st.none(), st.just(math.nan), st.integers(0, 100).map(float)), max_size=8))
def test_growth_is_never_negative_and_needs_two_values(values: list[float | None]) -> None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    grown = increase(values)
    if len(known) < 2:
        assert grown is None
    else:
        assert grown is not None
        assert grown >= max(0.0, known[-1] - known[0])
        assert increase([*values, None]) == grown


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5, 7], 2), ([5, 7, 1, 4], 6), ([5, None, 9], 4), ([5], None), ([], None), ([None, 5], None), ([3, 3], 0)],
)
def test_growth(values: list[float | None], expected: float | None) -> None:
    assert increase(values) == expected


def test_the_bucket_of_a_quantile_is_told() -> None:
    found = Histogram((1.0, 160.0, 640.0, math.inf), (0.0, 50.0, 90.0, 100.0))
    assert [found.bucket(ratio) for ratio in (0.0, 0.5, 0.9, 0.99)] == [
        (0.0, 1.0),
        (1.0, 160.0),
        (160.0, 640.0),
        (640.0, math.inf),
    ]
    assert Histogram().bucket(0.5) is None
