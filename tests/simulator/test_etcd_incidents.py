"""The shipped incidents of etcd: what their tapes hold, and how they play."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from simulator.scenarios import open_scenario
from simulator.scenarios.api_pages import read_page
from simulator.scenarios.make_etcd import FAULT_AT, INCIDENTS, OPENS_AT, OVERLOADED, etcd_frames, frames, path_of
from simulator.server import Simulator
from simulator.show import Show
from tape.etcd import ETCD_SOURCE, METRICS_SOURCE, etcd_name, families_of, slim_page
from tape.format import Frame, WatchEvent
from tests.simulator.client import get
from tests.simulator.test_show import until

MEMBERS: Final = {"cp-1", "cp-2", "cp-3"}
ALL: Final = sorted(INCIDENTS)
RECORDED: Final = [name for name in ALL if name != OVERLOADED]
LARGEST_BYTES: Final = 100_000
HUNDRED_MIB: Final = 100 * 2**20
"""In use by so much, a database counts as fragmented (etcd mixin)."""


@cache
def tape_of(name: str) -> tuple[Frame, ...]:
    return tuple(open_scenario(name).frames())


def said(name: str, part: str, since: float = 0.0) -> list[Frame]:
    found = ((etcd_name(frame.source), frame) for frame in tape_of(name) if frame.t >= since)
    return [frame for source, frame in found if source is not None and source.part == part]


def states(name: str, member: str) -> list[str]:
    return [str(frame.body["state"]) for frame in said(name, "server") if f"/{member}/" in frame.source and frame.body]


def frozen(name: str) -> list[bool | None]:
    return [frame.down for frame in tape_of(name) if frame.source == ETCD_SOURCE]


def value(page: str, metric: str) -> float:
    return float(next(line for line in page.splitlines() if line.startswith(metric + " ")).rpartition(" ")[2])


def renewals(name: str) -> list[float]:
    leases = (frame for frame in tape_of(name) if frame.source == "kubernetes/leases" and frame.watch is not None)
    return sorted({frame.t for frame in leases})


@pytest.mark.parametrize("name", ALL)
def test_the_tape_is_what_its_script_makes_and_small(name: str) -> None:
    recorded = etcd_frames(path_of(name))
    assert [msgspec.json.encode(frame) for frame in frames(name, recorded)] == [
        *map(msgspec.json.encode, tape_of(name))
    ]
    assert path_of(name).stat().st_size < LARGEST_BYTES


@pytest.mark.parametrize("name", ALL)
def test_pages_are_slim(name: str) -> None:
    checked = 0
    for frame in tape_of(name):
        if frame.text is not None and (families := families_of(frame.source)) is not None:
            assert slim_page(frame.text, families) == frame.text
            checked += 1
    assert checked > 8


@pytest.mark.parametrize("name", ALL)
def test_it_opens_healthy_with_all_members(name: str) -> None:
    show = Show(open_scenario(name))
    assert set(show.cluster.etcd) == MEMBERS
    leaders = set()
    for state in show.cluster.etcd.values():
        assert state.server.state == "serves"
        assert (state.pages["health"].status, state.pages["readyz"].status) == (200, 200)
        assert value(state.pages["metrics"].text, "etcd_server_has_leader") == 1
        status = state.calls["status"].body
        assert status is not None
        assert "errors" not in status
        assert {item["name"] for item in (state.calls["members"].body or {})["members"]} == MEMBERS
        assert state.calls["alarms"].body == {}
        leaders.add(status["leader"])
    assert len(leaders) == 1
    assert not [frame for frame in tape_of(name) if frame.source == ETCD_SOURCE and frame.t < OPENS_AT + 5]
    assert {pod["status"]["podIP"] for pod in pods_of(show, "etcd")} == {"10.0.0.11", "10.0.0.12", "10.0.0.13"}
    assert show.cluster.metrics is not None


def pods_of(show: Show, component: str) -> list[dict[str, Any]]:
    manifests = [stored.manifest() for stored in show.cluster.table("pods").ordered()]
    return [item for item in manifests if item["metadata"].get("labels", {}).get("component") == component]


def test_a_leader_that_is_lost_leads_to_an_election_and_it_comes_back() -> None:
    terms = [int(frame.body["raftTerm"]) for frame in said("etcd_leader_lost", "status") if frame.body]
    assert max(terms) > terms[0]
    assert sorted(states("etcd_leader_lost", member) for member in MEMBERS) == [
        ["serves"],
        ["serves"],
        ["serves", "refuses", "serves"],
    ]
    assert frozen("etcd_leader_lost") == []


def test_without_quorum_one_member_says_so_and_nothing_is_written() -> None:
    name = "etcd_quorum_lost"
    assert sorted(states(name, member)[1:2] for member in MEMBERS) == [[], ["refuses"], ["refuses"]]
    errors = [frame.body.get("errors") for frame in said(name, "status") if frame.body]
    assert ["etcdserver: no leader"] in errors
    assert [frame.t for frame in said(name, "health") if "RAFT NO LEADER" in (frame.text or "")]
    assert [frame.t for frame in said(name, "alarms") if (frame.error or "").startswith("DEADLINE_EXCEEDED")]
    check_freeze(name)


def check_freeze(name: str) -> None:
    """Nothing comes from the API while etcd does not answer, and it goes on afterwards."""
    start, end = (frame.t for frame in tape_of(name) if frame.source == ETCD_SOURCE)
    assert frozen(name) == [True, False]
    assert FAULT_AT - 1 < start < end - 40
    told = [frame.t for frame in tape_of(name) if frame.watch is not None and start < frame.t < end]
    assert told == []
    assert renewals(name)[-1] > end


@pytest.mark.parametrize(
    ("name", "field", "fault"),
    [("etcd_certificate_expired", "certificate", "expired"), ("etcd_wrong_certificate", "trusts", "other")],
)
def test_certificates_change_at_all_members_and_back(name: str, field: str, fault: str) -> None:
    for member in MEMBERS:
        found = [frame.body[field] for frame in said(name, "server") if f"/{member}/" in frame.source and frame.body]
        assert list(dict.fromkeys(found)) == [found[0], fault]
        assert found[-1] == found[0] != fault
    check_freeze(name)
    told = [frame.watch for frame in tape_of(name) if frame.source == "kubernetes/pods" and frame.watch is not None]
    etcd = [(watch.type, pod) for watch in told if (pod := decoded(watch)) and pod["metadata"]["name"][:5] == "etcd-"]
    assert [kind for kind, _ in etcd] == ["DELETED", "ADDED"] * 3, "nothing crashed: the pods were made anew"
    restarts = [pod["status"]["containerStatuses"][0].get("restartCount", 0) for kind, pod in etcd if kind == "ADDED"]
    assert restarts == [0, 0, 0]


def decoded(watch: WatchEvent) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(watch.object)
    return found


def test_with_a_wrong_authority_etcd_itself_is_well() -> None:
    pages = [frame for frame in said("etcd_wrong_certificate", "metrics") if 40 < frame.t < 60]
    assert pages
    assert {value(frame.text or "", "etcd_server_has_leader") for frame in pages} == {1}


def test_nospace_looks_healthy_but_for_the_alarm_and_stale_leases() -> None:
    name = "etcd_nospace"
    alarmed = [frame for frame in said(name, "alarms") if frame.body and frame.body.get("alarms")]
    disarmed = [frame for frame in said(name, "alarms", alarmed[-1].t) if frame.body == {}]
    start, end = alarmed[0].t, disarmed[0].t
    assert {item["alarm"] for frame in alarmed if frame.body for item in frame.body["alarms"]} == {"NOSPACE"}
    reasons = {(frame.status, (frame.text or "").strip()) for frame in said(name, "health", start - 3)}
    assert (503, '{"health":"false","reason":"ALARM NOSPACE"}') in reasons
    during = [frame.text or "" for frame in said(name, "metrics", start) if frame.t < end]
    assert {value(page, "etcd_server_has_leader") for page in during} == {1}
    full = max(during, key=lambda page: value(page, "etcd_mvcc_db_total_size_in_bytes"))
    quota = value(full, "etcd_server_quota_backend_bytes")
    assert value(full, "etcd_mvcc_db_total_size_in_bytes") > 0.95 * quota == 0.95 * 2**31
    assert [t for t in renewals(name) if start + 1 < t < end - 5] == []
    assert renewals(name)[-1] > end
    last = said(name, "metrics")[-1].text or ""
    assert value(last, "etcd_mvcc_db_total_size_in_bytes") < 0.8 * 2**31
    assert frozen(name) == []


def test_fragmented_counts_as_such() -> None:
    page = said("etcd_fragmented", "metrics")[-1].text or ""
    in_use = value(page, "etcd_mvcc_db_total_size_in_use_in_bytes")
    assert HUNDRED_MIB < in_use < 0.5 * value(page, "etcd_mvcc_db_total_size_in_bytes")
    before = next(frame.text or "" for frame in said("etcd_fragmented", "metrics", 6))
    size = value(before, "etcd_mvcc_db_total_size_in_bytes")
    assert value(before, "etcd_mvcc_db_total_size_in_use_in_bytes") > 0.5 * size


def test_a_member_hangs_and_goes_on() -> None:
    name = "etcd_member_hangs"
    assert sorted(states(name, member) for member in MEMBERS) == [["serves"], ["serves"], ["serves", "hangs", "serves"]]
    assert frozen(name) == []


def test_an_overloaded_api_server_refuses_and_its_lists_are_slow() -> None:
    pages = [frame.text or "" for frame in tape_of(OVERLOADED) if frame.source == METRICS_SOURCE]
    series = 'resource="configmaps",scope="cluster",subresource="",verb="LIST"'

    def slow(page: str) -> float:
        """LISTs of ConfigMaps that took more than 8 s."""
        lines = [line for line in page.splitlines() if series in line]
        count = next(line for line in lines if "_count{" in line)
        quick = next(line for line in lines if 'le="8"' in line)
        return float(count.rpartition(" ")[2]) - float(quick.rpartition(" ")[2])

    def of(page: str, start: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(start))

    objects = [of(page, 'apiserver_resource_objects{group="",resource="configmaps"}') for page in pages]
    rejects = [of(page, "apiserver_flowcontrol_rejected_requests_total{") for page in pages]
    assert (slow(pages[0]), rejects[0]) == (0, 0)
    assert all(earlier < later for earlier, later in pairwise(objects))
    assert all(earlier < later for earlier, later in pairwise(rejects))
    assert slow(pages[-1]) > slow(pages[2]) > 0


@pytest.mark.parametrize("name", [*RECORDED, OVERLOADED])
def test_histograms_on_pages_of_the_api_server_never_fall(name: str) -> None:
    pages = [frame.text or "" for frame in tape_of(name) if frame.source == METRICS_SOURCE]
    assert len(pages) > 2
    for earlier, later in pairwise(pages):
        before, after = (counters(page) for page in (earlier, later))
        assert before.keys() == after.keys()
        assert [key for key in before if after[key] < before[key]] == []
    for series in buckets(pages[-1]):
        assert series == sorted(series)


def counters(page: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in page.splitlines() if "_duration_seconds_" in line)
    return {key: float(number) for key, _, number in lines}


def buckets(page: str) -> list[list[float]]:
    found: dict[str, list[float]] = {}
    for key, number in counters(page).items():
        series, _, bound = key.partition('le="')
        if bound:
            found.setdefault(series, []).append(number)
    return list(found.values())


def test_the_recorded_page_of_the_api_server_is_slim() -> None:
    families = families_of(METRICS_SOURCE)
    assert families is not None
    assert slim_page(read_page(), families) == read_page() != ""


@asynccontextmanager
async def playing(name: str, speed: float) -> AsyncIterator[Simulator]:
    show = Show(open_scenario(name), speed=speed)
    async with Simulator(show.cluster, token=None) as simulator:
        task = asyncio.create_task(show.play(simulator))
        try:
            yield simulator
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_while_etcd_is_frozen_only_the_cache_answers() -> None:
    async with playing("etcd_quorum_lost", 20) as simulator:
        simulator.faults.etcd_check_s = 0.0
        assert (await get(simulator, "/readyz"))[0] == 200
        await until(lambda: simulator.faults.freeze_etcd)
        status, text = await get(simulator, "/readyz", verbose="")
        assert (status, "[-]etcd failed: reason withheld" in text) == (500, True)
        assert await get(simulator, "/livez", exclude="etcd") == (200, "ok")
        assert (await get(simulator, "/livez"))[0] == 500
        assert (await get(simulator, "/metrics"))[0] == 200
        assert len((await get(simulator, "/api/v1/pods", resourceVersion="0"))[1]["items"]) > 10
        simulator.faults.freeze_timeout_s = 0.0
        assert (await get(simulator, "/api/v1/pods"))[0] == 504
        await until(lambda: not simulator.faults.freeze_etcd)
        assert (await get(simulator, "/readyz"))[0] == 200


async def test_a_member_refuses_when_its_frames_say_so() -> None:
    async with playing("etcd_leader_lost", 40) as simulator:
        urls: Sequence[str] = simulator.cluster.etcd_way.metrics_urls
        assert await answering(urls) == 3
        await until(lambda: any(state.server.state == "refuses" for state in simulator.cluster.etcd.values()))
        await simulator.follow_etcd()
        assert await answering(urls) == 2


async def answering(urls: Sequence[str]) -> int:
    found = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        for url in urls:
            try:
                async with http.get(f"{url}/health") as answer:
                    found += answer.status == 200
            except aiohttp.ClientConnectorError:
                continue
    return found
