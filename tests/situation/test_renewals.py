"""When leases were renewed, told by the API server's clock whatever the clocks of their holders say."""

from datetime import timedelta

import pytest

from diagnosis.rules import leaders
from situation.leases import at_work_since, renewals, still_for
from situation.readings import Changed, Readiness, Reading, ServerClock, SourceState
from situation.server_clock import SOURCE
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, made, pod, situation
from tests.diagnosis.objects import causes_of, lease

API = lease("apiserver-abc", age_s=2)
KEY = ("kube-system", "kube-scheduler")
AGREES = ServerClock(0.0, 0.6)


def live(*manifests: Manifest, clock: ServerClock | None = AGREES) -> Situation:
    """Return what is known of a cluster; the clock is compared before anything else, as in the cockpit."""
    known = Situation()
    if clock is not None:
        known.apply(Reading(SOURCE, SourceState.LIVE, NOW, clock))
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))
    return situation(*manifests, into=known)


def renew(known: Situation, *, age_s: float, after_s: float, name: str = "kube-scheduler") -> None:
    """Let a lease be renewed in sight, `after_s` after NOW, by a holder whose clock says `age_s` before NOW."""
    item, at = made(lease(name, age_s=age_s)), NOW + timedelta(seconds=after_s)
    known.apply(Reading("kubernetes/leases", SourceState.LIVE, at, Changed("leases", (item,))))


def test_a_lease_from_the_future_was_renewed_when_it_was_read_at_the_latest() -> None:
    known = live(API, lease("kube-scheduler", age_s=3), lease("node-1", age_s=-7200, namespace="kube-node-lease"))
    assert renewals(known)["kube-node-lease", "node-1"] == NOW
    assert causes_of(leaders.RULES, known) == {}


def test_where_the_clocks_were_not_compared_leases_are_believed() -> None:
    known = live(API, lease("kube-scheduler", age_s=-7200), clock=None)
    assert renewals(known)[KEY] == NOW + timedelta(seconds=7200)


def test_a_renewal_in_sight_is_dated_by_when_it_was_seen() -> None:
    known = live(API, lease("kube-scheduler", age_s=300), pod())
    assert set(causes_of(leaders.RULES, known)) == {"scheduler-down"}
    renew(known, age_s=298, after_s=2)
    assert renewals(known)[KEY] == NOW + timedelta(seconds=2)
    assert causes_of(leaders.RULES, known, NOW + timedelta(seconds=3)) == {}


def test_what_was_renewed_while_nobody_looked_is_dated_by_what_stands_in_it() -> None:
    known = live(API, lease("kube-scheduler", age_s=3))
    known.apply(Reading("kubernetes/leases", SourceState.UNREACHABLE, NOW + timedelta(seconds=30), error="no route"))
    back = NOW + timedelta(seconds=600)
    known.apply(Reading(SOURCE, SourceState.LIVE, back, AGREES))
    renew(known, age_s=-20, after_s=600)
    assert renewals(known)[KEY] == NOW + timedelta(seconds=20)
    renew(known, age_s=-602, after_s=605)
    assert renewals(known)[KEY] == NOW + timedelta(seconds=605)


def test_a_longer_lease_is_given_twice_its_duration() -> None:
    held = lease("kube-scheduler", age_s=45)
    held["spec"]["leaseDurationSeconds"] = 60
    assert causes_of(leaders.RULES, live(API, held, pod())) == {}
    assert set(causes_of(leaders.RULES, live(API, lease("kube-scheduler", age_s=45), pod()))) == {"scheduler-down"}


def test_a_dead_scheduler_is_found_although_the_clock_of_its_host_was_ahead() -> None:
    known = live(API, lease("kube-scheduler", age_s=-600), pod())
    for after_s in (10, 20, 30, 40, 50):
        renew(known, age_s=-after_s, after_s=after_s, name="apiserver-abc")
    assert set(causes_of(leaders.RULES, known, NOW + timedelta(seconds=50))) == {"scheduler-down"}


def test_a_standstill_is_seen_although_one_clock_is_ahead() -> None:
    known = live(API, lease("kube-scheduler", age_s=3), lease("node-1", age_s=-7200, namespace="kube-node-lease"))
    for after_s in range(10, 140, 10):
        for source in ("kubernetes/leases", "kubernetes/readyz"):
            known.apply(Reading(source, SourceState.LIVE, NOW + timedelta(seconds=after_s)))
    assert still_for(known, NOW + timedelta(seconds=130)) == timedelta(seconds=130)


@pytest.mark.parametrize(("acquired_s", "wanted_s"), [(-3600, 0), (600, 600)])
def test_a_leader_was_not_elected_in_the_future(acquired_s: float, wanted_s: float) -> None:
    held = lease("kube-scheduler", age_s=-3600)
    held["spec"]["acquireTime"] = ago(acquired_s)
    assert at_work_since(live(API, held), "kube-scheduler") == NOW - timedelta(seconds=wanted_s)


def test_a_clock_that_is_set_back_takes_renewals_with_it() -> None:
    known = live(API, lease("kube-scheduler", age_s=3))
    renew(known, age_s=-60, after_s=60)
    assert renewals(known)[KEY] == NOW + timedelta(seconds=60)
    known.set_back(NOW)
    assert renewals(known)[KEY] == NOW
