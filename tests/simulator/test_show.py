"""Tapes played live: time stamps moved to now, changes as they happened, outages included."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from simulator.cluster import GpuFacts
from simulator.pages import Page
from simulator.scenarios import SCENARIOS, open_scenario
from simulator.server import Simulator
from simulator.show import Show
from situation.clock import utc_now
from situation.meta import KubernetesObject
from tape.format import Frame, Header, ListBody, PageName, TapeError, WatchEvent
from tape.reader import Tape
from tape.writer import write_tape
from tests.build import pod
from tests.simulator.client import get, names, session

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
NOW = datetime(2027, 3, 4, 5, 6, 7, 800000, tzinfo=UTC)
STAMP = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')


def make(path: Path, *frames: Frame, start_at: float = 10.0, hold_at: float | None = None) -> Tape:
    write_tape(path / "tape.jsonl", Header(1, "t", "t", START, start_at, hold_at), frames)
    return Tape(path / "tape.jsonl")


def at(t: float) -> str:
    return (START + timedelta(seconds=t)).strftime("%Y-%m-%dT%H:%M:%SZ")


def born(name: str, t: float) -> dict[str, Any]:
    manifest = pod(name)
    manifest["metadata"]["creationTimestamp"] = at(t)
    return manifest


def listed(t: float, *items: dict[str, Any], source: str = "kubernetes/pods") -> Frame:
    return Frame(t, source, list=ListBody(tuple(msgspec.Raw(msgspec.json.encode(item)) for item in items), "1"))


def event(t: float, kind: str, item: dict[str, Any]) -> Frame:
    return Frame(t, "kubernetes/pods", watch=WatchEvent(kind, msgspec.Raw(msgspec.json.encode(item))))


@asynccontextmanager
async def playing(show: Show) -> AsyncIterator[Simulator]:
    async with Simulator(show.cluster) as simulator:
        task = asyncio.create_task(show.play(simulator))
        try:
            yield simulator
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a condition with a deadline
            await asyncio.sleep(0.005)


def test_opening_shows_what_was_there_at_the_start(tmp_path: Path) -> None:
    frames = (
        listed(0, born("a", -60), born("b", -60)),
        event(5, "DELETED", born("b", -60)),
        event(11, "ADDED", born("c", 11)),
    )
    show = Show(make(tmp_path, *frames), clock=lambda: NOW)
    assert [stored.key[1] for stored in show.cluster.table("pods").ordered()] == ["a"]


def test_time_stamps_are_moved_by_whole_seconds(tmp_path: Path) -> None:
    show = Show(make(tmp_path, listed(0, born("a", 4))), clock=lambda: NOW)
    manifest = show.cluster.get("pods", "shop", "a")
    assert manifest is not None
    assert manifest["metadata"]["creationTimestamp"] == "2027-03-04T05:06:01Z", "6 s old at t=10, as on the tape"


def test_every_kind_of_stamp_is_moved(tmp_path: Path) -> None:
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": at(1), "lastTransitionTime": at(2)}
    taint = {"key": "x", "effect": "NoSchedule", "timeAdded": at(2)}
    node = {"metadata": {"name": "n"}, "spec": {"taints": [taint]}, "status": {"conditions": [condition]}}
    micro = "2026-11-23T02:00:03.250000Z"
    lease = {"metadata": {"name": "l", "namespace": "kube-system"}, "spec": {"renewTime": micro}}
    whole = {"metadata": {"name": "w", "namespace": "kube-system"}, "spec": {"renewTime": at(3)}}
    happened = {
        "metadata": {"name": "e", "namespace": "shop"},
        "eventTime": micro,
        "lastTimestamp": at(3),
        "series": {"count": 2, "lastObservedTime": micro},
        "message": "since 2026-11-23T02:00:00Z",
    }
    frames = (
        listed(0, node, source="kubernetes/nodes"),
        listed(1, lease, whole, source="kubernetes/leases"),
        listed(2, happened, source="kubernetes/events"),
    )
    cluster = Show(make(tmp_path, *frames), clock=lambda: NOW).cluster
    moved = [
        cluster.get("nodes", "", "n"),
        cluster.get("leases", "kube-system", "l"),
        cluster.get("events", "shop", "e"),
    ]
    assert moved[0] is not None and moved[1] is not None and moved[2] is not None
    found = moved[0]["status"]["conditions"][0]
    assert (found["lastHeartbeatTime"], found["lastTransitionTime"]) == ("2027-03-04T05:05:58Z", "2027-03-04T05:05:59Z")
    assert moved[0]["spec"]["taints"][0]["timeAdded"] == "2027-03-04T05:05:59Z"
    assert moved[1]["spec"]["renewTime"] == "2027-03-04T05:06:00.250000Z"
    assert (moved[2]["eventTime"], moved[2]["lastTimestamp"]) == ("2027-03-04T05:06:00.250000Z", "2027-03-04T05:06:00Z")
    assert moved[2]["series"]["lastObservedTime"] == "2027-03-04T05:06:00.250000Z"
    assert moved[2]["message"] == "since 2026-11-23T02:00:00Z", "text stays as it was"
    other = cluster.get("leases", "kube-system", "w")
    assert other is not None
    assert other["spec"]["renewTime"] == "2027-03-04T05:06:00.000000Z", "a MicroTime always has six digits"


def test_at_another_speed_later_stamps_come_when_they_are_played(tmp_path: Path) -> None:
    show = Show(make(tmp_path, listed(0)), speed=4.0, clock=lambda: NOW)
    assert show.moved(START) == datetime(2027, 3, 4, 5, 5, 57, tzinfo=UTC)
    assert show.moved(START + timedelta(seconds=18)) == datetime(2027, 3, 4, 5, 6, 9, tzinfo=UTC)


async def test_changes_after_the_start_happen(tmp_path: Path) -> None:
    frames = (
        listed(0, born("a", -60)),
        event(11, "ADDED", born("b", 11)),
        event(12, "DELETED", born("a", -60)),
        listed(13, born("c", 12)),
    )
    show = Show(make(tmp_path, *frames), speed=100)
    async with playing(show) as simulator:
        await until(show.ended.is_set)
        _, found = await get(simulator, "/api/v1/pods")
    assert names(found) == ["c"]


async def test_the_show_holds(tmp_path: Path) -> None:
    frames = (listed(0), event(11, "ADDED", born("b", 11)), event(30, "DELETED", born("b", 11)))
    show = Show(make(tmp_path, *frames, hold_at=20.0), speed=1000)
    async with playing(show):
        await until(show.ended.is_set)
        assert show.cluster.get("pods", "shop", "b") is not None


async def test_what_pods_answer_comes_again_with_counters_that_go_on(tmp_path: Path) -> None:
    page = PageName("serving", "vllm-0", 8000)

    def says(t: float, waiting: int, tokens: int) -> Frame:
        return Frame(t, page.source, status=200, text=f"waiting {waiting}\ntokens_total {tokens}\n")

    frames = (listed(0), says(1, 0, 100), says(12, 5, 110), says(14, 0, 130), says(19, 9, 999))
    tape = make(tmp_path, *frames, hold_at=15.0)
    tape.header = msgspec.structs.replace(tape.header, again_from=11.0)
    show, seen = Show(tape, speed=100), list[str]()
    async with playing(show):
        await until(show.ended.is_set)
        while len(seen) < 5:
            if (text := show.cluster.pages[page].text) not in seen:
                seen.append(text)
            await asyncio.sleep(0.002)
    counted = [tuple(line.rpartition(" ")[2] for line in text.splitlines()) for text in seen]
    assert counted[:5] == [("0", "130"), ("5", "140"), ("0", "160"), ("5", "170"), ("0", "190")]


def test_a_tape_that_has_nothing_to_repeat_is_refused(tmp_path: Path) -> None:
    tape = make(tmp_path, listed(0), hold_at=15.0)
    tape.header = msgspec.structs.replace(tape.header, again_from=15.0)
    with pytest.raises(TapeError, match="nothing lies between 15 s and 15 s"):
        Show(tape)


async def test_the_server_goes_away_and_comes_back(tmp_path: Path) -> None:
    frames = (
        listed(0),
        Frame(12, "server", down=True),
        event(13, "ADDED", born("b", 11)),
        Frame(60, "server", down=False),
    )
    show = Show(make(tmp_path, *frames), speed=50)
    async with playing(show) as simulator:
        assert (await get(simulator, "/api/v1/pods"))[0] == 200
        await until(lambda: show.cluster.get("pods", "shop", "b") is not None)
        async with session(simulator) as client:
            with pytest.raises(aiohttp.ClientConnectorError):
                await client.get("/api/v1/pods")
        await until(show.ended.is_set)
        assert names((await get(simulator, "/api/v1/pods"))[1]) == ["b"]


async def test_leases_are_kept_alive_after_the_end_unless_they_were_dead(tmp_path: Path) -> None:
    def lease(name: str, t: float) -> dict[str, Any]:
        stamp = at(t).replace("Z", ".000000Z")
        return {"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"renewTime": stamp}}

    show = Show(make(tmp_path, listed(0, lease("alive", 8), lease("dead", -100), source="kubernetes/leases")))
    before = {name: show.cluster.get("leases", "kube-system", name) for name in ("alive", "dead")}
    async with playing(show):
        await until(lambda: show.cluster.get("leases", "kube-system", "alive") != before["alive"])
        assert show.cluster.get("leases", "kube-system", "dead") == before["dead"]


def test_kinds_that_are_not_on_the_tape_are_absent(tmp_path: Path) -> None:
    absent = Show(make(tmp_path, listed(0))).absent
    assert "pods" not in absent
    assert {"nodes", "leases", "nodeleases"} <= absent


def test_health_and_logs_come_from_the_tape(tmp_path: Path) -> None:
    frames = (
        Frame(0, "kubernetes/version", body={"gitVersion": "v1.35.0"}),
        Frame(1, "kubernetes/readyz", status=500, text="[-]etcd failed\n"),
        Frame(2, "logs", text="hello\n", pod="shop/a"),
    )
    cluster = Show(make(tmp_path, *frames)).cluster
    assert cluster.version["gitVersion"] == "v1.35.0"
    assert cluster.readyz == (500, "[-]etcd failed\n")
    assert cluster.logs == {"shop/a": "hello\n"}


def test_pages_and_gpus_come_from_the_tape(tmp_path: Path) -> None:
    page = PageName("serving", "vllm-0", 8000)
    frames = (
        Frame(0, page.source, status=200, text="a 1\n"),
        Frame(1, "gpus/gpu-1", body={"3": {"xid": 79, "lost": True, "said_by_a_later_program": 1}}),
        Frame(2, page._replace(path="/health").source, error="i/o timeout"),
    )
    cluster = Show(make(tmp_path, *frames)).cluster
    assert cluster.pages == {page: Page(200, "a 1\n"), page._replace(path="/health"): Page(error="i/o timeout")}
    assert cluster.gpus == {"gpu-1": {3: GpuFacts(xid=79, lost=True)}}


def test_gpus_that_make_no_sense_name_the_tape(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="bad frame at 1 s: gpus/gpu-1"):
        Show(make(tmp_path, Frame(1, "gpus/gpu-1", body={"all": {}})))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_shipped_incidents(name: str) -> None:
    tape = open_scenario(name)
    assert tape.path.stat().st_size < 300_000
    assert tape.header.title == SCENARIOS[name] != ""
    now = utc_now()
    show = Show(tape, clock=lambda: now)
    stamps = [
        datetime.fromisoformat(stamp.decode())
        for table in show.cluster.tables
        for stored in table.ordered()
        for stamp in STAMP.findall(stored.tail)
    ]
    assert stamps
    assert max(stamps) <= now
    assert (now - max(stamps)).total_seconds() < 30, "something happened just now"
    assert b'"annotations"' not in b"".join(stored.tail for table in show.cluster.tables for stored in table.ordered())


def test_there_are_these_incidents_and_no_other() -> None:
    from simulator.scenarios.make_etcd import INCIDENTS as OF_ETCD
    from simulator.scenarios.make_gpu import INCIDENTS as OF_GPUS
    from simulator.scenarios.make_vllm import INCIDENTS as OF_MODEL_SERVERS

    made = (OF_GPUS, OF_ETCD, OF_MODEL_SERVERS)
    assert set(SCENARIOS) == {"api_outage", "faults_a", "gpu_driver_nouveau"}.union(*made)
    assert [len(incidents) for incidents in made] == [7, 8, 6]
    with pytest.raises(KeyError, match="faults_a"):
        open_scenario("none")


async def test_faults_a_rests_in_crash_loops() -> None:
    show = Show(open_scenario("faults_a"), speed=1000)
    async with playing(show) as simulator:
        simulator.faults.absent |= show.absent
        await until(show.ended.is_set)
        _, found = await get(simulator, "/api/v1/namespaces/shop/pods", labelSelector="app=checkout")
        assert (await get(simulator, "/apis/policy/v1/poddisruptionbudgets"))[0] == 404
    states = [item["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] for item in found["items"]]
    assert states == ["CrashLoopBackOff", "CrashLoopBackOff"]


def test_what_is_written_for_the_wire_decodes_to_the_same(tmp_path: Path) -> None:
    from simulator.wire import manifest_of
    from situation.kinds import BY_NAME

    tape = Tape(Path(__file__).parents[1] / "data" / "gpu_healthy.jsonl.gz")
    checked = 0
    for frame in tape.frames():
        kind = BY_NAME.get(frame.source.removeprefix("kubernetes/"))
        if kind is None or frame.watch is None or frame.watch.type == "BOOKMARK":
            continue
        item: KubernetesObject = msgspec.json.decode(frame.watch.object, type=kind.type)
        written = msgspec.json.encode(manifest_of(item, lambda stamp: stamp))
        assert msgspec.json.decode(written, type=kind.type) == item
        checked += 1
    assert checked > 100


def test_the_outage_on_disk_is_what_its_script_makes() -> None:
    from simulator.scenarios.make_api_outage import frames

    made = [msgspec.json.encode(frame) for frame in frames()]
    assert [msgspec.json.encode(frame) for frame in open_scenario("api_outage").frames()] == made
