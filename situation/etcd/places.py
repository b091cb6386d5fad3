"""Where a member runs: its static pod and its node, as far as the API and the member itself tell."""

from situation.etcd.standing import etcd_pods
from situation.pods import Pod
from situation.situation import Situation


def member_pods(name: str, situation: Situation) -> tuple[Pod, ...]:
    """Return the static pod of the member shown as `name`: kubeadm names it as its node, and its pod `etcd-<node>`."""
    nodes = {name, *_told_nodes(name, situation)}
    return tuple(
        pod for pod in etcd_pods(situation) if pod.spec.node_name in nodes or pod.name in (name, f"etcd-{name}")
    )


def member_nodes(name: str, situation: Situation) -> frozenset[str]:
    """Return the node that the member shown as `name` runs on; empty if nothing tells."""
    pods = {pod.spec.node_name for pod in member_pods(name, situation)}
    return frozenset((_told_nodes(name, situation) | pods) - {""})


def _told_nodes(name: str, situation: Situation) -> set[str]:
    """What the collector says: it found the member by its pod, or on this very node."""
    ids = {listed.member_id for listed in situation.etcd_list if listed.name == name}
    return {
        known.member.node
        for known in situation.etcd.members()
        if known.member.node
        and (name in (known.member.name, known.member.node) or (known.status and known.status.member_id in ids))
    }
