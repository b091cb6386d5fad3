"""A machine whose clock is wrong sees the same faults as one whose clock is right, and says so."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.kubernetes.cluster_clock import ClusterClock
from simulator.cluster import Cluster
from simulator.server import Simulator
from situation.clock import utc_now
from situation.readings import SourceState
from situation.situation import Situation
from tests.build import NOW, ago, node, pod
from tests.tui.cockpits import open_cockpit, screen_text, until
from tests.tui.commands import write_kubeconfig
from tui.collect import collect_once
from tui.connection import KubernetesConnection
from tui.feed import Feed
from tui.report import Report

SKEWS = [690.0, -690.0]
LIMIT = {"resources": {"limits": {"memory": "32Mi"}}}


def manifests() -> Iterator[dict[str, Any]]:
    """Faults of the last minutes: each is told by how long something has lasted, or by how long ago it was."""
    age_s = (NOW - utc_now()).total_seconds()  # `ago` counts from NOW
    yield node("node-1")
    killed = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(age_s + 40), "finishedAt": ago(age_s + 12)}
    running = {"running": {"startedAt": ago(age_s + 10)}}
    again = {"restartCount": 3, "state": running, "lastState": {"terminated": killed}}
    yield pod("cart", age_s=age_s + 240, container=LIMIT, container_status=again)
    yield pod("web", age_s=age_s + 240, ready=False)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "message": "0/1 nodes are available: 1 Insufficient cpu.",
                 "lastTransitionTime": ago(age_s + 240)}  # fmt: skip
    yield pod("big", age_s=age_s + 240, node="", phase="Pending", ready=False,
              status={"conditions": [condition], "containerStatuses": []},
              container={"resources": {"requests": {"cpu": "900"}}})  # fmt: skip


def cluster() -> Cluster:
    made = Cluster()
    for manifest in manifests():
        made.put("nodes" if manifest["kind"] == "Node" else "pods", manifest)
    return made


def connection(folder: Path, server: Simulator, skew_s: float) -> KubernetesConnection:
    kubeconfig = write_kubeconfig(folder / "kubeconfig", server.url, user={"token": server.token})
    clock = ClusterClock(lambda: utc_now() + timedelta(seconds=skew_s))
    return KubernetesConnection(str(kubeconfig), clock=clock)


async def checked(folder: Path, skew_s: float) -> tuple[list[str], list[str], Situation]:
    """Return the rules of the causes, the lines of the text report, and what was seen."""
    async with Simulator(cluster()) as server:
        way = connection(folder, server, skew_s)
        feed = Feed(way.clock)
        async with way(feed.publish) as connected:
            await collect_once(feed, connected, 20.0)
        report = Report(feed.situation, feed.diagnosis, connected.target, way.clock())
    return sorted(cause.rule for cause in feed.diagnosis.causes), list(report.text()), feed.situation


@pytest.mark.parametrize("skew_s", SKEWS, ids=["ahead", "behind"])
async def test_a_check_on_a_machine_with_a_wrong_clock_finds_the_same(tmp_path: Path, skew_s: float) -> None:
    right, told, _ = await checked(tmp_path, 0.0)
    assert len(right) == 3 and not any("our clock" in line for line in told)
    wrong, told, known = await checked(tmp_path, skew_s)
    assert wrong == right
    side = "ahead" if skew_s > 0 else "behind"
    assert any(line.startswith("note: our clock ") and f" {side}: times and ages" in line for line in told)
    assert all(abs((utc_now() - item.observed_at).total_seconds()) < 60 for item in known.sources.values()
               if item.state is SourceState.LIVE and item.observed_at is not None)  # fmt: skip


async def test_the_cockpit_shows_the_clusters_time_and_how_far_ours_is_off(tmp_path: Path) -> None:
    async with Simulator(cluster()) as server:
        way = connection(tmp_path, server, -690.0)
        async with open_cockpit(way, tmp_path, clock=way.clock) as pilot:
            await until(pilot, lambda: "our clock 11m behind" in screen_text(pilot).splitlines()[0])
            assert f"{utc_now():%H:%M}:" in screen_text(pilot).splitlines()[0]
            await until(pilot, lambda: "big " in screen_text(pilot))


async def test_a_server_that_hangs_holds_up_nothing_else(tmp_path: Path) -> None:
    """Its time is not known then, and ours counts; what needs no server is read all the same."""
    async with Simulator(Cluster()) as server:
        server.faults.hang.append("/")
        way, heard = connection(tmp_path, server, 0.0), asyncio.Queue[str]()
        async with asyncio.timeout(10), way(lambda reading: heard.put_nowait(reading.source)) as connected:
            assert connected.target.context == "prod"
            while await heard.get() != "control-plane/local":
                pass
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
