"""DCGM exporters through the API server and at URLs: some fail, none delays another, and rights are named."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from collectors.errors import AbsentError, ForbiddenError, SourceError, ThrottledError, UnreachableError
from collectors.gpu_devices.collect import gpu_collectors, metrics_url, through_proxy
from collectors.gpu_devices.exporters import AT_ONCE, DcgmCollector
from collectors.gpu_devices.options import DeviceOptions
from collectors.gpu_devices.wishes import DeviceWishes
from collectors.http import HttpReader
from collectors.kubernetes.client import Client, connect
from collectors.runner import Collector
from simulator.faults import Answer
from simulator.server import Simulator
from situation.clock import utc_now
from situation.gpu.devices import GpuReading, Lack, NodeDevices
from situation.readings import Reading, SourceState
from tests.build import node, situation
from tests.collectors.dcgm_pages import dcgm_page
from tests.collectors.harness import client_of, running
from tests.collectors.loopback import HANG, Loopback, http
from tests.collectors.test_device_wishes import exporter
from tests.tui.commands import write_kubeconfig

NAMESPACE = "/api/v1/namespaces/gpu-operator/pods"


def path_of(name: str) -> str:
    return f"{NAMESPACE}/dcgm-{name}:9400/proxy/metrics"


def wishes_for(names: Iterable[str], first: Iterable[str] = ()) -> DeviceWishes:
    wishes = DeviceWishes("bastion", "")
    known = list(names)
    wishes.tell(situation(*(node(name) for name in known), *(exporter(f"dcgm-{name}", name) for name in known)), first)
    return wishes


class Exporters:
    """Stands for the API server's proxy: pages, errors or silence by node."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: dict[str, SourceError] = {}
        self.silent: set[str] = set()
        self.open = 0
        self.at_once = 0

    async def __call__(self, place: str) -> bytes:
        name = place.split("/dcgm-")[1].partition(":")[0]
        self.asked.append(name)
        self.open += 1
        self.at_once = max(self.at_once, self.open)
        try:
            if name in self.silent:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            if error := self.errors.get(name):
                raise error
            return dcgm_page(1, Hostname=name)
        finally:
            self.open -= 1


async def no_url(url: str) -> bytes:
    raise AssertionError(url)


def collector(exporters: Exporters, wishes: DeviceWishes, nodes: int = 16) -> DcgmCollector:
    return DcgmCollector(wishes, utc_now, through_api=exporters, from_url=no_url, nodes=nodes)


async def round_of(one: Collector) -> list[Reading]:
    return [reading async for reading in one.collect()]


def nodes_in(readings: Iterable[Reading]) -> dict[str, NodeDevices]:
    values = [reading.value for reading in readings]
    return {item.node: item for value in values if isinstance(value, GpuReading) for item in value.nodes}


async def test_each_is_told_and_a_failure_is_its_own() -> None:
    exporters = Exporters()
    exporters.errors["b"] = UnreachableError("dial tcp: connection refused")
    readings = await round_of(collector(exporters, wishes_for("abc")))
    found = nodes_in(readings)
    assert {name for name, item in found.items() if item.devices} == {"a", "c"}
    assert (found["b"].error, found["b"].observed_at) == ("dial tcp: connection refused", None)
    assert [reading.state for reading in readings] == [SourceState.STARTING, SourceState.STARTING, SourceState.LIVE]
    assert readings[-1].error == "dial tcp: connection refused"


async def test_one_that_is_silent_delays_nobody() -> None:
    exporters = Exporters()
    exporters.silent.add("a")
    async with running(collector(exporters, wishes_for("abcd"))) as heard:
        await heard.until(lambda: {"b", "c", "d"} <= heard.situation.devices.keys())


async def test_all_failing_is_the_source_failing() -> None:
    exporters = Exporters()
    exporters.errors = {name: UnreachableError(f"no {name}") for name in "ab"}
    readings = await round_of(collector(exporters, wishes_for("ab")))
    assert [reading.state for reading in readings] == [SourceState.UNREACHABLE]
    assert readings[0].error.startswith("2 exporters cannot be read; the first: no ")
    assert nodes_in(readings)["b"].error == "no b"


async def test_so_many_at_once_so_many_a_round_and_all_in_turn() -> None:
    exporters, names = Exporters(), [f"n{number:02d}" for number in range(44)]
    one = collector(exporters, wishes_for(names, first=("n30", "gone", "n05")))
    await round_of(one)
    assert exporters.asked[:2] == ["n30", "n05"]
    assert len(exporters.asked) == 16
    assert exporters.at_once == AT_ONCE
    for _ in range(2):
        await round_of(one)
    assert set(exporters.asked) == set(names)
    assert exporters.asked.count("n30") == 3
    assert exporters.asked.count("n00") == 1


async def test_those_nobody_asks_for_get_their_turn_beside_many_that_are_wanted_first() -> None:
    exporters, names = Exporters(), [f"n{number:02d}" for number in range(40)]
    one = collector(exporters, wishes_for(names, first=names[:30]))
    for _ in range(7):
        await round_of(one)
    assert exporters.asked[:12] == names[:12]
    assert len(exporters.asked) == 7 * 16
    assert set(exporters.asked) == set(names)
    assert exporters.asked.count("n00") == 7


async def test_refusals_end_the_round_and_are_not_repeated() -> None:
    exporters, names = Exporters(), [f"n{number:02d}" for number in range(40)]
    exporters.errors = {name: ForbiddenError("RBAC: verb get, resource pods/proxy") for name in names}
    one = collector(exporters, wishes_for(names))
    readings = await round_of(one)
    assert [reading.state for reading in readings] == [SourceState.FORBIDDEN]
    assert "pods/proxy" in readings[0].error
    assert len(exporters.asked) <= AT_ONCE
    asked = len(exporters.asked)
    assert (await round_of(one))[0].state is SourceState.FORBIDDEN
    assert len(exporters.asked) == asked, "rights are granted by people: not asked again within a minute"


async def test_a_busy_api_server_is_left_alone() -> None:
    exporters, names = Exporters(), [f"n{number:02d}" for number in range(16)]
    exporters.errors = {name: ThrottledError("busy", 7.0) for name in names}
    with pytest.raises(ThrottledError) as raised:
        await round_of(collector(exporters, wishes_for(names)))
    assert raised.value.retry_after_s == 7.0
    assert len(exporters.asked) <= AT_ONCE


def with_one_pending(*ready: str) -> DeviceWishes:
    """Wishes for nodes with an exporter each, and `late`, where it is Pending."""
    pods = [exporter(f"dcgm-{name}", name) for name in ready]
    pods.append(exporter("dcgm-late", "late", ready=False, phase="Pending"))
    wishes = DeviceWishes("bastion", "")
    wishes.tell(situation(*(node(name) for name in (*ready, "late")), *pods))
    return wishes


async def test_one_that_is_not_ready_is_not_asked_and_says_that_it_waits() -> None:
    exporters = Exporters()
    readings = await round_of(collector(exporters, with_one_pending("a")))
    late = nodes_in(readings)["late"]
    assert exporters.asked == ["a"]
    assert late.error == "not asked until its exporter is Ready: Pending (gpu-operator/dcgm-late)"
    assert (late.lack, late.observed_at) == (Lack.WAITS, None)
    assert (readings[-1].state, readings[-1].error) == (SourceState.LIVE, "")


async def test_when_all_wait_there_is_nothing_to_ask_yet() -> None:
    exporters = Exporters()
    (reading,) = await round_of(collector(exporters, with_one_pending()))
    assert exporters.asked == []
    assert reading.state is SourceState.ABSENT
    assert reading.error.startswith("not asked until its exporter is Ready: Pending")
    assert nodes_in([reading])["late"].lack is Lack.WAITS


async def test_no_exporter_and_none_wanted() -> None:
    with pytest.raises(AbsentError, match="no DCGM exporter runs in this cluster"):
        await round_of(collector(Exporters(), wishes_for("")))
    with pytest.raises(AbsentError, match="gpu_nodes = 0"):
        await round_of(collector(Exporters(), wishes_for("a"), nodes=0))


# Over real sockets


async def api(server: Loopback, folder: Path) -> Client:
    return await connect(str(write_kubeconfig(folder / "kubeconfig", server.url)), environ={})


STATUS = '{"kind":"Status","message":"%s"}'
BAD = {
    "web": (http("<html>", Content_Type="text/html"), "web page"),
    "html": (http("<html>login"), "is a web page, not metrics"),
    "gone": (http(STATUS % "pods x not found", "404 Not Found"), "pods x not found"),
    "down": (http(STATUS % "error trying to reach service: dial tcp 10.0.0.7:9400: connection refused",
                  "502 Bad Gateway"), "connection refused"),
    "own": (http("nope", "401 Unauthorized"), "wants credentials of its own"),
    "huge": (http(b"# x\n" * 2_300_000), "more than 8 MiB"),
    "cut": (http(dcgm_page(8), length=10**6), "closed the connection in the middle"),
    "empty": (http("# nothing\n"), "that the pod is Ready proves nothing"),
    "silent": (HANG, "did not answer within"),
}  # fmt: skip


async def test_every_bad_answer_through_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.gpu_devices.collect.DEADLINE_S", 1.0)
    answers = {path_of(name): answer for name, (answer, _) in BAD.items()}
    answers[path_of("good")] = http(dcgm_page(8))
    async with Loopback(answers) as server, await api(server, tmp_path) as client:
        one = DcgmCollector(
            wishes_for([*BAD, "good"]), utc_now, through_api=lambda path: through_proxy(client, path), from_url=no_url
        )
        found = nodes_in(await round_of(one))
    assert len(found["good"].devices) == 8
    for name, (_, said) in BAD.items():
        assert said in found[name].error, name
        assert not found[name].devices
        assert "http://" not in found[name].error[:40], "the reason comes before the URL"


async def test_rights_are_named(simulator: Simulator, tmp_path: Path) -> None:
    message = STATUS % "pods is forbidden: User cannot get resource pods/proxy"
    simulator.faults.answers.append(Answer(f"{NAMESPACE}/", 403, message, times=None))
    async with client_of(simulator, tmp_path) as client:
        with pytest.raises(
            ForbiddenError, match=r"namespace gpu-operator \(RBAC: verb get, resource pods/proxy\)"
        ) as error:
            await through_proxy(client, path_of("a"))
    assert str(error.value).endswith(": pods is forbidden: User cannot get resource pods/proxy"), "and no path besides"


async def test_urls_stand_beside_the_proxy(tmp_path: Path) -> None:
    page = http(dcgm_page(2, Hostname="a"))
    async with Loopback({"/metrics": page, path_of("b"): http(dcgm_page(1))}) as server, HttpReader() as reader:
        async with await api(server, tmp_path) as client:
            options = DeviceOptions(urls=(server.url, "http://127.0.0.1:1"))
            dcgm = gpu_collectors(client, reader, wishes_for("ab"), options)[1]
            first = nodes_in(await round_of(dcgm))
            asked = len(server.asked)
            await round_of(dcgm)
            again = [request.path for request in server.asked[asked:]]
            server.answers["/metrics"] = http("", "500 Internal Server Error")
            readings = await round_of(dcgm)
    assert {name: len(item.devices) for name, item in first.items()} == {"a": 2, "b": 1}
    assert path_of("a") not in again, "who has a URL is not asked twice"
    assert nodes_in(readings)["a"].error.startswith("answered 500 (exporter at http://")


def test_url_of_the_page() -> None:
    assert metrics_url("http://x:9400") == "http://x:9400/metrics"
    assert metrics_url("http://x:9400/") == "http://x:9400/metrics"
    assert metrics_url("http://x:9400/other") == "http://x:9400/other"
