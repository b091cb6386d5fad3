"""Lists and single objects, as the API server answers them."""

from typing import Any

import msgspec
import pytest

from simulator.cluster import Cluster
from simulator.server import Simulator
from tests.build import event, node, pod
from tests.gpu_resources import policy
from tests.simulator.client import PODS, get, names, session


@pytest.fixture
def filled(simulator: Simulator) -> Simulator:
    for manifest in (
        pod("b", node="node-2", labels={"app": "web", "tier": "front"}),
        pod("a", phase="Pending", node="", labels={"app": "db"}),
        pod("c", namespace="other", labels={"app": "web"}),
    ):
        simulator.cluster.put("pods", manifest)
    simulator.cluster.put("nodes", node())
    simulator.cluster.put("events", event("Pod/a", "FailedScheduling", "no room"))
    return simulator


async def test_list_has_version_and_items_in_order(filled: Simulator) -> None:
    status, found = await get(filled, PODS)
    assert status == 200
    assert (found["kind"], found["apiVersion"]) == ("PodList", "v1")
    assert found["metadata"]["resourceVersion"] == str(filled.cluster.resource_version)
    assert names(found) == ["c", "a", "b"]
    assert "kind" not in found["items"][0], "list items of the API carry no kind"


async def test_list_of_an_empty_collection(simulator: Simulator) -> None:
    _, found = await get(simulator, "/apis/apps/v1/deployments")
    assert found["kind"] == "DeploymentList"
    assert found["items"] == []


async def test_namespaced_list(filled: Simulator) -> None:
    _, found = await get(filled, "/api/v1/namespaces/other/pods")
    assert names(found) == ["c"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.namespace!=shop", ["c"]),
        ("spec.nodeName=node-2", ["b"]),
        ("spec.nodeName=", ["a"]),
        ("status.phase!=Pending,spec.nodeName=node-1", ["c"]),
        ("status.phase==Running", ["c", "b"]),
    ],
)
async def test_field_selectors(filled: Simulator, selector: str, expected: list[str]) -> None:
    _, found = await get(filled, PODS, fieldSelector=selector)
    assert names(found) == expected


async def test_events_of_an_object(filled: Simulator) -> None:
    _, found = await get(filled, "/api/v1/events", fieldSelector="involvedObject.name=a,type=Warning")
    assert [item["reason"] for item in found["items"]] == ["FailedScheduling"]
    _, none = await get(filled, "/api/v1/events", fieldSelector="involvedObject.name=b")
    assert none["items"] == []


@pytest.mark.parametrize("selector", ["spec.colour=red", "metadata.name"])
async def test_bad_field_selector(filled: Simulator, selector: str) -> None:
    status, found = await get(filled, PODS, fieldSelector=selector)
    assert status == 400
    assert found["reason"] == "BadRequest"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", ["c", "b"]),
        ("app==web,tier=front", ["b"]),
        ("app!=web", ["a"]),
        ("tier", ["b"]),
        ("!tier", ["c", "a"]),
        ("app in (db, cache)", ["a"]),
        ("app notin (db,cache),tier", ["b"]),
    ],
)
async def test_label_selectors(filled: Simulator, selector: str, expected: list[str]) -> None:
    _, found = await get(filled, PODS, labelSelector=selector)
    assert names(found) == expected


async def test_pages(filled: Simulator) -> None:
    _, first = await get(filled, PODS, limit="2")
    assert names(first) == ["c", "a"]
    assert first["metadata"]["remainingItemCount"] == 1
    _, second = await get(filled, PODS, limit="2", **{"continue": first["metadata"]["continue"]})
    assert names(second) == ["b"]
    assert "continue" not in second["metadata"]


async def test_a_list_from_the_watch_cache_ignores_the_limit(filled: Simulator) -> None:
    _, found = await get(filled, PODS, limit="1", resourceVersion="0")
    assert len(found["items"]) == 3


async def test_an_old_page_has_expired_after_a_compaction(filled: Simulator) -> None:
    _, first = await get(filled, PODS, limit="1")
    filled.cluster.put("pods", pod("d"))
    filled.cluster.compact()
    status, found = await get(filled, PODS, limit="1", **{"continue": first["metadata"]["continue"]})
    assert (status, found["reason"]) == (410, "Expired")


@pytest.mark.parametrize("query", [{"continue": "%%%"}, {"limit": "-1"}, {"limit": "many"}])
async def test_parameters_that_cannot_be_read(filled: Simulator, query: dict[str, str]) -> None:
    status, found = await get(filled, PODS, **query)
    assert (status, found["kind"]) == (400, "Status")


async def test_a_version_from_the_future(filled: Simulator) -> None:
    status, found = await get(filled, PODS, resourceVersion="999999")
    assert status == 504
    assert "Too large resource version" in found["message"]


async def test_one_object(filled: Simulator) -> None:
    status, found = await get(filled, "/api/v1/namespaces/shop/pods/a")
    assert status == 200
    assert (found["kind"], found["apiVersion"], found["metadata"]["name"]) == ("Pod", "v1", "a")
    status, found = await get(filled, "/api/v1/nodes/node-1")
    assert (status, found["kind"]) == (200, "Node")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/namespaces/shop/pods/none", 'pods "none" not found'),
        ("/apis/apps/v1/namespaces/shop/deployments/none", 'deployments.apps "none" not found'),
    ],
)
async def test_an_object_that_is_not_there(filled: Simulator, path: str, message: str) -> None:
    status, found = await get(filled, path)
    assert status == 404
    assert (found["reason"], found["message"], found["code"]) == ("NotFound", message, 404)


@pytest.mark.parametrize(
    "path",
    [
        "/apis/example.com/v1/widgets",
        "/nothing",
        "/api/v1/namespaces/shop/nodes",
        "/api/v1/namespaces/shop/pods/a/exec",
    ],
)
async def test_paths_that_no_api_serves(filled: Simulator, path: str) -> None:
    assert await get(filled, path) == (404, "404 page not found\n")


async def test_nothing_can_be_changed(filled: Simulator) -> None:
    async with session(filled) as client, client.delete("/api/v1/namespaces/shop/pods/a") as response:
        assert response.status == 405
    assert filled.cluster.get("pods", "shop", "a") is not None


async def test_leases_of_both_kinds_are_one_resource(simulator: Simulator) -> None:
    simulator.cluster.put("leases", {"metadata": {"name": "kube-scheduler", "namespace": "kube-system"}})
    simulator.cluster.put("nodeleases", {"metadata": {"name": "node-1", "namespace": "kube-node-lease"}})
    root = "/apis/coordination.k8s.io/v1"
    assert len((await get(simulator, f"{root}/leases"))[1]["items"]) == 2
    assert names((await get(simulator, f"{root}/namespaces/kube-node-lease/leases"))[1]) == ["node-1"]


async def test_tables_for_kubectl(filled: Simulator) -> None:
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    async with session(filled) as client, client.get(PODS, headers=accept) as response:
        found: dict[str, Any] = msgspec.json.decode(await response.read())
    columns = [column["name"] for column in found["columnDefinitions"]]
    rows = [dict(zip(columns, row["cells"], strict=True)) for row in found["rows"]]
    assert found["kind"] == "Table"
    assert [(row["Name"], row["Ready"], row["Status"]) for row in rows] == [
        ("c", "1/1", "Running"),
        ("a", "1/1", "Pending"),
        ("b", "1/1", "Running"),
    ]


async def test_the_gpu_operators_resources_are_served_in_both_versions_of_their_group(simulator: Simulator) -> None:
    simulator.cluster.put("clusterpolicies", policy())
    _, found = await get(simulator, "/apis/nvidia.com/v1/clusterpolicies")
    assert names(found) == ["cluster-policy"]
    _, groups = await get(simulator, "/apis")
    (group,) = (item for item in groups["groups"] if item["name"] == "nvidia.com")
    assert [item["version"] for item in group["versions"]] == ["v1", "v1alpha1"]
    assert (await get(simulator, "/apis/nvidia.com"))[1]["preferredVersion"]["version"] == "v1"
    _, resources = await get(simulator, "/apis/nvidia.com/v1alpha1")
    assert [item["name"] for item in resources["resources"]] == ["nvidiadrivers", "gpuclusters"]


def test_what_is_deleted_gracefully_says_how_long_that_may_take() -> None:
    cluster = Cluster()
    manifest = pod("web-1")
    cluster.put("pods", manifest)
    cluster.put("pods", {**manifest, "metadata": {**manifest["metadata"], "deletionTimestamp": "2026-11-23T06:58:34Z"}})
    kept = cluster.get("pods", "shop", "web-1")
    assert kept is not None
    assert kept["metadata"]["deletionGracePeriodSeconds"] == 30
