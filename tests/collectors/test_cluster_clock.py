"""Time as the cluster tells it."""

from datetime import timedelta

import pytest

from collectors.kubernetes.cluster_clock import ClusterClock
from situation.readings import ServerClock
from tests.build import NOW


@pytest.mark.parametrize(
    ("ahead_s", "within_s", "taken_off_s"),
    [
        (660.0, 0.6, 660.0),
        (-660.0, 0.6, -660.0),
        (4.0, 0.6, 0.0),
        (-5.5, 0.6, 0.0),
        (7.0, 3.0, 0.0),
        (7.0, 0.6, 7.0),
    ],
    ids=["ahead", "behind", "close", "close behind", "the answer took long", "just off"],
)
def test_a_clock_that_is_off_is_put_right(ahead_s: float, within_s: float, taken_off_s: float) -> None:
    clock = ClusterClock(lambda: NOW)
    told = clock.compare(ServerClock(ahead_s, within_s))
    assert told == ServerClock(ahead_s, within_s, taken_off_s)
    assert clock() == NOW - timedelta(seconds=taken_off_s)
    assert clock.own() == NOW


def test_each_answer_does_not_move_time_a_little() -> None:
    clock = ClusterClock(lambda: NOW)
    clock.compare(ServerClock(660.0, 0.6))
    for ahead_s in (661.5, 658.2, 664.9):
        assert clock.compare(ServerClock(ahead_s, 0.6)).taken_off_s == 660.0
    assert clock.compare(ServerClock(670.0, 0.6)).taken_off_s == 670.0


def test_a_clock_that_was_set_right_is_ours_again() -> None:
    clock = ClusterClock(lambda: NOW)
    clock.compare(ServerClock(-660.0, 0.6))
    assert clock.compare(ServerClock(0.2, 0.6)) == ServerClock(0.2, 0.6)
    assert clock() == NOW


def test_before_the_first_comparison_it_is_our_own_time() -> None:
    assert ClusterClock(lambda: NOW)() == NOW
