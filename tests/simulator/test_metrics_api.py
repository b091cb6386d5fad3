"""The metrics API: who has values, how large they are, and what of the API there is."""

from typing import Any

import pytest

from simulator.server import Simulator
from situation.quantity import parse_quantity
from tests.build import Manifest, node, pod
from tests.simulator.client import get, names

ROOT = "/apis/metrics.k8s.io/v1beta1"
MI = 2**20
OOM: Manifest = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-23T02:40:00Z"}}
LIMITED: Manifest = {"name": "app", "resources": {"limits": {"memory": "32Mi"}, "requests": {"memory": "16Mi"}}}


@pytest.fixture
def filled(simulator: Simulator) -> Simulator:
    unready = {"conditions": [{"type": "Ready", "status": "False"}], "allocatable": {"cpu": "8"}}
    for manifest in (node(), node("node-2", status=unready)):
        simulator.cluster.put("nodes", manifest)
    for manifest in (
        pod("cart", labels={"app": "cart"}, container=LIMITED, container_status={"state": OOM, "lastState": OOM}),
        pod("calm", container=LIMITED),
        pod("plain", namespace="other"),
        pod("lost", node="node-2"),
        pod("pending", phase="Pending", node=""),
        pod("starting", container_status={"state": {"waiting": {"reason": "ContainerCreating"}}}),
        pod("done", phase="Succeeded", container_status={"state": {"terminated": {"reason": "Completed"}}}),
    ):
        simulator.cluster.put("pods", manifest)
    return simulator


def memory(item: dict[str, Any]) -> float:
    found = parse_quantity(item["containers"][0]["usage"]["memory"])
    assert found is not None
    return found


async def test_only_what_runs_on_a_ready_node_has_values(filled: Simulator) -> None:
    status, found = await get(filled, f"{ROOT}/pods")
    assert (status, found["kind"], found["apiVersion"]) == (200, "PodMetricsList", "metrics.k8s.io/v1beta1")
    assert names(found) == ["plain", "calm", "cart"]
    assert names((await get(filled, f"{ROOT}/nodes"))[1]) == ["node-1"]


async def test_use_follows_the_limit_and_the_last_end(filled: Simulator) -> None:
    _, found = await get(filled, f"{ROOT}/namespaces/shop/pods")
    calm, cart = found["items"]
    assert 0.95 * 32 * MI < memory(cart) < 32 * MI, "it was killed for its memory"
    assert 0.2 * 32 * MI < memory(calm) < 0.8 * 32 * MI
    assert cart["timestamp"] == "2026-11-23T02:40:00Z", "the last sample of the run that ended"
    assert calm["timestamp"] > cart["timestamp"]


async def test_the_same_each_time(filled: Simulator) -> None:
    answers = [await get(filled, f"{ROOT}/namespaces/shop/pods/calm") for _ in range(2)]
    assert answers[0][1]["containers"] == answers[1][1]["containers"]


async def test_a_node_uses_what_its_pods_use_and_a_little_more(filled: Simulator) -> None:
    _, found = await get(filled, f"{ROOT}/nodes/node-1")
    used = parse_quantity(found["usage"]["memory"])
    _, pods = await get(filled, f"{ROOT}/pods")
    running = sum(memory(item) for item in pods["items"] if item["metadata"]["name"] != "cart")
    assert used is not None
    assert running < used < running + 2048 * MI


async def test_selectors_and_single_objects(filled: Simulator) -> None:
    assert names((await get(filled, f"{ROOT}/pods", labelSelector="app=cart"))[1]) == ["cart"]
    assert names((await get(filled, f"{ROOT}/pods", fieldSelector="metadata.name!=cart"))[1]) == ["plain", "calm"]
    assert (await get(filled, f"{ROOT}/pods", fieldSelector="spec.nodeName=node-1"))[0] == 400
    status, found = await get(filled, f"{ROOT}/namespaces/shop/pods/lost")
    assert (status, found["message"]) == (404, 'pods.metrics.k8s.io "lost" not found')


async def test_what_of_the_api_there_is(filled: Simulator) -> None:
    _, groups = await get(filled, "/apis")
    assert "metrics.k8s.io" in [group["name"] for group in groups["groups"]]
    _, group = await get(filled, "/apis/metrics.k8s.io")
    assert group["preferredVersion"]["groupVersion"] == "metrics.k8s.io/v1beta1"
    _, resources = await get(filled, ROOT)
    assert [(item["name"], item["namespaced"], item["verbs"]) for item in resources["resources"]] == [
        ("pods", True, ["get", "list"]),
        ("nodes", False, ["get", "list"]),
    ]
    assert (await get(filled, f"{ROOT}/pods", watch="1"))[0] == 405


async def test_a_cluster_without_a_metrics_server(filled: Simulator) -> None:
    filled.faults.absent |= {"podmetrics", "nodemetrics"}
    assert (await get(filled, f"{ROOT}/pods"))[0] == 404
    _, groups = await get(filled, "/apis")
    assert "metrics.k8s.io" not in [group["name"] for group in groups["groups"]]


async def test_frozen_etcd_does_not_stop_it(filled: Simulator) -> None:
    filled.faults.freeze_etcd = True
    assert (await get(filled, f"{ROOT}/pods"))[0] == 200
