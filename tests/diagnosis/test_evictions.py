"""Pods that were evicted, preempted, or shut down with their node: current while their workload has not recovered."""

from typing import Any

import pytest

from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from tests.build import Manifest, ago, causes, event, meta, node, pod
from tests.diagnosis.pod_faults import OWNED, ended, fault, first_command, rule_of, running, status, text_of

EPHEMERAL = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "
CONTAINER = 'Container app exceeded its local ephemeral storage limit "512Mi". '
EMPTY_DIR = 'Usage of EmptyDir volume "cache" exceeds the limit "100Mi". '
LOW = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 2Gi. Container app was "
    "using 30Gi, request is 0, has larger consumption of ephemeral-storage. "
)
LOW_MEMORY = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. "
HIGH_THRESHOLD = "The node was low on resource: memory. Threshold quantity: 60Gi, available: 50Gi. "
CONDITION = "The node had condition: [DiskPressure]. "
SHUTDOWN = "Pod was terminated in response to imminent node shutdown."


def failed(reason: str, message: str = "", *, ago_s: float = 60, **more: Any) -> Manifest:
    """Return a pod of Deployment web that failed `ago_s` ago."""
    base: Manifest = {
        **OWNED,
        "phase": "Failed",
        "ready": False,
        "container_status": status(ended(137, ended_s=ago_s)),
        "status": {"reason": reason, "message": message},
    }
    return pod(**{**base, **more})


def deployment(ready: int, wanted: int = 2) -> list[Manifest]:
    """Return Deployment web with its ReplicaSet."""
    return [
        {
            "kind": "Deployment",
            "metadata": meta("web", age_s=7200),
            "spec": {"replicas": wanted},
            "status": {"replicas": wanted, "readyReplicas": ready, "updatedReplicas": wanted},
        },
        {
            "kind": "ReplicaSet",
            "metadata": meta("web-5d8", owner="Deployment/web", age_s=7200),
            "spec": {"replicas": wanted},
            "status": {"replicas": wanted, "readyReplicas": ready},
        },
    ]


@pytest.mark.parametrize(
    ("message", "rule", "title", "subject", "layer"),
    [
        (
            EPHEMERAL,
            "over-own-storage",
            "web was evicted: exceeded its ephemeral-storage limit 1Gi",
            Ref("Deployment", "shop", "web"),
            Layer.APPLICATION,
        ),
        (
            CONTAINER,
            "over-own-storage",
            "web was evicted: exceeded its ephemeral-storage limit 512Mi",
            Ref("Deployment", "shop", "web"),
            Layer.APPLICATION,
        ),
        (
            EMPTY_DIR,
            "over-own-storage",
            "web was evicted: exceeded the size limit 100Mi of its emptyDir cache",
            Ref("Deployment", "shop", "web"),
            Layer.APPLICATION,
        ),
        (LOW, "evicted-by-node", "node-1 evicts pods: low on ephemeral-storage", Ref("Node", "", "node-1"), Layer.NODE),
        (LOW_MEMORY, "evicted-by-node", "node-1 evicts pods: low on memory", Ref("Node", "", "node-1"), Layer.NODE),
        (
            CONDITION,
            "evicted-by-node",
            "node-1 refuses pods: DiskPressure",
            Ref("Node", "", "node-1"),
            Layer.NODE,
        ),
    ],
)
def test_the_first_sentence_decides(message: str, rule: str, title: str, subject: Ref, layer: Layer) -> None:
    found = fault(failed("Evicted", message), *deployment(ready=1), node())
    assert found is not None
    assert (found.rule, found.title, found.subject, found.layer) == (rule, title, subject, layer)


@pytest.mark.parametrize(
    ("reason", "message"), [("Evicted", EPHEMERAL), ("Evicted", LOW), ("Terminated", SHUTDOWN), ("OutOfcpu", "x")]
)
def test_leftovers_are_silent_once_the_workload_is_whole(reason: str, message: str) -> None:
    assert rule_of(failed(reason, message), *deployment(ready=2), node()) == "clear"
    assert rule_of(failed(reason, message, ago_s=7200), *deployment(ready=1), node()) == "clear"


def test_a_replacement_is_found_without_the_workload() -> None:
    new = pod("web-2", **OWNED, age_s=30, container_status=status(running(20), ready=True))
    assert rule_of(failed("Evicted", LOW), new, node()) == "clear"
    assert rule_of(failed("Evicted", LOW), node()) == "evicted-by-node"


def test_again_and_again_is_a_fault_though_each_is_replaced() -> None:
    twice = [failed("Evicted", EPHEMERAL), failed("Evicted", EPHEMERAL, name="web-9", ago_s=900)]
    cause = causes(*twice, *deployment(ready=2), node())["over-own-storage"]
    assert cause.count == 2


def test_a_bare_pod_is_not_replaced() -> None:
    found = fault(failed("Evicted", LOW, owner="", labels={"app": "web"}, ago_s=7200), node())
    assert found is not None and found.rule == "evicted-by-node"


def test_pods_of_a_job_are_judged_with_their_job() -> None:
    assert rule_of(failed("Evicted", LOW, owner="Job/import"), node()) == "clear"


def test_a_large_rest_points_at_the_thresholds() -> None:
    small, large = (fault(failed("Evicted", text), *deployment(1), node()) for text in (LOW, HIGH_THRESHOLD))
    assert small and large
    assert "threshold 10Gi, available 2Gi" in text_of(small)
    assert [line.text for line in large.evidence if line.mark is Mark.OPEN] == [
        "50.0 GiB was still available (threshold 60Gi): are the kubelet's thresholds right?"
    ]


@pytest.mark.parametrize(
    ("reason", "message", "lost", "expected"),
    [
        ("Terminated", SHUTDOWN, False, "node-shutdown"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down.", False, "node-shutdown"),
        ("", "", True, "node-shutdown"),
        ("", "", False, "clear"),
    ],
)
def test_shutdown(reason: str, message: str, lost: bool, expected: str) -> None:
    end = ended(137, reason="ContainerStatusUnknown" if lost else "Error")
    manifest = failed(reason, message, container_status=status(end))
    assert rule_of(manifest, *deployment(ready=1), node()) == expected
    assert rule_of(manifest, *deployment(ready=2), node()) == "clear"


def victim(**more: Any) -> Manifest:
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastTransitionTime": ago(10),
    }
    manifest = pod(**{**OWNED, "ready": False, "status": {"conditions": [target]}, **more})
    manifest["metadata"]["deletionTimestamp"] = ago(10)
    return manifest


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Preempted by pod uid-big on node node-1", "web was preempted by shop/big"),
        ("Preempted by a prod/big on node node-1", "web was preempted by prod/big"),
        ("Preempted by pod uid-gone on node node-1", "web was preempted by a pod of higher priority"),
    ],
)
def test_preempted(message: str, title: str) -> None:
    told = event("Pod/web-1", "Preempted", message, type="Normal")
    found = fault(victim(), *deployment(ready=1), pod("big"), node(), told)
    assert found is not None
    assert (found.rule, found.title, found.layer) == ("preempted", title, Layer.SCHEDULING)
    assert found.severity is Severity.WARNING
    assert first_command(found) == "kubectl get events -A --field-selector reason=Preempted"


def test_preempted_but_whole_again_is_silent() -> None:
    assert rule_of(victim(), *deployment(ready=2), node()) == "clear"


@pytest.mark.parametrize(
    ("reason", "message", "command"),
    [
        ("Evicted", EPHEMERAL, "kubectl -n shop get pod web-1 -o 'jsonpath={.status.message}'"),
        ("Evicted", LOW, "kubectl describe node node-1"),
        ("Evicted", LOW_MEMORY, "kubectl top pods -A --sort-by=memory"),
        ("Terminated", SHUTDOWN, "kubectl get node node-1 -o 'jsonpath={.status.nodeInfo.bootID}'"),
    ],
)
def test_first_commands(reason: str, message: str, command: str) -> None:
    found = fault(failed(reason, message), *deployment(ready=1), node())
    assert found is not None and first_command(found) == command
