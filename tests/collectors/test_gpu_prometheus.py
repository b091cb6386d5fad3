"""A Prometheus, or what answers like one: some queries instead of a thousand scrapes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.errors import AbsentError, BadAnswerError, RefusedError, SourceError, UnauthorizedError
from collectors.gpu_devices import prometheus
from collectors.gpu_devices.dcgm import WANTED
from collectors.gpu_devices.prometheus import PrometheusCollector, queries
from collectors.gpu_devices.wishes import DeviceWishes
from collectors.http import HttpReader
from collectors.prometheus_api import parse_answer
from situation.gpu.devices import GpuReading, NodeDevices
from situation.readings import SourceState
from tests.build import NOW, node, situation
from tests.collectors.dcgm_pages import GPU
from tests.collectors.loopback import Asked, Loopback, http

QUERY = "/prom/api/v1/query"


def vector(*series: tuple[dict[str, str], float | str]) -> bytes:
    result = [{"metric": labels, "value": [NOW.timestamp(), str(value)]} for labels, value in series]
    return http(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))


def gpu(name: str, number: int, host: str, **more: str) -> dict[str, str]:
    labels = {"__name__": name, "gpu": str(number), "UUID": GPU.format(number), "Hostname": host,
              "modelName": "NVIDIA H100", "namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-x"}  # fmt: skip
    return {**labels, **more}


class Prometheus(Loopback):
    """Answers by what the query asks for."""

    def __init__(self, series: bytes, ages: bytes) -> None:
        super().__init__()
        self.series, self.ages = series, ages

    def answer(self, asked: Asked) -> bytes:
        query = asked.query.get("query", "")
        if asked.path != QUERY:
            return super().answer(asked)
        if "timestamp(" in query:
            return self.ages
        return self.series if "DCGM_FI_DEV_GPU_TEMP" in query else vector()


def wishes() -> DeviceWishes:
    told = DeviceWishes("bastion", "")
    told.tell(situation(node("gpu-07.example.org"), node("gpu-08")))
    return told


async def read(server: Loopback, **options: Any) -> dict[str, NodeDevices]:
    async with HttpReader() as reader:
        one = PrometheusCollector(f"{server.url}/prom/", reader, wishes(), lambda: NOW, **options)
        readings = [reading async for reading in one.collect()]
    values = [reading.value for reading in readings]
    return {item.node: item for value in values if isinstance(value, GpuReading) for item in value.nodes}


async def test_devices_of_all_nodes() -> None:
    scraped = NOW - timedelta(seconds=25)
    series = vector(
        (gpu("DCGM_FI_DEV_GPU_TEMP", 0, "gpu-07", exported_namespace="serving", exported_pod="llama-0"), 41),
        (gpu("DCGM_FI_DEV_GPU_TEMP", 1, "gpu-07"), 42),
        (gpu("DCGM_FI_DEV_GPU_TEMP", 0, "nvidia-dcgm-exporter-abc", node="gpu-08"), 43),
        (gpu("DCGM_FI_DEV_GPU_TEMP", 2, "gpu-07"), "NaN"),
    )
    async with Prometheus(series, vector(({"Hostname": "gpu-07"}, scraped.timestamp()))) as server:
        found = await read(server)
    assert list(found) == ["gpu-07.example.org", "gpu-08"]
    first = found["gpu-07.example.org"]
    assert [device.temperature_c for device in first.devices] == [41, 42]
    assert first.devices[0].holders == (("serving", "llama-0"),)
    assert first.devices[1].holders == (), "the exporter's own pod holds no GPU"
    assert (first.origin, first.observed_at) == ("prometheus", scraped), "as old as the scrape, not as the query"
    assert found["gpu-08"].observed_at == NOW
    assert len(server.asked) == len(queries()) + 1


async def test_many_nodes_are_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "NODES_AT_ONCE", 2)
    monkeypatch.setattr(prometheus, "BETWEEN_S", 0.0)
    series = vector(*((gpu("DCGM_FI_DEV_GPU_TEMP", 0, f"n{number}"), 41) for number in range(5)))
    async with Prometheus(series, vector()) as server, HttpReader() as reader:
        one = PrometheusCollector(f"{server.url}/prom", reader, wishes(), lambda: NOW)
        states = [[reading.state async for reading in one.collect()] for _ in range(2)]
    starting, live = SourceState.STARTING, SourceState.LIVE
    assert states == [[starting, starting, live], [live, live, live]]


async def test_without_ages_the_values_count_as_new() -> None:
    refused = http('{"status":"error","error":"unknown function"}', "422 Unprocessable Entity")
    async with Prometheus(vector((gpu("DCGM_FI_DEV_GPU_TEMP", 0, "gpu-08"), 41)), refused) as server:
        assert (await read(server))["gpu-08"].observed_at == NOW


async def test_a_clock_ahead_of_ours_does_not_make_it_newer_than_now() -> None:
    ahead = datetime.fromtimestamp(NOW.timestamp() + 500, UTC)
    series = vector((gpu("DCGM_FI_DEV_GPU_TEMP", 0, "gpu-08"), 41))
    async with Prometheus(series, vector(({"Hostname": "gpu-08"}, ahead.timestamp()))) as server:
        assert (await read(server))["gpu-08"].observed_at == NOW


async def test_a_token_is_sent_and_its_lack_explained(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    async with Prometheus(http("", "401 Unauthorized"), vector()) as server:
        with pytest.raises(UnauthorizedError, match="prometheus_token_file"):
            await read(server, token_file=tmp_path / "token")
    assert server.asked[0].headers["authorization"] == "Bearer abc"


async def test_one_that_scrapes_no_gpu() -> None:
    async with Prometheus(vector(), vector()) as server:
        with pytest.raises(AbsentError, match="does it scrape the DCGM exporters"):
            await read(server)


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"<html>login</html>", BadAnswerError, "web page"),
        (b"", BadAnswerError, "does not answer as Prometheus does"),
        (b"[]", BadAnswerError, "does not answer as Prometheus does"),
        (b'{"status":"success","data":{"result":[{"metric":{},"value":[1]}]}}', BadAnswerError, "does not answer as"),
        (b'{"status":"error","error":"oh\\u001b[2J"}', RefusedError, "refuses the query: oh␛"),
        (b"[" * 100_000, BadAnswerError, "does not answer as Prometheus does"),
    ],
)
def test_what_is_no_answer(body: bytes, error: type[SourceError], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_answer(body, "http://x")


def test_each_metric_is_asked_for_once() -> None:
    asked = " ".join(queries())
    assert all(asked.count(f'"{name}|') + asked.count(f"|{name}|") + asked.count(f'|{name}"') == 1 for name in WANTED)
    assert all(len(query) < 1000 for query in queries())
