"""Generated clusters of any size, as varied and as heavy as real ones, and the changes that go on in them."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any, Final

from simulator.cluster import Cluster, Manifest
from simulator.fleet import gpu_fleet
from simulator.templates import ManifestMaker
from simulator.wire import stamp_text
from situation.kinds import NAMES_OF

REPLICAS: Final = (1, 2, 3, 4, 8, 12, 20, 40)
EVENTS_KEPT: Final = 2000
TICK_S: Final = 0.05
_SHARE_OF_RESTARTS: Final = 0.01
_SHARE_OF_EVENTS: Final = 0.1
_TABLES: Final = {kind: names[0] for kind, names in NAMES_OF.items()}


def generate(
    nodes: int = 1000,
    pods: int = 10_000,
    pod_bytes: int = 7000,
    *,
    gpu_nodes: int = 0,
    seed: int = 0,
    now: datetime | None = None,
) -> Cluster:
    """Return a cluster with that many nodes and pods, and in it a handful of faults.

    `gpu_nodes` more nodes (`gpu-0000` ...) carry the GPU Operator's nine components each, all in order.

    `pod_bytes` is the size of a pod's JSON, most of it managed fields and annotations as on a real cluster. The same
    arguments give the same cluster; `now` is the time that all ages count from.
    """
    make = ManifestMaker(random.Random(seed), now or datetime.now(UTC), pod_bytes)  # noqa: S311 - no secrets here
    cluster = Cluster()
    for manifest in make.cluster_wide(nodes):
        _put(cluster, manifest)
    for manifest in gpu_fleet(make, gpu_nodes):
        _put(cluster, manifest)
    names = [f"node-{index:04}" for index in range(nodes)]
    left, index = pods, 0
    while left > 0:
        replicas = min(left, make.random.choice(REPLICAS))
        placed = [make.random.choice(names) if names else "" for _ in range(replicas)]
        for manifest in make.workload(index, placed):
            _put(cluster, manifest)
        left -= replicas
        index += 1
    return cluster


async def churn(cluster: Cluster, per_s: float, *, seed: int = 0) -> None:
    """Change pods and add events, `per_s` of them each second, until cancelled. None at 0."""
    source = random.Random(seed)  # noqa: S311 - no secrets here
    loop = asyncio.get_running_loop()
    started, done = loop.time(), 0
    while True:
        await asyncio.sleep(TICK_S)
        due = int((loop.time() - started) * per_s)
        for _ in range(min(due - done, int(per_s) + 1)):
            churn_once(cluster, source, datetime.now(UTC))
        done = due


def churn_once(cluster: Cluster, source: random.Random, now: datetime) -> None:
    """Make one change: a restart, a changed condition, or an event."""
    table = cluster.table("pods")
    if not table.objects:
        return
    key = source.choice(table.keys())
    manifest = table.objects[key].manifest()
    kind = source.random()
    if kind < _SHARE_OF_EVENTS:
        _add_event(cluster, manifest, source, now)
    elif kind < _SHARE_OF_EVENTS + _SHARE_OF_RESTARTS:
        _restart(manifest, now)
        cluster.put("pods", manifest)
    else:
        for condition in manifest.get("status", {}).get("conditions", []):
            condition["lastProbeTime"] = stamp_text(now)
        cluster.put("pods", manifest)


def _put(cluster: Cluster, manifest: Manifest) -> None:
    cluster.put(_TABLES[manifest["kind"]], manifest)


def _restart(manifest: Manifest, now: datetime) -> None:
    for status in manifest.get("status", {}).get("containerStatuses", []):
        running: dict[str, Any] | None = status.get("state", {}).get("running")
        if running is None:
            continue
        ended = {"exitCode": 1, "reason": "Error", "startedAt": running["startedAt"], "finishedAt": stamp_text(now)}
        status["restartCount"] += 1
        status["lastState"] = {"terminated": ended}
        status["state"] = {"running": {"startedAt": stamp_text(now)}}


def _add_event(cluster: Cluster, pod: Manifest, source: random.Random, now: datetime) -> None:
    events = cluster.table("events")
    while len(events.objects) >= EVENTS_KEPT:
        cluster.delete("events", *next(iter(events.objects)))
    about = pod["metadata"]
    cluster.put(
        "events",
        {
            "metadata": {"name": f"{about['name']}.{source.getrandbits(60):015x}", "namespace": about["namespace"]},
            "involvedObject": {
                "kind": "Pod",
                "apiVersion": "v1",
                "namespace": about["namespace"],
                "name": about["name"],
                "uid": about["uid"],
            },
            "type": "Normal",
            "reason": "Pulled",
            "message": "Container image already present on machine",
            "count": 1,
            "firstTimestamp": stamp_text(now),
            "lastTimestamp": stamp_text(now),
            "source": {"component": "kubelet", "host": pod.get("spec", {}).get("nodeName", "")},
        },
    )
