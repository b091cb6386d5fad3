"""Version, readiness, on-demand lists, own load, and the set of collectors."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import BadAnswerError
from collectors.kubernetes import on_demand
from collectors.kubernetes.client import Client
from collectors.kubernetes.cluster_clock import ClusterClock
from collectors.kubernetes.collect import kubernetes_collectors
from collectors.kubernetes.meter import LoadCollector, Meter, clock_of
from collectors.kubernetes.on_demand import OnDemandList, Wishes
from collectors.kubernetes.polls import ReadyzPoll, VersionPoll, parse_readiness, parse_version
from collectors.kubernetes.proxies import proxy_for
from collectors.runner import Runner
from simulator.server import Simulator
from situation.clock import utc_now
from situation.kinds import BY_NAME, KINDS
from situation.readings import OwnLoad, Readiness, ServerClock, ServerVersion, SourceState
from tests.build import pod
from tests.collectors.harness import Heard, client_of, running
from tests.collectors.kubeconfigs import Clock, connected, kubeconfig
from tests.collectors.loopback import Loopback, http

SERVER = "https://10.0.0.1:6443"
URL = f"{SERVER}/readyz"
HEALTHY = b"[+]ping ok\n[+]etcd ok\n[+]shutdown ok\nreadyz check passed\n"
BROKEN = (
    b"[+]ping ok\n[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\nreadyz check failed\n"
)


@pytest.fixture
async def client(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Client]:
    async with client_of(simulator, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, HEALTHY, Readiness(True)),
        (500, BROKEN, Readiness(False, ("etcd", "etcd-readiness"))),
        (200, b"ok", Readiness(True)),
        (500, b"", Readiness(False)),
        (500, b"[-]\x1b[2J failed\n", Readiness(False, ("␛[2J",))),
    ],
)
def test_readiness(status: int, body: bytes, expected: Readiness) -> None:
    assert parse_readiness(status, body, URL) == expected


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"welcome"])
def test_what_is_no_readiness(body: bytes) -> None:
    with pytest.raises(BadAnswerError, match=f"^{URL}"):
        parse_readiness(200, body, URL)


def test_version() -> None:
    assert parse_version(b'{"major":"1","gitVersion":"v1.36.2"}', SERVER) == ServerVersion("v1.36.2")
    for body in (b"", b"{}", b"<html>", b'{"gitVersion":7}', b"\xff"):
        with pytest.raises(BadAnswerError, match=f"^{SERVER}/version is not what Kubernetes answers"):
            parse_version(body, SERVER)


async def test_version_and_readiness_from_a_server(simulator: Simulator, client: Client) -> None:
    readyz = ReadyzPoll(client, utc_now)
    async with running(readyz, VersionPoll(client, utc_now)) as heard:
        await heard.until(lambda: heard.situation.readiness == Readiness(True))
        await heard.until(lambda: heard.situation.version is not None)
        assert not readyz.etcd_fails
        simulator.faults.freeze_etcd = True
        await heard.until(lambda: heard.situation.readiness is not None and not heard.situation.readiness.ready)
        assert readyz.etcd_fails
        assert heard.source("kubernetes/readyz").state is SourceState.LIVE, "a 500 with its checks is an answer"
        simulator.faults.freeze_etcd = False
        await heard.until(lambda: heard.situation.readiness == Readiness(True))
        assert not readyz.etcd_fails


async def test_on_demand_lists_only_while_wanted(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = Wishes()
    kind = BY_NAME["limitranges"]
    async with running(OnDemandList(client, kind, None, wishes, utc_now)) as heard:
        await asyncio.sleep(0)
        assert not simulator.requests
        wishes.want(frozenset({"limitranges", "ingresses"}))
        await heard.until_state(SourceState.LIVE, "limitranges")
        assert {(r.path, r.query["resourceVersion"]) for r in simulator.requests} == {("/api/v1/limitranges", "0")}
        assert heard.source("limitranges").fresh_for_s == on_demand.FRESH_S
        wishes.want(frozenset())
        asked = len(simulator.requests)
        wishes.want(frozenset({"limitranges"}))
        await heard.until(lambda: len(simulator.requests) > asked)
        simulator.faults.forbid.add("limitranges")
        source = await heard.until_state(SourceState.FORBIDDEN, "limitranges")
    assert source.error == "cannot list limitranges in all namespaces (RBAC: verb list, resource limitranges)"
    assert OnDemandList.pause_s == 60


async def test_a_kind_that_is_nowhere_is_asked_for_rarely_and_told_once(
    simulator: Simulator, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Most clusters have no GPU Operator: its resources are absent for good."""
    simulator.faults.absent.add("clusterpolicies")
    wishes, heard, waits = Wishes(), Heard(), list[float]()

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await (asyncio.sleep(0) if len(waits) < 3 else asyncio.Event().wait())

    wishes.want(frozenset({"clusterpolicies"}))
    async with Runner(heard.publish, utc_now, sleep=noted, jitter=lambda: 0.0) as runner:
        runner.start(OnDemandList(client, BY_NAME["clusterpolicies"], None, wishes, utc_now))
        await heard.until(lambda: len(waits) == 3)
    assert waits == [300.0] * 3
    assert heard.source("clusterpolicies").state is SourceState.ABSENT
    assert len([record for record in caplog.records if "clusterpolicies" in record.getMessage()]) == 1


async def test_all_collectors_against_one_server(simulator: Simulator, client: Client) -> None:
    simulator.cluster.put("pods", pod())
    simulator.faults.forbid.add("nodes")
    wishes = Wishes()
    collectors = kubernetes_collectors(client, wishes=wishes)
    assert {c.name for c in collectors} >= {kind.source for kind in KINDS} | {"kubernetes/version", "midwatch/load"}
    async with running(*collectors) as heard:
        wishes.want(frozenset(kind.name for kind in KINDS if kind.on_demand))
        for kind in KINDS:
            state = SourceState.FORBIDDEN if kind.name == "nodes" else SourceState.LIVE
            await heard.until_state(state, kind.name)
        await heard.until(lambda: heard.situation.own_load.open_watches == 17)
    load = heard.situation.own_load
    assert load.requests >= len(KINDS)
    assert load.received_bytes > 0
    assert load.latency_s is not None
    assert {r.method for r in simulator.requests} == {"GET"}


async def test_own_load_is_told_when_it_changes_and_now_and_then() -> None:
    seconds, now = 0.0, datetime(2026, 11, 23, tzinfo=UTC)
    meter = Meter(ClusterClock(), lambda: seconds)
    collector = LoadCollector(meter, lambda: now)

    async def told() -> list[OwnLoad]:
        return [r.value async for r in collector.collect() if isinstance(r.value, OwnLoad)]

    assert await told() == [OwnLoad()]
    assert await told() == []
    for _ in range(30):
        meter.count_request()
    meter.note_latency(0.25)
    assert await told() == [OwnLoad(requests=30, requests_per_s=0.5, latency_s=0.25)]
    seconds = 61.0
    assert await told() == [OwnLoad(requests=30, requests_per_s=0.0, latency_s=0.25)]
    assert await told() == []
    now += timedelta(seconds=31)
    assert len(await told()) == 1
    now -= timedelta(hours=1)
    assert len(await told()) == 1


SENT = datetime(2026, 11, 23, 2, 41, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "took_s", "wanted"),
    [
        ("Mon, 23 Nov 2026 02:41:07 GMT", 0.0, ServerClock(-0.5, 0.5)),
        ("Mon, 23 Nov 2026 02:38:07 GMT", 1.0, ServerClock(180.0, 1.0)),
        ("Mon, 23 Nov 2026 02:42:07 GMT", 1.0, ServerClock(-60.0, 1.0)),
        ("Mon, 23 Nov 2026 02:41:07 GMT", 6.0, None),
        ("Mon, 23 Nov 2026 02:41:07 GMT", -1.0, None),
        ("Mon, 23 Nov 2026 02:41:07 -0000", 0.0, None),
        ("yesterday", 0.0, None),
        ("", 0.0, None),
    ],
    ids=["right", "ahead", "behind", "slow answer", "clock was set back", "no zone", "no date", "none"],
)
def test_how_far_our_clock_is_from_the_servers(date: str, took_s: float, wanted: ServerClock | None) -> None:
    assert clock_of(date, SENT, SENT + timedelta(seconds=took_s)) == wanted


@given(st.text(max_size=40))
def test_any_date_is_survived(date: str) -> None:
    clock_of(date, SENT, SENT)


async def test_the_clock_of_a_server_that_is_wrong_is_told_with_its_age(tmp_path: Path) -> None:
    """Each answer tells the time; it is said now and then."""
    clock = Clock()
    behind = clock.now - timedelta(minutes=10)
    answer = http("[+]ping ok\nreadyz check passed", Date=format_datetime(behind, usegmt=True))
    async with Loopback({"/readyz": answer}) as server:
        async with await connected(kubeconfig(tmp_path, server.url, {"token": "t"}), clock=clock) as client:
            await client.get("/readyz")
            collector = LoadCollector(client.meter, clock)
            told = [item async for item in collector.collect() if isinstance(item.value, ServerClock)]
            again = [item async for item in collector.collect() if isinstance(item.value, ServerClock)]
    (reading,) = told
    assert (reading.source, reading.state) == ("midwatch/clock", SourceState.LIVE)
    assert clock.now - timedelta(seconds=5) < reading.observed_at < clock.now
    assert isinstance(reading.value, ServerClock) and 599 <= reading.value.ahead_s <= 601
    assert again == []


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://10.1.2.3:6443", {}, None),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://10.1.2.3:6443", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("http://10.1.2.3:6443", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8, x"}, "http://p"),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.2.3:6443"}, None),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.2.3:443"}, "http://p"),
        ("https://api.prod.example:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "prod.example"}, None),
        ("https://api.prod.example:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".prod.example"}, None),
        ("https://prod.example", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".prod.example"}, "http://p"),
        ("https://notprod.example", {"HTTPS_PROXY": "http://p", "NO_PROXY": "prod.example"}, "http://p"),
        ("https://a.example", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("https://a.example", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/99,,"}, "http://p"),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p"}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": "http://p"}, None),
        ("https://[fd00::1]:6443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::/8"}, None),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p"}, None),
    ],
)
def test_proxies(url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, environ) == expected


async def test_since_when_nothing_answers(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500, and any other status but those of proxies, is an answer."""
    monkeypatch.setattr("collectors.kubernetes.polls.POLL_DEADLINE_S", 0.1)
    poll = ReadyzPoll(client, utc_now)
    async with running(poll) as heard:
        await heard.until_state(SourceState.LIVE, "kubernetes/readyz")
        assert poll.silent_since is None
        simulator.faults.hang.append("/readyz")
        await heard.until_state(SourceState.UNREACHABLE, "kubernetes/readyz")
        assert poll.silent_since is not None
        simulator.faults.hang.clear()
        simulator.faults.unauthorized = True
        await heard.until_state(SourceState.UNAUTHORIZED, "kubernetes/readyz")
        assert poll.silent_since is None
