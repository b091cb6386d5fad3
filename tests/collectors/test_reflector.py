"""The reflector against a server that misbehaves in every way we know of."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from collectors.kubernetes import lists, reflector, watch_body
from collectors.kubernetes.client import Client
from simulator.faults import Answer
from simulator.server import Simulator
from situation.readings import SourceState
from tests.build import event, node, pod
from tests.collectors.harness import client_of, reflecting

PODS = "/api/v1/pods"
STATUS = (
    b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
    b'"message":"upstream token expired","reason":"Unauthorized","code":401}'
)


@pytest.fixture
async def client(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Client]:
    async with client_of(simulator, tmp_path) as connected:
        yield connected


def asked(simulator: Simulator, path: str = PODS, **query: str) -> int:
    """How many requests for `path` held these parameters."""
    return sum(
        1
        for r in simulator.requests
        if r.path == path and all(r.query.get(key) == value for key, value in query.items())
    )


async def test_streams_the_list_and_follows_changes(simulator: Simulator, client: Client) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
        simulator.cluster.delete("pods", "shop", "web-1")
        await heard.until_pods("web-2")
    assert heard.lists() == 1
    assert asked(simulator, sendInitialEvents="true", resourceVersion="0") == 1
    assert {r.method for r in simulator.requests} == {"GET"}
    assert all(r.headers["User-Agent"].startswith("midwatch/") for r in simulator.requests)
    assert all(300 <= int(r.query["timeoutSeconds"]) <= 600 for r in simulator.requests)


async def test_an_empty_kind_is_live_and_empty(client: Client) -> None:
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.LIVE)
    assert source.has_value
    assert heard.lists() == 1


@pytest.mark.parametrize("way", ["error-event", "refused"])
async def test_falls_back_to_a_cached_list_and_remembers(simulator: Simulator, client: Client, way: str) -> None:
    simulator.faults.streaming_list = way  # type: ignore[assignment]
    simulator.cluster.put("pods", pod("web-1"))
    simulator.cluster.put("nodes", node("node-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
    assert all(reading.state is SourceState.LIVE for reading in heard.readings)
    async with reflecting(client, "nodes") as heard:
        await heard.until(lambda: len(heard.situation.nodes) == 1)
    assert asked(simulator, sendInitialEvents="true") == 1
    assert asked(simulator, "/api/v1/nodes", sendInitialEvents="true") == 0


async def test_namespace_limits_requests(simulator: Simulator, client: Client) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    simulator.cluster.put("pods", pod("db-1", namespace="data"))
    async with reflecting(client, namespace="shop") as heard:
        await heard.until_pods("web-1")
    assert {r.path for r in simulator.requests} == {"/api/v1/namespaces/shop/pods"}


async def test_resumes_after_a_cut_without_a_list(simulator: Simulator, client: Client) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        await simulator.cut()
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
    assert heard.lists() == 1


async def test_a_long_watch_that_breaks_off_is_resumed_without_a_word(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "SHORT_S", 0.0)
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        await simulator.cut()
        simulator.cluster.put("pods", pod("web-1"))
        await heard.until_pods("web-1")
    assert {reading.state for reading in heard.readings} == {SourceState.LIVE}
    assert heard.lists() == 1


async def test_refused_connections_then_recovery(simulator: Simulator, client: Client) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        await simulator.down()
        await heard.until(lambda: "connection refused" in heard.source().error)
        assert heard.source().state is SourceState.UNREACHABLE
        assert simulator.url in heard.source().error
        assert {name for _, name in heard.situation.pods} == {"web-1"}, "the last value stays"
        await simulator.up()
        await heard.until_state(SourceState.LIVE)
    assert heard.lists() == 1


async def test_hanging_server_times_out(simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "FIRST_BYTE_S", 0.2)
    monkeypatch.setattr(lists, "FIRST_BYTE_S", 0.2)
    simulator.faults.hang.append(PODS)
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.UNREACHABLE)
        assert source.error == f"{simulator.url} did not answer within 0.2 s"
        simulator.faults.hang.clear()
        await heard.until_state(SourceState.LIVE)


async def test_silent_watch_is_given_up(simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_body, "IDLE_S", 0.3)
    simulator.faults.bookmark_every_s = 60
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.UNREACHABLE)
        assert "nothing came over the watch" in heard.source().error
        monkeypatch.setattr(watch_body, "IDLE_S", 60.0)
        await heard.until_state(SourceState.LIVE)


async def test_401_says_what_to_do_and_a_renewed_token_is_used(
    simulator: Simulator, client: Client, tmp_path: Path
) -> None:
    simulator.token = "the-new-one"
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.UNAUTHORIZED)
        assert "log in again" in source.error
        assert str(tmp_path / "kubeconfig") in source.error
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        await heard.until_state(SourceState.LIVE)


async def test_403_names_verb_resource_and_namespace(simulator: Simulator, client: Client) -> None:
    simulator.faults.forbid.add("pods")
    async with reflecting(client, namespace="shop") as heard:
        source = await heard.until_state(SourceState.FORBIDDEN)
        assert source.error == (
            "cannot watch pods in namespace shop (RBAC: verb watch, resource pods), nor list them (verb list)"
        )
        assert not source.has_value
        simulator.faults.forbid.clear()
        await heard.until_state(SourceState.LIVE)


async def test_404_is_absent(simulator: Simulator, client: Client) -> None:
    simulator.faults.absent.add("jobs")
    async with reflecting(client, "jobs") as heard:
        source = await heard.until_state(SourceState.ABSENT, "jobs")
    assert source.error == "the server has no jobs.batch (batch/v1)"


@pytest.mark.parametrize("way", ["status", "event"])
async def test_410_lists_anew_and_stays_live(simulator: Simulator, client: Client, way: str) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.faults.expire_watches = way  # type: ignore[assignment]
        simulator.cluster.put("pods", pod("web-2"))
        await simulator.cut()
        await heard.until(lambda: heard.lists() == 2)
        await heard.until_pods("web-1", "web-2")
        assert heard.source().state is SourceState.LIVE


async def test_version_from_the_future_lists_anew(simulator: Simulator, client: Client) -> None:
    """After etcd was restored from a backup the server is behind the version we know."""
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        body = {"kind": "Status", "message": "Timeout: Too large resource version: 9, current: 2", "code": 504}
        simulator.faults.answers.append(Answer(PODS, 504, body))
        await simulator.cut()
        await heard.until(lambda: heard.lists() == 2)


async def test_429_is_honoured_and_live_data_stays_live(simulator: Simulator, client: Client) -> None:
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        told = len(heard.readings)
        simulator.faults.answers.append(Answer(PODS, 429, "", {"Retry-After": "7"}, times=2))
        simulator.inject("pods", b'{"type":"ERROR","object":{"code":429}}\n')
        await heard.until(lambda: client.meter.throttled == 2)
        simulator.cluster.put("pods", pod("web-1"))
        await heard.until_pods("web-1")
    assert {reading.state for reading in heard.readings[told:]} == {SourceState.LIVE}


async def test_429_before_anything_was_known_is_said(simulator: Simulator, client: Client) -> None:
    simulator.faults.answers.append(Answer(PODS, 429, "", {"Retry-After": "7"}, times=None))
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.UNREACHABLE)
    assert "asks to wait 7 s (429)" in source.error


async def test_5xx_names_url_and_reason(simulator: Simulator, client: Client) -> None:
    simulator.faults.answers.append(Answer(PODS, 503, {"kind": "Status", "message": "apiserver is shutting down"}))
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.UNREACHABLE)
        expected = f"{simulator.url}{PODS} answered 503 Service Unavailable: apiserver is shutting down"
        assert heard.readings[0].error == source.error == expected
        await heard.until_state(SourceState.LIVE)


async def test_login_page_with_200_is_not_an_empty_cluster(simulator: Simulator, client: Client) -> None:
    simulator.faults.html = True
    async with reflecting(client) as heard:
        source = await heard.until_state(SourceState.UNREACHABLE)
        assert "answered with a web page" in source.error
        assert not source.has_value
        simulator.faults.html = False
        await heard.until_state(SourceState.LIVE)


async def test_web_page_that_claims_to_be_json(simulator: Simulator, client: Client) -> None:
    simulator.faults.answers.append(Answer(PODS, 200, "  <html>Sign in</html>"))
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.UNREACHABLE)
    assert "web page" in heard.readings[0].error


async def test_answer_that_ends_at_once_is_no_success(simulator: Simulator, client: Client) -> None:
    simulator.faults.answers.append(Answer(PODS, 200, "", times=None))
    async with reflecting(client) as heard:
        await heard.until(lambda: len(heard.readings) >= 3)
    assert not heard.source().has_value
    assert all(reading.state is SourceState.UNREACHABLE for reading in heard.readings)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"upstream connect error\n", "(1; the first: upstream connect error)"),
        (b"a\x1b[31m\nb\n", "(2; the first: a␛[31m)"),
        (b'{"type":"ADDED","object":{"metadata":{}}}\n', "(1)"),
    ],
)
async def test_a_watch_of_nothing_but_broken_lines_is_no_success(
    simulator: Simulator, client: Client, body: bytes, said: str
) -> None:
    client.streaming_lists = False
    simulator.faults.answers.append(Answer(PODS, 200, body, query={"watch": "*"}, times=None))
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until(lambda: len(heard.readings) >= 4)
        assert heard.source().error == f"{simulator.url}{PODS}: the watch brought nothing but broken lines {said}"
        assert [reading.state for reading in heard.readings] == [SourceState.LIVE] + 3 * [SourceState.UNREACHABLE]
        simulator.faults.answers.clear()
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
    assert (heard.source().state, heard.source().skipped, heard.lists()) == (SourceState.LIVE, 0, 1)


async def test_a_streaming_list_of_nothing_but_broken_lines_says_what_came(
    simulator: Simulator, client: Client
) -> None:
    simulator.faults.answers.append(Answer(PODS, 200, b"no healthy upstream\n"))
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
    assert heard.readings[0].state is SourceState.UNREACHABLE
    assert heard.readings[0].error.endswith("nothing but broken lines (1; the first: no healthy upstream)")


async def test_part_of_a_line_confirms_nothing(simulator: Simulator, client: Client) -> None:
    client.streaming_lists = False
    body = b"upstream connect error"
    simulator.faults.answers.append(Answer(PODS, 200, body, query={"watch": "*"}, times=None))
    async with reflecting(client) as heard:
        await heard.until(lambda: len(heard.readings) >= 3)
    assert [reading.state for reading in heard.readings[1:]] == 2 * [SourceState.UNREACHABLE]


async def test_broken_lines_in_a_sound_watch_are_told_and_keep_nothing_fresh(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reflecting(client) as heard:
        seen_at = (await heard.until_state(SourceState.LIVE)).observed_at
        simulator.inject("pods", b"nonsense\n")
        await heard.until(lambda: heard.source().skipped == 1)
        assert (heard.source().state, heard.source().observed_at) == (SourceState.LIVE, seen_at)
        monkeypatch.setattr(watch_body, "IDLE_S", 0.0)
        simulator.inject("pods", b"nonsense\n")
        await heard.until_state(SourceState.UNREACHABLE)
    first = next(reading.error for reading in heard.readings if reading.state is SourceState.UNREACHABLE)
    assert first.endswith("nothing but broken lines for 0 s (2; the first: nonsense)")


@pytest.mark.parametrize(
    "line",
    [
        b"this is not JSON\n",
        b'{"type":"MODIFIED","object":{"metadata":{"na\n',
        b'{"type":"SURPRISE","object":{}}\n',
        b'{"type":"MODIFIED","object":{"metadata":{"name":7}}}\n',
        b'{"type":"MODIFIED","object":{"metadata":{}}}\n',
        b'{"type":"MODIFIED"}\n',
        b'{"type":"BOOKMARK","object":[]}\n',
        b'"\xff\xfe"\n',
        b"[" * 5000 + b"\n",
    ],
)
async def test_bad_line_is_skipped_and_counted(simulator: Simulator, client: Client, line: bytes) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.inject("pods", line)
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
        await heard.until(lambda: heard.source().skipped == 1)
    assert heard.source().state is SourceState.LIVE
    assert heard.lists() == 1


async def test_a_time_without_a_zone_is_utc(simulator: Simulator, client: Client) -> None:
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        line = b'{"type":"ADDED","object":{"metadata":{"name":"a","creationTimestamp":"2026-11-20T02:41:07"}}}\n'
        simulator.inject("pods", line)
        await heard.until_pods("a")
    assert heard.situation.pods["", "a"].metadata.creation_timestamp == datetime(2026, 11, 20, 2, 41, 7, tzinfo=UTC)
    assert heard.source().skipped == 0


async def test_an_object_that_is_broken_now_is_not_what_it_was(simulator: Simulator, client: Client) -> None:
    def broken(name: str) -> None:
        simulator.cluster.put("pods", pod(name, status={"phase": 7}))

    simulator.cluster.put("pods", pod("web-1"))
    simulator.cluster.put("pods", pod("web-2"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1", "web-2")
        for _ in range(3):
            broken("web-1")
        simulator.cluster.put("pods", pod("web-3"))
        await heard.until_pods("web-2", "web-3")
        assert heard.source().skipped == 1, "objects are counted, not lines"
        broken("web-4")
        await heard.until(lambda: heard.source().skipped == 2)
        simulator.cluster.put("pods", pod("web-1"))
        await heard.until_pods("web-1", "web-2", "web-3")
        assert heard.source().skipped == 1
        simulator.cluster.delete("pods", "shop", "web-4")
        await heard.until(lambda: heard.source().skipped == 0)
        broken("web-2")
        await heard.until_pods("web-1", "web-3")
    assert heard.lists() == 1


@pytest.mark.parametrize("way", ["ok", "refused"])
async def test_a_broken_object_in_a_list_is_counted_until_it_is_mended(
    simulator: Simulator, client: Client, way: str
) -> None:
    simulator.faults.streaming_list = way  # type: ignore[assignment]
    simulator.cluster.put("pods", pod("web-1", status={"phase": 7}))
    simulator.cluster.put("pods", pod("web-2"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-2")
        assert heard.source().skipped == 1
        assert heard.source().broken == {("shop", "web-1")}
        simulator.cluster.put("pods", pod("web-1"))
        await heard.until_pods("web-1", "web-2")
    assert heard.source().skipped == 0


@pytest.mark.parametrize("changed", ["MODIFIED", "DELETED"])
async def test_a_late_event_that_is_broken_changes_nothing(simulator: Simulator, client: Client, changed: str) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    late = pod("web-1", status={"phase": 7})
    late["metadata"]["resourceVersion"] = "1"
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.inject("pods", msgspec.json.encode({"type": changed, "object": late}) + b"\n")
        simulator.cluster.put("pods", pod("web-2"))
        await heard.until_pods("web-1", "web-2")
    assert heard.source().skipped == 0


@pytest.mark.parametrize("name", ["pods", "events"])
async def test_a_status_in_a_200_answer_is_no_empty_list(simulator: Simulator, client: Client, name: str) -> None:
    simulator.faults.answers.append(Answer("/api/v1/", 200, STATUS, times=None))
    async with reflecting(client, name) as heard:
        said = "not a list but Status: 401, upstream token expired"
        await heard.until(lambda: said in heard.source(name).error)
    assert not heard.source(name).has_value
    assert all(" but Status: 401, upstream token expired" in reading.error for reading in heard.readings)


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_a_status_in_place_of_a_watch_is_named(simulator: Simulator, client: Client, end: bytes) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        simulator.faults.answers.append(Answer(PODS, 200, STATUS + end, query={"watch": "1"}, times=None))
        await simulator.cut()
        await heard.until(lambda: "not a watch but Status: 401, upstream" in heard.source().error)
        simulator.faults.answers.clear()
        await heard.until_state(SourceState.LIVE)
    assert heard.source().skipped == 0


async def test_a_line_of_two_megabytes(simulator: Simulator, client: Client) -> None:
    big = pod("web-big", spec={"containers": [{"name": "app", "command": ["x" * 2**21]}]})
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        simulator.cluster.put("pods", big)
        await heard.until_pods("web-big")
    assert heard.source().skipped == 0


async def test_late_and_repeated_events_do_not_bring_the_past_back(simulator: Simulator, client: Client) -> None:
    def line(kind: str, version: int, phase: str, name: str = "web-1") -> bytes:
        manifest = pod(name, phase=phase)
        manifest["metadata"]["resourceVersion"] = str(version)
        return msgspec.json.encode({"type": kind, "object": manifest}) + b"\n"

    simulator.cluster.put("pods", pod("web-1"))
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
        for raw in (
            line("MODIFIED", 1_000, "Failed"),
            line("MODIFIED", 900, "Running"),
            line("MODIFIED", 1_000, "Running"),
            line("DELETED", 950, "Running"),
            line("ADDED", 1_001, "Pending", "gone"),
            line("DELETED", 1_002, "Pending", "gone"),
            line("MODIFIED", 1_001, "Pending", "gone"),
            line("ADDED", 1_003, "Running", "last"),
        ):
            simulator.inject("pods", raw)
        await heard.until_pods("web-1", "last")
    assert heard.situation.pods["shop", "web-1"].status.phase == "Failed"


async def test_changes_of_one_chunk_come_together(simulator: Simulator, client: Client) -> None:
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.LIVE)
        for number in range(50):
            simulator.cluster.put("pods", pod(f"web-{number}"))
        await heard.until(lambda: len(heard.situation.pods) == 50)
    assert len(heard.changes()) < 10


async def test_list_that_breaks_off_is_not_a_short_list(simulator: Simulator, client: Client) -> None:
    client.streaming_lists = False
    half = b'{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"}},{"metadata":{"na'
    simulator.faults.answers.append(Answer(PODS, 200, half))
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.UNREACHABLE)
        assert not heard.source().has_value
        assert "not a complete list" in heard.source().error
        await heard.until_state(SourceState.LIVE)


async def test_streaming_list_that_ends_early_is_not_a_short_list(simulator: Simulator, client: Client) -> None:
    line = b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"1"}}}\n'
    simulator.faults.answers.append(Answer(PODS, 200, line))
    async with reflecting(client) as heard:
        await heard.until_state(SourceState.UNREACHABLE)
        assert "ended before all pods were sent" in heard.readings[0].error
        await heard.until_state(SourceState.LIVE)
    assert len(heard.situation.pods) == 0


async def test_a_quiet_watch_confirms(simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "CONFIRM_S", 0.0)
    async with reflecting(client) as heard:
        await heard.until(lambda: len(heard.readings) >= 3)
    assert [type(reading.value).__name__ for reading in heard.readings[:3]] == ["Listed", "NoneType", "NoneType"]


async def test_confirmations_are_rare(simulator: Simulator, client: Client) -> None:
    simulator.faults.bookmark_every_s = 0.005
    async with reflecting(client, "pods", "nodes") as heard:
        await heard.until_state(SourceState.LIVE)
        for number in range(30):
            simulator.cluster.put("nodes", node(f"node-{number}"))
            await heard.until(lambda count=number: len(heard.situation.nodes) == count + 1)  # type: ignore[misc]
    assert sum(1 for reading in heard.readings if reading.source == "kubernetes/pods") == 1


async def test_a_quiet_watch_proves_nothing_while_the_server_answers_nobody(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_body, "LOOK_S", 0.05)
    simulator.faults.bookmark_every_s = 60.0
    simulator.cluster.put("pods", pod("web-1"))
    silent: list[float | None] = [None]
    async with reflecting(client, silent_since=lambda: silent[0]) as heard:
        await heard.until_pods("web-1")
        silent[0] = monotonic()
        source = await heard.until_state(SourceState.UNREACHABLE)
        assert source.error == f"{client.server} does not answer, and nothing came over the watch on pods since"
        simulator.cluster.put("pods", pod("web-2"))  # it lives after all
        await heard.until_pods("web-1", "web-2")
        assert heard.source().state is SourceState.LIVE
        silent[0] = monotonic()
        await heard.until_state(SourceState.UNREACHABLE)
        assert asked(simulator, PODS, watch="1") == 1, "a server that is overloaded is not asked anew for it"
        silent[0] = None
        await heard.until_state(SourceState.LIVE)
        assert asked(simulator, PODS, watch="1") == 2
        assert heard.lists() == 1


def put_events(simulator: Simulator, count: int, namespace: str, type: str) -> None:
    for number in range(count):
        item = event("Pod/web-1", "BackOff", f"number {number:06}", namespace=namespace, type=type)
        item["metadata"]["name"] = f"web-1.{number:06}"
        simulator.cluster.put("events", item)


async def test_events_come_in_pages_never_streamed_and_warnings_before_others(
    simulator: Simulator, client: Client
) -> None:
    put_events(simulator, 3_100, "batch", "Normal")
    put_events(simulator, 700, "shop", "Warning")
    async with reflecting(client, "events") as heard:
        source = await heard.until_state(SourceState.LIVE, "events")
        assert (len(heard.situation.events), source.skipped) == (3_800, 0)
        simulator.cluster.put("events", event("Pod/web-1", "Killing", "the next one"))
        await heard.until(lambda: len(heard.situation.events) == 3_801)
    path = "/api/v1/events"
    assert asked(simulator, path, sendInitialEvents="true") == 0
    assert asked(simulator, path, resourceVersion="0") == 0
    assert asked(simulator, path, limit="500", fieldSelector="type!=Normal") == 2
    assert asked(simulator, path, limit="500") == 1 + 2 + 7


@pytest.mark.parametrize(("warnings", "kept", "left_out"), [(900, 1_500, 0), (2_100, 1_500, 700)])
async def test_events_beyond_the_bound_are_left_out_and_warnings_counted(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch, warnings: int, kept: int, left_out: int
) -> None:
    monkeypatch.setattr(lists, "EVENT_PAGES", 3)
    put_events(simulator, 100 if left_out else 1_000, "batch", "Normal")
    put_events(simulator, warnings, "shop", "Warning")
    async with reflecting(client, "events") as heard:
        source = await heard.until_state(SourceState.LIVE, "events")
        known = heard.situation.events.values()
        assert sum(item.type == "Warning" for item in known) == min(warnings, kept)
        assert (len(known), source.skipped) == (min(warnings, 1_500) + (500 if not left_out else 0), left_out)


async def test_a_list_that_left_events_out_takes_none_away(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "EVENT_PAGES", 2)
    put_events(simulator, 1_200, "batch", "Warning")
    fresh = event("StatefulSet/web", "FailedCreate", "exceeded quota")
    async with reflecting(client, "events") as heard:
        await heard.until_state(SourceState.LIVE, "events")
        simulator.cluster.put("events", fresh)
        await heard.until(lambda: len(heard.situation.events) == 1_001)
        before = asked(simulator, "/api/v1/events", limit="500")
        simulator.faults.expire_watches = "status"
        await simulator.cut()
        await heard.until(lambda: asked(simulator, "/api/v1/events", limit="500") == before + 3)
        simulator.cluster.put("events", event("Pod/web-1", "Killing", "the next one"))
        await heard.until(lambda: len(heard.situation.events) == 1_002)
        assert ("shop", fresh["metadata"]["name"]) in heard.situation.events


async def test_events_whose_pages_expire_are_taken_as_far_as_they_came(simulator: Simulator, client: Client) -> None:
    put_events(simulator, 700, "shop", "Warning")
    simulator.faults.answers.append(Answer("/api/v1/events", 410, "", query={"continue": "*"}))
    async with reflecting(client, "events") as heard:
        source = await heard.until_state(SourceState.LIVE, "events")
    assert (len(heard.situation.events), source.skipped) == (500, 200)
    assert {reading.state for reading in heard.readings} == {SourceState.LIVE}


async def test_with_etcd_frozen_pods_are_there_and_events_are_not_asked_for(
    simulator: Simulator, client: Client
) -> None:
    simulator.cluster.put("pods", pod("web-1"))
    simulator.faults.freeze_etcd = True
    async with reflecting(client, "pods", "events", etcd_fails=lambda: simulator.faults.freeze_etcd) as heard:
        await heard.until_pods("web-1")
        source = await heard.until_state(SourceState.UNREACHABLE, "events")
        assert "read from etcd" in source.error
        assert asked(simulator, "/api/v1/events") == 0
        simulator.faults.freeze_etcd = False
        await heard.until_state(SourceState.LIVE, "events")


async def test_streaming_list_that_hangs_gives_way_to_the_cached_list(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the server's own checks have told that etcd fails."""
    monkeypatch.setattr(reflector, "FIRST_BYTE_S", 0.2)
    simulator.cluster.put("pods", pod("web-1"))
    simulator.faults.freeze_etcd = True
    async with reflecting(client) as heard:
        await heard.until_pods("web-1")
    assert client.streaming_lists, "that was no refusal"


async def test_leaving_leaves_no_task_and_no_connection(simulator: Simulator, tmp_path: Path) -> None:
    names = ("pods", "nodes", "services")
    async with client_of(simulator, tmp_path) as client:
        async with reflecting(client, *names) as heard:
            for name in names:
                await heard.until_state(SourceState.LIVE, name)
            assert client.meter.open_watches == 3
            assert simulator.open_watches == 3
        assert client.meter.open_watches == 0
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("kubernetes/")]
    async with asyncio.timeout(5):
        while simulator.open_watches:  # noqa: ASYNC110  the server notices a moment later, and has no event for it
            await asyncio.sleep(0)
