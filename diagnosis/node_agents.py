"""Node agents: DaemonSets that make a node usable. When one fails, its node is what is broken, not an application."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from situation.findings import Layer
from situation.meta import KubernetesObject, Ref
from situation.situation import Situation


class Agent(StrEnum):
    """What a node agent is there for."""

    GPU = "GPU operand"
    CNI = "network plugin"
    KUBE_PROXY = "kube-proxy"
    CSI = "storage driver"

    @property
    def layer(self) -> Layer:
        """The layer that breaks with it (fault_signatures L3-09, L3-10, L5-10)."""
        return Layer.NETWORK if self in (Agent.CNI, Agent.KUBE_PROXY) else Layer.NODE


_APP_LABELS: Final = ("k8s-app", "app", "app.kubernetes.io/name", "name")
_GPU_APPS: Final = (
    "nvidia-driver-daemonset",
    "nvidia-container-toolkit-daemonset",
    "nvidia-device-plugin",
    "nvidia-gpu-device-plugin",
    "nvidia-driver-installer",
    "nvidia-operator-validator",
    "gpu-feature-discovery",
    "nvidia-dcgm",
    "dcgm-exporter",
    "nvidia-mig-manager",
    "nvidia-mps-control-daemon",
    "nvidia-dra-driver",
    "dra-driver-nvidia-gpu",
)
_NFD: Final = "node-feature-discovery"
_CNI_APPS: Final = (
    "antrea",
    "aws-node",
    "azure-cni",
    "calico-node",
    "canal",
    "cilium",
    "flannel",
    "kindnet",
    "kube-flannel",
    "kube-router",
    "ovnkube-node",
    "weave-net",
)


def agent_of(item: KubernetesObject) -> Agent | None:
    """Return the role of a node agent's DaemonSet or pod by its labels and name, None for anything else."""
    labels = item.metadata.labels
    names = [labels[label] for label in _APP_LABELS if label in labels] + [item.name]
    if labels.get("app.kubernetes.io/managed-by") == "gpu-operator" or _any_starts(names, _GPU_APPS):
        return Agent.GPU
    if _any_starts(names, ("kube-proxy",)):
        return Agent.KUBE_PROXY
    if _any_starts(names, _CNI_APPS):
        return Agent.CNI
    owner = item.metadata.controller
    if any("csi" in name.split("-") for name in names) and (owner is None or owner.kind == "DaemonSet"):
        return Agent.CSI
    return None


def is_nfd(item: KubernetesObject) -> bool:
    """Tell whether a pod or workload belongs to node feature discovery, of whatever release."""
    labels = item.metadata.labels
    return (
        labels.get("app.kubernetes.io/name") == _NFD
        or _NFD in item.name
        or item.name.startswith("nfd-")
        or labels.get("app", "").startswith("nfd-")
    )


def home_layer(item: KubernetesObject) -> Layer | None:
    """Return the layer that breaks with this pod or workload, else None.

    That of a node agent, of what brings the GPU operands to the nodes, or the control plane of its own static pods as
    kubeadm labels them (`tier=control-plane`).
    """
    if item.namespace == "kube-system" and item.metadata.labels.get("tier") == "control-plane":
        return Layer.CONTROL_PLANE
    if (agent := agent_of(item)) is not None:
        return agent.layer
    return Layer.NODE if item.metadata.labels.get("app") == "gpu-operator" or is_nfd(item) else None


def _any_starts(names: list[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)


def agents(situation: Situation, *wanted: Agent) -> Iterator[Ref]:
    """Yield the DaemonSets of these roles."""
    for key, item in situation.daemonsets.items():
        if agent_of(item) in wanted:
            yield Ref("DaemonSet", *key)
