"""The healthy cluster that incidents of the control plane break: of kubeadm's, with two model servers."""

from typing import Final

from simulator.scenarios.control_plane_objects import CONTROL_PLANE, control_plane, leases
from simulator.scenarios.story import Manifest, Story, node_of, workload_of

NODES: Final = (*CONTROL_PLANE, "gpu-1", "gpu-2", "cpu-1")


def before(story: Story) -> list[Manifest]:
    """All objects at t=0."""
    found = [
        story.manifest("Namespace", name, status={"phase": "Active"}) for name in ("kube-system", "serving", "shop")
    ]
    found += [
        node_of(story, name, gpus=8 if name.startswith("gpu") else 0, is_control_plane=name in CONTROL_PLANE)
        for name in NODES
    ]
    found += leases(story, 0, NODES)
    found += control_plane(story, ("cp-1", "cpu-1"))
    found += workload_of(story, "storefront", "shop", ("cpu-1", "cpu-1"))
    model: Manifest = {"image": "vllm/vllm-openai:v0.32.0", "container": "vllm", "memory": "64Gi", "gpus": 8}
    found += workload_of(story, "vllm-llama3-70b", "serving", ("gpu-1", "gpu-2"), **model)
    return found
