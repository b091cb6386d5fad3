"""Kinds that may be listed but not watched: polled slowly, live, and said so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collectors.errors import ThrottledError, UnreachableError, WatchForbiddenError
from collectors.kubernetes import reflector, watchless
from collectors.kubernetes.client import Client
from collectors.kubernetes.reflector import Reflector
from collectors.kubernetes.watchless import Watchless
from collectors.runner import Runner
from simulator.faults import Answer
from simulator.server import Simulator
from situation.clock import utc_now
from situation.kinds import BY_NAME
from situation.readings import SourceState
from tests.build import event, pod
from tests.collectors.harness import Heard, client_of, reflecting

PODS = "/api/v1/pods"
TEXT = "polled every 60 s: cannot watch pods in all namespaces (RBAC: verb watch, resource pods)"


@pytest.fixture
async def client(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Client]:
    async with client_of(simulator, tmp_path) as connected:
        yield connected


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists may follow each other at once; the harness cuts the pauses between them."""
    monkeypatch.setattr(reflector, "POLL_MIN_S", 0.0)


def forbid_watch(simulator: Simulator, path: str = PODS) -> Answer:
    answer = Answer(path, 403, {"kind": "Status", "code": 403}, query={"watch": "*"}, times=None)
    simulator.faults.answers.append(answer)
    return answer


def queries(simulator: Simulator, path: str = PODS) -> list[str]:
    """The requests for `path`, in short: `watch`, or the version a list was asked at."""
    asked = [request.query for request in simulator.requests if request.path == path]
    return ["watch" if "watch" in query else query.get("resourceVersion", "none") for query in asked]


@pytest.mark.usefixtures("impatient")
async def test_lists_from_the_cache_are_polled_and_said(simulator: Simulator, client: Client) -> None:
    forbid_watch(simulator)
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.cluster.put("pods", pod("web-2"))
        simulator.cluster.delete("pods", "shop", "web-1")
        await heard.until_pods("web-2")
        source = heard.source()
    assert {(reading.state, reading.error) for reading in heard.readings} == {(SourceState.LIVE, TEXT)}
    assert source.fresh_for_s == 2 * watchless.POLL_S + watchless.POLL_MIN_S
    assert source.age_s(utc_now()) is not None
    watch, *polls = queries(simulator)
    assert watch == "watch"
    assert set(polls) == {"0"}, "the watch is not tried each time"


async def test_between_polls_is_a_minute(simulator: Simulator, client: Client) -> None:
    forbid_watch(simulator)
    heard, pauses = Heard(), list[float]()
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        slept.set()
        await asyncio.get_running_loop().create_future()

    async with Runner(heard.publish, utc_now, sleep=sleep, jitter=lambda: 0.5) as runner:
        runner.start(Reflector(client, BY_NAME["pods"], None, utc_now))
        async with asyncio.timeout(5):
            await slept.wait()
    assert pauses == [watchless.POLL_S]


async def test_no_list_follows_another_too_soon(simulator: Simulator, client: Client) -> None:
    """Not even when the runner asks again: the harness cuts its pauses short."""
    forbid_watch(simulator)
    async with reflecting(client) as heard:
        await heard.until(lambda: len(heard.readings) >= 5)
    assert queries(simulator) == ["watch", "0"]
    assert {reading.state for reading in heard.readings} == {SourceState.LIVE}


async def test_a_list_made_just_before_the_refusal_is_not_repeated(simulator: Simulator, client: Client) -> None:
    client.streaming_lists = False
    simulator.cluster.put("pods", pod("web-1"))
    forbid_watch(simulator)
    async with reflecting(client, namespace=None) as heard:
        await heard.until(lambda: heard.source().error == TEXT)
    assert queries(simulator)[:2] == ["0", "watch"]
    assert heard.lists() == 1
    assert len(heard.situation.pods) == 1


@pytest.mark.usefixtures("impatient")
async def test_rights_taken_away_mid_run_and_granted_again(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        answer = forbid_watch(simulator)
        simulator.cluster.put("pods", pod("web-1"))
        await simulator.cut()
        await heard.until(lambda: heard.source().error == TEXT)
        await heard.until_pods("web-1")
        monkeypatch.setattr(watchless, "monotonic", lambda: float("inf"))
        simulator.faults.answers.remove(answer)
        await heard.until(lambda: heard.source().error == "")
        lists = heard.lists()
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
        assert heard.lists() == lists, "the watch goes on where the last list ended"
        assert client.meter.open_watches == 1


async def test_with_list_forbidden_too_it_is_forbidden_and_both_are_named(simulator: Simulator, client: Client) -> None:
    simulator.faults.forbid.add("pods")
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.FORBIDDEN)
        assert "verb watch" in source.error
        assert source.error.endswith("nor list them (verb list)")
        simulator.faults.forbid.clear()
        await heard.until_state(SourceState.LIVE)
    assert heard.source().error == "", "the watch was tried first"


@pytest.mark.usefixtures("impatient")
async def test_429_leaves_what_is_shown(simulator: Simulator, client: Client) -> None:
    forbid_watch(simulator)
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        simulator.faults.answers.append(Answer(PODS, 429, "", query={"resourceVersion": "0"}, times=2))
        await heard.until(lambda: client.meter.throttled == 2)
        simulator.cluster.put("pods", pod("web-1"))
        await heard.until_pods("web-1")
    assert {reading.state for reading in heard.readings} == {SourceState.LIVE}


@pytest.mark.usefixtures("impatient")
async def test_events_are_polled_in_bounded_pages_and_not_while_etcd_fails(
    simulator: Simulator, client: Client
) -> None:
    forbid_watch(simulator, "/api/v1/events")
    simulator.cluster.put("events", event("Pod/web-1", "BackOff", "one"))
    etcd_fails = False
    async with reflecting(client, "events", etcd_fails=lambda: etcd_fails) as heard:
        await heard.until(lambda: len(heard.situation.events) == 1)
        await heard.until(lambda: heard.source("events").error.startswith("polled every 300 s: cannot watch events"))
        etcd_fails = True
        source = await heard.until_state(SourceState.UNREACHABLE, "events")
        assert "read from etcd" in source.error
        etcd_fails = False
        await heard.until_state(SourceState.LIVE, "events")
    assert set(queries(simulator, "/api/v1/events")) == {"watch", "none"}


def test_cadence_follows_the_size_of_the_list() -> None:
    polls = Watchless(BY_NAME["pods"])
    polls.begin(WatchForbiddenError("cannot watch pods"))
    assert [polls.pause_after(took_s) for took_s in (0.0, 1.2, 3.01, 60.0)] == [60.0, 60.0, 160.0, 600.0]
    assert Watchless(BY_NAME["events"]).pause_after(0.1) == watchless.EVENTS_POLL_S


def test_what_fails_slows_it_down() -> None:
    polls = Watchless(BY_NAME["pods"])
    waits = []
    for _ in range(4):
        error = ThrottledError("busy", 1.0)
        polls.slow_down(error)
        waits.append(error.retry_after_s)
    assert waits == [120.0, 240.0, 300.0, 300.0]
    polls.pause_after(0.1)
    for given, wait_s in ((ThrottledError("busy", 200.0), 200.0), (UnreachableError("down"), 30.0)):
        polls.slow_down(given)
        assert given.retry_after_s == wait_s
