"""What the GPU Operator says of itself, and the nodes that it does not see or label."""

from datetime import timedelta
from typing import Any

import pytest

from diagnosis.engine import Engine, diagnose
from diagnosis.rules import gpu_discovery, gpu_links, gpu_operator, gpu_stacks, gpus, node_agents
from situation.findings import Finding, Layer, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import NOW, Manifest, judged, node, situation
from tests.diagnosis.objects import causes_of, first_command

RULES = gpu_discovery.RULES + gpus.RULES + node_agents.RULES + gpu_stacks.RULES + gpu_operator.RULES
BLIND = resources.policy(said=resources.conditions("NoGPUNodes", "No GPU node found", error=False))
UNLABELLED = resources.policy(said=resources.conditions("NFDLabelsMissing", "No NFD labels found", error=False))
FEATURED = node("cpu-1", labels={"feature.node.kubernetes.io/cpu-model.family": "6"})
UNSEEN = gpu.bare_node(gpus=0, seen=False)
LABELLED = {"nvidia.com/gpu.product": "NVIDIA-H100"}


def found(*manifests: Manifest, **fields: Any) -> dict[str, Finding]:
    return causes_of(RULES, situation(*manifests), **fields)


@pytest.mark.parametrize(
    ("manifests", "severity", "words"),
    [
        ([BLIND, FEATURED], Severity.INFO, "it sees no GPU node"),
        ([UNLABELLED, node()], Severity.WARNING, "no node has a label of feature discovery"),
        ([resources.policy(said=[]), node()], Severity.WARNING, "no node has a label of feature discovery"),
        ([resources.policy(said=[]), FEATURED], Severity.INFO, "it sees no GPU node"),
    ],
    ids=["no GPUs", "no labels", "v23.9 without labels", "v23.9 without GPUs"],
)
def test_ready_without_a_gpu_node(manifests: list[Manifest], severity: Severity, words: str) -> None:
    finding = found(*manifests)["gpu-operator-blind"]
    assert (finding.severity, finding.layer) == (severity, Layer.NODE)
    assert finding.title == f"cluster-policy says ready, but {words}"


def test_ready_without_the_gpu_node_that_is_there_follows_it() -> None:
    causes = found(BLIND, UNSEEN)
    assert list(causes) == ["gpu-node-not-discovered"]
    finding = causes["gpu-node-not-discovered"]
    told = {item.rule: item.severity for item in finding.consequences}
    assert told == {"gpu-operator-blind": Severity.CRITICAL, "node-gpus-lost": Severity.INFO}


@pytest.mark.parametrize(
    "manifests",
    [
        [resources.policy(said=[]), gpu.bare_node()],
        [BLIND, gpu.bare_node()],
        [resources.policy(said=resources.conditions("NoGPUNodes", error=False), age_s=60), FEATURED],
        [resources.policy("ignored", []), FEATURED],
        [BLIND],
    ],
    ids=["v23.9 with GPUs", "not told yet", "just installed", "ignored", "no nodes"],
)
def test_when_ready_is_no_lie(manifests: list[Manifest]) -> None:
    assert not found(*manifests)


def test_ready_while_a_node_has_lost_its_gpus() -> None:
    causes = found(resources.policy(), gpu.bare_node(gpus=0), gpu.bare_node(name="gpu-2"), gpu.operand_set(gpu.PLUGIN))
    (told,) = causes["node-gpus-lost"].consequences
    assert (told.rule, told.severity) == ("gpu-operator-ready-in-name", Severity.INFO)
    assert told.title == "cluster-policy says ready, though no GPU is offered by 1 of 2 GPU nodes"


def test_a_reconcile_error_that_stays() -> None:
    text = "Failed to reconcile state-driver: unable to retrieve OS name from label feature.node.kubernetes.io/x"
    error = resources.policy("notReady", resources.conditions("ReconcileFailed", text))
    finding = found(error, gpu.bare_node())["gpu-operator-reconcile-failed"]
    assert finding.title.startswith("cluster-policy cannot be applied: unable to retrieve OS name from label")
    assert first_command(finding) == "kubectl describe clusterpolicies.nvidia.com cluster-policy"
    young = resources.policy("notReady", resources.conditions("ReconcileFailed", text, age_s=60))
    assert not found(young, gpu.bare_node())


def test_the_oldest_policy_is_in_force() -> None:
    causes = found(resources.policy(name="b"), resources.policy(name="a", age_s=60), gpu.bare_node())
    assert [finding.title for finding in causes.values()] == ["a is ignored: b is older and in force"]


NOT_READY = resources.policy("notReady", resources.conditions("OperandNotReady", "states not ready: [state-driver]"))


@pytest.mark.parametrize("policy", [NOT_READY, resources.policy("notReady", [])], ids=["told", "without conditions"])
def test_operands_that_are_not_ready_are_a_consequence_of_the_one_that_fails(policy: Manifest) -> None:
    crash = gpu.operand(gpu.DRIVER, ready=False, container_status=gpu.crashing())
    broken = situation(policy, gpu.bare_node(), gpu.operand_set(gpu.DRIVER, ready=0), crash)
    causes = causes_of(gpu_links.RULES + RULES, broken)
    assert list(causes) == ["gpu-link-broken"]
    assert "gpu-operands-not-ready" in {item.rule for item in causes["gpu-link-broken"].consequences}


def test_operands_that_come_up_are_given_time_and_are_a_hint_alone() -> None:
    young = resources.policy("notReady", resources.conditions("OperandNotReady", age_s=600))
    starts = gpu.operand(gpu.DRIVER, ready=False, age_s=600)
    assert not found(young, gpu.bare_node(), gpu.operand_set(gpu.DRIVER, ready=0), starts)
    causes = found(NOT_READY, gpu.bare_node(), gpu.operand_set(gpu.DRIVER, ready=0), starts)
    assert {finding.severity for finding in causes.values()} == {Severity.INFO}


def test_an_operator_that_sets_no_conditions_says_not_ready_by_its_state_alone() -> None:
    """ClusterPolicies before v24 have none: since when it says so is taken from the last change of the operands."""
    bare = resources.policy("notReady", [])
    well = found(bare, gpu.bare_node(), gpu.operand_set(gpu.DRIVER), gpu.operand(gpu.DRIVER))
    assert well["gpu-operands-not-ready"].title == "cluster-policy is not ready, though all its operands are"
    assert not found(bare, gpu.bare_node(), gpu.operand_set(gpu.DRIVER), gpu.operand(gpu.DRIVER, age_s=600))
    assert not found(resources.policy("ready", []), gpu.bare_node(), gpu.operand_set(gpu.DRIVER))


def test_a_node_that_joined_does_not_take_back_what_an_operator_without_conditions_waits_for() -> None:
    bare, sets = resources.policy("notReady", []), gpu.operand_set(gpu.DRIVER, desired=2, ready=1)
    crash = gpu.operand(gpu.DRIVER, ready=False, container_status=gpu.crashing())
    joined = gpu.operand(gpu.DRIVER, "gpu-2", age_s=300)
    assert "gpu-operands-not-ready" in found(bare, gpu.bare_node(), gpu.bare_node(name="gpu-2"), sets, crash, joined)


def test_a_driver_that_was_not_restarted_after_an_update() -> None:
    old = gpu.operand_set(gpu.DRIVER)
    old["status"]["updatedNumberScheduled"] = 0
    finding = found(NOT_READY, gpu.bare_node(), old, gpu.operand(gpu.DRIVER))["gpu-operands-not-ready"]
    assert (finding.severity, finding.title) == (
        Severity.WARNING,
        "cluster-policy is not ready, though all its operands are",
    )
    assert any("0 of 1 pod of the present version" in line.text for line in finding.evidence)
    came = gpu.operand(gpu.DRIVER, age_s=60)
    assert not found(NOT_READY, gpu.bare_node(), gpu.operand_set(gpu.DRIVER), came)


def test_nvidia_drivers() -> None:
    conflict = resources.driver_resource("notReady", resources.conditions("ConflictingNodeSelector"), selector=LABELLED)
    causes = found(gpu.bare_node(labels=LABELLED), conflict, resources.driver_resource(name="other"))
    finding = causes["nvidia-driver-conflict"]
    assert any("other selects gpu-1 too" in line.text for line in finding.evidence)
    unused = found(gpu.bare_node(), resources.policy(), resources.driver_resource("disabled"))["nvidia-driver-unused"]
    assert unused.severity is Severity.INFO
    uses = resources.policy(spec={"driver": {"useNvidiaDriverCRD": True}})
    assert not found(gpu.bare_node(), uses, resources.driver_resource("disabled"))


def test_an_upgrade_that_failed_is_why_an_nvidia_driver_is_not_ready() -> None:
    waits = resources.driver_resource(
        "notReady", resources.conditions("OperandNotReady", "NVIDIADriver upgrade has not completed")
    )
    failed = gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": "upgrade-failed"})
    finding = found(waits, failed)["gpu-operands-not-ready"]
    assert finding.severity is Severity.INFO, "its cause is told by the rules about upgrades"


def test_a_gpu_cluster_beside_a_policy_does_nothing() -> None:
    blocked = resources.custom("GPUCluster", "gpu-cluster", "notReady", resources.conditions("PrerequisiteNotMet"))
    finding = found(gpu.bare_node(), resources.policy(), blocked)["gpu-cluster-blocked"]
    assert finding.title == "gpu-cluster does nothing while ClusterPolicy cluster-policy exists"


DRA = gpu.bare_node(gpus=None, labels={"nvidia.com/gpu.deploy.dra-driver": "true"})


@pytest.mark.parametrize(
    ("more", "fires"),
    [([], True), ([resources.devices(count=0)], True), ([resources.devices("gpu-2")], True),
     ([resources.devices()], False), ([resources.devices(driver="compute-domain.nvidia.com")], True),
     ([gpu.operand("nvidia-dra-driver-kubelet-plugin", age_s=60)], False)],
    ids=["none", "empty", "another node's", "published", "another driver's", "driver just came"],
)  # fmt: skip
def test_devices_of_dynamic_allocation(more: list[Manifest], fires: bool) -> None:
    assert ("gpu-devices-not-published" in found(DRA, *more)) is fires


NO_PLUGIN = [name for name in gpu.USUAL if name != gpu.PLUGIN]


def by_chart(*manifests: Manifest) -> list[Manifest]:
    """Return a node of an operator without device plugin, which labels it for one, and these."""
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/mig.capable": "true"}
    return [gpu.operator(), gpu.nfd_set(), gpu.nfd_worker(), resources.policy(), gpu.gpu_node(None, labels=labels),
            *gpu.operand_sets(of=NO_PLUGIN), *gpu.operands(of=NO_PLUGIN), *manifests]  # fmt: skip


@pytest.mark.parametrize("name", ["nvidia-dra-driver-gpu", "dra-driver-nvidia-gpu"])
def test_a_healthy_node_of_the_dra_drivers_own_chart(name: str) -> None:
    assert judged(*by_chart(*resources.dra_chart(name=name), resources.devices())).causes == ()


def test_a_dra_driver_of_its_own_chart_that_crashes_is_the_cause_as_the_operators_is() -> None:
    (cause,) = judged(*by_chart(*resources.dra_chart(broken=gpu.crashing()))).causes
    assert (cause.rule, cause.layer, cause.severity) == ("gpu-link-broken", Layer.NODE, Severity.CRITICAL)
    assert cause.subject == Ref("DaemonSet", "nvidia-dra-driver-gpu", "nvidia-dra-driver-gpu-kubelet-plugin")
    assert [item.rule for item in cause.consequences] == ["gpu-devices-not-published"]


def test_a_driver_for_compute_domains_only_brings_no_gpu() -> None:
    (cause,) = judged(*by_chart(*resources.dra_chart("compute-domains"))).causes
    assert (cause.rule, cause.title) == ("gpu-link-broken", "gpu-operator has no plugin: no DaemonSet")


def test_resource_slices_are_asked_for_only_where_gpus_are_given_out_that_way() -> None:
    missing = {"resourceslices": SourceState.STARTING}
    assert "resourceslices" in Engine().judge(situation(DRA, missing=missing), (), NOW).wanted
    assert "resourceslices" not in Engine().judge(situation(gpu.bare_node(), missing=missing), (), NOW).wanted
    later = NOW + timedelta(minutes=6)
    known = situation(DRA, resources.devices())
    assert "resourceslices" in Engine().judge(known, (), later).wanted, "what was read then may be old by now"


TAINT = {"key": "team", "value": "ml", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("manifests", "title"),
    [
        ([gpu.bare_node(gpus=0, seen=False, spec={"taints": [TAINT]}), gpu.nfd_set()],
         "has a GPU, but feature discovery does not tolerate its taint team"),
        ([UNSEEN, gpu.nfd_set()], "has a GPU, but node feature discovery does not run on it"),
        ([UNSEEN, gpu.nfd_set(), gpu.nfd_worker()], "seems to have a GPU, but node feature discovery does not see it"),
        ([gpu.bare_node(gpus=None, seen=False, labels={"cloud.google.com/gke-accelerator": "nvidia-l4"})],
         "has a GPU, but node feature discovery does not run on it"),
    ],
)  # fmt: skip
def test_a_gpu_that_is_not_discovered(manifests: list[Manifest], title: str) -> None:
    finding = found(gpu.operand_set(gpu.PLUGIN, desired=0), *manifests)["gpu-node-not-discovered"]
    assert (finding.subject, finding.severity) == (Ref("Node", "", "gpu-1"), Severity.CRITICAL)
    assert finding.title == f"gpu-1 {title}"


@pytest.mark.parametrize(
    "manifests",
    [
        [UNSEEN],
        [gpu.bare_node(seen=False), gpu.operand_set(gpu.PLUGIN, desired=0)],
        [gpu.bare_node(gpus=0, seen=False, age_s=100), gpu.operand_set(gpu.PLUGIN, desired=0)],
        [
            gpu.bare_node(gpus=0, seen=False, labels=gpu.deploy("false", "operands")),
            resources.policy(said=resources.RECONCILED),
        ],
        [node(), gpu.operand_set(gpu.PLUGIN, desired=0)],
    ],
    ids=["no operator", "a cloud's own plugin", "just joined", "switched off", "no GPU"],
)
def test_what_is_no_gpu_left_out(manifests: list[Manifest]) -> None:
    assert "gpu-node-not-discovered" not in found(*manifests)


def test_labels_that_do_not_arrive() -> None:
    bare = [gpu.bare_node(), gpu.operand_set(gpu.GFD), gpu.operand(gpu.GFD)]
    finding = found(*bare)["gpu-labels-missing"]
    assert any("extraLabelNs" in line.text for line in finding.evidence)
    inside = found(*bare, gpu.nfd_set(), gpu.nfd_worker())["gpu-labels-missing"]
    assert not any("extraLabelNs" in line.text for line in inside.evidence)
    assert not found(gpu.bare_node(), gpu.operand_set(gpu.GFD), gpu.operand(gpu.GFD, age_s=100))
    assert not found(gpu.bare_node(labels=LABELLED), gpu.operand_set(gpu.GFD), gpu.operand(gpu.GFD))


def stamped(before_s: float) -> dict[str, str]:
    """Return the labels of a GPU feature discovery that started so long before the one of now."""
    stamp = NOW - timedelta(seconds=gpu.DAY + before_s)
    return {**LABELLED, "nvidia.com/gfd.timestamp": str(int(stamp.timestamp()))}


@pytest.mark.parametrize(
    ("before_s", "age_s", "fires"), [(3600, gpu.DAY, True), (-5, gpu.DAY, False), (3600, 100, False)],
    ids=["of an earlier one", "old but its own", "just started"],
)  # fmt: skip
def test_labels_from_before(before_s: float, age_s: float, fires: bool) -> None:
    causes = found(gpu.bare_node(labels=stamped(before_s)), gpu.operand(gpu.GFD, age_s=age_s))
    assert ("gpu-labels-stale" in causes) is fires


def test_operands_that_are_switched_off_are_one_hint() -> None:
    off = gpu.deploy("false", "operands")
    causes = found(
        resources.policy(), gpu.bare_node(labels=off), gpu.bare_node(name="gpu-2", labels=gpu.deploy("false", "dcgm"))
    )
    finding = causes["gpu-operands-off"]
    assert (finding.severity, finding.count) == (Severity.INFO, 2)
    assert finding.title == "gpu-1, gpu-2 run without some operands: switched off by label"


@pytest.mark.parametrize(
    ("state", "manifests", "doubt"),
    [
        (SourceState.ABSENT, [gpu.operand_set(gpu.PLUGIN)], False),
        (SourceState.FORBIDDEN, [node()], False),
        (SourceState.FORBIDDEN, [gpu.operand_set(gpu.PLUGIN)], True),
    ],
    ids=["no such resource", "refused, and no operator", "refused, with an operator"],
)
def test_resources_that_most_clusters_lack_cast_no_doubt(
    state: SourceState, manifests: list[Manifest], doubt: bool
) -> None:
    missing = dict.fromkeys(("clusterpolicies", "nvidiadrivers", "gpuclusters"), state)
    layers = {status.layer: status.reason for status in diagnose(situation(*manifests, missing=missing), NOW).layers}
    assert ("clusterpolicies" in layers[Layer.NODE]) is doubt
