"""A lost node and the burst of pods that replace what ran on it: one cause."""

from typing import Any

import pytest

from diagnosis.catalogue import ALL
from situation.findings import Finding
from situation.readings import Readiness, Reading, SourceState
from tests.build import NOW, Manifest, ago, meta, node, pod, situation
from tests.diagnosis.objects import causes_of

RS: Any = {"owner": "ReplicaSet/web-5d", "labels": {"app": "web", "pod-template-hash": "5d"}}
DOWN_S = 600


def down(name: str = "node-1", since_s: float = DOWN_S) -> Manifest:
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": ago(since_s)}
    return node(name, conditions=[ready])


def left_behind(name: str, on: str = "node-1") -> Manifest:
    """A pod that the controller manager has deleted, and whose kubelet does not answer."""
    made = pod(name, node=on, age_s=9000, ready=False, **RS)
    made["metadata"]["deletionTimestamp"] = ago(DOWN_S - 320)
    return made


def pending(name: str, age_s: float = 250, message: str = "0/3 nodes are available: 3 Insufficient cpu.") -> Manifest:
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
               "lastTransitionTime": ago(age_s)}  # fmt: skip
    return pod(name, node="", phase="Pending", ready=False, age_s=age_s, status={"conditions": [refused],
               "containerStatuses": []}, container={"resources": {"requests": {"cpu": "6"}}}, **RS)  # fmt: skip


def creating(name: str, age_s: float = 310) -> Manifest:
    state = {"waiting": {"reason": "ContainerCreating"}}
    return pod(name, node="node-2", phase="Pending", ready=False, age_s=age_s, container_status={"state": state}, **RS)


WORKLOAD: tuple[Manifest, ...] = (
    {"kind": "Deployment", "metadata": meta("web", age_s=90_000), "spec": {"replicas": 3, "selector": {
        "matchLabels": {"app": "web"}}}, "status": {"replicas": 3, "readyReplicas": 1, "availableReplicas": 1}},
    {"kind": "ReplicaSet", "metadata": meta("web-5d", owner="Deployment/web", age_s=90_000),
     "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}, "status": {"replicas": 3}},
    pod("busy-1", node="node-2", container={"resources": {"requests": {"cpu": "6"}}}, labels={"app": "busy"}),
    pod("busy-2", node="node-3", container={"resources": {"requests": {"cpu": "6"}}}, labels={"app": "busy"}),
)  # fmt: skip


def found(*manifests: Manifest) -> dict[str, Finding]:
    known = situation(*WORKLOAD, node("node-2"), node("node-3"), *manifests)
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))
    return causes_of(ALL, known)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        ([pending("web-5d-x"), pending("web-5d-y")], "resources-short"),
        ([creating("web-5d-x")], "not-started"),
    ],
    ids=["no room for them", "they are slow to start"],
)
def test_pods_that_replace_those_of_a_lost_node_are_its_consequence(made: list[Manifest], rule: str) -> None:
    causes = found(down(), left_behind("web-5d-a"), left_behind("web-5d-b"), *made)
    assert list(causes) == ["node-unreachable"]
    assert rule in {item.rule for item in causes["node-unreachable"].consequences}


@pytest.mark.parametrize(
    "manifests",
    [
        [down(since_s=100), left_behind("web-5d-a"), pending("web-5d-x", age_s=250)],
        [down(), left_behind("other-1") | {"metadata": meta("other-1", owner="ReplicaSet/other")}, pending("web-5d-x")],
        [node("node-1"), left_behind("web-5d-a"), pending("web-5d-x")],
    ],
    ids=["it waited before the node was lost", "the node held nothing of this workload", "no node is lost"],
)
def test_what_a_lost_node_does_not_explain(manifests: list[Manifest]) -> None:
    assert "resources-short" in found(*manifests)
