"""What a node offers of its GPUs, read from capacity, allocatable and labels (catalogue, GPU capacity arithmetic)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from situation.cluster import Node
from situation.gpu.requests import NVIDIA
from situation.meta import Quantities
from situation.quantity import parse_quantity

PRESENT: Final = "nvidia.com/gpu.present"
_PCI: Final = tuple(f"feature.node.kubernetes.io/pci-{kind}.present" for kind in ("10de", "0302_10de", "0300_10de"))
"""Labels of node feature discovery; any of them makes a node one with a GPU for the operator (GPU Operator, NFD)."""
PRODUCT: Final = "nvidia.com/gpu.product"
_PLUGIN_LABEL: Final = "nvidia.com/gpu.deploy.device-plugin"
UPGRADE: Final = "nvidia.com/gpu-driver-upgrade-state"
_UPGRADE_AT_REST: Final = frozenset({"", "upgrade-done", "upgrade-required", "upgrade-failed"})
MIG_CONFIG: Final = "nvidia.com/mig.config"
MIG_STATE: Final = "nvidia.com/mig.config.state"
ACCELERATORS: Final = (
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "kubernetes.azure.com/accelerator",
)
"""Labels by which clouds name a node's accelerator: all there is where the device plugin is the cloud's own."""
_NO_CLOUD_PLUGIN: Final = "gke-no-default-nvidia-gpu-device-plugin"
"""Keeps the device plugin of GKE off a node: the GPU Operator or dynamic resource allocation gives out its GPUs."""


class Offer(StrEnum):
    """What the capacity and allocatable GPUs of a node say (catalogue, GPU capacity arithmetic)."""

    NONE = "none"
    """No GPU node, or one whose GPUs are not offered as extended resources on purpose."""
    NEVER = "never"
    """The key is absent: the plugin never registered since the node object was made."""
    GONE = "gone"
    """Capacity 0: the plugin is gone for more than 5 minutes, or the kubelet restarted and it has not come back."""
    STOPPED = "stopped"
    """Capacity without allocatable: the plugin went less than 5 minutes ago, or every GPU is unhealthy."""
    PARTLY = "partly"
    """Less allocatable than capacity: some GPUs are unhealthy."""
    ALL = "all"


def gpu_resources(quantities: Quantities) -> Mapping[str, float]:
    """Return the NVIDIA extended resources among `quantities`: whole, shared and MIG devices."""
    return {
        name: parse_quantity(value) or 0.0 for name, value in quantities.items() if name.startswith(NVIDIA)
    }  # fmt: skip


class GpuCount(NamedTuple):
    """How many GPUs a node has and offers, shared ones as often as they are shared, and what that means."""

    total: float
    usable: float
    offer: Offer


def gpu_offer(node: Node) -> Offer:
    """Read the capacity table for one node."""
    return count_gpus(node).offer


def count_gpus(node: Node) -> GpuCount:
    """Count a node's GPUs, and read the capacity table."""
    labels, capacity = node.metadata.labels, gpu_resources(node.status.capacity)
    total, usable = sum(capacity.values()), sum(gpu_resources(node.status.allocatable).values())
    if usable:
        offer = Offer.ALL if usable >= total else Offer.PARTLY
    elif _off(labels) or not (capacity or has_gpu(labels)):
        offer = Offer.NONE
    else:
        offer = Offer.STOPPED if total else Offer.GONE if capacity else Offer.NEVER
    return GpuCount(total, usable, offer)


def has_gpu(labels: Mapping[str, str]) -> bool:
    """Tell whether a node's labels say that it has an NVIDIA GPU: the operator's, NFD's, or a cloud's."""
    return labels.get(PRESENT) == "true" or is_seen(labels) or _has_cloud_gpu(labels)


def is_seen(labels: Mapping[str, str]) -> bool:
    """Tell whether node feature discovery says that a node has an NVIDIA GPU."""
    return any(labels.get(key) == "true" for key in _PCI)


def _has_cloud_gpu(labels: Mapping[str, str]) -> bool:
    """Tell whether a cloud's label names an NVIDIA GPU on a node whose GPUs the cloud's device plugin may give out."""
    return any("nvidia" in labels.get(key, "") for key in ACCELERATORS) and labels.get(_NO_CLOUD_PLUGIN) != "true"


def _off(labels: Mapping[str, str]) -> bool:
    """Tell whether somebody decided that this node offers no GPUs to pods through the device plugin."""
    return (
        labels.get(PRESENT) == "false"
        or labels.get("nvidia.com/gpu.deploy.operands") == "false"
        or labels.get(_PLUGIN_LABEL) == "false"
        or labels.get("nvidia.com/gpu.deploy.dra-driver") == "true"
        or labels.get("nvidia.com/gpu.workload.config", "container") != "container"
    )


def paused_why(labels: Mapping[str, str]) -> str:
    """Why the GPUs are away for now, empty if for no known reason."""
    if labels.get(MIG_STATE) in ("pending", "rebooting") or labels.get(_PLUGIN_LABEL) == "paused-for-mig-change":
        return "while its MIG layout is changed"
    if labels.get(UPGRADE, "") not in _UPGRADE_AT_REST or "paused-for-driver" in labels.get(_PLUGIN_LABEL, ""):
        return "while its driver is upgraded"
    return ""
