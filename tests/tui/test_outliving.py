"""The cockpit outlives the API server, and says of etcd what it says itself: a real one beside a simulated cluster."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from collectors.etcd.options import EtcdOptions
from simulator.cluster import Cluster
from simulator.server import Simulator
from situation.findings import Diagnosis, Layer, LayerState, LayerStatus
from situation.readings import SourceState
from situation.situation import Situation
from tests.build import node, pod
from tests.collectors.kubeconfigs import needs_openssl
from tests.real_etcd import RealEtcd
from tests.tui.cockpits import open_cockpit, screen_text, until
from tests.tui.commands import write_kubeconfig
from tui.app import Cockpit
from tui.connection import KubernetesConnection

pytestmark = needs_openssl

LONG = 600
"""Attempts of `until`: half a minute, for a machine that is busy."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def etcd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealEtcd]:
    """Three members; a test that stops some lets them go on."""
    async with RealEtcd(tmp_path_factory.mktemp("etcd")) as running_etcd:
        yield running_etcd


def connection_of(kubeconfig: Path, etcd: RealEtcd) -> KubernetesConnection:
    return KubernetesConnection(
        str(kubeconfig), etcd=EtcdOptions(etcd.endpoints, etcd.cacert, etcd.cert, etcd.key, kubernetes_dir=kubeconfig)
    )


def layer_4(diagnosis: Diagnosis) -> LayerStatus:
    return next(item for item in diagnosis.layers if item.layer is Layer.CONTROL_PLANE)


def rules(diagnosis: Diagnosis) -> set[str]:
    return {cause.rule for cause in diagnosis.causes}


def sources_of(etcd: RealEtcd) -> list[str]:
    return [f"etcd/127.0.0.1:{member.client_port}" for member in etcd.members]


def are_live(names: list[str], situation: Situation, since: datetime | None = None) -> bool:
    found = [situation.source(name) for name in names]
    return all(
        item.state is SourceState.LIVE and (since is None or (item.observed_at or since) > since) for item in found
    )


async def test_the_api_server_dies_and_comes_back_while_the_cockpit_stays_open(tmp_path: Path, etcd: RealEtcd) -> None:
    cluster = Cluster()
    cluster.put("nodes", node("node-1"))
    cluster.put("pods", pod("web-1"))
    async with Simulator(cluster) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        connection = connection_of(tmp_path / "kubeconfig", etcd)
        async with open_cockpit(connection, tmp_path / "state", now=None) as pilot:
            app = cast(Cockpit, pilot.app)
            known, members = app.feed.situation, sources_of(etcd)
            await until(pilot, lambda: are_live(members, known), LONG)

            await simulator.down()
            died_at = app.feed.diagnosis.judged_at
            await until(pilot, lambda: "api-unreachable" in rules(app.feed.diagnosis), LONG)
            await until(pilot, lambda: are_live(members, known, died_at), LONG)
            assert layer_4(app.feed.diagnosis).status is LayerState.FINDINGS
            assert known.source("pods").state is SourceState.UNREACHABLE
            assert ("shop", "web-1") in known.pods
            await until(pilot, lambda: "API server has not answered for" in screen_text(pilot), LONG)
            shown = screen_text(pilot)
            assert "web-1" in shown, "the last state stays"
            assert "unreachable " in shown, "with its state and age"

            cluster.put("pods", pod("web-2"))
            await simulator.up()
            await until(pilot, lambda: ("shop", "web-2") in known.pods, LONG)
            await until(pilot, lambda: "api-unreachable" not in rules(app.feed.diagnosis), LONG)
            assert known.source("pods").state is SourceState.LIVE


async def test_etcd_is_live_in_a_cockpit_that_was_opened_after_the_api_server_died(
    tmp_path: Path, etcd: RealEtcd
) -> None:
    write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1")
    connection = connection_of(tmp_path / "kubeconfig", etcd)
    async with open_cockpit(connection, tmp_path / "state", now=None, until_known=False) as pilot:
        app = cast(Cockpit, pilot.app)
        await until(pilot, lambda: are_live(sources_of(etcd), app.feed.situation), LONG)
        await until(pilot, lambda: "API server does not answer" in screen_text(pilot), LONG)
        states = {item.layer: item.status for item in app.feed.diagnosis.layers}
        assert states.pop(Layer.CONTROL_PLANE) is LayerState.FINDINGS
        assert set(states.values()) == {LayerState.UNKNOWN}


async def test_a_quorum_that_is_stopped_is_on_the_screen_and_goes_when_it_is_back(
    tmp_path: Path, etcd: RealEtcd
) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        # The API server of a cluster whose etcd is frozen says so itself, as a real one does.
        connection = connection_of(tmp_path / "kubeconfig", etcd)
        async with open_cockpit(connection, tmp_path / "state", now=None, until_known=False) as pilot:
            app = cast(Cockpit, pilot.app)
            await until(pilot, lambda: are_live(sources_of(etcd), app.feed.situation), LONG)
            leader = await etcd.leader()
            other = next(member for member in etcd.members if member != leader)
            simulator.faults.freeze_etcd = True
            stopped = (leader, other)
            for member in stopped:
                etcd.pause(member)
            try:
                await until(pilot, lambda: "etcd-quorum-lost" in rules(app.feed.diagnosis), LONG)
                await until(pilot, lambda: "etcd has lost quorum" in screen_text(pilot), LONG)
                await until(pilot, lambda: ": quorum lost" in screen_text(pilot), LONG)
                assert layer_4(app.feed.diagnosis).status is LayerState.FINDINGS
            finally:
                simulator.faults.freeze_etcd = False
                for member in stopped:
                    etcd.resume(member)
            await until(pilot, lambda: "etcd-quorum-lost" not in rules(app.feed.diagnosis), LONG)
    await etcd.until_healthy()
