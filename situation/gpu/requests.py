"""Which extended resources are GPUs, and which pods ask for them; a GPU by a resource claim (DRA) is not told here.

This is the one place that names GPU resources. `is_gpu` is what a person on call means by a GPU, whoever made it: that
is what a pod waits for, a node is full of, a server runs on. `is_nvidia` is the part of it that the GPU Operator's
chain brings: only what is explained by that chain asks for this.
"""

from typing import Final

from situation.pods import Container, Pod

NVIDIA: Final = ("nvidia.com/gpu", "nvidia.com/mig-")
"""Whole and shared GPUs (`.shared` too) and MIG devices (gpu_operator 5). Not all of `nvidia.com/`: NVIDIA's Network
Operator puts network cards there (`nvidia.com/hostdev`), which model servers ask for beside their GPUs."""
_OTHERS: Final = ("amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe")
"""Not all of `gpu.intel.com/`: memory, tiles and shares of a GPU are counted there too, in other units."""
_NO_GPU: Final = "_monitoring"
"""End of the names by which Intel's plugin lets a pod look at all GPUs without having one."""
_GPUS: Final = (*NVIDIA, *_OTHERS)


def is_gpu(resource: str) -> bool:
    """Tell whether an extended resource is a GPU or a part of one, of any vendor."""
    return resource.startswith(_GPUS) and not resource.endswith(_NO_GPU)


def is_nvidia(resource: str) -> bool:
    """Tell whether an extended resource is a GPU, or a part of one, that NVIDIA's device plugin offers."""
    return resource.startswith(NVIDIA)


def has_gpus(container: Container) -> bool:
    """Tell whether a container requests, or is limited to, a GPU of any vendor."""
    return _asks_for(container, _GPUS)


def asks_for_gpus(pod: Pod) -> bool:
    """Tell whether a container of the pod, init containers among them, asks for a GPU of any vendor."""
    return any(_asks_for(item, _GPUS) for item in (*pod.spec.containers, *pod.spec.init_containers))


def asks_for_nvidia(pod: Pod) -> bool:
    """Tell whether a container of the pod, init containers among them, asks for a GPU of NVIDIA's."""
    return any(_asks_for(item, NVIDIA) for item in (*pod.spec.containers, *pod.spec.init_containers))


def _asks_for(container: Container, resources: tuple[str, ...]) -> bool:
    for amounts in (container.resources.limits, container.resources.requests):
        for name in amounts:  # the containers of every pod that changes are asked: no call for each name
            if name.startswith(resources) and not name.endswith(_NO_GPU):
                return True
    return False
