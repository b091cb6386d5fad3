"""Generated clusters: size, weight, variety, determinism, and the changes that go on."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime

from simulator.generator import EVENTS_KEPT, churn, churn_once, generate
from situation.decode import decode_object
from situation.kinds import BY_NAME
from situation.pods import Pod

NOW = datetime(2026, 11, 23, 2, 41, 7, tzinfo=UTC)


def test_size_and_weight() -> None:
    cluster = generate(40, 600, 7000, now=NOW)
    pods = cluster.table("pods").ordered()
    assert (len(pods), len(cluster.table("nodes").objects)) == (600, 40)
    assert all(6900 < len(stored.tail) < 7150 for stored in pods)
    manifest = pods[0].manifest()
    assert manifest["metadata"]["managedFields"]
    assert manifest["metadata"]["annotations"]


def test_pods_may_be_small() -> None:
    pods = generate(1, 5, 1000, now=NOW).table("pods").ordered()
    assert all(len(stored.tail) < 3000 for stored in pods)


def test_it_is_deterministic_by_seed() -> None:
    def contents(seed: int) -> list[bytes]:
        cluster = generate(5, 50, seed=seed, now=NOW)
        return [stored.tail for table in cluster.tables for stored in table.ordered()]

    assert contents(1) == contents(1)
    assert contents(1) != contents(2)


def test_every_object_decodes_and_belongs_together() -> None:
    cluster = generate(40, 600, now=NOW)
    for table in cluster.tables:
        for stored in table.ordered():
            assert decode_object(b"{" + stored.tail, table.kind).name == stored.key[1]
    replicasets = cluster.table("replicasets").objects
    for stored in cluster.table("pods").ordered():
        owner = stored.manifest()["metadata"]["ownerReferences"][0]["name"]
        assert (stored.key[0], owner) in replicasets
    slices = [stored.manifest() for stored in cluster.table("endpointslices").ordered()]
    services = cluster.table("services").objects
    assert all(
        (one["metadata"]["namespace"], one["metadata"]["labels"]["kubernetes.io/service-name"]) in services
        for one in slices
    )


def test_there_is_a_handful_of_faults() -> None:
    cluster = generate(40, 600, now=NOW)
    seen: Counter[str] = Counter()
    for stored in cluster.table("pods").ordered():
        item = decode_object(b"{" + stored.tail, BY_NAME["pods"])
        assert isinstance(item, Pod)
        for status in item.status.container_statuses:
            seen[status.state.waiting.reason if status.state.waiting else "fine"] += 1
        seen["unscheduled"] += not item.spec.node_name
    assert min(seen["CrashLoopBackOff"], seen["ImagePullBackOff"], seen["unscheduled"]) >= 1
    assert seen["fine"] > 400
    not_ready = [stored for stored in cluster.table("nodes").ordered() if b"NodeStatusUnknown" in stored.tail]
    assert len(not_ready) == 1


def test_churn_changes_pods_and_adds_events() -> None:
    cluster = generate(5, 50, now=NOW)
    before, events = cluster.resource_version, len(cluster.table("events").objects)
    source = random.Random(1)  # noqa: S311
    for _ in range(200):
        churn_once(cluster, source, NOW)
    assert cluster.resource_version == before + 200
    assert len(cluster.table("events").objects) > events
    restarts = [
        stored.manifest()["status"]["containerStatuses"][0]["restartCount"]
        for stored in cluster.table("pods").ordered()
    ]
    assert sum(restarts) > 0


def test_events_do_not_pile_up() -> None:
    cluster = generate(1, 1, now=NOW)
    source = random.Random(1)  # noqa: S311
    for _ in range(EVENTS_KEPT * 11):
        churn_once(cluster, source, NOW)
    assert len(cluster.table("events").objects) == EVENTS_KEPT


async def test_churn_keeps_its_pace_until_it_is_cancelled() -> None:
    cluster = generate(5, 50, now=NOW)
    before = cluster.resource_version
    task = asyncio.create_task(churn(cluster, 500))
    async with asyncio.timeout(10):
        while cluster.resource_version < before + 100:  # noqa: ASYNC110 - a condition with a deadline
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


def test_an_empty_cluster_has_nothing_to_change() -> None:
    cluster = generate(0, 0, now=NOW)
    before = cluster.resource_version
    churn_once(cluster, random.Random(1), NOW)  # noqa: S311
    assert cluster.resource_version == before


def test_a_gpu_fleet_has_nine_components_on_every_node() -> None:
    cluster = generate(4, 20, gpu_nodes=30, now=NOW)
    on_nodes: Counter[str] = Counter()
    for stored in cluster.table("pods").ordered():
        item = decode_object(b"{" + stored.tail, BY_NAME["pods"])
        assert isinstance(item, Pod)
        if item.namespace == "gpu-operator":
            on_nodes[item.spec.node_name] += 1
            assert (item.status.phase, len(stored.tail) > 6900) == ("Running", True)
    assert on_nodes == {f"gpu-{index:04}": 9 for index in range(30)}
    assert len(cluster.table("daemonsets").objects) == 9
    assert not generate(4, 20, now=NOW).table("daemonsets").objects
    assert b'"nvidia.com/gpu.product"' in cluster.table("nodes").objects["", "gpu-0029"].tail
