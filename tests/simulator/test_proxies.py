"""The pod proxy: recorded pages, DCGM exporters that are made up, and what the API server says of the rest."""

import asyncio
import re
import shutil
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from collectors.vllm.page import parse_server_page
from simulator.cluster import Cluster, GpuFacts, Manifest
from simulator.dcgm import Exporters, gpu_uuid
from simulator.model_servers import ModelServers, server_at
from simulator.pages import Page
from simulator.server import Simulator
from tape.format import PageName, page_name
from tape.serving import slim_serving_page
from tests.build import meta, pod
from tests.simulator.client import get, session

SAMPLE: Final = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
EXPORTER: Final = "/api/v1/namespaces/gpu-operator/pods/nvidia-dcgm-exporter-x7k2p"
VLLM: Final = PageName("serving", "vllm-0", 8000)
SERVER: Final = "/api/v1/namespaces/serving/pods/vllm-0"


def gpu_node(gpus: int = 8) -> Manifest:
    labels = {
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.memory": "81559",
    }
    return {"kind": "Node", "metadata": meta("gpu-1", labels=labels), "status": {"capacity": {"nvidia.com/gpu": "8"}}}


def exporter(*, is_ready: bool = True) -> Manifest:
    container = {"name": "nvidia-dcgm-exporter", "ports": [{"name": "metrics", "containerPort": 9400}]}
    made = pod(
        "nvidia-dcgm-exporter-x7k2p",
        namespace="gpu-operator",
        node="gpu-1",
        labels={"app": "nvidia-dcgm-exporter"},
        container=container,
    )
    made["status"]["podIP"] = "10.244.1.9"
    made["status"]["conditions"] = [{"type": "Ready", "status": "True" if is_ready else "False"}]
    return made


def user(name: str, gpus: int, uuids: tuple[str, ...] = (), **over: str) -> Manifest:
    limits = {"limits": {"nvidia.com/gpu": str(gpus)}}
    made = pod(
        name, namespace="serving", node=over.get("node", "gpu-1"), container={"name": "vllm", "resources": limits}
    )
    made["status"] |= {"phase": over.get("phase", "Running"), "podIP": "10.244.1.20"}
    if uuids:
        devices = [{"resourceID": uuid, "health": "Healthy"} for uuid in uuids]
        made["status"]["containerStatuses"][0]["allocatedResourcesStatus"] = [{"name": "x", "resources": devices}]
    return made


@pytest.fixture
def filled(simulator: Simulator) -> Simulator:
    simulator.cluster.put("nodes", gpu_node())
    simulator.cluster.put("pods", exporter())
    return simulator


async def samples(simulator: Simulator, name: str) -> dict[int, tuple[float, str]]:
    """Value and labels by GPU."""
    status, text = await get(simulator, f"{EXPORTER}:9400/proxy/metrics")
    assert status == 200, text
    found = [match for line in text.splitlines() if (match := SAMPLE.match(line)) and match[1] == name]
    return {int(match[2].split('"')[1]): (float(match[3]), match[2]) for match in found}


async def test_an_exporter_shows_every_gpu_and_who_holds_it(filled: Simulator) -> None:
    filled.cluster.put("pods", user("vllm-a", 2))
    filled.cluster.put("pods", user("vllm-b", 1, (gpu_uuid("gpu-1", 5),)))
    filled.cluster.put("pods", user("gone", 4, phase="Succeeded"))
    filled.cluster.put("pods", user("elsewhere", 4, node="gpu-2"))
    found = await samples(filled, "DCGM_FI_DEV_GPU_UTIL")
    assert sorted(found) == list(range(8))
    held = {number: re.findall(r'pod="([^"]+)"', labels) for number, (_, labels) in found.items()}
    assert held == {0: ["vllm-a"], 1: ["vllm-a"], 5: ["vllm-b"], **{number: [] for number in (2, 3, 4, 6, 7)}}
    assert all((util > 50) is bool(held[number]) for number, (util, _) in found.items())
    assert 'modelName="NVIDIA H100 80GB HBM3",Hostname="gpu-1"' in found[0][1]
    assert 'container="vllm",namespace="serving"' in found[0][1]
    used = await samples(filled, "DCGM_FI_DEV_FB_USED")
    rest = [await samples(filled, f"DCGM_FI_DEV_FB_{kind}") for kind in ("FREE", "RESERVED")]
    assert all(used[number][0] + sum(part[number][0] for part in rest) == 81559 for number in used)


async def test_a_pod_that_goes_frees_its_gpus(filled: Simulator) -> None:
    filled.cluster.put("pods", user("vllm-a", 8))
    assert all(value > 50 for value, _ in (await samples(filled, "DCGM_FI_DEV_GPU_UTIL")).values())
    filled.cluster.delete("pods", "serving", "vllm-a")
    assert {value for value, _ in (await samples(filled, "DCGM_FI_DEV_GPU_UTIL")).values()} == {0.0}


async def test_what_only_the_tape_knows(filled: Simulator) -> None:
    filled.cluster.gpus["gpu-1"] = {3: GpuFacts(xid=79, lost=True), 4: GpuFacts(memory_used_mib=80_900)}
    assert sorted(await samples(filled, "DCGM_FI_DEV_GPU_UTIL")) == [0, 1, 2, 4, 5, 6, 7]
    xids = await samples(filled, "DCGM_FI_DEV_XID_ERRORS")
    assert {number: value for number, (value, _) in xids.items()} == {**dict.fromkeys(range(8), 0.0), 3: 79.0}
    assert (await samples(filled, "DCGM_FI_DEV_FB_USED"))[4][0] == 80_900


def test_utilisation_moves_a_little_with_time(filled: Simulator) -> None:
    now = [0.0]
    filled.cluster.put("pods", user("vllm-a", 1))
    exporters = Exporters(filled.cluster, lambda: now[0])
    seen = set()
    for now[0] in range(0, 40, 5):
        found = re.search(r'DCGM_FI_PROF_GR_ENGINE_ACTIVE\{gpu="0".*\} (\S+)', exporters.page(exporter()))
        assert found
        seen.add(float(found[1]))
    assert 0.05 < max(seen) - min(seen) < 0.15


async def test_the_port_may_be_left_to_the_pod(filled: Simulator) -> None:
    for target in (EXPORTER, f"{EXPORTER}:9400", EXPORTER.replace("nvidia-dcgm", "http:nvidia-dcgm") + ":9400"):
        status, text = await get(filled, f"{target}/proxy/metrics")
        assert (status, text[:6]) == (200, "# HELP")
    assert await get(filled, f"{EXPORTER}/proxy/health") == (200, "OK")
    assert await get(filled, f"{EXPORTER}/proxy/else") == (404, "404 page not found\n")


async def test_without_a_path_it_is_moved_to_the_one_with_a_slash(filled: Simulator) -> None:
    async with session(filled) as client:
        async with client.get(f"{EXPORTER}:9400/proxy", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (301, f"{EXPORTER}:9400/proxy/")


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        (
            f"{EXPORTER}:5555",
            503,
            "error trying to reach service: dial tcp 10.244.1.9:5555: connect: connection refused",
        ),
        (f"{EXPORTER}:metrics", 503, "error trying to reach service: dial tcp: lookup tcp/metrics: unknown port"),
        (
            EXPORTER.replace("nvidia-dcgm", "https:nvidia-dcgm") + ":9400",
            503,
            "error trying to reach service: tls: first record does not look like a TLS handshake",
        ),
        (EXPORTER.replace("nvidia-dcgm", "ftp:nvidia-dcgm") + ":9400", 400, "invalid pod request"),
        (f"{EXPORTER}:9400:1:2", 400, "invalid pod request"),
        (EXPORTER.replace("x7k2p", "other"), 404, 'pods "nvidia-dcgm-exporter-other" not found'),
        (EXPORTER.replace("nvidia-dcgm-exporter-x7k2p", "bare:80"), 400, "address not allowed"),
    ],
)
async def test_what_does_not_answer(filled: Simulator, target: str, status: int, message: str) -> None:
    filled.cluster.put("pods", pod("bare", namespace="gpu-operator"))
    code, found = await get(filled, f"{target}/proxy/metrics")
    assert (code, found["code"]) == (status, status)
    assert message in found["message"]


async def test_an_exporter_that_is_not_ready_refuses(filled: Simulator) -> None:
    filled.cluster.put("pods", exporter(is_ready=False))
    status, found = await get(filled, f"{EXPORTER}:9400/proxy/metrics")
    assert (status, found["reason"]) == (503, "ServiceUnavailable")
    assert found["message"].endswith("connect: connection refused")


async def test_the_proxy_is_forbidden_on_its_own(filled: Simulator) -> None:
    filled.faults.forbid.add("pods/proxy")
    status, found = await get(filled, f"{EXPORTER}:9400/proxy/metrics")
    assert status == 403
    assert 'pods "nvidia-dcgm-exporter-x7k2p:9400" is forbidden' in found["message"]
    assert 'cannot get resource "pods/proxy" in API group "" in the namespace "gpu-operator"' in found["message"]
    assert (await get(filled, EXPORTER))[0] == 200


async def test_it_needs_etcd_to_find_the_pod(filled: Simulator) -> None:
    filled.faults.freeze_etcd, filled.faults.freeze_timeout_s = True, 0.05
    assert (await get(filled, f"{EXPORTER}:9400/proxy/metrics"))[0] == 504


async def test_recorded_pages(filled: Simulator) -> None:
    root = "/api/v1/namespaces/serving/pods/vllm-0:8000/proxy"
    filled.cluster.put("pods", user("vllm-0", 1))
    assert (await get(filled, f"{root}/metrics"))[0] == 503
    filled.cluster.pages[VLLM] = Page(200, "vllm:num_requests_running 3\n")
    assert await get(filled, f"{root}/metrics") == (200, "vllm:num_requests_running 3\n")
    assert (await get(filled, f"{root}/health"))[0] == 404
    filled.cluster.pages[VLLM._replace(path="/health")] = Page(503)
    assert await get(filled, f"{root}/health") == (503, "")
    filled.cluster.pages[VLLM] = Page(error="i/o timeout")
    status, found = await get(filled, f"{root}/metrics")
    assert (status, found["message"]) == (503, "error trying to reach service: dial tcp 10.244.1.20:8000: i/o timeout")


def vllm_server(*flags: str, is_ready: bool = True) -> Manifest:
    made = user("vllm-0", 1)
    arguments = ["--model=meta-llama/Llama-3.1-8B", "--served-model-name=llama-8b", "--port=8000", *flags]
    made["spec"]["containers"][0] |= {"image": "vllm/vllm-openai:v0.32.0", "args": arguments}
    running = {"running": {"startedAt": "2026-11-23T02:00:00Z"}}
    made["status"]["containerStatuses"] = [{"name": "vllm", "ready": is_ready, "state": running}]
    return made


async def test_a_vllm_server_of_which_nothing_was_recorded_is_in_order(filled: Simulator) -> None:
    filled.cluster.put("pods", vllm_server())
    status, text = await get(filled, f"{SERVER}:8000/proxy/metrics")
    page = parse_server_page(text.encode(), "made up")
    (engine,) = page.engines
    assert (status, engine.model, engine.waiting, engine.preemptions) == (200, "llama-8b", 0, 0)
    assert engine.running and engine.kv_usage_ratio and engine.ttft and engine.itl and engine.e2e and engine.cache
    assert page.started_at == datetime(2026, 11, 23, 2, tzinfo=UTC).timestamp()
    assert slim_serving_page(text) == text
    assert await get(filled, f"{SERVER}:8000/proxy/health") == (200, "")
    assert await get(filled, f"{SERVER}:8000/proxy/version") == (200, {"version": "0.32.0"})
    _, models = await get(filled, f"{SERVER}:8000/proxy/v1/models")
    assert models["data"][0]["id"] == "llama-8b"
    assert (await get(filled, f"{SERVER}:8000/proxy/load"))[0] == 404
    assert (await get(filled, f"{SERVER}:8001/proxy/metrics"))[0] == 503


def test_its_counters_never_fall() -> None:
    now, page = [0.0], b""
    servers, manifest = ModelServers(lambda: now[0]), vllm_server()
    spec = server_at(manifest, 8000)
    assert spec is not None
    tokens = []
    for now[0] in range(1_800_000_000, 1_800_000_100, 10):
        found = servers.answer(manifest, spec, "/metrics")
        assert found is not None
        page = found.text.encode()
        tokens.append(parse_server_page(page, "made up").engines[0].generation_tokens or 0)
    assert all(after > before for before, after in pairwise(tokens))


async def test_a_server_with_a_key_tells_nobody_its_models(filled: Simulator) -> None:
    filled.cluster.put("pods", vllm_server("--api-key=x"))
    assert await get(filled, f"{SERVER}:8000/proxy/v1/models") == (401, {"error": "Unauthorized"})
    assert (await get(filled, f"{SERVER}:8000/proxy/metrics"))[0] == 200


async def test_a_server_that_is_not_ready_refuses(filled: Simulator) -> None:
    filled.cluster.put("pods", vllm_server(is_ready=False))
    status, found = await get(filled, f"{SERVER}:8000/proxy/health")
    assert (status, found["message"].rpartition(": dial ")[2]) == (
        503,
        "tcp 10.244.1.20:8000: connect: connection refused",
    )


async def test_a_server_with_a_tls_key_speaks_only_tls(filled: Simulator) -> None:
    filled.cluster.put("pods", vllm_server("--ssl-keyfile=/tls/key.pem"))
    status, found = await get(filled, f"{SERVER}:8000/proxy/health")
    assert (status, found["message"]) == (503, "error trying to reach service: EOF")
    assert await get(filled, f"{SERVER.replace('vllm-0', 'https:vllm-0')}:8000/proxy/health") == (200, "")


async def test_a_server_that_hangs_never_answers(filled: Simulator) -> None:
    filled.cluster.put("pods", vllm_server())
    filled.cluster.pages[VLLM] = Page(error="hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await get(filled, f"{SERVER}:8000/proxy/metrics")
    filled.cluster.pages[VLLM] = Page(200, "vllm:num_requests_running 3\n")
    assert (await get(filled, f"{SERVER}:8000/proxy/metrics"))[0] == 200


@pytest.mark.parametrize("name", [VLLM, PageName("a", "b", 1, "/"), PageName("a", "b", 80, "/v1/models")])
def test_names_of_pages_survive_a_tape(name: PageName) -> None:
    assert page_name(name.source) == name


@pytest.mark.parametrize("source", ["logs", "page/", "page/a/b/metrics", "page/a/b:x/metrics", "page/a/b:80", "gpus/a"])
def test_other_sources_are_no_pages(source: str) -> None:
    assert page_name(source) is None


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    cluster = Cluster()
    cluster.put("nodes", gpu_node())
    cluster.put("pods", exporter())
    async with Simulator(cluster, token=None) as server:
        server.write_kubeconfig(tmp_path / "config")
        yield tmp_path / "config"


async def test_a_stock_kubectl_reads_it(kubeconfig: Path) -> None:
    async def raw(path: str) -> str:
        command = ("kubectl", "--kubeconfig", str(kubeconfig), "get", "--raw", path)
        child = await create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
        return (await child.communicate())[0].decode()

    assert "DCGM_FI_DEV_GPU_UTIL{gpu=" in await raw(f"{EXPORTER}:9400/proxy/metrics")
    refused = await raw(f"{EXPORTER}:1/proxy/metrics")
    assert refused.startswith("Error from server (ServiceUnavailable): error trying to reach service: dial tcp")
