"""The GPU Operator's links, upgrades and layouts on nodes that get through with them."""

from typing import Final

import pytest

from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import Manifest, ago, node
from tests.diagnosis.objects import ready_condition
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_gpu_links import dead_driver
from tests.diagnosis.test_gpu_modes import ASKED, INVALID, MANAGER, PAUSED, PENDING, STATE, moved, upgrading, waits
from tests.diagnosis.test_gpu_modes import PRODUCT as PRODUCT_LABEL
from tests.diagnosis.test_gpu_modes import SHARED as SLICED
from tests.diagnosis.test_gpu_operator import (
    BLIND,
    DRA,
    FEATURED,
    LABELLED,
    NOT_READY,
    UNLABELLED,
    UNSEEN,
    by_chart,
    stamped,
)

OPERATOR: Final = "gpu-operator"
CHAIN: Final = [*dead_driver("gpu-1"), *gpu.operand_sets(), gpu.operator()]
CHAIN_WELL: Final = [gpu.gpu_node(), *gpu.operands()]
DONE_WORDS: Final = "Successfully updated node state label to upgrade-done"
STATE_OF_UPGRADE: Final = "nvidia.com/gpu-driver-upgrade-state"
DONE: Final = gpu.bare_node(labels={STATE_OF_UPGRADE: "upgrade-done"})
POLICY: Final = resources.policy()
FAILED_TO_RECONCILE: Final = resources.policy(
    "notReady", resources.conditions("ReconcileFailed", "Failed to reconcile state-driver: unable to retrieve OS name")
)
TIME_SLICED: Final = {**SLICED, "nvidia.com/gpu.sharing-strategy": "time-slicing"}
TEAMS: Final = [
    gpu.bare_node(8, "gpu-1", labels=TIME_SLICED),
    resources.user("a", gpus="2"),
    resources.user("b", namespace="other"),
]
CONFLICT: Final = resources.driver_resource(
    "notReady", resources.conditions("ConflictingNodeSelector"), selector=LABELLED
)
READY: Final = resources.conditions("Reconciled", error=False)
BLOCKED: Final = resources.custom(
    "GPUCluster", "gpu-cluster", "notReady", resources.conditions("PrerequisiteNotMet"), age_s=gpu.DAY
)
LEFT_WITHOUT: Final = gpu.bare_node(labels=LABELLED)
MIG_DONE: Final = {**ASKED, STATE: "success"}
SINGLE: Final = {**MIG_DONE, "nvidia.com/mig.strategy": "single", PRODUCT_LABEL: "NVIDIA-H100-MIG-1g.10gb"}
MIXED: Final = {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig.capable": "true"}
SWITCHED_OFF: Final = gpu.bare_node(labels=gpu.deploy("false", "operands"))
NO_MANAGER: Final = gpu.bare_node(labels={PRODUCT_LABEL: "NVIDIA-A100-SXM4-80GB"})
BY_CLOUD: Final = gpu.bare_node(gpus=None, seen=False, labels={"cloud.google.com/gke-accelerator": "nvidia-l4"})
GFD_BARE: Final = [gpu.bare_node(), gpu.operand_set(gpu.GFD), gpu.operand(gpu.GFD)]


def silent_node() -> Manifest:
    """Return a GPU node that has not reported for five minutes."""
    return gpu.gpu_node(conditions=ready_condition("Unknown", reason="NodeStatusUnknown"))


def marked_unready(operand: Manifest) -> Manifest:
    """Return the pod as the node controller marks it when its node is silent: its containers are as they were."""
    conditions = [
        {**item, "status": "False", "lastTransitionTime": ago(300)} if item["type"] == "Ready" else item
        for item in operand["status"]["conditions"]
    ]
    return {**operand, "status": {**operand["status"], "conditions": conditions}}


def mig(**labels: str) -> Manifest:
    return gpu.bare_node(labels=labels)


def mig_manager(*manifests: Manifest) -> list[Manifest]:
    return [*manifests, *MANAGER]


CASES: Final = (
    Case("gpu-link-broken", CHAIN, CHAIN_WELL, name="the driver loads, and all that waited runs"),
    Case("gpu-link-waits", CHAIN, CHAIN_WELL),
    Case("gpu-link-broken", [gpu.gpu_node(None), gpu.operand_set(gpu.DRIVER, desired=0)],
         [gone("DaemonSet", gpu.DRIVER, OPERATOR), gone("Node", "gpu-1", "")], name="taken out"),
    Case("gpu-link-broken", [gpu.gpu_node(), *gpu.operands(without=(gpu.EXPORTER,)),
                             gpu.operand_pod(gpu.EXPORTER, broken=gpu.crashing()), *gpu.operand_sets()],
         [gpu.operand_pod(gpu.EXPORTER)], name="the exporter runs"),
    Case("node-unreachable", [silent_node(), *map(marked_unready, gpu.operands()), *gpu.operand_sets(), gpu.operator()],
         [gpu.gpu_node(conditions=ready_condition("True", reason="KubeletReady", age_s=-1, heartbeat_s=-1))],
         name="nobody has written yet that its operands are ready"),
    Case("gpu-driver-upgrade-failed", [upgrading("upgrade-failed"), moved("Failed to drain the node, timed out", 300)],
         [DONE, moved(DONE_WORDS, -1)]),
    Case("gpu-driver-upgrade-stuck", [upgrading("drain-required", cordoned_s=3000),
                                      moved("Successfully updated node state label to drain-required", 700)],
         [DONE, moved(DONE_WORDS, -1)], name="it got through"),
    Case("gpu-driver-upgrade-stuck", [upgrading("drain-required", cordoned_s=3000),
                                      resources.user(labels={"app": "web"}), resources.budget()],
         [gone("Pod", "train-1"), DONE, moved(DONE_WORDS, -1)], name="who held the GPUs left"),
    Case("gpu-driver-upgrades-wait", [POLICY, waits()], [upgrading("pod-deletion-required")], name="one is under way"),
    Case("gpu-driver-upgrades-wait", [POLICY, waits()],
         [gpu.bare_node(name="gpu-2", labels={STATE_OF_UPGRADE: "upgrade-done"})], name="done"),
    Case("gpu-operands-left-paused", [PAUSED, gpu.operand(gpu.DRIVER)],
         [gpu.bare_node(labels=gpu.deploy("true", "device-plugin", "dcgm"))]),
    Case("mig-change-stuck", mig_manager(gpu.bare_node(gpus=0, labels=PENDING)), [mig(**SINGLE)]),
    Case("mig-change-failed", mig_manager(mig(**ASKED, **{STATE: "failed"})), [mig(**SINGLE)]),
    Case("mig-layout-invalid", mig_manager(gpu.bare_node(gpus=0, labels=INVALID)), [mig(**SINGLE)]),
    Case("mig-without-instances", [gpu.bare_node(gpus=0, labels=MIXED), gpu.operand(gpu.PLUGIN),
                                   gpu.operand_set(gpu.PLUGIN)], [mig(**MIXED, **{"nvidia.com/gpu.count": "8"})]),
    Case("mig-not-applied", mig_manager(mig(**ASKED)), [mig(**SINGLE)]),
    Case("mig-manager-missing", [NO_MANAGER, gpu.operand_set(gpu.MIG, desired=0)],
         [gpu.operand_set(gpu.MIG), gpu.operand(gpu.MIG), mig(**{PRODUCT_LABEL: "NVIDIA-A100-SXM4-80GB",
                                                                **gpu.deploy("true", "mig-manager")})]),
    Case("mig-manager-missing", [NO_MANAGER, gpu.operand_set(gpu.MIG, desired=0)],
         [gone("DaemonSet", gpu.MIG, OPERATOR)], name="no manager is meant"),
    Case("gpu-node-not-discovered", [UNSEEN, gpu.nfd_set(), gpu.operand_set(gpu.PLUGIN)],
         [gpu.nfd_worker(), gpu.operand(gpu.PLUGIN), gpu.bare_node()], name="labelled"),
    Case("gpu-node-not-discovered", [UNSEEN, gpu.operand_set(gpu.PLUGIN, desired=0)],
         [gone("DaemonSet", gpu.PLUGIN, OPERATOR)], name="the operator was removed",
         left=frozenset({"node-gpus-lost"})),
    Case("gpu-node-not-discovered", [BY_CLOUD, gpu.operand_set(gpu.PLUGIN, desired=0)],
         [gone("DaemonSet", gpu.PLUGIN, OPERATOR)], name="no operator, by a label of the cloud"),
    Case("gpu-labels-missing", GFD_BARE, [LEFT_WITHOUT]),
    Case("gpu-labels-stale", [gpu.bare_node(labels=stamped(3600)), gpu.operand(gpu.GFD)],
         [gpu.bare_node(labels=stamped(-5))]),
    Case("gpu-operands-off", [POLICY, SWITCHED_OFF], [gpu.bare_node()], name="on again"),
    Case("gpu-cluster-blocked", [gpu.bare_node(), POLICY, BLOCKED], [gone("ClusterPolicy", "cluster-policy", ""),
         resources.custom("GPUCluster", "gpu-cluster", "ready", READY)]),
    Case("nvidia-driver-conflict", [gpu.bare_node(labels=LABELLED), CONFLICT, resources.driver_resource(name="other")],
         [gone("NVIDIADriver", "other", ""), resources.driver_resource("ready", READY, selector=LABELLED)]),
    Case("nvidia-driver-unused", [gpu.bare_node(), POLICY, resources.driver_resource("disabled")],
         [resources.policy(spec={"driver": {"useNvidiaDriverCRD": True}})], name="the policy uses it"),
    Case("nvidia-driver-unused", [gpu.bare_node(), POLICY, resources.driver_resource("disabled")],
         [gone("NVIDIADriver", "default", "")], name="removed"),
    Case("gpu-devices-not-published", [DRA], [resources.devices()]),
    Case("gpu-link-broken", by_chart(*resources.dra_chart(broken=gpu.crashing())),
         [*resources.dra_chart(), resources.devices()], name="a DRA driver of its own chart"),
    Case("gpu-policy-ignored", [resources.policy(name="b"), resources.policy(name="a", age_s=60), gpu.bare_node()],
         [gone("ClusterPolicy", "b", "")], name="the other is removed"),
    Case("gpu-policy-ignored", [resources.policy(name="b"), resources.policy(name="a", age_s=60), gpu.bare_node()],
         [gone("ClusterPolicy", "a", "")], name="removed"),
    Case("gpu-operator-reconcile-failed", [FAILED_TO_RECONCILE, gpu.bare_node()], [POLICY]),
    Case("gpu-operator-blind", [BLIND, FEATURED], [gpu.bare_node()], name="a GPU node joined"),
    Case("gpu-operator-blind", [UNLABELLED, node()], [FEATURED, resources.policy()], name="the policy says ready"),
    Case("gpu-operands-not-ready", [NOT_READY, gpu.bare_node(), gpu.operand_set(gpu.DRIVER, ready=0),
                                    gpu.operand(gpu.DRIVER, ready=False, age_s=600)],
         [POLICY, gpu.operand_set(gpu.DRIVER), gpu.operand(gpu.DRIVER)]),
    Case("gpu-operator-ready-in-name", [POLICY, gpu.bare_node(gpus=0), gpu.bare_node(name="gpu-2"),
                                        gpu.operand_set(gpu.PLUGIN, desired=2), gpu.operand_pod(gpu.PLUGIN, "gpu-2")],
         [gpu.bare_node(), gpu.operand_pod(gpu.PLUGIN)]),
    Case("gpus-shared-without-isolation", TEAMS, [gone("Pod", "b", "other")], name="one team is left"),
    Case("gpus-shared-without-isolation", TEAMS, [gpu.bare_node(8, "gpu-1", labels={PRODUCT_LABEL: "NVIDIA-A10"})],
         name="no more shared"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
