"""Which pods ask for GPUs by name; a GPU that comes by a resource claim (DRA) is not told here."""

from typing import Final

from situation.pods import Container, Pod

_GPUS: Final = ("nvidia.com/", "amd.com/gpu", "gpu.intel.com/")


def is_gpu(resource: str) -> bool:
    """Tell whether an extended resource is a GPU or a part of one."""
    return resource.startswith(_GPUS)


def asks_for_any(container: Container, resources: tuple[str, ...]) -> bool:
    """Tell whether a container requests, or is limited to, a resource whose name begins with one of these."""
    for amounts in (container.resources.limits, container.resources.requests):
        for name in amounts:  # the containers of every pod that changes are asked: no call for each name
            if name.startswith(resources):
                return True
    return False


def asks_for_gpus(pod: Pod) -> bool:
    """Tell whether a container of the pod, init containers among them, requests a GPU or is limited to some."""
    return any(asks_for_any(item, _GPUS) for item in (*pod.spec.containers, *pod.spec.init_containers))
