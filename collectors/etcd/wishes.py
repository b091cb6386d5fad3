"""Where the API shows etcd's members: told by the application, as a collector knows no Situation."""

import asyncio
from typing import Final, NamedTuple

from situation.readings import SourceState
from situation.situation import Situation

_NAMESPACE: Final = "kube-system"
_LABEL: Final = ("component", "etcd")
_TIER: Final = ("tier", "control-plane")
"""kubeadm labels its static pods so, and others do as it does."""


class EtcdPod(NamedTuple):
    """One static pod of etcd."""

    name: str
    node: str
    host: str
    """Address of its node: it uses the host's network."""


class EtcdWishes:
    """Told once a second what is known of the cluster; etcd's static pods are looked for in it."""

    def __init__(self) -> None:
        self.pods: tuple[EtcdPod, ...] = ()
        """By node."""
        self.knows_pods = False
        """Pods could be read: that there are none of etcd means something."""
        self._told = asyncio.Event()

    def tell(self, situation: Situation) -> None:
        """Take in what is known now. Nothing is, as long as the pods have not been heard of."""
        if situation.source("pods").state is SourceState.STARTING:
            return
        labelled = situation.pods_by_label.get((_NAMESPACE, *_LABEL)).values()
        found = (
            EtcdPod(pod.name, pod.spec.node_name, pod.status.host_ip or pod.status.pod_ip)
            for pod in labelled
            if pod.metadata.labels.get(_TIER[0]) == _TIER[1] and pod.spec.node_name
        )
        self.pods = tuple(sorted((pod for pod in found if pod.host), key=lambda pod: pod.node))
        self.knows_pods = situation.knows("pods")
        self._told.set()

    async def until_told(self, limit_s: float) -> None:
        """Wait for the first word of the application, `limit_s` seconds at most."""
        try:
            async with asyncio.timeout(limit_s):
                await self._told.wait()
        except TimeoutError:
            pass
