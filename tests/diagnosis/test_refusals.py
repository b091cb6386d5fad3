"""Pods that the kubelet refused, and failed pods that nobody replaces."""

from typing import Any

import pytest

from situation.findings import Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, causes, node, pod
from tests.diagnosis.pod_faults import OWNED, ended, fault, first_command, rule_of, status, text_of
from tests.diagnosis.test_evictions import deployment, failed

GPU = "nvidia.com/gpu"
DEVICES = (
    f"Pod was rejected: Allocate failed due to requested number of devices unavailable for {GPU}. Requested: 2, "
    "Available: 0, which is unexpected"
)
UNREGISTERED = "Pod was rejected: Allocate failed due to cannot allocate unregistered device nvidia.com/gpu"
UNHEALTHY = "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices x"
NO_CPU = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 7500, capacity: 8000"
NO_GPU = f"Node didn't have enough resource: {GPU}, requested: 2, used: 8, capacity: 8"
NUMA = "Pod was rejected: Resources cannot be allocated with Topology locality"


def refused(reason: str, message: str, **more: Any) -> Manifest:
    return failed(reason, message, container_status=status({}), **more)


@pytest.mark.parametrize(
    ("reason", "message", "rule", "title", "layer"),
    [
        (
            "UnexpectedAdmissionError",
            DEVICES,
            "devices-refused",
            f"web is refused by node node-1: wants 2 {GPU}, 0 available",
            Layer.NODE,
        ),
        (
            "UnexpectedAdmissionError",
            UNREGISTERED,
            "devices-refused",
            "web is refused by node node-1: its devices are gone or unhealthy",
            Layer.NODE,
        ),
        (
            "UnexpectedAdmissionError",
            UNHEALTHY,
            "devices-refused",
            "web is refused by node node-1: its devices are gone or unhealthy",
            Layer.NODE,
        ),
        (
            "OutOfcpu",
            NO_CPU,
            "kubelet-refused",
            "web is refused by node node-1: wants 4000m cpu, 500m of 8000m free",
            Layer.SCHEDULING,
        ),
        (
            f"OutOf{GPU}",
            NO_GPU,
            "kubelet-refused",
            f"web is refused by node node-1: wants 2 {GPU}, 0 of 8 free",
            Layer.SCHEDULING,
        ),
        (
            "TopologyAffinityError",
            NUMA,
            "kubelet-refused",
            "web is refused by node node-1: no NUMA node can give it all its resources",
            Layer.SCHEDULING,
        ),
        (
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed",
            "kubelet-refused",
            "web is refused by node node-1: NodeAffinity",
            Layer.SCHEDULING,
        ),
    ],
)
def test_refused(reason: str, message: str, rule: str, title: str, layer: Layer) -> None:
    found = fault(refused(reason, message), *deployment(ready=0), node())
    assert found is not None
    assert (found.rule, found.title, found.layer) == (rule, title, layer)
    assert (found.subject, found.severity) == (Ref("Deployment", "shop", "web"), Severity.CRITICAL)


@pytest.mark.parametrize(("reason", "message"), [("UnexpectedAdmissionError", DEVICES), ("OutOfcpu", NO_CPU)])
def test_a_single_refusal_that_was_made_good_is_silent(reason: str, message: str) -> None:
    assert rule_of(refused(reason, message), *deployment(ready=2), node()) == "clear"
    assert rule_of(pod(**OWNED), *deployment(ready=2), node()) == "clear"


def test_a_pile_is_one_cause_with_its_size() -> None:
    pile = [refused("UnexpectedAdmissionError", DEVICES, name=f"web-{number}") for number in range(6)]
    cause = causes(*pile, *deployment(ready=1), node())["devices-refused"]
    assert cause.count == 6
    assert "6 failed pods have piled up" in text_of(cause)


def test_first_commands() -> None:
    devices = fault(refused("UnexpectedAdmissionError", DEVICES), *deployment(0), node())
    cpu = fault(refused("OutOfcpu", NO_CPU), *deployment(0), node())
    assert devices and cpu
    assert first_command(devices) == "kubectl -n shop get pods --field-selector status.phase=Failed -o wide"
    assert first_command(cpu) == "kubectl -n shop get pod web-1 -o 'jsonpath={.status.reason}{.status.message}'"


def test_a_bare_pod_that_failed_is_a_hint_only() -> None:
    bare = failed("", owner="", labels={"app": "web"}, container_status=status(ended(3)))
    found = fault(bare, node())
    assert found is not None
    assert (found.rule, found.severity) == ("pod-failed", Severity.INFO)
    assert found.title == "web-1 has failed (exit 3) and nothing restarts it"
    assert first_command(found) == "kubectl -n shop logs web-1 --tail=100"


@pytest.mark.parametrize("owner", ["Job/import", "ReplicaSet/web-5d8"])
def test_a_failed_pod_with_a_controller_is_not_a_hint(owner: str) -> None:
    assert rule_of(failed("", owner=owner), *deployment(ready=1), node()) == "clear"


def test_a_succeeded_pod_is_clear() -> None:
    done = pod(owner="", phase="Succeeded", ready=False, container_status=status(ended(0, reason="Completed")))
    assert rule_of(done, node()) == "clear"
