"""etcd's members, asked directly: each fault, and rounds that tell of nothing bad any more."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from diagnosis.engine import Engine
from situation.etcd.members import MemberHealth
from situation.situation import Situation
from tests.build import NOW
from tests.diagnosis.objects import lease
from tests.diagnosis.recovery.harness import Case, Step, apply, check, told
from tests.diagnosis.recovery.well_again import etcd_works
from tests.diagnosis.test_etcd_database import full
from tests.diagnosis.test_etcd_disk import peers, with_disk
from tests.diagnosis.test_etcd_quorum import leaderless, two_of_three_killed
from tests.etcd_objects import GIB, MIB, healthy, list_members, page, silence, status, tell, watched

CORRUPT: Final = status(3, errors=("memberID:3 alarm:CORRUPT ",))
UNWELL: Final = MemberHealth(False, "QGET ERROR:context deadline exceeded")


def third(**told: Any) -> Callable[[], Situation]:
    """Return what makes a cluster whose third member tells this."""

    def made() -> Situation:
        known = healthy(1, 2)
        tell(known, 3, **told)
        return known

    return made


def no_leader() -> Situation:
    known = healthy(ago_s=60)
    leaderless(known, 1, 2, 3)
    return known


def apart() -> Situation:
    known = healthy(1, 2)
    leaderless(known, 3)
    return known


def one_down() -> Situation:
    known = healthy(ago_s=60)
    silence(known, 3, ago_s=25)
    silence(known, 3)
    return healthy(1, 2, known=known)


def mixed(**of_the_third: Any) -> Callable[[], Situation]:
    return lambda: healthy(3, known=healthy(1, 2), statuses=of_the_third)


def four() -> Situation:
    known = healthy(1, 2, 3, 4)
    list_members(known, 4)
    return known


def elections() -> Situation:
    return watched(
        pages=lambda number, ago_s: {"leader_changes": 9.0 + (ago_s < 1800) + (ago_s < 900)}, span_s=3600, step_s=300
    )


def strained() -> Situation:
    return watched(pages=lambda number, ago_s: {"heartbeat_failures": 500 + (60 - ago_s) * 0.1 if number == 1 else 0.0})


ROOM: Final[dict[str, Any]] = {"db_size_bytes": 300 * MIB, "db_in_use_bytes": 200 * MIB}
NEAR: Final[dict[str, Any]] = {"db_size_bytes": 1700 * MIB, "db_in_use_bytes": 1700 * MIB}
HOLES: Final[dict[str, Any]] = {"db_size_bytes": 1600 * MIB, "db_in_use_bytes": 200 * MIB}


def growing() -> Situation:
    return watched(lambda number, ago_s: {"db_size_bytes": int(GIB - ago_s * MIB / 10), "db_in_use_bytes": 700 * MIB},
                   span_s=1200, step_s=60)  # fmt: skip


def three(known: Situation) -> None:
    list_members(known, 3)
    etcd_works(1, step_s=1)(known)


FROZEN: Final = [lease("kube-scheduler", age_s=50), lease("kube-controller-manager", age_s=48),
                 lease("apiserver-abc", age_s=45)]  # fmt: skip
API_SERVER_WRITES: Final = [lease("apiserver-abc", age_s=-3)]
MINUTE_S: Final = 61.0
HOUR_S: Final = 3661.0
CASES: Final = (
    Case("etcd-quorum-lost", two_of_three_killed, [etcd_works(1, step_s=1)]),
    Case("etcd-quorum-lost", lambda: two_of_three_killed(*FROZEN), [etcd_works(3, step_s=1), *API_SERVER_WRITES],
         after_s=4, name="the leaders have yet to be elected anew"),
    Case("etcd-no-leader", no_leader, [etcd_works(1, step_s=1)]),
    Case("etcd-corrupt", third(status=CORRUPT, health=MemberHealth(False, "ALARM CORRUPT")), [etcd_works(1, step_s=1)]),
    Case("etcd-member-down", one_down, [etcd_works(1, step_s=1)]),
    Case("etcd-member-apart", apart, [etcd_works(1, step_s=1)]),
    Case("etcd-no-space", full, [etcd_works(1, step_s=1, **ROOM)], name="with room, disarmed",
         left=frozenset({"etcd-fragmented"})),
    Case("etcd-quota", lambda: healthy(statuses=NEAR), [etcd_works(1, step_s=1, **ROOM)], name="compacted"),
    Case("etcd-quota", lambda: healthy(statuses=NEAR),
         [etcd_works(1, step_s=1, pages={"quota_bytes": 8 * GIB}, **NEAR)], name="quota raised"),
    Case("etcd-quota", growing, [etcd_works(1200, step_s=60, db_size_bytes=GIB, db_in_use_bytes=700 * MIB)],
         after_s=1201, name="grows no more"),
    Case("etcd-fragmented", lambda: healthy(statuses=HOLES), [etcd_works(1, step_s=1, **ROOM)]),
    Case("etcd-slow-fsync", lambda: with_disk("fsync", 0.032), [etcd_works(60)], after_s=MINUTE_S),
    Case("etcd-slow-commit", lambda: with_disk("commit", 0.064), [etcd_works(60)], after_s=MINUTE_S),
    Case("etcd-slow-peers", lambda: peers(0.2048), [etcd_works(60)], after_s=MINUTE_S),
    Case("etcd-elections", elections, [etcd_works(3660, step_s=60)], after_s=HOUR_S),
    Case("etcd-strained", strained, [etcd_works(60)], after_s=MINUTE_S),
    Case("etcd-member-behind", third(status=status(3, applied_index=80_000), page=page()), [etcd_works(1, step_s=1)]),
    Case("etcd-learner", lambda: watched(lambda number, ago_s: {"is_learner": number == 3}, span_s=900, step_s=60),
         [etcd_works(1, step_s=1)], name="promoted"),
    Case("etcd-unhealthy", third(status=status(3), health=UNWELL, page=page()), [etcd_works(1, step_s=1)]),
    Case("etcd-known-bad-version", lambda: healthy(statuses={"version": "3.5.1"}), [etcd_works(1, step_s=1)]),
    Case("etcd-versions-differ", mixed(version="3.6.12"), [etcd_works(1, step_s=1)]),
    Case("etcd-clusters-mixed", mixed(cluster_id=0xE7E7, leader=3), [etcd_works(1, step_s=1)]),
    Case("etcd-even-members", four, [three], name="one was removed"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)


def test_a_leader_that_does_not_come_back_with_etcd_is_told() -> None:
    known, engine = two_of_three_killed(*FROZEN), Engine()
    engine.judge(known, (), NOW)
    for after_s, expected in ((10, set()), (30, set()), (42, {"scheduler-down", "controller-manager-down"})):
        now = NOW + timedelta(seconds=after_s)
        steps: list[Step] = [etcd_works(after_s, step_s=1), lease("apiserver-abc", age_s=-after_s)]
        changes = [change for step in steps for change in apply(step, known, now)]
        assert {rule for rule, _ in told(engine.judge(known, changes, now))} == expected, after_s
