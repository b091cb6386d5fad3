"""A scheduler that lives and is slow, or does not get to new pods, and what is none of it."""

from datetime import timedelta

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import api_latency, leaders, scheduler_load, scheduling
from situation.findings import Severity
from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.scheduler import SCHEDULER, SchedulerLoad, default_percentage
from situation.situation import Situation
from tests.build import NOW, Manifest, node, situation
from tests.diagnosis.api_pages import grown, scraped, took
from tests.diagnosis.objects import causes_of, lease, texts
from tests.diagnosis.test_control_plane import API_LEASE, found, placed, unseen

RULES = scheduler_load.RULES
INF = float("inf")
NONE = Histogram()


def attempts(count: float, seconds: float) -> Histogram:
    """Return `count` attempts, all in the bucket that ends at `seconds`."""
    return Histogram.of({seconds / 2: 0.0, seconds: count, INF: count})


def told(now: Histogram, before: Histogram = NONE, *, age_s: float = 0, known: Situation | None = None) -> Situation:
    found, at = known or situation(), NOW - timedelta(seconds=age_s)
    load = SchedulerLoad(now, before, {"active": 310, "unschedulable": 2})
    found.apply(Reading(SCHEDULER, SourceState.LIVE, at, load, fresh_for_s=120))
    return found


@pytest.mark.parametrize(
    ("now", "before", "severity", "title"),
    [
        (attempts(400, 2.048), Histogram(), Severity.WARNING, "scheduler takes p99 2.0 s for a pod"),
        (attempts(400, 2.048), attempts(400, 0.064), Severity.WARNING,
         "scheduler takes p99 2.0 s for a pod, 32 times what it took an hour ago"),
        (attempts(400, 0.512), attempts(400, 0.064), Severity.INFO,
         "scheduler takes p99 509 ms for a pod, 8 times what it took an hour ago"),
        (attempts(400, 0.512), attempts(400, 0.256), None, ""),
        (attempts(400, 0.512), attempts(3, 0.064), None, ""),
        (attempts(400, 0.064), attempts(400, 0.001), None, ""),
        (attempts(3, 8.192), Histogram(), None, ""),
        (Histogram(), attempts(400, 0.064), None, ""),
    ],
    ids=["slow", "slow and rising", "rising", "hardly", "an hour ago none knows", "fast", "three only", "idle"],
)  # fmt: skip
def test_a_slow_scheduler(now: Histogram, before: Histogram, severity: Severity | None, title: str) -> None:
    causes = causes_of(RULES, told(now, before))
    assert [(cause.severity, cause.title) for cause in causes.values()] == ([(severity, title)] if severity else [])


def test_the_evidence_names_queues_and_how_many_nodes_are_looked_at() -> None:
    known = situation(*(node(f"n{number}") for number in range(250)))
    (finding,) = causes_of(RULES, told(attempts(400, 4.096), known=known)).values()
    assert "pods in its queues: 310 active, 2 unschedulable" in texts(finding)
    assert "of 250 nodes it looks for 48 % that fit, unless its percentageOfNodesToScore says otherwise" in texts(
        finding
    )
    assert finding.next[0].argv[:3] == ("kubectl", "get", "pods")


def test_above_the_last_bucket_it_takes_at_least_so_long() -> None:
    (finding,) = causes_of(RULES, told(Histogram.of({16.384: 0.0, INF: 400.0}))).values()
    assert finding.title == "scheduler takes p99 at least 16 s for a pod"


def test_what_grew_old_or_was_never_told_is_unknown() -> None:
    for known in (Situation(), told(attempts(400, 8.192), age_s=300)):
        assert not Engine(RULES).judge(known, (), NOW).causes


def test_it_follows_from_an_api_server_that_is_slow_to_bind() -> None:
    known = scraped(situation(), *grown({"durations": {"POST": took(5, 10)}}, {"durations": {"POST": took(5, 400)}}))
    (cause,) = causes_of((*api_latency.RULES, *RULES), told(attempts(400, 8.192), known=known)).values()
    assert (cause.rule, [item.rule for item in cause.consequences]) == ("api-slow-requests", ["scheduler-slow"])


@pytest.mark.parametrize(("nodes", "percent"), [(3, 100), (100, 100), (101, 50), (1000, 42), (5000, 10), (15_000, 5)])
def test_how_many_nodes_are_looked_at(nodes: int, percent: int) -> None:
    assert default_percentage(nodes) == percent


@pytest.mark.parametrize(
    ("manifests", "severity", "title"),
    [
        ([unseen("a", age_s=95), unseen("b", age_s=40), placed(3)], Severity.WARNING,
         "scheduler is behind: 2 pods not looked at yet, the oldest for 95s"),
        ([unseen("a", age_s=95), unseen("b", age_s=40), placed(600)], Severity.CRITICAL,
         "scheduler renews its lease and has looked at no pod for 95s"),
        ([unseen("a", age_s=95), unseen("b", age_s=40)], Severity.CRITICAL,
         "scheduler renews its lease and has looked at no pod for 95s"),
        ([unseen("a", age_s=95), unseen("b", age_s=20), placed(3)], None, ""),
        ([unseen("a", age_s=95, schedulerName="x"), unseen("b", age_s=95, schedulerName="x"), placed(3)], None, ""),
    ],
    ids=["behind", "stands still", "never placed any", "one is young", "another scheduler"],
)  # fmt: skip
def test_a_scheduler_that_renews_its_lease_and_does_not_get_to_new_pods(
    manifests: list[Manifest], severity: Severity | None, title: str
) -> None:
    causes = found(*manifests, API_LEASE, lease("kube-scheduler", age_s=2))
    assert [(cause.severity, cause.title) for cause in causes.values()] == ([(severity, title)] if severity else [])


def test_a_scheduler_that_is_behind_is_seen_where_its_lease_is_hidden_and_one_that_is_down_is_told_once() -> None:
    waiting = [unseen("a", age_s=95), unseen("b", age_s=40)]
    assert list(found(*waiting, placed(3))) == ["scheduler-behind"]
    assert list(found(*waiting)) == ["scheduler-down"]
    assert list(found(*waiting, API_LEASE, lease("kube-scheduler", age_s=125))) == ["scheduler-down"]


def test_the_pods_that_wait_fold_under_the_scheduler() -> None:
    known = situation(
        unseen("a", age_s=95), unseen("b", age_s=40), placed(3), API_LEASE, lease("kube-scheduler", age_s=2)
    )
    (cause,) = causes_of((*leaders.RULES, *scheduling.RULES), known).values()
    assert (cause.rule, {item.rule for item in cause.consequences}) == ("scheduler-behind", {"nobody-schedules"})
