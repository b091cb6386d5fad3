"""Which pods are model servers, and which of them are wanted first: told by the application."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from situation.meta import ObjectKey
from situation.pods import Pod
from situation.readings import SourceState
from situation.serving.pods import specs_of
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec, as_server
from situation.situation import Situation

_LEFT: Final = frozenset({"Succeeded", "Failed"})


class Place(NamedTuple):
    """Where one pod serves a model."""

    namespace: str
    pod: str
    ip: str
    port: int
    scheme: str = "http"
    metrics_path: str = "/metrics"
    software: Software = Software.UNKNOWN
    health_port: int | None = None
    """Where its health is, if not at `port`."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.pod}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """IP and port."""
        return self.ip, self.port


class VllmWishes:
    """What the application knows and the collector needs. Told once a second; nothing is asked before the first time.

    `pods` and `skipped` are patterns `namespace/pod` that add pods to those recognised, or take them away.
    """

    def __init__(self, pods: tuple[str, ...] = (), skipped: tuple[str, ...] = ()) -> None:
        self.places: Mapping[str, Place] = {}
        """By key."""
        self.left_out: Mapping[str, Place] = {}
        """Those that are not to be asked, by key."""
        self.first: tuple[str, ...] = ()
        """Keys of servers to be asked before all others, the most wanted first."""
        self._added = pods
        self._skipped = skipped
        self._seen: dict[ObjectKey, tuple[Pod, tuple[Place, ...]]] = {}
        """What was found out of each pod that may serve: they change little from second to second."""
        self._told = asyncio.Event()

    def tell(self, situation: Situation, first: Iterable[str] = ()) -> None:
        """Take in what is known of the cluster now; `first` are names of nodes whose servers are wanted first."""
        if situation.source("pods").state is SourceState.STARTING:
            return
        on_node: dict[str, list[str]] = {}
        places: dict[str, Place] = {}
        left_out: dict[str, Place] = {}
        for place, node in self._places(situation):
            key = place.key
            if self._is_skipped(place):
                left_out[key] = place
                continue
            places[key] = place
            on_node.setdefault(node, []).append(key)
        self.places, self.left_out = places, left_out
        self.first = tuple(dict.fromkeys(key for node in first for key in on_node.get(node, ())))
        self._told.set()

    async def until_told(self) -> None:
        """Wait for the first word of the application."""
        await self._told.wait()

    def _places(self, situation: Situation) -> Iterator[tuple[Place, str]]:
        before, self._seen = self._seen, {}
        pods = situation.pods if self._added else situation.model_server_pods.get(True)
        for key, pod in pods.items():
            seen = before.get(key)
            if seen is None or seen[0] is not pod:
                specs = self._specs(pod, situation) if _runs(pod) else ()
                seen = (pod, tuple(_place(pod, spec) for spec in specs))
            self._seen[key] = seen
            for place in seen[1]:
                yield place, pod.spec.node_name

    def _is_skipped(self, place: Place) -> bool:
        return any(fnmatchcase(f"{place.namespace}/{place.pod}", pattern) for pattern in self._skipped)

    def _specs(self, pod: Pod, situation: Situation) -> tuple[ServerSpec, ...]:
        name = f"{pod.namespace}/{pod.name}"
        found = specs_of(pod, situation.serving.specs)
        if not found and pod.spec.containers and any(fnmatchcase(name, pattern) for pattern in self._added):
            return (as_server(pod, pod.spec.containers[0], Software.UNKNOWN, "the configuration names it"),)
        return found


def _place(pod: Pod, spec: ServerSpec) -> Place:
    return Place(
        *pod.key,
        pod.status.pod_ip,
        spec.port,
        spec.scheme,
        spec.metrics_path,
        spec.software,
        spec.health_port,
    )


def _runs(pod: Pod) -> bool:
    return bool(pod.status.pod_ip) and pod.metadata.deletion_timestamp is None and pod.status.phase not in _LEFT
