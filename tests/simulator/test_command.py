"""`python -m simulator` as a child process, and a stock kubectl against the server."""

import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from simulator.__main__ import main
from simulator.cluster import Cluster
from simulator.server import Simulator
from tests.build import event, node, pod

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = (await child.stdout.readline()).decode()
        word, _, url = line.strip().partition(" ")
        assert word == "ready", line
        yield child, url
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_it_says_where_it_listens_and_stops_when_told(tmp_path: Path) -> None:
    path = tmp_path / "config"
    async with started("faults_a", "--kubeconfig", str(path), "--bookmarks", "0.5") as (child, url):
        assert url in path.read_text()
        assert "shop-prod" in path.read_text()
        async with aiohttp.ClientSession(url) as client, client.get("/api/v1/namespaces/shop/pods") as response:
            assert len((await response.json())["items"]) >= 6
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await child.wait() == 0


async def test_it_stops_when_its_parent_is_gone() -> None:
    async with started("--nodes", "3", "--pods", "10", "--churn", "100") as (child, url):
        async with aiohttp.ClientSession(url) as client, client.get("/api/v1/pods") as response:
            assert len((await response.json())["items"]) == 10
        assert child.stdin is not None
        child.stdin.close()
        async with asyncio.timeout(10):
            assert await child.wait() == 0


def test_an_unknown_incident(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["none"]) == 64
    assert "there are: api_outage, api_overloaded, etcd_" in capsys.readouterr().err


def test_a_file_that_is_no_tape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text("hello\n")
    assert main([str(path)]) == 1
    assert "not a tape" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["faults_a", "--speed", "0"], ["--nodes", "1", "--churn", "-1"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "usage:" in capsys.readouterr().err


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator["Kubectl"]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    cluster = Cluster()
    ended = {"terminated": {"exitCode": 1}}
    cluster.put("pods", pod("web-1", container_status={"restartCount": 2, "lastState": ended}))
    cluster.put("nodes", node())
    cluster.put("events", event("Pod/web-1", "BackOff", "Back-off restarting"))
    cluster.put("services", {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}})
    cluster.put(
        "deployments",
        {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 2}, "status": {"readyReplicas": 1}},
    )
    endpoints = {"endpoints": [{"addresses": ["10.0.0.7"]}], "ports": [{"port": 8080}]}
    cluster.put("endpointslices", {"metadata": {"name": "web-0", "namespace": "shop"}, **endpoints})
    cluster.logs["shop/web-1"] = "hello from web\n"
    async with Simulator(cluster, token=None) as simulator:
        simulator.write_kubeconfig(tmp_path / "config")
        yield Kubectl(tmp_path)


class Kubectl:
    """Runs kubectl on the simulator."""

    def __init__(self, folder: Path) -> None:
        self._fixed = ("kubectl", "--kubeconfig", str(folder / "config"), "--cache-dir", str(folder / "cache"))

    async def __call__(self, line: str) -> str:
        child = await asyncio.create_subprocess_exec(*self._fixed, *line.split(), stdout=PIPE, stderr=STDOUT)
        async with asyncio.timeout(30):
            text = (await child.communicate())[0].decode()
        assert child.returncode == 0, text
        return text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("get pods -A", ["NAMESPACE", "shop", "web-1", "1/1", "Running", "2"]),
        ("get pods -A -o wide", ["NODE", "node-1"]),
        ("get pods -n shop -l app=web -o name", ["pod/web-1"]),
        ("get nodes", ["node-1", "Ready"]),
        ("get endpointslices -A", ["web-0", "ENDPOINTS", "10.0.0.7", "8080"]),
        ("get events -A", ["BackOff", "pod/web-1", "Back-off restarting"]),
        ("get events -n shop --sort-by .lastTimestamp", ["BackOff", "pod/web-1", "Back-off restarting"]),
        ("get pods -A --sort-by=.status.phase", ["web-1", "Running"]),
        ("get pods -A --sort-by=.metadata.creationTimestamp", ["web-1", "Running"]),
        ("get deploy,svc -A", ["deployment.apps/web", "1/2", "service/web", "80/TCP"]),
        ("describe pod -n shop web-1", ["Node:", "node-1", "Restart Count:  2", "BackOff"]),
        ("describe node node-1", ["Ready", "web-1", "Allocatable:"]),
        ("logs -n shop web-1 -c app", ["hello from web"]),
        ("logs -n shop web-1 --previous", ["hello from web"]),
        ("top pod -n shop web-1 --containers", ["web-1", "app", "m ", "Mi"]),
        ("top pods -A --sort-by=memory", ["NAMESPACE", "shop", "web-1"]),
        ("top node", ["node-1", "%"]),
        ("get ns", ["No resources found"]),
        ("get --raw /readyz?verbose", ["readyz check passed"]),
    ],
)
async def test_a_stock_kubectl_works(kubectl: Kubectl, line: str, expected: list[str]) -> None:
    text = await kubectl(line)
    assert [word for word in expected if word not in text] == [], text
