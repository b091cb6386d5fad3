"""Time as the cluster tells it."""

from datetime import timedelta
from itertools import pairwise
from random import Random

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
    for ahead_s in (661.5, 658.2, 664.9) * 3:
        assert clock.compare(ServerClock(ahead_s, 0.6)).taken_off_s == 660.0


def test_a_change_counts_once_it_is_confirmed() -> None:
    clock = ClusterClock(lambda: NOW)
    clock.compare(ServerClock(660.0, 0.6))
    told = [clock.compare(ServerClock(ahead_s, 0.6)) for ahead_s in (670.0, 671.0) * 5]
    assert [item.taken_off_s for item in told] == [660.0] * 9 + [671.0]
    assert {item.ahead_s for item in told[:9]} == {660.0}, "what is not confirmed is not believed"


def test_one_of_several_servers_with_a_wrong_clock_does_not_move_time_to_and_fro() -> None:
    """They stand behind one address, and answer in turns."""
    clock = ClusterClock(lambda: NOW)
    told = [clock.compare(ServerClock(ahead_s, 0.6)) for ahead_s in (0.1, 62.0, 0.3, 61.0, 62.5, 61.2, 0.2) * 5]
    assert {item.taken_off_s for item in told} == {0.0}
    assert max(item.ahead_s for item in told) < 1


@pytest.mark.parametrize("true_s", [5.3, 5.6, 6.0, 10.4, 11.6])
def test_a_clock_near_the_bound_does_not_flap(true_s: float) -> None:
    """Answers differ by what they took, and a machine without NTP drifts over the bound for days."""
    clock, source = ClusterClock(lambda: NOW), Random(1)  # noqa: S311 - not for secrets
    answers = (ServerClock(true_s + source.uniform(-0.9, 0.9), source.choice([0.5, 0.6, 0.9])) for _ in range(3000))
    told = [clock.compare(answer).taken_off_s for answer in answers]
    assert sum(before != after for before, after in pairwise(told)) <= 1


def test_a_clock_that_was_set_right_is_ours_again() -> None:
    clock = ClusterClock(lambda: NOW)
    clock.compare(ServerClock(-660.0, 0.6))
    told = [clock.compare(ServerClock(0.2, 0.6)).taken_off_s for _ in range(10)]
    assert told == [-660.0] * 9 + [0.0]
    assert clock() == NOW


def test_before_the_first_comparison_it_is_our_own_time() -> None:
    assert ClusterClock(lambda: NOW)() == NOW
