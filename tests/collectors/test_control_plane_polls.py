"""Liveness without etcd, and the API server's metrics: rarely, never while it asks to wait, and parsed as they come."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from collectors.control_plane import polls
from collectors.control_plane.collect import control_plane_collectors
from collectors.control_plane.polls import LivezPoll, MetricsPoll
from collectors.errors import BadAnswerError, ForbiddenError, SourceError, ThrottledError
from collectors.kubernetes.client import Client
from collectors.runner import Collector, Runner
from simulator.server import Simulator
from situation.api_server import ApiServerReading, Liveness
from situation.readings import Reading, SourceState
from tests.collectors.api_pages import STARTED, recorded_page, request_lines
from tests.collectors.harness import Heard, client_of, running
from tests.collectors.kubeconfigs import Clock, connected, kubeconfig
from tests.collectors.loopback import HANG, Loopback, http

SMALL = STARTED + request_lines("GET", "pods", (1, 2, 3, 4))
FROZEN = "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\nlivez check passed\n"
ILL = "[+]ping ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nlivez check failed\n"


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with Loopback({"/metrics": http(SMALL), "/livez": http(FROZEN)}) as loopback:
        yield loopback


@pytest.fixture
async def client(server: Loopback, tmp_path: Path) -> AsyncIterator[Client]:
    async with await connected(kubeconfig(tmp_path, server.url, {"token": "t"})) as found:
        yield found


async def readings(collector: Collector) -> list[Reading]:
    return [reading async for reading in collector.collect()]


async def test_liveness_leaves_etcd_out(server: Loopback, client: Client) -> None:
    poll = LivezPoll(client, Clock())
    (reading,) = await readings(poll)
    assert (reading.source, reading.state, reading.value) == ("control-plane/livez", SourceState.LIVE, Liveness(True))
    assert server.asked[0].query["exclude"] == "etcd"
    server.answers["/livez"] = http(ILL, "500 Internal Server Error")
    (reading,) = await readings(poll)
    assert reading.value == Liveness(False, ("poststarthook/rbac/bootstrap-roles",))
    assert reading.state is SourceState.LIVE, "a 500 with its checks is an answer"
    server.answers["/livez"] = http("welcome")
    with pytest.raises(BadAnswerError, match="/livez is not what Kubernetes answers"):
        await readings(poll)


async def test_liveness_and_readiness_split_the_blame(simulator: Simulator, tmp_path: Path) -> None:
    """etcd stands still: the API server is not ready, but alive."""
    simulator.faults.freeze_etcd = True
    async with client_of(simulator, tmp_path) as client, running(LivezPoll(client, Clock())) as heard:
        await heard.until(lambda: heard.situation.liveness == Liveness(True))


async def test_metrics_become_a_page_of_the_situation(server: Loopback, client: Client) -> None:
    server.answers["/metrics"] = http(recorded_page())
    clock = Clock()
    async with running(MetricsPoll(client, clock)) as heard:
        source = await heard.until_state(SourceState.LIVE, "control-plane/metrics")
    page = heard.situation.api_server.page
    assert page is not None
    assert page.watches == 121
    assert page.durations["LIST"].total == 276
    assert heard.situation.api_server.read_at == clock.now
    assert (source.error, source.fresh_for_s) == ("", polls.SCRAPE_FRESH_S)


async def test_a_compressed_page_is_read_too(server: Loopback, client: Client) -> None:
    server.answers["/metrics"] = http(gzip.compress(recorded_page()), Content_Encoding="gzip")
    (reading,) = await readings(MetricsPoll(client, Clock()))
    assert isinstance(reading.value, ApiServerReading)
    assert reading.value.page.watches == 121


async def test_metrics_are_asked_for_at_most_every_30_s_also_when_they_fail(server: Loopback, client: Client) -> None:
    answers = [http("no", "503 Service Unavailable"), http("<html>"), http("{}", "403 Forbidden"), http(SMALL)]
    waits, heard = list[float](), Heard()

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        if not answers:
            await asyncio.Event().wait()
        server.answers["/metrics"] = answers.pop(0)

    async with Runner(heard.publish, Clock(), sleep=noted, jitter=lambda: 0.0) as runner:
        runner.start(MetricsPoll(client, Clock()))
        await heard.until(lambda: len(heard.readings) == 5)
    assert [reading.state.value for reading in heard.readings] == [
        "live", "unreachable", "unreachable", "forbidden", "live",
    ]  # fmt: skip
    assert min(waits) >= 30.0


async def test_nothing_is_scraped_while_the_server_asks_anybody_to_wait(server: Loopback, client: Client) -> None:
    clock = Clock()
    poll = MetricsPoll(client, clock)
    server.answers["/api/v1/pods"] = http("{}", "429 Too Many Requests", Retry_After="1")
    assert len(await readings(poll)) == 1
    with pytest.raises(ThrottledError):
        await client.get("/api/v1/pods")
    assert await readings(poll) == [], "what is shown is still fresh: nothing is to be said"
    clock.now += timedelta(seconds=110)
    (told,) = await readings(poll)
    assert (told.state, told.value) == (SourceState.STALE, None)
    assert "429" in told.error
    clock.now += timedelta(seconds=11)
    assert [reading.state for reading in await readings(poll)] == [SourceState.LIVE]
    assert [asked.path for asked in server.asked].count("/metrics") == 2
    with pytest.raises(ThrottledError):
        await client.get("/api/v1/pods")
    assert await readings(poll) == []
    clock.now -= timedelta(hours=1)
    assert len(await readings(poll)) == 1, "a clock that was set back holds nothing off"


async def test_a_429_to_the_scrape_itself_holds_off_too(server: Loopback, client: Client) -> None:
    poll = MetricsPoll(client, Clock())
    server.answers["/metrics"] = http("wait", "429 Too Many Requests", Retry_After="1")
    with pytest.raises(ThrottledError) as raised:
        await readings(poll)
    assert raised.value.retry_after_s == 30.0
    (told,) = await readings(poll)
    assert (told.state, told.value) == (SourceState.STARTING, None), "never read yet"
    assert len(server.asked) == 1


async def test_forbidden_metrics_say_what_grants_them(server: Loopback, client: Client) -> None:
    message = '{"kind":"Status","message":"forbidden: User \\"u\\" cannot get path \\"/metrics\\"","code":403}'
    server.answers["/metrics"] = http(message, "403 Forbidden")
    with pytest.raises(ForbiddenError) as raised:
        await readings(MetricsPoll(client, Clock()))
    assert "nonResourceURL /metrics" in str(raised.value)
    assert "system:monitoring" in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(""), "process_start_time_seconds is missing"),
        (http('{"kind":"Status"}\n'), "process_start_time_seconds is missing"),
        (http("process_open_fds 5"), "breaks off"),
        (http("<html>"), "is a web page"),
        (http(SMALL, length=len(SMALL) + 1), "in the middle of an answer"),
    ],
    ids=["empty", "other", "cut", "web page", "short"],
)
async def test_what_is_no_page(server: Loopback, client: Client, answer: bytes, said: str) -> None:
    server.answers["/metrics"] = answer
    with pytest.raises(SourceError, match=said) as raised:
        await readings(MetricsPoll(client, Clock()))
    assert raised.value.retry_after_s == 30.0


async def test_a_page_that_breaks_off_late_is_told_as_one(server: Loopback, client: Client) -> None:
    server.answers["/metrics"] = http(SMALL + "rest_client_reque")
    (reading,) = await readings(MetricsPoll(client, Clock()))
    assert reading.state is SourceState.LIVE
    assert "breaks off" in reading.error


async def test_a_page_that_never_ends_is_given_up(
    server: Loopback, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "SCRAPE_DEADLINE_S", 0.2)
    server.answers["/metrics"] = http(SMALL, length=len(SMALL) + 10) + HANG
    with pytest.raises(SourceError, match=r"did not finish its answer within 0\.2 s"):
        await readings(MetricsPoll(client, Clock()))


def test_the_set_of_collectors(tmp_path: Path) -> None:
    local = {collector.name for collector in control_plane_collectors(None, kubernetes_dir=tmp_path)}
    assert local == {"control-plane/local", "control-plane/certificate-files", "control-plane/certificates"}


async def test_the_set_of_collectors_with_a_client(client: Client) -> None:
    names = {collector.name for collector in control_plane_collectors(client)}
    assert {"control-plane/livez", "control-plane/metrics", "control-plane/certificates"} <= names
