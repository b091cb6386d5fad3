"""What kubeadm sets up: three control plane nodes with their static pods, and the leases that show that they live."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from simulator.scenarios.story import Manifest, Story, lease_of, pod_of

CONTROL_PLANE: Final = ("cp-1", "cp-2", "cp-3")
LEADERS: Final = {"kube-controller-manager": "cp-1", "kube-scheduler": "cp-2"}
CHECKS: Final = ("ping", "log", "etcd", "informer-sync", "poststarthook/rbac/bootstrap-roles", "shutdown")
"""Of `/readyz`, as many as tell the story."""


def readyz_text(*failed: str) -> str:
    """The verbose answer of `/readyz`; checks named in `failed` fail."""
    lines = [f"[-]{check} failed: reason withheld" if check in failed else f"[+]{check} ok" for check in CHECKS]
    return "\n".join([*lines, f"readyz check {'failed' if failed else 'passed'}"]) + "\n"


def leases(story: Story, t: float, nodes: Iterable[str], new_leader: str = "") -> Iterator[Manifest]:
    """All leases, renewed at `t`; `new_leader` leads instead of those that did at first."""
    for name, leader in LEADERS.items():
        yield lease_of(story, name, "kube-system", f"{new_leader or leader}_{name}", t)
    for node in CONTROL_PLANE:
        yield lease_of(story, f"apiserver-{node}", "kube-system", f"apiserver-{node}", t)
    for node in nodes:
        yield lease_of(story, node, "kube-node-lease", node, t)


def control_plane(story: Story, dns_nodes: Iterable[str]) -> Iterator[Manifest]:
    """The pods of kube-system."""
    for node in CONTROL_PLANE:
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            yield component(story, name, node)
    labels = {"k8s-app": "kube-dns"}
    for index, node in enumerate(dns_nodes):
        yield pod_of(story, f"coredns-{index}", "kube-system", node, labels=labels, container="coredns")


def component(story: Story, name: str, node: str, **over: Any) -> Manifest:
    """A static pod."""
    return pod_of(
        story,
        f"{name}-{node}",
        "kube-system",
        node,
        labels={"component": name, "tier": "control-plane"},
        owner=f"Node/{node}",
        container=name,
        image=f"registry.k8s.io/{name}:v1.36.2",
        host_network=True,
        **over,
    )
