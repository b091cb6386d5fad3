"""When a slow pane is painted again."""

from datetime import timedelta

import pytest

from situation.readings import SourceState
from tests.build import NOW
from tui.cadence import OWED_EVERY_S, Due

LIVE = SourceState.LIVE


@pytest.mark.parametrize(
    ("later_s", "state", "is_due"),
    [(0.5, SourceState.LIVE, False), (1.5, SourceState.LIVE, True), (0.1, SourceState.STALE, True),
     (-660.0, SourceState.LIVE, True)],
    ids=["just now", "a while ago", "another state", "a clock was set back"],
)  # fmt: skip
def test_when_a_slow_pane_is_due(later_s: float, state: SourceState, is_due: bool) -> None:
    due = Due(every_s=1.5)
    assert due.is_due(LIVE, NOW)
    due.painted(LIVE, NOW)
    assert due.is_due(state, NOW + timedelta(seconds=later_s)) == is_due


def test_of_two_panes_in_one_turn_the_second_waits_twice_as_long_at_most() -> None:
    due = Due(every_s=1.5)
    due.painted(LIVE, NOW)
    for later_s, is_due in ((2.0, False), (3.0, True)):
        now = NOW + timedelta(seconds=later_s)
        assert due.is_due(LIVE, now, slow_at=now) == is_due


def test_a_pane_that_is_owed_is_due_soon_and_once() -> None:
    due = Due(every_s=1.5)
    due.painted(LIVE, NOW)
    due.owe()
    soon = NOW + timedelta(seconds=OWED_EVERY_S)
    assert not due.is_due(LIVE, NOW + timedelta(seconds=0.1))
    assert due.is_due(LIVE, soon)
    assert not due.is_due(LIVE, soon, slow_at=soon)
    due.painted(LIVE, soon)
    assert not due.is_due(LIVE, soon + timedelta(seconds=OWED_EVERY_S))
