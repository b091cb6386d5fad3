"""When the API server answers again, and when leases are renewed again: told from readings alone."""

from datetime import timedelta

import pytest

from situation.leases import at_work_since, still_for
from situation.readings import Changed, Listed, Readiness, Reading, SourceState
from situation.renewals import STANDSTILL
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, made, situation
from tests.diagnosis.objects import lease

LIVE, GONE = SourceState.LIVE, SourceState.UNREACHABLE


def readyz(known: Situation, *answers: tuple[float, SourceState]) -> None:
    """Let `/readyz` be asked at these seconds after NOW; an answer is good for 30 s."""
    for after_s, state in answers:
        value = Readiness(True) if state is LIVE else None
        known.apply(Reading("kubernetes/readyz", state, NOW + timedelta(seconds=after_s), value, fresh_for_s=30))


@pytest.mark.parametrize(
    ("answers", "since_s"),
    [
        ([(0, LIVE)], None),
        ([(0, LIVE), (10, LIVE), (20, LIVE)], None),
        ([(0, GONE), (10, LIVE), (20, LIVE)], 10),
        ([(0, LIVE), (10, GONE), (20, LIVE), (30, GONE), (40, LIVE)], None),
        ([(0, LIVE), (10, GONE), (40, LIVE)], 40),
        ([(0, LIVE), (10, SourceState.UNAUTHORIZED), (40, LIVE)], 40),
        ([(0, LIVE), (500, LIVE)], 500),
    ],
    ids=[
        "the first answer",
        "always",
        "down at the start",
        "a poll fails now and then",
        "down meanwhile",
        "no credentials",
        "we slept",
    ],
)
def test_since_when_the_api_server_answers(answers: list[tuple[float, SourceState]], since_s: float | None) -> None:
    known = situation()
    readyz(known, *answers)
    assert known.answering_since == (None if since_s is None else NOW + timedelta(seconds=since_s))


def test_a_server_that_just_answers_again_is_no_witness_that_nothing_is_written() -> None:
    known = situation(lease("kube-scheduler", age_s=300), lease("apiserver-abc", age_s=290))
    readyz(known, (0, LIVE))
    assert still_for(known, NOW) == timedelta(seconds=290)
    readyz(known, (10, GONE), (40, LIVE))
    assert still_for(known, NOW + timedelta(seconds=41)) is None
    readyz(known, (60, LIVE), (70, LIVE))
    assert still_for(known, NOW + timedelta(seconds=40) + STANDSTILL) == timedelta(seconds=330) + STANDSTILL


def renewed(known: Situation, after_s: float, name: str = "apiserver-abc") -> None:
    item = made(lease(name, age_s=-after_s))
    at = NOW + timedelta(seconds=after_s)
    known.apply(Reading("kubernetes/leases", LIVE, at, Changed("leases", (item,))))


def test_the_first_list_resumes_nothing_whatever_stands_in_it() -> None:
    assert situation(lease("left", age_s=9000), lease("apiserver-abc", age_s=1)).renewals.resumed_at is None


@pytest.mark.parametrize(("steps_s", "resumed_s"), [((2, 12, 22), None), ((2, 12, 60, 70), 60), ((31,), 31)])
def test_when_leases_are_renewed_again(steps_s: tuple[float, ...], resumed_s: float | None) -> None:
    known = situation(lease("kube-scheduler", age_s=50), lease("apiserver-abc", age_s=0))
    for after_s in steps_s:
        renewed(known, after_s)
    assert known.renewals.resumed_at == (None if resumed_s is None else NOW + timedelta(seconds=resumed_s))


def test_a_new_list_after_a_cut_resumes_them_too() -> None:
    known = situation(lease("apiserver-abc", age_s=STANDSTILL.total_seconds() + 1))
    known.apply(Reading("kubernetes/leases", LIVE, NOW, Listed("leases", (made(lease("apiserver-abc", age_s=0)),))))
    assert known.renewals.resumed_at == NOW


def test_a_list_that_is_polled_says_nothing_of_the_time_between() -> None:
    """Where leases may not be watched, a list comes once a minute: a scheduler that is dead stays so."""
    known = situation(lease("apiserver-abc", age_s=60))
    value = Listed("leases", (made(lease("apiserver-abc", age_s=0)),))
    known.apply(Reading("kubernetes/leases", LIVE, NOW, value, error="polled: leases may not be watched"))
    assert known.renewals.resumed_at is None


def elected(age_s: float) -> Manifest:
    made = lease("kube-scheduler", age_s=0)
    made["spec"]["acquireTime"] = ago(age_s)
    return made


def test_since_when_a_leader_can_have_worked() -> None:
    known = situation(elected(600), lease("apiserver-abc", age_s=0))
    assert at_work_since(known, "kube-scheduler") == NOW - timedelta(seconds=600)
    assert at_work_since(known, "kube-controller-manager") is None
    renewed(known, 90)
    for name in ("kube-scheduler", "kube-controller-manager"):
        assert at_work_since(known, name) == NOW + timedelta(seconds=90)
