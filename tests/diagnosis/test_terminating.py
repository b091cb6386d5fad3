"""Pods that do not finish terminating."""

from typing import Any

import pytest

from diagnosis.rules import nodes, terminating
from situation.findings import Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, ago, event, node, pod, situation
from tests.diagnosis.objects import causes_of, first_command, ready_condition

DEAD = node(conditions=ready_condition("Unknown", reason="NodeStatusUnknown"))


def leaving(late_s: float, *, finalizers: list[str] | None = None, owner: str = "") -> Manifest:
    """Return a pod whose grace period ended `late_s` seconds ago."""
    made = pod(owner=owner)
    made["metadata"]["deletionTimestamp"] = ago(late_s)
    made["metadata"]["finalizers"] = finalizers or []
    return made


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(terminating.RULES + nodes.RULES, situation(*manifests))


KILL = event("Pod/web-1", "FailedKillPod", "error killing pod: context deadline exceeded")


@pytest.mark.parametrize(
    ("manifests", "layer", "words"),
    [
        ((leaving(300), node()), Layer.NODE, "its kubelet does not finish on node-1"),
        ((leaving(300, finalizers=["example.com/hold"]), node()), Layer.CONTROL_PLANE, "finalizer example.com/hold"),
        ((leaving(300), node(), KILL), Layer.NODE, "the runtime cannot stop it"),
    ],
    ids=["kubelet", "finalizer", "runtime"],
)
def test_why_a_pod_does_not_go(manifests: tuple[Manifest, ...], layer: Layer, words: str) -> None:
    finding = found(*manifests)["stuck-terminating"]
    assert finding.subject == Ref("Pod", "shop", "web-1")
    assert (finding.layer, finding.severity) == (layer, Severity.WARNING)
    assert finding.title == f"web-1 is stuck Terminating for 5m: {words}"
    assert first_command(finding) == (
        "kubectl -n shop get pod web-1 -o 'jsonpath={.metadata.finalizers}{.spec.nodeName}'"
    )


def test_on_a_dead_node_it_follows_the_node() -> None:
    causes = found(leaving(300), DEAD)
    assert list(causes) == ["node-unreachable"]
    assert [item.rule for item in causes["node-unreachable"].consequences] == ["stuck-terminating"]


def test_the_workload_is_the_subject() -> None:
    finding = found(leaving(300, owner="StatefulSet/web"), node())["stuck-terminating"]
    assert finding.subject == Ref("StatefulSet", "shop", "web")
    assert finding.title.startswith("web has pods stuck Terminating")


@pytest.mark.parametrize("late_s", [-30, 20])
def test_within_its_grace_period_it_is_given_time(late_s: float) -> None:
    assert not found(leaving(late_s), node())
