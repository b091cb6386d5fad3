"""A Prometheus that knows model servers: for those that nobody hears, and split by pod."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from collectors.vllm import names
from collectors.vllm import prometheus as module
from collectors.vllm.options import VllmOptions
from collectors.vllm.prometheus import queries
from collectors.vllm.wishes import VllmWishes
from situation.readings import Reading, SourceState
from situation.serving.readings import ServerReading, Software
from tests.build import NOW
from tests.collectors.loopback import HANG, Asked, Loopback, http
from tests.collectors.test_vllm_rounds import collecting, engine, proxy, round_of, served, servers_in, wishes_for

QUERY = "/prom/api/v1/query"
Series = tuple[dict[str, str], float]


def vector(*series: Series) -> bytes:
    result = [{"metric": labels, "value": [NOW.timestamp(), str(value)]} for labels, value in series]
    return http(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))


def series(name: str, value: float, pod: str = "b", instance: str = "10.0.0.8:8000", **labels: str) -> Series:
    where = {"namespace": "serving", "pod": pod, "instance": instance, "model_name": "llama", "engine": "0"}
    return {"__name__": name, **where, **labels}, value


class Prometheus(Loopback):
    """Answers each query with the series whose names it asks for."""

    def __init__(self, *known: Series, age_s: float = 20) -> None:
        super().__init__()
        self.known = known
        self.age_s = age_s

    def answer(self, asked: Asked) -> bytes:
        query = asked.query.get("query", "")
        if asked.path != QUERY:
            return super().answer(asked)
        if "timestamp(" in query:
            at = (NOW - timedelta(seconds=self.age_s)).timestamp()
            where = {
                tuple(labels.get(name, "") for name in ("namespace", "pod", "instance")) for labels, _ in self.known
            }
            return vector(*((dict(zip(("namespace", "pod", "instance"), item, strict=True)), at) for item in where))
        wanted = query.partition('=~"')[2].partition('"')[0].split("|")
        return vector(*(item for item in self.known if item[0]["__name__"] in wanted))


class Slow(Loopback):
    """Never answers; tells when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def answer(self, asked: Asked) -> bytes:
        self.first.set()
        return HANG


PAGE = (
    series("vllm:num_requests_running", 4),
    series("vllm:kv_cache_usage_perc", 0.5),
    series("vllm:time_to_first_token_seconds_bucket", 3, le="0.5"),
    series("vllm:time_to_first_token_seconds_bucket", 5, le="+Inf"),
)


async def collected(
    wishes: VllmWishes, folder: Path, known: tuple[Series, ...], api: Loopback | None = None, rounds: int = 1
) -> list[Reading]:
    async with Prometheus(*known) as server:
        options = VllmOptions(prometheus=f"{server.url}/prom")
        async with collecting(api, folder, wishes, options) as one:
            for _ in range(rounds):
                readings = await round_of(one)
    return readings


async def test_who_is_not_heard_is_told_by_prometheus(tmp_path: Path) -> None:
    wishes = wishes_for(engine("a"), engine("b", ip="10.0.0.8"))
    other = series("vllm:num_requests_running", 9, "a", "10.0.0.7:8000")
    async with Loopback(served(proxy("a"))) as api:
        readings = await collected(wishes, tmp_path, (*PAGE, other), api)
    found = servers_in(readings)
    b = found["serving/b:8000"]
    assert (b.origin, b.pod, b.software) == ("prometheus", ("serving", "b"), Software.VLLM)
    assert b.page is not None
    (page,) = b.page.engines
    assert (page.model, page.running, page.kv_usage_ratio, page.waiting) == ("llama", 4, 0.5, None)
    assert page.ttft is not None and page.ttft.total == 5
    assert found["serving/a:8000"].origin == "proxy", "who answers is believed more"
    at = next(r.value.read_at for r in readings if isinstance(r.value, ServerReading) and r.value.server is b)
    assert at == NOW - timedelta(seconds=20), "as old as its scrape"
    assert readings[-1].state is SourceState.LIVE
    assert readings[-1].error == "", "a server that Prometheus tells of is told"


async def test_another_clusters_pod_of_the_same_name_is_another(tmp_path: Path) -> None:
    wishes = wishes_for(engine("b", ip="10.0.0.9"))
    async with Loopback() as api:
        readings = await collected(wishes, tmp_path, PAGE, api)
    assert servers_in(readings)["serving/b:8000"].page is None


async def test_an_instance_that_is_no_address_is_found_by_its_pod(tmp_path: Path) -> None:
    named = tuple((labels | {"instance": "llama"}, value) for labels, value in PAGE)
    async with Loopback() as api:
        readings = await collected(wishes_for(engine("b")), tmp_path, named, api)
    assert servers_in(readings)["serving/b:8000"].page is not None


async def test_ranks_at_ports_of_their_own_are_servers_of_their_own(tmp_path: Path) -> None:
    """External load balancing: their figures are never those of one server, which would jump to and fro."""
    wishes = wishes_for(engine("b", ip="10.0.0.8"))
    rank = series("vllm:num_requests_running", 9, instance="10.0.0.8:8001", engine="1")
    twice = series("vllm:num_requests_running", 4, instance="10.0.0.8:9088")
    async with Loopback() as api:
        found = servers_in(await collected(wishes, tmp_path, (rank, twice, *PAGE), api))
    told = {key: server.page.engines[0].running for key, server in found.items() if server.page is not None}
    assert told == {"serving/b:8000": 4, "serving/b:8001": 9}, "the same rank at another port is the same server"
    assert found["serving/b:8001"].pod is None


async def test_without_any_pods_known_all_are_told(tmp_path: Path) -> None:
    found = servers_in(await collected(wishes_for(), tmp_path, PAGE))
    assert set(found) == {"serving/b:8000"}
    assert found["serving/b:8000"].pod is None


async def test_its_own_failure_is_told_and_ends_nothing(tmp_path: Path) -> None:
    wishes = wishes_for(engine("a"), engine("b"))
    async with Loopback(served(proxy("a"))) as api:
        options = VllmOptions(prometheus="http://127.0.0.1:1")
        async with collecting(api, tmp_path, wishes, options) as one:
            readings = await round_of(one)
    assert readings[-1].state is SourceState.LIVE
    assert readings[-1].error.startswith("serving/b:8000/metrics answered 404")
    assert "; cannot connect to http://127.0.0.1:1" in readings[-1].error


async def test_one_that_is_slow_delays_only_the_first_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.1)
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    monkeypatch.setattr("collectors.prometheus_api.DEADLINE_S", 600.0)
    wishes = wishes_for(engine("a"), engine("b"))
    async with Slow() as slow, Loopback(served(proxy("a"))) as api:
        options = VllmOptions(prometheus=f"{slow.url}/prom")
        async with collecting(api, tmp_path, wishes, options) as one:
            async with asyncio.timeout(20):
                await round_of(one)
                await slow.first.wait()
                readings = await round_of(one)
            assert len(slow.asked) == 1, "not asked again while it has not answered"
    assert servers_in(readings)["serving/a:8000"].page is not None


def test_each_metric_is_asked_for_once() -> None:
    asked = " ".join(queries({Software.SGLANG}))
    for family, times in ((names.VLLM, 1), (names.SGLANG, 1), (names.TGI, 0)):
        for name in names.wanted_of(family):
            assert sum(asked.count(f"{left}{name}{right}") for left in '"|' for right in '"|') == times, name
    assert all(len(query) < 1000 for query in queries(()))
