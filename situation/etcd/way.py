"""How etcdctl reaches etcd: endpoints and certificates, at the place where these files are."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from situation.cluster import Node
from situation.distribution import etcd_files
from situation.etcd.cluster import EtcdCluster
from situation.etcd.members import EtcdAccess
from situation.etcd.standing import etcd_pods
from situation.etcd.view import Standing
from situation.selectors import is_control_plane
from situation.situation import Situation

KUBEADM: Final = EtcdAccess(
    cacert="/etc/kubernetes/pki/etcd/ca.crt",
    cert="/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    key="/etc/kubernetes/pki/etcd/healthcheck-client.key",
)
"""Where kubeadm puts the files on each control plane node; the client certificate is the one its probes use."""
LOCAL: Final = "https://127.0.0.1:2379"
URL: Final = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+")
_NODE: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Way(NamedTuple):
    """How etcdctl reaches etcd."""

    access: EtcdAccess
    endpoints: tuple[str, ...]
    where: str
    is_known: bool
    """False: kubeadm's standard paths, as nothing else is known."""

    @property
    def files(self) -> tuple[str, ...]:
        """The options that name the certificate files; none where etcd speaks plain HTTP."""
        access = self.access
        named = (("--cacert", access.cacert), ("--cert", access.cert), ("--key", access.key))
        return tuple(word for flag, path in named if path for word in (flag, path))

    def etcdctl(self, endpoints: Iterable[str] = ()) -> tuple[str, ...]:
        """Return how an etcdctl command for these endpoints begins, for all of them if none is named."""
        return ("etcdctl", "--endpoints", ",".join(tuple(endpoints) or self.endpoints), *self.files)


def way_to(situation: Situation, cluster: EtcdCluster) -> Way:
    """Return how etcd is reached: as we reach it, else as kubeadm sets it up."""
    endpoints = tuple(
        member.endpoint
        for member in sorted(cluster.members, key=lambda member: member.standing is not Standing.ANSWERS)
        if URL.fullmatch(member.endpoint)
    )
    access = situation.etcd_access
    if endpoints and (access.cacert or access.cert or not any(url.startswith("https") for url in endpoints)):
        return Way(access, endpoints, place(access.on_node), True)
    pods = [pod for pod in etcd_pods(situation) if _NODE.fullmatch(pod.spec.node_name)]
    if pods:
        addresses = tuple(f"https://{pod.status.pod_ip}:2379" for pod in pods if pod.status.pod_ip)
        node = pods[0].spec.node_name
        return Way(files_on(situation.node(node)), endpoints or addresses or (LOCAL,), place(node), False)
    found = next(filter(is_control_plane, situation.nodes.values()), None)
    return Way(files_on(found), endpoints or (LOCAL,), place(found.name if found is not None else ""), False)


def files_on(node: Node | None) -> EtcdAccess:
    """Return the files with which etcd is asked on a control plane node: kubeadm's, or those of k3s and RKE2."""
    files = etcd_files(node)
    return EtcdAccess(cacert=files[0], cert=files[1], key=files[2]) if files is not None else KUBEADM


def place(node: str) -> str:
    """Return `node X`, or `here` for what is no node's name."""
    return f"node {node}" if _NODE.fullmatch(node) else "here"
