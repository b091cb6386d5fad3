"""What was read before: bounded in time and number, and windows over it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from situation.history import History

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SPAN, SPACING = timedelta(minutes=10), timedelta(seconds=10)
steps = st.lists(st.integers(0, 200), max_size=60)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def filled(gaps: list[int], spacing: timedelta = SPACING) -> tuple[History[int], int]:
    history, now = History[int](SPAN, spacing), 0
    for gap in gaps:
        now += gap
        history.add(at(now), now)
    return history, now


@given(steps)
def test_it_is_bounded_and_keeps_the_newest(gaps: list[int]) -> None:
    history, now = filled(gaps)
    kept = history.within(SPAN)
    assert len(kept) == len(history) <= 2 * (SPAN / SPACING) + 2
    if gaps:
        assert kept[-1] == (at(now), now)
    assert all(at(now) - time <= SPAN and time == at(value) for time, value in kept)
    assert list(kept) == sorted(kept)


@given(steps, st.integers(1, 600))
def test_a_window_begins_with_the_last_value_before_it(gaps: list[int], seconds: int) -> None:
    history, now = filled(gaps)
    window = timedelta(seconds=seconds)
    kept, found = history.within(SPAN), history.within(window)
    assert found == kept[len(kept) - len(found) :]
    begin = at(now) - window
    assert all(time > begin for time, _ in found[1:])
    if len(found) < len(kept):
        assert found[0][0] <= begin


def test_values_that_come_quickly_replace_the_last_one() -> None:
    history, _ = filled([0] + [1] * 100)
    times = [value for _, value in history.within(SPAN)]
    assert times[0] == 0
    assert times[-1] == 100
    assert 10 <= len(times) <= 22


def test_time_that_runs_backwards_empties_it() -> None:
    history, _ = filled([0, 60, 60])
    history.add(at(30), 30)
    assert history.within(SPAN) == ((at(30), 30),)
    history.clear()
    assert history.within(SPAN) == ()
    assert len(history) == 0
