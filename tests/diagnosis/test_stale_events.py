"""Every event that the fault catalogue names, on an object that is well by now: an event alone is no fault (0.1)."""

from typing import Final, NamedTuple

import pytest

from tests.build import Manifest, event, judged
from tests.diagnosis.healthy import HEALTHY

BACK_OFF: Final = "Back-off restarting failed container app in pod cart-1_shop(uid-cart-1)"
SANDBOX: Final = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to "
REFUSED: Final = 'Error creating: pods "cart-1-abc" is forbidden: '
NONE_FITS: Final = "0/5 nodes are available: "
HEAD: Final = 'Head "https://reg.example.com/v2/": dial tcp: lookup reg.example.com: no such host'
OLD_S: Final = 3000.0


class Past(NamedTuple):
    """An event of a signature about an object of the healthy cluster."""

    signature: str
    about: str
    reason: str
    message: str
    type: str = "Warning"
    age_s: float = 5
    """The events of a node tell what happened to it, so that they stand for a while: old ones are meant there."""


POD, SET, CLAIM, NODE = "Pod/cart-1", "ReplicaSet/cart-1", "PersistentVolumeClaim/data-db-0", "Node/node-1"
PAST: Final = (
    Past("L1-01", POD, "BackOff", BACK_OFF),
    Past("L1-03", POD, "FailedCreatePodSandBox", SANDBOX + "container init was OOM-killed (memory limit too low?)"),
    Past("L1-04", POD, "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500"),
    Past("L1-04", POD, "Killing", "Container app failed liveness probe, will be restarted", "Normal"),
    Past("L1-05", POD, "Killing", "Container app failed startup probe, will be restarted", "Normal"),
    Past("L1-06", POD, "Unhealthy", "Readiness probe failed: dial tcp 10.1.2.3:80: connect: connection refused"),
    Past("L1-07", POD, "Failed", 'Failed to pull image "shop/web:2": code = NotFound desc = not found'),
    Past("L1-07", POD, "Failed", "Error: ErrImagePull"),
    Past("L1-08", POD, "FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (reg); ..."),
    Past("L1-09", POD, "Failed", f'Failed to pull image "reg.example.com/web:2": failed to do request: {HEAD}'),
    Past("L1-10", POD, "InspectFailed", 'Failed to apply default image tag "A:b": invalid reference format'),
    Past("L1-11", POD, "Failed", 'Error: secret "x" not found'),
    Past("L1-12", POD, "Failed", "Error: couldn't find key k in ConfigMap shop/x"),
    Past("L1-13", POD, "FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "x" not found'),
    Past("L1-13", POD, "FailedMount", 'MountVolume.SetUp failed for volume "v" : failed to sync configmap cache'),
    Past("L1-14", POD, "Failed", "Error: container has runAsNonRoot and image will run as root"),
    Past("L1-15", POD, "Failed", 'Error: exec: "foo": executable file not found in $PATH: unknown'),
    Past("L1-25", SET, "FailedCreate", REFUSED + 'error looking up service account shop/x: ... not found'),
    Past("L1-27", SET, "FailedCreate", REFUSED + 'violates PodSecurity "restricted:latest": privileged'),
    Past("L1-28", POD, "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."),
    Past("L2-01", POD, "FailedScheduling", NONE_FITS + "5 Insufficient cpu."),
    Past("L2-02", POD, "FailedScheduling", NONE_FITS + "5 Insufficient nvidia.com/gpu."),
    Past("L2-04", POD, "FailedScheduling", NONE_FITS + "5 node(s) didn't match Pod's node affinity/selector."),
    Past("L2-05", POD, "FailedScheduling", NONE_FITS + "5 node(s) had untolerated taint(s)."),
    Past("L2-14", POD, "FailedScheduling", NONE_FITS + "pod has unbound immediate PersistentVolumeClaims."),
    Past("L2-12", SET, "FailedCreate", REFUSED + "exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9"),
    Past("L2-12", SET, "FailedCreate", REFUSED + "status unknown for quota: q, resources: pods"),
    Past("L2-13", SET, "FailedCreate", REFUSED + "maximum cpu usage per Container is 2, but limit is 4"),
    Past("L2-15", CLAIM, "FailedBinding", "no persistent volumes available for this claim and no storage class is set",
         "Normal"),
    Past("L2-16", CLAIM, "ProvisioningFailed", 'storageclass.storage.k8s.io "x" not found'),
    Past("L2-16", CLAIM, "ExternalProvisioning", "Waiting for a volume to be created ...", "Normal"),
    Past("L2-22", POD, "Preempted", "Preempted by pod 7f0 on node node-1", "Normal"),
    Past("L2-22", SET, "FailedCreate", REFUSED + "no PriorityClass with name urgent was found"),
    Past("L3-07", POD, "MissingClusterDNS", "pod: cart-1 does not have ClusterDNS IP configured"),
    Past("L3-08", "Service/public", "SyncLoadBalancerFailed", "Error syncing load balancer: quota"),
    Past("L3-10", POD, "NetworkNotReady", "network is not ready: container runtime network not ready"),
    Past("L3-11", POD, "FailedCreatePodSandBox", SANDBOX + "allocate for range 0: no IP addresses available"),
    Past("L4-06", SET, "FailedCreate", 'Error creating: Internal error occurred: failed calling webhook "x": failed'),
    Past("L4-07", SET, "FailedCreate", 'Error creating: admission webhook "x" denied the request: no'),
    Past("L5-01", POD, "NodeNotReady", "Node is not ready"),
    Past("L5-01", POD, "TaintManagerEviction", "Cancelling deletion of Pod shop/cart-1", "Normal"),
    Past("L5-01", NODE, "NodeNotReady", "Node node-1 status is now: NodeNotReady", "Normal"),
    Past("L5-02", POD, "FailedCreatePodSandBox", "rpc error: dial unix /run/containerd/containerd.sock: no such file"),
    Past("L5-02", NODE, "ContainerGCFailed", "rpc error: dial unix /run/containerd/containerd.sock: no such file",
         age_s=OLD_S),
    Past("L5-03", NODE, "EvictionThresholdMet", "Attempting to reclaim ephemeral-storage", age_s=OLD_S),
    Past("L5-03", NODE, "FreeDiskSpaceFailed", "Failed to garbage collect required amount of images", age_s=OLD_S),
    Past("L5-03", NODE, "InvalidDiskCapacity", "invalid capacity 0 on image filesystem"),
    Past("L5-05", NODE, "SystemOOM", "System OOM encountered, victim process: python, pid: 7", age_s=OLD_S),
    Past("L5-07", NODE, "Rebooted", "Node node-1 has been rebooted, boot id: 1", age_s=OLD_S),
    Past("L5-15", POD, "FailedCreatePodSandBox", SANDBOX + 'get sandbox runtime: no runtime for "nvidia"'),
    Past("L5-16", POD, "FailedPrepareDynamicResources", "Failed to prepare dynamic resources: DRA driver x is not "
         "registered"),
    Past("L5-18", POD, "FailedAttachVolume", 'Multi-Attach error for volume "pv" Volume is already attached'),
    Past("L5-18", POD, "FailedMount", "Unable to attach or mount volumes: unmounted volumes=[v]: timed out"),
)  # fmt: skip


def as_event(past: Past) -> Manifest:
    namespace = "" if past.about.startswith("Node/") else "shop"
    return event(past.about, past.reason, past.message, namespace=namespace, type=past.type, age_s=past.age_s)


@pytest.mark.parametrize("past", PAST, ids=lambda past: f"{past.signature}-{past.reason}")
def test_on_an_object_that_is_well_it_is_silent(past: Past) -> None:
    assert [f"{cause.key}: {cause.title}" for cause in judged(*HEALTHY, as_event(past)).causes] == []
