"""Where distributions that do not set a control plane up as kubeadm does keep services and files."""

from situation.cluster import Node
from situation.selectors import is_control_plane
from situation.situation import Situation


def rancher(node: Node) -> str:
    """Return `k3s` or `rke2` for a node of theirs, by the version of its kubelet (`v1.33.1+k3s1`); else nothing."""
    version = node.status.node_info.kubelet_version
    return next((name for name in ("k3s", "rke2") if f"+{name}" in version), "")


def etcd_files(node: Node | None) -> tuple[str, str, str] | None:
    """Return CA, certificate and key with which etcd is asked on a node of k3s or RKE2; None on any other."""
    name = rancher(node) if node is not None else ""
    if not name:
        return None
    folder = f"/var/lib/rancher/{name}/server/tls/etcd"
    return f"{folder}/server-ca.crt", f"{folder}/server-client.crt", f"{folder}/server-client.key"


def is_by_kubeadm(situation: Situation) -> bool:
    """Tell whether the control plane is set up as kubeadm does it, as far as can be seen.

    Its static pods are there, or certificates of its folder were read, and no node of the control plane is of k3s or
    RKE2. A managed control plane shows none of these.
    """
    if any(is_control_plane(node) and rancher(node) for node in situation.nodes.values()):
        return False
    pods = situation.pods_by_label.get(("kube-system", "component", "kube-apiserver"))
    return bool(pods) or any(item.place.startswith("/etc/kubernetes/") for item in situation.certificates)
