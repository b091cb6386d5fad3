"""How the control plane is laid out: where etcd runs, and which versions its API servers have."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_control_plane
from situation.situation import Situation

_NAMESPACE: Final = "kube-system"
_VERSION: Final = re.compile(r":v(\d+)\.(\d+)\.(\d+)")


class EtcdTopology(StrEnum):
    """Where etcd runs."""

    STACKED = "stacked"
    """On control plane nodes: one failure takes both, and both share disks."""
    EXTERNAL = "external"
    UNKNOWN = "unknown"
    """The control plane is hidden (managed), or its pods may not be read."""


def static_pods(situation: Situation, component: str) -> tuple[Pod, ...]:
    """Return the pods of a component of the control plane as kubeadm labels them (`component=etcd`), by name."""
    pods = situation.pods_matching(_NAMESPACE, {"component": component})
    return tuple(sorted(pods, key=lambda pod: pod.name))


def component_of(ref: Ref, situation: Situation) -> str:
    """Return the component of the control plane whose static pod this is, by kubeadm's label; empty for all else."""
    if ref.kind != "Pod" or ref.namespace != _NAMESPACE:
        return ""
    pod = situation.pods.get((ref.namespace, ref.name))
    owner = pod.metadata.controller if pod is not None else None
    return pod.metadata.labels.get("component", "") if pod is not None and owner and owner.kind == "Node" else ""


def etcd_topology(situation: Situation) -> EtcdTopology:
    """Tell where etcd runs: its pods on control plane nodes, or API servers there without any of etcd."""
    if _is_on_control_plane(situation, "etcd"):
        return EtcdTopology.STACKED
    return EtcdTopology.EXTERNAL if _is_on_control_plane(situation, "kube-apiserver") else EtcdTopology.UNKNOWN


def _is_on_control_plane(situation: Situation, component: str) -> bool:
    nodes = (situation.node(pod.spec.node_name) for pod in static_pods(situation, component))
    return any(node is not None and is_control_plane(node) for node in nodes)


@lru_cache(maxsize=64)
def version_of(text: str) -> tuple[int, int, int] | None:
    """Return `v1.36.2`, or an image with such a tag, as numbers; None if it holds none."""
    match = _VERSION.search(f":{text}" if text.startswith("v") else text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def api_server_versions(situation: Situation) -> dict[str, tuple[int, int, int]]:
    """Return the version of each API server by the node it runs on, by the tag of its image; others are left out."""
    found = {}
    for pod in static_pods(situation, "kube-apiserver"):
        versions = (version_of(container.image) for container in pod.spec.containers)
        if (version := next(filter(None, versions), None)) is not None:
            found[pod.spec.node_name or pod.name] = version
    return found
