"""What placeholders are filled from: the focus, what was chosen by hand, and the cluster."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from situation.etcd.cluster import EtcdCluster, etcd_of
from situation.etcd.way import Way, way_to
from situation.logs import LogTarget
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_settled
from situation.situation import Situation

WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")


class Context(msgspec.Struct, frozen=True):
    """Where names come from."""

    situation: Situation
    now: datetime
    refs: tuple[Ref, ...] = ()
    """Objects that are meant, the most wanted first: chosen by hand, selected, shown by the cause, its subject."""
    log: LogTarget | None = None
    """The container whose log the cause points at."""
    values: Mapping[str, str] = {}
    """Texts chosen by hand, by placeholder."""

    @property
    def home(self) -> str:
        """The namespace: chosen by hand, else that of the first object that has one; empty if none has."""
        return self.values.get("namespace") or next((ref.namespace for ref in self.refs if ref.namespace), "")

    @property
    def near(self) -> tuple[Ref, ...]:
        """The objects of that one namespace, and those without: names of two must not be mixed."""
        home = self.home
        return tuple(ref for ref in self.refs if ref.namespace in ("", home))

    def first(self, *kinds: str) -> Ref | None:
        return next((ref for ref in self.near if ref.kind in kinds), None)

    def pod(self) -> Pod | None:
        """The pod that is meant: itself, else the first of a workload or Service, one with trouble before others."""
        for ref in self.near:
            if ref.kind == "Pod":
                pod = self.situation.pods.get((ref.namespace, ref.name))
                if pod is not None:
                    return pod
        pods = list(self._pods_behind())
        return next((pod for pod in pods if not is_settled(pod, self.now)), next(iter(pods), None))

    def _pods_behind(self) -> Iterator[Pod]:
        for ref in self.near:
            if ref.kind in WORKLOADS:
                yield from self.situation.pods_of(ref)
            elif ref.kind == "Service" and (service := self.situation.services.get((ref.namespace, ref.name))):
                yield from self.situation.pods_matching(ref.namespace, service.spec.selector)
            elif ref.kind == "PersistentVolumeClaim":
                yield from self.situation.pods_by_claim.get((ref.namespace, ref.name)).values()

    def etcd(self) -> EtcdCluster:
        return etcd_of(self.situation, self.now)

    def way(self) -> Way:
        return way_to(self.situation, self.etcd())
