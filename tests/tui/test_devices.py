"""GPUs from the command line to the report: whose are asked first, the options, the doctor's lines."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

from msgspec import Raw
from msgspec.json import encode
from textual.screen import Screen

from diagnosis.engine import diagnose
from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.server import Simulator
from situation.focus import Focus
from situation.meta import Ref
from situation.readings import Reading
from tape.format import Frame, Header, ListBody, PageName
from tape.player import play
from tape.writer import write_tape
from tests.build import NOW, node, pod, situation
from tests.collectors.dcgm_pages import dcgm_page
from tests.collectors.loopback import Loopback, http
from tests.collectors.test_device_wishes import exporter
from tests.diagnosis.gpus import gpu_node
from tests.tui.cockpits import TARGET, cluster_readings, open_cockpit, until
from tests.tui.commands import midwatch, write_kubeconfig
from tests.tui.test_doctor import line_of
from tui.app import Cockpit
from tui.config import Config
from tui.connection import Connected, device_options
from tui.devices import nodes_first
from tui.recorded import RecordedSources
from widgets.nodes import NodesPane

PROXY = "/api/v1/namespaces/gpu-operator/pods/exporter-1:9400/proxy/metrics"
SICK = {3: {"DCGM_FI_DEV_ROW_REMAP_FAILURE": 1}}


def gpu_cluster() -> Cluster:
    cluster = Cluster()
    cluster.put("nodes", gpu_node(8))
    cluster.put("pods", exporter("exporter-1", "gpu-07"))
    return cluster


def test_who_is_looked_at_comes_before_who_is_ill() -> None:
    crashing = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "ready": False, "restartCount": 9}
    known = situation(
        node("ill", ready="False"), node("well"), node("seen"), node("bad"),
        pod("web-1", node="bad", ready=False, container_status=crashing), pod("web-2", node="seen"),
    )  # fmt: skip
    diagnosis = diagnose(known, known.sources["kubernetes/pods"].observed_at)  # type: ignore[arg-type]
    assert set(nodes_first(known, diagnosis)) == {"ill", "bad"}
    assert nodes_first(known, diagnosis, Focus(ref=Ref("Node", "", "well")))[0] == "well"
    assert nodes_first(known, diagnosis, Focus(ref=Ref("Pod", "shop", "web-2")))[0] == "seen"
    in_order = nodes_first(known, diagnosis, Focus(ref=Ref("Node", "", "well")), visible=("bad", "seen", "well"))
    assert (in_order[0], set(in_order[1:3]), in_order[3:]) == ("well", {"ill", "bad"}, ("seen",))


async def test_the_cockpit_says_what_is_looked_at(tmp_path: Path) -> None:
    told: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def connection(publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        for reading in cluster_readings(*(node(f"node-{number:03}") for number in range(200))):
            publish(reading)
        yield Connected(TARGET, lambda _: None, tell=lambda _, first: told.append(tuple(first)))

    async with open_cockpit(connection, tmp_path) as pilot:
        app = cast(Cockpit, pilot.app)
        app.cockpit.attention.focus_on_object(Ref("Node", "", "node-150"), app.feed.diagnosis)
        await until(pilot, lambda: bool(told and told[-1][:1] == ("node-150",) and "node-000" in told[-1]))
        assert len(told[-1]) < 50, "of the table, only the rows that can be seen"
        app.cockpit.query_one(NodesPane).table.action_last()
        await until(pilot, lambda: "node-199" in told[-1] and "node-000" not in told[-1])
        app.push_screen(Screen[None]())
        await until(pilot, lambda: told[-1] == ("node-150",))


def test_the_command_line_wins_over_the_configuration() -> None:
    config = Config(dcgm=("http://a",), prometheus="http://b", prometheus_token_file="/t", gpu_nodes=3)
    told = device_options((), None, config)
    assert (told.urls, told.prometheus, told.token_file, told.nodes) == (("http://a",), "http://b", "/t", 3)
    told = device_options(("http://c",), "http://d", config)
    assert (told.urls, told.prometheus) == (("http://c",), "http://d")


async def test_check_asks_the_exporters_through_the_api_server(tmp_path: Path) -> None:
    async with Simulator(gpu_cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer(PROXY, 200, dcgm_page(8, SICK), times=None))
        finished = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "-o", "json")
    report = json.loads(finished.out)
    assert (finished.code, finished.err) == (2, "")
    causes = {cause["rule"]: cause for cause in report["causes"]}
    assert causes["gpu-memory-errors"]["title"] == "gpu-07 GPU 3: row remapping failed: a candidate for replacement"
    assert {source["name"]: source["state"] for source in report["sources"] if source["name"].startswith("gpu/")} == {
        "gpu/dcgm": "live",
        "gpu/nvml": "absent",
    }


async def test_the_exporters_pages_on_a_tape_are_judged(tmp_path: Path) -> None:
    name = PageName("gpu-operator", "exporter-1", 9400, "/metrics").source
    lists = {"kubernetes/nodes": gpu_node(8), "kubernetes/pods": exporter("exporter-1", "gpu-07")}
    frames = [Frame(0, source, list=ListBody((Raw(encode(item)),), "1")) for source, item in lists.items()]
    pages = [Frame(1, name, status=200, text=dcgm_page(8).decode()),
             Frame(30, name, status=200, text=dcgm_page(8, SICK).decode())]  # fmt: skip
    write_tape(tmp_path / "tape.jsonl", Header(1, "t", "t", NOW), [*frames, *pages])
    finished = await midwatch(tmp_path, "check", "--dump", "tape.jsonl")
    assert "gpu-07 GPU 3: row remapping failed" in finished.out
    at = (NOW + timedelta(seconds=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = await midwatch(tmp_path, "check", "--dump", "tape.jsonl", "--at", at)
    assert "row remapping failed" not in before.out
    write_tape(tmp_path / "down.jsonl", Header(1, "t", "t", NOW), [*frames, *pages, Frame(31, "server", down=True)])
    gone = play(tmp_path / "down.jsonl", 600.0, RecordedSources)
    read_at = [reading.observed_at for reading in gone.readings if reading.source == "gpu/dcgm"]
    assert max(read_at) == NOW + timedelta(seconds=31), "nobody reads pages through a server that is gone"


async def test_check_asks_at_urls(tmp_path: Path) -> None:
    async with Simulator(gpu_cluster()) as simulator, Loopback({"/metrics": http(dcgm_page(8, SICK))}) as server:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        given = ("--dcgm", server.url, "--prometheus", "http://127.0.0.1:1")
        finished = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "-o", "json", *given)
    report = json.loads(finished.out)
    assert "gpu-memory-errors" in {cause["rule"] for cause in report["causes"]}
    errors = {source["name"]: source["error"] for source in report["sources"]}
    assert "connection refused" in errors["gpu/prometheus"]


async def test_a_url_that_is_none_ends_it(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1")
    finished = await midwatch(tmp_path, "check", "--kubeconfig", "kubeconfig", "--dcgm", "gpu-07:9400")
    assert finished.code == 64
    assert finished.complaint.startswith("--dcgm 'gpu-07:9400': not a URL")


async def test_the_doctor_tells_which_ways_are_open(tmp_path: Path) -> None:
    async with Simulator(gpu_cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer(PROXY, 200, dcgm_page(8)))
        open_ = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
        message = '{"kind":"Status","message":"no"}'
        simulator.faults.answers.append(Answer(PROXY, 403, message, times=None))
        given = ("--prometheus", "http://127.0.0.1:1")
        shut = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", *given)
    assert line_of(open_, "GPU exporters").endswith("8 GPUs on 1 node")
    assert line_of(open_, "GPUs of this host").startswith("✓")
    assert "RBAC: verb get, resource pods/proxy" in line_of(shut, "GPU exporters")
    assert line_of(shut, "GPUs in Prometheus").startswith("● ")
    assert shut.code == 0, "nothing else needs them"
