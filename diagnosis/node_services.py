"""Which service of a node runs its kubelet and its runtime, as commands for the node's own shell name it."""

from typing import Final

from diagnosis.commands import on_node
from situation.cluster import Node
from situation.distribution import rancher
from situation.findings import Command
from situation.selectors import is_control_plane

_KUBELET: Final = "kubelet"
_UNITS: Final = {"k3s": ("k3s", "k3s-agent"), "rke2": ("rke2-server", "rke2-agent")}
"""By distribution: on a node of the control plane, and on any other."""
_RKE2_LOG: Final = "/var/lib/rancher/rke2/agent/logs/kubelet.log"
"""RKE2 keeps the kubelet's log out of the journal (its documentation, "Logging")."""


def has_systemd(node: Node) -> bool:
    """Tell whether a node has a shell with systemd: Windows, Talos and virtual kubelets have none."""
    info = node.status.node_info
    is_virtual = node.metadata.labels.get("type") == "virtual-kubelet"
    return not (is_virtual or info.operating_system == "windows" or info.os_image.startswith("Talos"))


def kubelet_unit(node: Node) -> str:
    """Return the unit that runs the kubelet: `kubelet`, or that of k3s or RKE2, which have it built in."""
    server, agent = _UNITS.get(rancher(node), (_KUBELET, _KUBELET))
    return server if is_control_plane(node) else agent


def runtime_unit(node: Node) -> str:
    """Return the unit that runs the container runtime, which k3s and RKE2 have built in too."""
    kubelet = kubelet_unit(node)
    if kubelet != _KUBELET:
        return kubelet
    return node.status.node_info.container_runtime_version.partition("://")[0] or "containerd"


def service_commands(node: Node, unit: str) -> tuple[Command, ...]:
    """Return commands for whether a service of a node runs, and what it says; none where it has no shell for them."""
    if not has_systemd(node):
        return ()
    return (on_node(node.name, "systemctl", "status", unit, purpose=f"does {unit} run?"), journal(node, unit))


def journal(node: Node, unit: str, purpose: str = "") -> Command:
    """Return the command for what a service of a node has logged of late."""
    argv: tuple[str, ...] = ("journalctl", "-u", unit, "--since", "-15min", "--no-pager")
    if rancher(node) == "rke2":
        argv = ("tail", "-n", "200", _RKE2_LOG)
    return on_node(node.name, *argv, purpose=purpose or f"what does {unit} say?")
