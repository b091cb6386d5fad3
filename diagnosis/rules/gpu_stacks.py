"""Layer 5: NVIDIADrivers and the stack of dynamic resource allocation (gpu_operator 1.4, 3)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, pods_on, shorten
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.gpu_facts import (
    SLICES,
    drivers,
    named,
    operands_on,
    operator_namespace,
    policies,
    ready_since,
    unready_owners,
)
from diagnosis.gpu_status import RESOURCES, WHICH_OPERAND, describe, says, trouble
from diagnosis.on_demand import LATELY, read_lately
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, Wait, rule, wait_until
from situation.cluster import Node
from situation.findings import Layer, Severity
from situation.gpu.components import DEPLOY
from situation.gpu.operator import GpuCluster, NvidiaDriver
from situation.meta import Ref
from situation.selectors import is_node_ready
from situation.situation import Situation

SETTLE_S: Final = 120.0
"""A status that the operator has just written may be of the moment before. Ours."""
PUBLISH_S: Final = 120.0
"""A driver publishes its devices within seconds of its registration; two minutes are ample. Ours."""
GPU_DRIVER: Final = "gpu.nvidia.com"
"""The driver of whole GPUs and MIG devices in ResourceSlices (gpu_operator 1.4)."""


@rule(
    "nvidia-driver-conflict",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="NVIDIADriver",
    needs=("nvidiadrivers", "nodes"),
    looks_at="condition Error with the reason ConflictingNodeSelector; NVIDIADrivers that select the same nodes.",
)
def nvidia_driver_conflict(driver: NvidiaDriver, situation: Situation, now: datetime) -> Verdict:
    """Two NVIDIADrivers select the same nodes, so the operator deploys neither there."""
    if (error := trouble(driver, "ConflictingNodeSelector")) is None:
        return CLEAR
    if wait := wait_until(error.last_transition_time, SETTLE_S, now):
        return wait
    mine = driver.spec.node_selector.items()
    shared = []
    for other in drivers(situation):
        both = [node.name for node in situation.nodes.values()
                if mine <= node.metadata.labels.items()
                and other.spec.node_selector.items() <= node.metadata.labels.items()]  # fmt: skip
        if other.name != driver.name and both:
            shared.append(fact("nvidiadrivers", f"{other.name} selects {shorten(', '.join(sorted(both)), 120)} too"))
    return Fired(
        Ref("NVIDIADriver", "", driver.name),
        "selects nodes that another NVIDIADriver selects too",
        (*says(driver), *shared[:3]),
        (
            kubectl("get", RESOURCES["NVIDIADriver"], "-o",
                    "custom-columns=NAME:.metadata.name,SELECTOR:.spec.nodeSelector,STATE:.status.state",
                    purpose="which selectors overlap?"),
            describe(driver),
        ),
    )  # fmt: skip


@rule(
    "nvidia-driver-unused",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="NVIDIADriver",
    needs=("nvidiadrivers",),
    looks_at="state `disabled` of the NVIDIADriver, driver.useNvidiaDriverCRD of the ClusterPolicy.",
)
def nvidia_driver_unused(driver: NvidiaDriver, situation: Situation, now: datetime) -> Verdict:
    """An NVIDIADriver has no effect: the ClusterPolicy manages the driver itself."""
    if driver.status.state != "disabled" or any(policy.spec.driver.use_crd for policy in policies(situation)[:1]):
        return CLEAR
    return Fired(
        Ref("NVIDIADriver", "", driver.name),
        "has no effect: the ClusterPolicy does not use NVIDIADrivers",
        says(driver),
        (describe(driver), *(describe(policy) for policy in policies(situation)[:1])),
    )


@rule(
    "gpu-cluster-blocked",
    signature="L5-16",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="GPUCluster",
    needs=("gpuclusters",),
    looks_at="condition Error with the reason PrerequisiteNotMet; the ClusterPolicies.",
)
def gpu_cluster_blocked(cluster: GpuCluster, situation: Situation, now: datetime) -> Verdict:
    """A GPUCluster does nothing: something that it excludes is there, as a rule a ClusterPolicy."""
    if (error := trouble(cluster, "PrerequisiteNotMet")) is None:
        return CLEAR
    if wait := wait_until(error.last_transition_time, SETTLE_S, now):
        return wait
    others = policies(situation)
    return Fired(
        Ref("GPUCluster", "", cluster.name),
        f"does nothing while ClusterPolicy {others[0].name} exists" if others else "does nothing: it lacks something",
        (*says(cluster), *(fact("clusterpolicies", f"ClusterPolicy {item.name}") for item in others[:2])),
        (
            describe(cluster),
            kubectl("get", RESOURCES["ClusterPolicy"], purpose="which stack is meant to be in force?"),
        ),
    )


@rule(
    "gpu-devices-not-published",
    signature="L5-16",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="ResourceSlices of the driver gpu.nvidia.com; the label nvidia.com/gpu.deploy.dra-driver=true.",
    look_alikes={
        "node-gpus-lost": "GPUs of the device plugin, which shows them as capacity",
        "a driver that comes up": "twenty minutes are given until its pod is ready, then two",
    },
)
def gpu_devices_not_published(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node gives out its GPUs by dynamic resource allocation, and none of them is published."""
    if node.metadata.labels.get(f"{DEPLOY}dra-driver") != "true" or not is_node_ready(node):
        return CLEAR
    read = read_lately(SLICES, situation, now)
    if read is None:
        return Unknown("the ResourceSlices are not known", wants=SLICES)
    ours = [item for item in situation.devices_by_node.get(node.name).values() if item.spec.driver == GPU_DRIVER]
    if any(item.spec.devices for item in ours):
        return Wait(read + LATELY)  # they are large on big clusters and change seldom
    if situation.has_unread(SLICES):
        return Unknown("not all ResourceSlices could be decoded", wants=SLICES)
    pods = operands_on(node.name, situation)
    driver = named(pods, "nvidia-dra-driver-kubelet-plugin")
    since = ready_since(driver) if driver else None
    came = since or (driver.metadata.creation_timestamp if driver else node.metadata.creation_timestamp)
    if wait := wait_until(came, PUBLISH_S if since else DRIVER_START_S, now):
        return wait
    namespace = operator_namespace(situation)
    told = f"{driver.name} is {'ready' if since else 'not ready'}" if driver else "no DRA driver runs on it"
    return Fired(
        Ref("Node", "", node.name),
        "publishes no GPU for dynamic resource allocation",
        (
            fact(SLICES, f"{len(ours)} of {GPU_DRIVER} for this node, without a device"),
            fact("pods", told),
        ),
        (
            kubectl(
                "get",
                "resourceslices",
                "--field-selector",
                f"spec.nodeName={node.name}",
                purpose="what is published for this node?",
            ),
            pods_on(node.name, purpose=WHICH_OPERAND, namespace=namespace),
        ),
        follows=unready_owners(pods),
        node=node.name,
        wants=SLICES,
    )


RULES: Final[tuple[Rule, ...]] = (
    gpu_cluster_blocked,
    nvidia_driver_conflict,
    nvidia_driver_unused,
    gpu_devices_not_published,
)
