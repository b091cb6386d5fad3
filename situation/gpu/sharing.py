"""How the GPUs of a node are shared, as GPU feature discovery labels it, and what that does not isolate."""

from collections.abc import Mapping
from typing import Final

import msgspec

_NOT_ISOLATED: Final = {
    "time-slicing": "no isolation of memory, faults, speed",
    "mps": "no isolation of memory, faults, speed; one client's fatal error ends all",
}
"""MIG isolates memory, faults and speed, time-slicing and MPS none of them (NVIDIA device plugin, shared access)."""


class GpuSharing(msgspec.Struct, frozen=True):
    """How pods share the GPUs of a node."""

    strategy: str = ""
    """`none`, `time-slicing`, `mps` (`nvidia.com/gpu.sharing-strategy`); empty where it is not labelled."""
    replicas: int | None = None
    """Pods that share one GPU (`nvidia.com/gpu.replicas`)."""
    mig_strategy: str = ""
    """`single`, `mixed` (`nvidia.com/mig.strategy`); empty where no GPU is cut: the label alone is only a setting."""

    @property
    def is_shared(self) -> bool:
        return self.strategy in _NOT_ISOLATED

    @property
    def not_isolated(self) -> str:
        """What pods on one GPU can do to each other, empty where they are kept apart or nothing is known."""
        return _NOT_ISOLATED.get(self.strategy, "")


def gpu_sharing(labels: Mapping[str, str]) -> GpuSharing:
    """Read the labels of a node that GPU feature discovery sets; with mixed MIG each profile is labelled by itself."""
    mig = labels.get("nvidia.com/mig.strategy", "")
    strategies = {labels.get("nvidia.com/gpu.sharing-strategy", "")}
    replicas = {labels.get("nvidia.com/gpu.replicas", "")}
    for key, value in labels.items():
        if key.startswith("nvidia.com/mig-"):
            if key.endswith(".sharing-strategy"):
                strategies.add(value)
            elif key.endswith(".replicas"):
                replicas.add(value)
    shared = sorted(strategies & _NOT_ISOLATED.keys())
    counts = [int(text) for text in replicas if text.isdigit()]
    strategy = shared[0] if shared else "none" if "none" in strategies else ""
    return GpuSharing(strategy, max(counts, default=None), mig if _is_cut(labels) else "")


def _is_cut(labels: Mapping[str, str]) -> bool:
    """Tell whether MIG devices are there: in the product's name (single), or as profiles (mixed)."""
    product = labels.get("nvidia.com/gpu.product", "")
    cut = "-MIG-" in product and not product.endswith("-MIG-INVALID")
    return cut or any(key.startswith("nvidia.com/mig-") for key in labels)
