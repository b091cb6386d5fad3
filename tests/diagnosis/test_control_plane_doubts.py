"""Layer 4 says what was not measured, and that an etcd that was named does not answer; nothing of what a dump lacks."""

from datetime import timedelta

import pytest

from diagnosis.control_plane_doubts import not_measured, not_reached
from situation.api_server import ApiServerPage, ApiServerReading
from situation.etcd.members import EtcdAccess, EtcdMember, EtcdReading
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW

ONCE = "latency and load of the API server: measured once, a rate needs two"


def scraped(known: Situation, after_s: float = 0.0) -> None:
    at = NOW + timedelta(seconds=after_s)
    value = ApiServerReading(ApiServerPage(started_at=1.0), at)
    known.apply(Reading("control-plane/metrics", SourceState.LIVE, at, value))


def named(known: Situation, error: str = "", *, is_named: bool = True) -> None:
    state = SourceState.UNREACHABLE if error else SourceState.LIVE
    known.apply(Reading("etcd/access", state, NOW, EtcdAccess(is_named=is_named), error))


def silent(known: Situation, host: str) -> None:
    member = EtcdMember(f"https://{host}:2379", status_error="connection refused")
    reading = Reading(f"etcd/{host}:2379", SourceState.UNREACHABLE, NOW, EtcdReading(member, NOW), "connection refused")
    known.apply(reading)


def test_nothing_is_missed_that_nobody_asked_for() -> None:
    assert list(not_measured(Situation(), NOW)) == []
    assert list(not_reached(Situation(), NOW)) == []


def test_one_page_gives_no_rate_and_two_do() -> None:
    known = Situation()
    scraped(known)
    assert list(not_measured(known, NOW)) == [ONCE]
    scraped(known, 30.0)
    assert list(not_measured(known, NOW + timedelta(seconds=30))) == []


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (SourceState.FORBIDDEN, ["the API server's metrics: forbidden"]),
        (SourceState.UNREACHABLE, ["the API server's metrics: unreachable"]),
        (SourceState.ABSENT, []),
    ],
)
def test_metrics_that_may_not_be_read_are_told_and_those_of_no_server_are_not(
    state: SourceState, told: list[str]
) -> None:
    known = Situation()
    known.apply(Reading("control-plane/metrics", state, NOW, error="no"))
    assert list(not_measured(known, NOW)) == told


def test_named_members_of_which_none_answers_leave_layer_4_unknown() -> None:
    known = Situation()
    named(known)
    assert list(not_reached(known, NOW)) == [], "they were not asked yet"
    silent(known, "a")
    silent(known, "b")
    assert list(not_reached(known, NOW)) == ["etcd: none of the members named answers (connection refused)"]


def test_credentials_that_cannot_be_used_are_the_reason() -> None:
    known = Situation()
    named(known, error="client.pem: expired")
    assert list(not_reached(known, NOW)) == ["etcd: none of the members named answers (client.pem: expired)"]


def test_members_that_were_only_found_are_not_promised_to_answer() -> None:
    known = Situation()
    named(known, is_named=False)
    silent(known, "a")
    assert list(not_reached(known, NOW)) == []
