"""Model servers from the command line to the report: `check`, `check --dump` and the doctor."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Raw
from msgspec.json import encode

from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.server import Simulator
from situation.readings import SourceState
from situation.serving.readings import EnginePage, Health, ModelServer, ServerPage, ServerReading, Software
from tape.format import Frame, Header, ListBody, PageName
from tape.player import play
from tape.writer import write_tape
from tests.build import NOW
from tests.collectors.loopback import Loopback
from tests.collectors.test_vllm_rounds import engine, proxy, served
from tests.collectors.vllm_pages import NIM_PAGE, vllm_page
from tests.tui.commands import midwatch
from tests.tui.test_doctor import line_of
from tui.config import Config
from tui.connection import serving_options
from tui.doctor_serving import server_lines
from tui.recorded import RecordedSources

PORT = 9
"""Nobody listens there on this host: the IPs of these pods are no way to them."""
A = proxy("a", PORT)


def serving_cluster(*names: str) -> Cluster:
    cluster = Cluster()
    for name in names or ("a",):
        cluster.put("pods", engine(name, ip="127.0.0.1", port=PORT))
    return cluster


def source(report: dict[str, Any]) -> dict[str, Any]:
    (found,) = (item for item in report["sources"] if item["name"] == "vllm/servers")
    assert isinstance(found, dict)
    return found


def test_the_command_line_wins_over_the_configuration() -> None:
    config = Config(vllm=("http://a",), prometheus="http://b", vllm_servers=3, vllm_pods=("x/*",), vllm_cacert="/ca")
    told = serving_options((), None, config)
    assert (told.urls, told.prometheus, told.servers) == (("http://a",), "http://b", 3)
    assert (told.pods, told.skipped, told.cacert) == (("x/*",), (), "/ca")
    assert serving_options(("http://c",), "http://d", config).urls == ("http://c",)


async def test_check_asks_the_servers_through_the_api_server(tmp_path: Path) -> None:
    async with Simulator(serving_cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer(f"{A}/metrics", 200, vllm_page(), times=None))
        finished = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "-o", "json")
        asked = [request.path for request in simulator.requests if request.path.startswith(A)]
    found = source(json.loads(finished.out))
    assert (found["state"], found["error"], finished.err) == ("live", None, "")
    assert set(asked) == {f"{A}/{name}" for name in ("metrics", "health", "version", "v1/models")}


async def test_check_says_which_right_is_missing(tmp_path: Path) -> None:
    async with Simulator(serving_cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.forbid.add("pods/proxy")
        finished = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "-o", "json")
    found = source(json.loads(finished.out))
    assert found["state"] == "forbidden"
    assert "RBAC: verb get, resource pods/proxy" in found["error"]


async def test_the_doctor_tells_how_each_is_reached(tmp_path: Path) -> None:
    async with Simulator(serving_cluster()) as simulator, Loopback(served("")) as model:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer(f"{A}/metrics", 200, vllm_page(), times=1))
        open_ = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
        simulator.faults.forbid.add("pods/proxy")
        shut = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "--vllm", model.url)
    assert line_of(open_, "model servers").endswith("serving/a:9: vLLM 0.32.0, through the API server, serves llama-8b")
    lines = [line for line in shut.out.splitlines() if " model servers " in line]
    assert lines[0].startswith("● ") and "RBAC: verb get, resource pods/proxy" in lines[0]
    assert lines[1].startswith("✓ ") and "vLLM 0.32.0, at the URL given, serves llama-8b" in lines[1]
    assert shut.code == 0, "nothing else needs them"


async def test_ranks_at_ports_of_their_own_and_a_nim_from_end_to_end(tmp_path: Path) -> None:
    ranks = engine("a", ip="127.0.0.1", port=PORT)
    ranks["spec"]["containers"][0]["args"] += ["--data-parallel-size=2", "--data-parallel-multi-port-external-lb"]
    nim = engine("n", ip="127.0.0.1", port=PORT)
    nim["spec"]["containers"][0] |= {"image": "nvcr.io/nim/meta/llama:1.8.4", "ports": [{"containerPort": PORT}]}
    pages = {
        f"{A}/metrics": (200, vllm_page()),
        f"{proxy('a', PORT + 1)}/metrics": (200, vllm_page(engines=("1",))),
        f"{proxy('a', PORT + 1)}/health": (503, b""),
        f"{proxy('n', PORT)}/v1/metrics": (200, NIM_PAGE),
        f"{proxy('n', PORT)}/v1/health/ready": (200, b"{}"),
        f"{proxy('n', PORT)}/v1/version": (200, b'{"release":"1.8.4","api":"1.8.4"}'),
    }
    cluster = Cluster()
    for manifest in (ranks, nim):
        cluster.put("pods", manifest)
    async with Simulator(cluster) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        for path, (status, body) in pages.items():
            simulator.faults.answers.append(Answer(path, status, body, times=None))
        told = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "-o", "json")
        doctor = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
    (dead,) = [cause for cause in json.loads(told.out)["causes"] if cause["rule"] == "vllm-engine-dead"]
    assert dead["evidence"][0]["text"].startswith(f"a:{PORT + 1}: /health says that the engine is dead")
    assert f"/pods/a:{PORT + 1}/proxy/health" in " ".join(item["command"] for item in dead["next"])
    for line in (f"serving/a:{PORT}: vLLM", f"serving/a:{PORT + 1}: vLLM", f"serving/n:{PORT}: NIM 1.8.4"):
        assert line in doctor.out


async def test_a_url_that_is_none_ends_it(tmp_path: Path) -> None:
    async with Simulator(serving_cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        finished = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "--vllm", "10.0.0.7:8000")
    assert finished.code == 64
    assert finished.complaint.startswith("--vllm '10.0.0.7:8000': not a URL")


def tape(folder: Path, *pages: Frame) -> Path:
    items = ListBody((Raw(encode(engine("a"))), Raw(encode(engine("b")))), "1")
    write_tape(folder / "tape.jsonl", Header(1, "t", "t", NOW), [Frame(0, "kubernetes/pods", list=items), *pages])
    return folder / "tape.jsonl"


def frame(path: str, t: float = 1, pod: str = "a", **answer: Any) -> Frame:
    return Frame(t, PageName("serving", pod, 8000, path).source, **answer)


def test_pages_on_a_tape_are_readings(tmp_path: Path) -> None:
    file = tape(
        tmp_path,
        frame("/metrics", text=vllm_page().decode()),
        frame("/health", status=503, text=""),
        frame("/version", text='{"version":"0.32.0"}'),
        frame("/v1/models", status=401, text="{}"),
        frame("/metrics", 5, "b", error="connect: connection refused"),
    )
    readings, now, _ = play(file, None, RecordedSources)
    told = [item for item in readings if item.source == "vllm/servers"]
    last = {item.value.server.key: item.value.server for item in told if isinstance(item.value, ServerReading)}
    a, b = last["serving/a:8000"], last["serving/b:8000"]
    assert a.page is not None and a.page.engines[0].running == 3
    assert (a.health, a.version, a.models_error) == (
        Health.ENGINE_DEAD, "0.32.0", "serving/a:8000/v1/models answered 401",
    )  # fmt: skip
    assert (b.page, b.health, b.page_error) == (
        None, Health.REFUSED, "serving/b:8000: connect: connection refused",
    )  # fmt: skip
    assert (told[-1].state, told[-1].observed_at, now) == (SourceState.LIVE, now, NOW + timedelta(seconds=5))


def test_all_pages_on_a_tape_are_told_in_their_order(tmp_path: Path) -> None:
    pages = [frame("/metrics", t, text=vllm_page(running=t).decode()) for t in (1, 200, 400, 405)]
    readings, now, _ = play(tape(tmp_path, *pages), None, RecordedSources)
    told = [item.value for item in readings if isinstance(item.value, ServerReading)]
    seen = [(item.server.page.engines[0].running, item.read_at) for item in told if item.server.page is not None]
    assert list(dict.fromkeys(running for running, _ in seen)) == [1, 200, 400, 405]
    assert [at for _, at in seen] == sorted(at for _, at in seen)
    assert seen[-1] == (405, now)


def test_a_tape_without_servers_says_nothing_of_them(tmp_path: Path) -> None:
    silent = tape(tmp_path, frame("/metrics", pod="web", text=vllm_page().decode()))
    readings, _, _ = play(silent, None, RecordedSources)
    assert not [item for item in readings if item.source == "vllm/servers"]


def test_many_servers_are_summed_up_and_what_fails_comes_first() -> None:
    page = ServerPage(Software.VLLM, (EnginePage("m"),))
    well = [ModelServer(f"s/{number:02d}:8000", Software.VLLM, origin="proxy", page=page) for number in range(10)]
    ill = ModelServer("s/z:8000", page_error="connection refused")
    silent = ModelServer("s/y:8000", Software.VLLM, origin="proxy", page=ServerPage())
    lines = list(server_lines([*well, ill, silent], 20))
    assert lines[0] == (None, "model servers", "s/z:8000: connection refused")
    assert lines[-2][2] == "4 more: 4 answer through the API server"
    assert lines[-1][2] == "8 more are found, and asked in later rounds"
    (only,) = server_lines([silent], 1)
    assert only[0] is None and "are statistics disabled" in only[2]
    assert list(server_lines([], 3)) == [(True, "model servers", "3 found, none asked")]
