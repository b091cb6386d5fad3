"""etcd as a whole, from what its members said."""

from datetime import timedelta
from typing import Any, Final

import pytest

from situation.etcd.cluster import FrozenBy, etcd_of
from situation.etcd.figures import Quota
from situation.etcd.members import Alarm, EtcdAlarms, EtcdMember, EtcdReading, MemberHealth
from situation.etcd.standing import source_name
from situation.etcd.view import Role, Standing
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, ago, situation
from tests.diagnosis.objects import lease
from tests.etcd_objects import (
    GIB,
    MIB,
    NO_LEADER,
    NO_SPACE,
    disk,
    endpoint,
    healthy,
    list_members,
    page,
    silence,
    status,
    tell,
    watched,
)

SOURCE: Final = "etcd/10.0.0.1:2379"


def test_a_healthy_cluster() -> None:
    etcd = etcd_of(healthy(), NOW)
    assert (etcd.size, etcd.size_from, etcd.quorum, etcd.alive, etcd.can_lose) == (3, "endpoints asked", 2, 3, 1)
    assert etcd.leader is not None and etcd.leader.name == "etcd-1"
    assert etcd.term == 7
    assert [member.role for member in etcd.members] == [Role.LEADER, Role.FOLLOWER, Role.FOLLOWER]
    assert (etcd.frozen, etcd.alarms, etcd.alarms_known, etcd.lost_quorum) == (None, frozenset(), True, False)


def test_of_nothing_nothing_is_known() -> None:
    etcd = etcd_of(Situation(), NOW)
    assert (etcd.is_known, etcd.size, etcd.quorum, etcd.can_lose, etcd.frozen) == (False, 0, 0, None, None)
    assert not etcd.alarms_known and not etcd.lost_quorum


def test_one_member_down_and_what_may_still_fail() -> None:
    known = healthy(ago_s=40)
    silence(known, 3, ago_s=20)
    silence(known, 3, ago_s=10)
    healthy(1, 2, known=known)
    etcd = etcd_of(known, NOW)
    assert (etcd.alive, etcd.can_lose, etcd.lost_quorum) == (2, 0, False)
    (down,) = etcd.silent
    assert (down.name, down.silent_since, down.heard_at) == (
        "etcd-3",
        NOW - timedelta(seconds=20),
        NOW - timedelta(seconds=40),
    )


def test_a_source_that_only_says_unreachable_makes_its_member_silent() -> None:
    known = healthy(ago_s=20)
    healthy(1, 2, known=known)
    known.apply(Reading("etcd/10.0.0.3:2379", SourceState.UNREACHABLE, NOW, error="connection refused"))
    (down,) = etcd_of(known, NOW).silent
    assert (down.name, down.silent_since, down.error) == ("etcd-3", NOW - timedelta(seconds=20), "connection refused")


def test_a_member_that_was_removed_is_none() -> None:
    known = healthy()
    known.apply(Reading("etcd/10.0.0.3:2379", SourceState.ABSENT, NOW, error="no pod of etcd has this address"))
    assert (etcd := etcd_of(known, NOW)).size == 2 and not etcd.silent


def test_the_member_list_tells_of_those_nobody_asked() -> None:
    known = healthy(1)
    list_members(known, 3)
    etcd = etcd_of(known, NOW)
    assert (etcd.size, etcd.size_from, etcd.alive, etcd.can_lose) == (3, "member list", 1, None)
    assert [member.standing for member in etcd.members] == [Standing.ANSWERS, Standing.UNHEARD, Standing.UNHEARD]


def test_a_learner_has_no_vote() -> None:
    known = healthy(1, 2, 3)
    tell(known, 4, status=status(4, is_learner=True))
    list_members(known, 4, learners=(4,))
    etcd = etcd_of(known, NOW)
    assert (etcd.size, etcd.quorum, etcd.alive) == (3, 2, 3)
    assert etcd.members[3].role is Role.LEARNER


def test_two_addresses_of_one_member_are_one_member() -> None:
    known = healthy(1)
    tell(known, 9, status=status(1))
    assert etcd_of(known, NOW).size == 1


def test_quorum_lost_and_since_when() -> None:
    known = healthy(ago_s=60)
    for number in (2, 3):
        silence(known, number, ago_s=30)
    for ago_s in (28, 0):
        healthy(1, known=known, ago_s=ago_s, statuses={"leader": 0, "errors": NO_LEADER}, pages={"has_leader": False})
    etcd = etcd_of(known, NOW)
    assert etcd.lost_quorum and etcd.can_lose == 0
    assert etcd.frozen is not None
    assert (etcd.frozen.by, etcd.frozen.since) == (FrozenBy.NO_QUORUM, NOW - timedelta(seconds=60))


def test_who_leads_is_not_told_by_a_status_of_before() -> None:
    """A certificate that expired: status is refused, metrics are served apart and say that no leader is seen."""
    known = healthy(ago_s=20)
    for number in (1, 2, 3):
        expired = "certificate has expired"
        tell(known, number, page=page(has_leader=False, is_leader=False), status_error=expired)
    etcd = etcd_of(known, NOW)
    assert (etcd.leader_id, etcd.leader, etcd.term) == (0, None, None)
    assert etcd.frozen is not None and etcd.frozen.by is FrozenBy.NO_LEADER
    assert {(member.role, member.lag, member.backlog) for member in etcd.members} == {(Role.UNKNOWN, None, None)}


def test_two_silent_members_are_not_a_lost_quorum_while_the_third_has_a_leader() -> None:
    known = healthy(1)
    for number in (2, 3):
        silence(known, number)
    etcd = etcd_of(known, NOW)
    assert (etcd.lost_quorum, etcd.frozen, len(etcd.silent)) == (False, None, 2)


def test_the_api_server_vouches_for_an_etcd_that_we_cannot_reach() -> None:
    known = healthy(ago_s=60)
    for number in (1, 2, 3):
        silence(known, number, ago_s=20)
    assert (lost := etcd_of(known, NOW)).frozen is not None and lost.frozen.by is FrozenBy.NO_QUORUM
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW - timedelta(seconds=19), Readiness(True)))
    assert etcd_of(known, NOW).frozen is not None  # its check may have begun before they fell silent
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))
    assert (etcd := etcd_of(known, NOW)).frozen is None and etcd.is_vouched_for


def test_members_that_never_answered_us_have_lost_no_quorum_while_the_api_server_finds_etcd_working() -> None:
    known = Situation()
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW - timedelta(seconds=1), Readiness(True)))
    silence(known, 1, error="connection refused")
    assert (etcd := etcd_of(known, NOW)).frozen is None and etcd.is_vouched_for
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(False, ("etcd",))))
    assert etcd_of(known, NOW + timedelta(seconds=1)).frozen is not None


def test_a_member_that_refuses_our_certificate_is_not_down() -> None:
    known = healthy(1, 2)
    silence(known, 3, error="tls: bad certificate")
    etcd = etcd_of(known, NOW)
    assert (etcd.alive, etcd.can_lose, etcd.silent) == (3, 1, ())
    assert [member.name for member in etcd.unreadable] == ["etcd-3"]


def test_a_word_that_grew_old_is_no_word() -> None:
    etcd = etcd_of(healthy(ago_s=60), NOW)
    assert {member.standing for member in etcd.members} == {Standing.STALE}
    assert (etcd.leader_id, etcd.can_lose, etcd.alarms_known, etcd.frozen) == (0, None, False, None)


@pytest.mark.parametrize(
    "told",
    [
        {"status": status(1, errors=NO_SPACE)},
        {"health": MemberHealth(False, "ALARM NOSPACE")},
        {"page": page(alarms=("NOSPACE",))},
    ],
)
def test_each_way_to_hear_of_an_alarm(told: dict[str, Any]) -> None:
    known = situation(lease("kube-scheduler", age_s=90))
    tell(known, 1, **told)
    etcd = etcd_of(known, NOW)
    assert etcd.alarms == {"NOSPACE"}
    assert etcd.frozen is not None and etcd.frozen.by is FrozenBy.NO_SPACE
    assert etcd.frozen.since.isoformat() == ago(90).replace("Z", "+00:00")


def test_writes_went_through_until_the_last_round_without_the_alarm() -> None:
    known = situation(lease("kube-scheduler", age_s=90))
    healthy(known=known, ago_s=12)
    healthy(known=known, ago_s=2, statuses={"errors": NO_SPACE})
    assert (frozen := etcd_of(known, NOW).frozen) is not None and frozen.since == NOW - timedelta(seconds=12)


def test_since_when_is_not_claimed_where_nobody_knows_of_a_write() -> None:
    frozen = etcd_of(healthy(statuses={"errors": NO_SPACE}), NOW).frozen
    assert frozen is not None and (frozen.is_exact, frozen.since) == (False, NOW)
    assert frozen.since_text == f"at least since {NOW:%H:%M:%S}"


def test_an_alarm_list_is_outdone_by_what_all_members_said_later() -> None:
    known = healthy(ago_s=20, statuses={"errors": NO_SPACE})
    alarms = EtcdAlarms((Alarm(1, "NOSPACE"),))
    known.apply(Reading("etcd/alarms", SourceState.LIVE, NOW - timedelta(seconds=15), alarms, fresh_for_s=60))
    healthy(1, 2, known=known, ago_s=5)
    assert etcd_of(known, NOW - timedelta(seconds=5)).alarms == {"NOSPACE"}  # the third was not asked since
    healthy(known=known)
    assert (etcd := etcd_of(known, NOW)).alarms == frozenset() and etcd.alarms_known and etcd.frozen is None


@pytest.mark.parametrize(
    ("version", "told", "scraped", "expected"),
    [
        ("3.6.6", 8 * GIB, 2 * GIB, Quota(8 * GIB, "status")),
        ("3.6.5", 8 * GIB, 2 * GIB, Quota(2 * GIB, "metrics")),
        ("3.5.26", None, 2 * GIB, Quota(2 * GIB, "metrics")),
        ("3.5.26", None, None, Quota(None, "")),
        ("3.5.26", None, -1, Quota(None, "none set")),
        ("3.6.7", -1, 2 * GIB, Quota(None, "none set")),
    ],
)
def test_which_quota_is_believed(version: str, told: int | None, scraped: int | None, expected: Quota) -> None:
    known = healthy(1, statuses={"version": version, "quota_bytes": told}, pages={"quota_bytes": scraped})
    assert etcd_of(known, NOW).members[0].quota == expected


def test_figures_are_of_the_window_and_not_since_boot() -> None:
    known = watched(pages=lambda number, ago_s: {"fsync": disk(fast=1000, slow=(60 - ago_s) * 10, slow_s=0.064)})
    member = etcd_of(known, NOW).members[0]
    assert member.fsync_p99_s == pytest.approx(0.0637, abs=0.001)
    assert member.commit_p99_s is None  # nothing was committed
    assert member.free_ratio == pytest.approx(1 - 200 / 2048)
    assert member.fragmentation == pytest.approx(0.25)


def test_growth_needs_ten_minutes_and_forgets_what_was_before_a_defragmentation() -> None:
    def grows(number: int, ago_s: float) -> dict[str, Any]:
        return {"db_size_bytes": GIB if ago_s > 1200 else 100 * MIB + int((1200 - ago_s) * MIB)}

    assert etcd_of(watched(grows, span_s=300), NOW).members[0].growth is None
    member = etcd_of(watched(grows, span_s=1500, step_s=60), NOW).members[0]
    assert member.growth is not None and member.growth.bytes_per_s == pytest.approx(MIB)
    assert member.full_in_s == pytest.approx(2048 - 1300)


def test_lag_is_measured_against_what_the_leader_had_before() -> None:
    known = healthy(1, ago_s=4, statuses={"raft_index": 100_000})
    healthy(2, known=known, ago_s=2, statuses={"applied_index": 90_000})
    healthy(1, known=known, statuses={"raft_index": 300_000})
    members = {member.endpoint: member for member in etcd_of(known, NOW).members}
    assert members[endpoint(2)].lag == 10_000
    assert members[endpoint(1)].lag is None


def test_elections_of_a_member_that_restarted_are_told_by_the_term() -> None:
    known = watched(
        statuses=lambda number, ago_s: {"raft_term": 7 if ago_s > 30 else 9},
        pages=lambda number, ago_s: {"started_at": 1.0 if number > 1 or ago_s > 30 else 2.0, "leader_changes": 5.0},
    )
    found = [member.elections for member in etcd_of(known, NOW).members]
    assert [item.changes for item in found if item] == [2, 0, 0]


def test_what_a_member_said_long_ago_elects_nobody_while_its_health_alone_answers() -> None:
    """A port for metrics may answer on when the client port's certificate has expired."""
    known = healthy(ago_s=60)
    for number in (1, 2, 3):
        refused: dict[str, Any] = {"status_error": "deadline exceeded", "health": MemberHealth(False, "RAFT NO LEADER")}
        tell(known, number, ago_s=30, **refused)
        tell(known, number, **refused)
    etcd = etcd_of(known, NOW)
    assert (etcd.leader_id, etcd.term, etcd.alive) == (0, None, 3)
    assert etcd.frozen is not None and etcd.frozen.by is FrozenBy.NO_LEADER
    member = etcd.members[0]
    assert (member.role, member.status, member.page, member.id) == (Role.UNKNOWN, None, None, 1)


def test_figures_of_the_last_minute_end_when_the_pages_do() -> None:
    known = watched(pages=lambda number, ago_s: {"fsync": disk(fast=60 - ago_s), "heartbeat_failures": 60 - ago_s})
    assert etcd_of(known, NOW).members[0].heartbeat_failures == 60
    later = NOW + timedelta(minutes=5)
    at_last = EtcdMember(endpoint(1), name="etcd-1", status=status(1), page_error="deadline exceeded")
    known.apply(Reading(SOURCE, SourceState.LIVE, later, EtcdReading(at_last, later), fresh_for_s=15.0))
    member = next(item for item in etcd_of(known, later).members if item.id == 1)
    assert (member.fsync_p99_s, member.heartbeat_failures, member.standing) == (None, None, Standing.ANSWERS)


def test_what_came_in_a_gap_is_not_told_of_the_last_minute() -> None:
    known = healthy(1, ago_s=600, pages={"heartbeat_failures": 0.0, "fsync": disk(fast=100)})
    healthy(1, known=known, pages={"heartbeat_failures": 500.0, "fsync": disk(fast=100, slow=900)})
    member = etcd_of(known, NOW).members[0]
    assert (member.heartbeat_failures, member.fsync_p99_s) == (None, None)


def test_the_first_page_of_a_process_that_just_started_is_all_its_own() -> None:
    """It has grown past the old one's counts in every bucket: only its start tells that it is another process."""
    known = healthy(1, ago_s=30, pages={"started_at": 1.0, "fsync": disk(fast=10)})
    healthy(1, known=known, pages={"started_at": 2.0, "fsync": disk(fast=100)})
    assert known.etcd.known[endpoint(1)].over(lambda page: page.fsync).total == 100


@pytest.mark.parametrize(
    ("error", "standing"),
    [
        ("cannot connect to https://etcd-tls.example:2379: connection refused", Standing.SILENT),
        ("etcd-tls.example:2379: remote error: tls: bad certificate", Standing.REFUSES),
    ],
)
def test_a_name_of_a_host_is_no_refusal(error: str, standing: Standing) -> None:
    known = Situation()
    gone = EtcdMember("https://etcd-tls.example:2379", status_error=error)
    source = source_name(gone.endpoint)
    known.apply(Reading(source, SourceState.UNREACHABLE, NOW, EtcdReading(gone, NOW), error, fresh_for_s=15.0))
    assert etcd_of(known, NOW).members[0].standing is standing


def test_members_that_nobody_could_ask_are_neither_alive_nor_down() -> None:
    known = Situation()
    why = "/etc/kubernetes/pki/etcd/healthcheck-client.key: permission denied"
    for number in (1, 2, 3):
        tell(known, number, state=SourceState.FORBIDDEN, error=why, status_error=why, is_asked=False)
    etcd = etcd_of(known, NOW)
    assert {(member.standing, member.silent_since) for member in etcd.members} == {(Standing.UNHEARD, None)}
    assert (etcd.alive, etcd.lost_quorum, etcd.can_lose, etcd.frozen, etcd.is_known) == (0, False, None, None, False)
    assert etcd.members[0].error == why


def test_a_clock_that_was_set_back_does_not_put_a_fault_into_the_future() -> None:
    known = Situation()
    for ago_s in (-3600, 0):  # an hour ahead, then right
        tell(known, 1, ago_s=ago_s, status=status(1, leader=0, errors=(*NO_LEADER, *NO_SPACE)))
        silence(known, 2, ago_s=ago_s)
    first, second = known.etcd.known[endpoint(1)], known.etcd.known[endpoint(2)]
    assert (first.leaderless_since, first.alarmed_since, second.silent_since) == (NOW, {"NOSPACE": NOW}, NOW)


def test_an_alarm_that_was_disarmed_does_not_live_on_in_an_older_list() -> None:
    known = healthy(ago_s=30)
    listed = EtcdAlarms((Alarm(1, "NOSPACE"),))
    known.apply(Reading("etcd/alarms", SourceState.LIVE, NOW - timedelta(seconds=20), listed, fresh_for_s=100.0))
    assert etcd_of(known, NOW - timedelta(seconds=20)).alarms == {"NOSPACE"}
    healthy(known=known)
    etcd = etcd_of(known, NOW)
    assert (etcd.alarms, etcd.alarms_known, etcd.frozen) == (frozenset(), True, None)
