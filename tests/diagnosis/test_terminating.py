"""Pods that do not finish terminating."""

from typing import Any

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import gpu_links, nodes, terminating
from situation.findings import Layer, Severity
from situation.meta import Ref
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests.build import NOW, Manifest, ago, event, node, pod, situation
from tests.diagnosis.objects import causes_of, first_command, ready_condition
from tests.gpu_objects import DRA, bare_node, crashing, operand_pod, operand_set
from tests.gpu_resources import claimant, device_claim, devices, dra_chart

DEAD = node(conditions=ready_condition("Unknown", reason="NodeStatusUnknown"))


def leaving(late_s: float, *, finalizers: list[str] | None = None, owner: str = "") -> Manifest:
    """Return a pod whose grace period ended `late_s` seconds ago."""
    made = pod(owner=owner)
    made["metadata"]["deletionTimestamp"] = ago(late_s)
    made["metadata"]["finalizers"] = finalizers or []
    return made


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(terminating.RULES + nodes.RULES, situation(*manifests))


KILL = event(
    "Pod/web-1", "FailedKillPod",
    'error killing pod: failed to "KillPodSandbox" for "0c98df45-982b-4a22-a977" with KillPodSandboxError: '
    '"rpc error: code = DeadlineExceeded desc = context deadline exceeded"',
)  # fmt: skip


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


STUCK = [bare_node(), claimant(), device_claim()]
"""A pod whose devices nobody takes back: the stack was changed for another while it ran."""


def test_a_driver_that_went_before_the_pods_that_have_its_devices() -> None:
    finding = found(*STUCK)["device-driver-gone"]
    assert finding.title == "train-1 is stuck Terminating for 5m: driver gpu.nvidia.com does not run on gpu-1"
    shown = [line.text for line in finding.evidence]
    assert "claim train-1-gpu of gpu.nvidia.com is still in use by it" in shown
    assert "no kubelet plugin of gpu.nvidia.com on gpu-1" in shown
    assert first_command(finding) == "kubectl -n gpu-operator get pods -o wide --field-selector spec.nodeName=gpu-1"


def test_it_follows_a_driver_that_fails_and_is_the_chains_to_tell() -> None:
    labelled = bare_node(labels={"nvidia.com/gpu.deploy.dra-driver": "true"})
    broken = [labelled, operand_set(DRA, ready=0), operand_pod(DRA, broken=crashing())]
    causes = causes_of(gpu_links.RULES + terminating.RULES, situation(*broken, *STUCK[1:]))
    assert list(causes) == ["gpu-link-broken"]
    assert [item.rule for item in causes["gpu-link-broken"].consequences] == ["device-driver-gone"]


@pytest.mark.parametrize(
    "manifests",
    [
        [*STUCK, operand_pod(DRA)],
        [*STUCK, *dra_chart()],
        [*STUCK, *dra_chart(name="dra-driver-nvidia-gpu")],
        [*STUCK, devices()],
        [bare_node(), claimant(), device_claim(driver="net.example.com")],
        [bare_node(), claimant(), device_claim(by="")],
        [bare_node(), claimant()],
        [bare_node(ready="Unknown"), *STUCK[1:]],
    ],
    ids=[
        "it runs",
        "that of its chart runs",
        "by its newer name",
        "one of another name runs",
        "another's devices",
        "given back",
        "no claim",
        "the node is lost",
    ],
)
def test_devices_that_are_not_why_a_pod_stays(manifests: list[Manifest]) -> None:
    causes = found(*manifests)
    rules = {finding.rule for cause in causes.values() for finding in (cause, *cause.consequences)}
    assert "stuck-terminating" in rules
    assert "device-driver-gone" not in rules


def test_claims_and_slices_are_asked_for_only_then() -> None:
    unread = dict.fromkeys(("resourceclaims", "resourceslices"), SourceState.STARTING)
    assert "resourceclaims" in Engine().judge(situation(*STUCK[:2], missing=unread), (), NOW).wanted
    half = {"resourceslices": SourceState.STARTING}
    assert "resourceslices" in Engine().judge(situation(*STUCK, missing=half), (), NOW).wanted
    assert "resourceclaims" not in Engine().judge(situation(bare_node(), leaving(300), missing=unread), (), NOW).wanted
    refused = {"resourceslices": SourceState.FORBIDDEN}
    assert "device-driver-gone" in causes_of(terminating.RULES, situation(*STUCK, missing=refused))


def test_a_driver_in_a_namespace_that_is_not_read_is_gone_only_if_its_devices_are() -> None:
    part = Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop"))
    refused = situation(*STUCK, missing={"resourceslices": SourceState.FORBIDDEN})
    refused.apply(part)
    assert list(causes_of(terminating.RULES, refused)) == ["stuck-terminating"]
    known = situation(*STUCK)
    known.apply(part)
    finding = causes_of(terminating.RULES, known)["device-driver-gone"]
    shown = [line.text for line in finding.evidence]
    assert "gpu.nvidia.com publishes no device of gpu-1" in shown
    assert not any("kubelet plugin" in line for line in shown)
