"""Which resources count as GPUs, and which pods ask for them."""

import pytest

from situation.gpu.requests import asks_for_gpus, asks_for_nvidia, is_gpu, is_nvidia
from situation.pods import Pod
from tests.build import made, pod, situation


@pytest.mark.parametrize(
    ("resource", "any_vendor", "nvidia"),
    [
        ("nvidia.com/gpu", True, True),
        ("nvidia.com/gpu.shared", True, True),
        ("nvidia.com/mig-1g.10gb", True, True),
        ("nvidia.com/mig-1g.10gb.shared", True, True),
        ("amd.com/gpu", True, False),
        ("gpu.intel.com/i915", True, False),
        ("gpu.intel.com/xe", True, False),
        ("gpu.intel.com/i915_monitoring", False, False),
        ("gpu.intel.com/millicores", False, False),
        ("nvidia.com/hostdev", False, False),
        ("rdma/rdma_shared_device_a", False, False),
        ("cpu", False, False),
    ],
)
def test_what_is_a_gpu(resource: str, any_vendor: bool, nvidia: bool) -> None:
    assert (is_gpu(resource), is_nvidia(resource)) == (any_vendor, nvidia)
    asking = made(pod(node="n1", container={"resources": {"limits": {resource: "1"}}}))
    assert isinstance(asking, Pod)
    assert (asks_for_gpus(asking), asks_for_nvidia(asking)) == (any_vendor, nvidia)
    known = situation(pod(node="n1", container={"resources": {"limits": {resource: "1"}}}))
    assert bool(list(known.gpu_pods_by_node.get("n1").values())) is any_vendor


def test_an_init_container_asks_as_well() -> None:
    init = {"name": "warm-up", "image": "cuda", "resources": {"requests": {"nvidia.com/gpu": "1"}}}
    asking = made(pod(spec={"initContainers": [init]}))
    assert isinstance(asking, Pod)
    assert asks_for_gpus(asking) and asks_for_nvidia(asking)
