"""A slow API server: by verb, by what is listed, and what grows; only what a window shows counts."""

from typing import Any

import pytest

from diagnosis.rules import api_health, api_latency, webhook_load
from situation.api_server import ApiServerPage, ListKey
from situation.findings import Finding, Mark, Severity
from situation.readings import OwnLoad, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, pod, situation
from tests.diagnosis.api_pages import grown, scraped, took
from tests.diagnosis.objects import causes_of, texts

RULES = api_latency.RULES
OLD = took(30, 5000)
"""A bad past, which says nothing of now."""
PODS = ListKey("", "pods", "cluster")


def verbs(**seconds: float) -> tuple[ApiServerPage, ApiServerPage]:
    """Return two pages between which 100 requests of each verb took so long; before that all was slow."""
    return grown(
        {"durations": dict.fromkeys(seconds, OLD)},
        {"durations": {verb: took(item, 100, OLD) for verb, item in seconds.items()}},
    )


def lists(seconds: float, count: int = 20, key: ListKey = PODS, **more: Any) -> tuple[ApiServerPage, ApiServerPage]:
    return grown({"lists": {key: OLD}}, {"lists": {key: took(seconds, count, OLD)}}, **more)


def found(*pages: ApiServerPage, known: Situation | None = None, age_s: float = 2) -> dict[str, Finding]:
    return causes_of(RULES, scraped(known or situation(), *pages, age_s=age_s))


@pytest.mark.parametrize(
    ("pages", "severity"),
    [
        (verbs(GET=1.5, POST=0.05), Severity.WARNING),
        (verbs(GET=0.02, PUT=1.5), Severity.WARNING),
        (verbs(PATCH=20), Severity.CRITICAL),
        (verbs(GET=20), Severity.WARNING),
    ],
    ids=["reads", "writes", "leaders lose their lease", "reads renew no lease"],
)
def test_slow_requests(pages: tuple[ApiServerPage, ...], severity: Severity) -> None:
    causes = found(*pages)
    assert list(causes) == ["api-slow-requests"]
    assert causes["api-slow-requests"].severity is severity


@pytest.mark.parametrize(
    "pages",
    [
        verbs(GET=0.5, POST=0.8),
        verbs(LIST=20, WATCH=50, CONNECT=50, DELETECOLLECTION=20),
        verbs(GET=20)[1:],
        grown({"durations": {"GET": OLD}}, {"durations": {"GET": took(20, 3, OLD)}}),
    ],
    ids=["fast", "what may last", "one scrape", "three requests"],
)
def test_what_is_no_slow_request(pages: tuple[ApiServerPage, ...]) -> None:
    assert not found(*pages)


def test_nothing_is_judged_when_the_metrics_are_stale_or_of_another_process() -> None:
    assert not found(*verbs(GET=20), age_s=300)
    before, after = verbs(GET=20)
    other = ApiServerPage(started_at=2.0, durations=before.durations)
    assert not found(other, after)


def test_the_blame_is_split_between_etcd_webhooks_and_our_own_line() -> None:
    slow = {"etcd_durations": {"update": took(0.8, 100, OLD)}, "webhooks": {"guard.io": took(0.8, 100, OLD)}}
    before, after = grown(
        {"durations": {"POST": OLD}, "etcd_durations": {"update": OLD}, "webhooks": {"guard.io": OLD}},
        {"durations": {"POST": took(1.5, 100, OLD)}, **slow},
    )
    known = situation()
    known.apply(Reading("midwatch/load", SourceState.LIVE, NOW, OwnLoad(latency_s=1.4)))
    finding = found(before, after, known=known)["api-slow-requests"]
    assert finding.title.startswith("API server is slow: POST p99 ")
    assert finding.title.endswith("as etcd's writes are")
    assert "etcd, as the API server sees it: p99" in texts(finding, Mark.SUPPORTS)
    assert "admission webhook guard.io: p99" in texts(finding, Mark.SUPPORTS)
    assert "Midwatch's own requests wait 1.4 s" in texts(finding, Mark.SUPPORTS)
    fine = verbs(POST=1.5)
    quick = ApiServerPage(started_at=1.0, durations=fine[1].durations, etcd_durations={"update": took(0.004, 600, OLD)})
    first = ApiServerPage(started_at=1.0, durations=fine[0].durations, etcd_durations={"update": OLD})
    assert "not etcd: p99" in texts(found(first, quick)["api-slow-requests"], Mark.EXCLUDES)
    assert "how long etcd takes is not told" in texts(found(*fine)["api-slow-requests"], Mark.OPEN)


def test_slow_webhooks_and_a_slow_etcd_explain_slow_writes() -> None:
    before, after = grown(
        {"durations": {"POST": OLD}, "webhooks": {"guard.io": OLD}},
        {"durations": {"POST": took(4, 100, OLD)}, "webhooks": {"guard.io": took(4, 100, OLD)}},
    )
    known = scraped(situation(), before, after)
    causes = causes_of((*RULES, *webhook_load.RULES), known)
    assert [item.rule for item in causes["webhook-slow"].consequences] == ["api-slow-requests"]
    before, after = grown(
        {"durations": {"POST": OLD}, "etcd_durations": {"update": OLD}},
        {"durations": {"POST": took(4, 100, OLD)}, "etcd_durations": {"update": took(4, 100, OLD)}},
    )
    causes = causes_of((*RULES, *api_health.RULES), scraped(situation(), before, after))
    assert [item.rule for item in causes["etcd-slow-second-hand"].consequences] == ["api-slow-requests"]


@pytest.mark.parametrize(
    ("pages", "severity"),
    [
        (lists(40), Severity.WARNING),
        (lists(8), Severity.INFO),
        (lists(8, key=ListKey("apps", "replicasets", "namespace")), Severity.WARNING),
        (lists(2), None),
        (lists(40, count=2), None),
    ],
    ids=["above the mixin's bound", "felt by people", "one namespace", "fast", "two lists"],
)
def test_slow_lists(pages: tuple[ApiServerPage, ...], severity: Severity | None) -> None:
    causes = found(*pages)
    assert [item.severity for item in causes.values()] == ([] if severity is None else [severity])
    assert list(causes) == ([] if severity is None else ["api-slow-lists"])


def test_the_guilty_resource_is_named_with_its_number_size_and_ratio() -> None:
    known = situation(*(pod(f"ci-{number}", namespace="ci") for number in range(3)), pod("web-1"))
    before, after = lists(40)
    first = ApiServerPage(started_at=1.0, lists=before.lists, durations={"GET": OLD, "LIST": OLD})
    last = ApiServerPage(
        started_at=1.0,
        lists=after.lists,
        durations={"GET": took(0.02, 600, OLD), "LIST": took(40, 300, OLD)},
        objects={"pods": 48210},
        object_bytes={"pods": 1_200_000_000},
    )
    finding = found(first, last, known=known)["api-slow-lists"]
    assert finding.title.startswith("API server is slow listing pods: p99 ")
    told = texts(finding)
    assert "pods: 48,210 objects, about 1.1 GiB" in told
    assert "most of them in ci (3), shop (1)" in told
    assert "times GET p99" in told
    assert finding.next[0].argv == ("kubectl", "get", "--raw", "/api/v1/pods?limit=1")
    assert all("-A" not in command.argv for command in finding.next), "a list would make it worse"


@pytest.mark.parametrize("resource", ["jobs.batch", "replicasets.apps", "configmaps", "events"])
def test_what_ends_the_growth_of_a_resource_is_said(resource: str) -> None:
    name, _, group = resource.partition(".")
    finding = found(*lists(40, key=ListKey(group, name, "cluster")))["api-slow-lists"]
    assert name in finding.next[0].argv[-1]
    assert "? " in finding.next[0].purpose


def growing(before: int, now: int, minutes: float = 15, still: int = 0) -> Situation:
    """Return a cluster whose ConfigMaps grow steadily over these minutes, but for the last `still` of 15 scrapes."""
    counts = [before + (now - before) * min(number, 15 - still) // (15 - still) for number in range(16)]
    pages = (
        ApiServerPage(started_at=1.0, durations={"GET": took(0.01)}, objects={"configmaps": count, "pods": 900})
        for count in counts
    )
    return scraped(situation(), *pages, apart_s=minutes * 60 / 15)


@pytest.mark.parametrize(
    ("known", "fires"),
    [
        (growing(3000, 5000), True),
        (growing(3000, 3500), False),
        (growing(100, 600), False),
        (growing(3000, 5000, minutes=3), False),
        (growing(5000, 3000), False),
        (growing(3000, 5000, still=2), True),
        (growing(3000, 5000, still=5), False),
        (growing(3000, 5000, minutes=30, still=8), False),
    ],
    ids=[
        "doubles in an hour",
        "grows slowly",
        "few",
        "not watched for long",
        "shrinks",
        "pauses for a moment",
        "a rollout that is just over",
        "a rollout that is over",
    ],
)
def test_resources_that_grow(known: Situation, fires: bool) -> None:
    causes = causes_of(RULES, known)
    assert list(causes) == (["api-resource-grows"] if fires else [])
    if fires:
        finding = causes["api-resource-grows"]
        assert finding.title == "configmaps grow fast: 8,000 more an hour, 5,000 now"
        assert "whether it lasts nobody can tell" in texts(finding, Mark.OPEN)
