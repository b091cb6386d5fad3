"""When a slow pane is painted again."""

from datetime import timedelta

import pytest

from situation.readings import Source, SourceState
from tests.build import NOW
from tui.cadence import Due

LIVE = Source("kubernetes/events", SourceState.LIVE)


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
    assert due.is_due(Source(LIVE.name, state), NOW + timedelta(seconds=later_s)) == is_due


def test_of_two_panes_in_one_turn_the_second_waits_twice_as_long_at_most() -> None:
    due = Due(every_s=1.5)
    due.painted(LIVE, NOW)
    for later_s, is_due in ((2.0, False), (3.0, True)):
        now = NOW + timedelta(seconds=later_s)
        assert due.is_due(LIVE, now, slow_at=now) == is_due
