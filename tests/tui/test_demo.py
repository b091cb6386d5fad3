"""`midwatch demo`: the simulated cluster beside the cockpit, and commands copied from it that really run."""

import asyncio
import json
import os
import shlex
import shutil
import ssl
from asyncio.subprocess import PIPE
from pathlib import Path

import aiohttp
import pytest

from simulator.scenarios import SCENARIOS
from tests.tui.commands import DEADLINE_S, environment, midwatch
from tui.demo import list_scenarios, simulated_cluster
from tui.etcd_options import EtcdArguments
from tui.exits import UsageProblem


def test_every_scenario_has_a_title() -> None:
    lines = list(list_scenarios())
    assert [line.split()[0] for line in lines] == sorted(SCENARIOS)
    assert {"api_outage", "faults_a", "gpu_driver_nouveau", "gpu_lost"} <= set(SCENARIOS)
    assert all(len(line.split()) > 3 and len(line) < 140 for line in lines)


def test_a_simulator_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"the simulator did not start: .*nothing"):
        with simulated_cluster(["nothing"], tmp_path / "kubeconfig"):
            raise AssertionError("it must not come this far")


async def test_the_cluster_ends_with_the_demo(tmp_path: Path) -> None:
    with simulated_cluster(["faults_a"], tmp_path / "kubeconfig") as simulated:
        async with aiohttp.ClientSession(simulated.url) as client, client.get("/version") as answer:
            assert answer.status == 200
    async with aiohttp.ClientSession(simulated.url) as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("/version")


async def test_the_way_to_etcd_comes_with_the_cluster(tmp_path: Path) -> None:
    with simulated_cluster(["etcd_nospace"], tmp_path / "kubeconfig") as simulated:
        etcd = simulated.etcd
        assert etcd.cacert and etcd.cert and etcd.key
        assert len(etcd.endpoints) == len(etcd.metrics) == 3
        context = ssl.create_default_context(cafile=etcd.cacert)
        context.load_cert_chain(etcd.cert, etcd.key)
        async with aiohttp.ClientSession() as client:
            for url in (*etcd.endpoints, *etcd.metrics):
                async with client.get(f"{url}/health", ssl=context) as answer:
                    assert answer.status == 200


def test_a_cluster_without_etcd_has_no_way_to_it(tmp_path: Path) -> None:
    with simulated_cluster(["faults_a"], tmp_path / "kubeconfig") as simulated:
        assert simulated.etcd == EtcdArguments()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs a stock kubectl")
async def test_a_copied_command_runs(tmp_path: Path) -> None:
    """The first command of each cause, as a shell would run it."""
    kubeconfig = tmp_path / "kubeconfig"
    with simulated_cluster(["faults_a", "--speed", "100"], kubeconfig):
        async with asyncio.timeout(DEADLINE_S):
            while not (report := await _report(tmp_path, kubeconfig))["causes"]:
                pass  # the incident is still building up; each report takes a moment
        commands = [cause["next"][0]["command"] for cause in report["causes"]]
        outcomes = await asyncio.gather(*(_run(command, tmp_path) for command in commands))
    failed = {
        command: said
        for command, (code, said) in zip(commands, outcomes, strict=True)
        if code != 0 and "NotFound" not in said and " get secret " not in command  # the simulator holds no Secrets
    }
    assert failed == {}
    assert any(code == 0 for code, _ in outcomes)


async def _report(home: Path, kubeconfig: Path) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    finished = await midwatch(home, "check", "--kubeconfig", str(kubeconfig), "-o", "json")
    made: dict[str, list[dict[str, list[dict[str, str]]]]] = json.loads(finished.out)
    return made


async def _run(command: str, home: Path) -> tuple[int | None, str]:
    child = await asyncio.create_subprocess_exec(
        *shlex.split(command), stdout=PIPE, stderr=PIPE, env={**environment(home), "PATH": os.environ["PATH"]}
    )
    async with asyncio.timeout(DEADLINE_S):
        _, err = await child.communicate()
    return child.returncode, err.decode()
