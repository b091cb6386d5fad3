"""Which nodes' GPUs are wanted, where their exporters are, and which node this host is: told by the application."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from situation.gpu.offer import paused_why
from situation.pods import Pod
from situation.readings import SourceState
from situation.selectors import is_ready, pod_status_text
from situation.situation import Situation

EXPORTER_LABELS: Final = (
    ("app", "nvidia-dcgm-exporter"),
    ("app", "nvidia-dcgm-exporter-dra"),
    ("app.kubernetes.io/name", "dcgm-exporter"),
)
"""Labels of exporter pods: the GPU Operator's, of the device plugin's stack and of the DRA stack, and those of the
exporter's own chart and manifest."""
DEFAULT_PORT: Final = 9400
_LEFT: Final = frozenset({"Succeeded", "Failed"})


class Exporter(NamedTuple):
    """Where the exporter of one node answers."""

    node: str
    namespace: str
    pod: str
    port: int = DEFAULT_PORT
    waits: str = ""
    """What its pod that is not Ready is doing (`Pending`); empty if it is Ready, and so may be asked."""

    @property
    def path(self) -> str:
        """Path on the API server, which hands the request on to the pod."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}:{self.port}/proxy/metrics"


class DeviceWishes:
    """What the application knows and the collectors need. Told once a second; nothing is asked before the first time.

    `host` and `node_name` are this host's name and, in a pod, the value of NODE_NAME (the downward API).
    """

    def __init__(self, host: str | None = None, node_name: str | None = None) -> None:
        self.exporters: Mapping[str, Exporter] = {}
        """By node."""
        self.first: tuple[str, ...] = ()
        """Nodes to be asked before all others, the most wanted first: in focus, with findings, to be seen."""
        self.this_node = ""
        """The node that this host is; empty if it is none."""
        self.may_hold_driver = False
        """Whether this host is known as a node that takes pods, whose MIG layout and driver are not being changed, and
        on which no exporter has been seen: one tells Xids too, and who takes it away may be about to reset a GPU."""
        self.withdrawn: Callable[[], None] = lambda: None
        """Called when the driver may be held no more."""
        self._had_exporter = False
        self._host = host if host is not None else socket.gethostname()
        self._node_name = node_name if node_name is not None else os.environ.get("NODE_NAME", "")
        self._aliases: dict[str, str] = {}
        self._told = asyncio.Event()

    def tell(self, situation: Situation, first: Iterable[str] = ()) -> None:
        """Take in what is known of the cluster now, and which nodes are wanted first."""
        if any(situation.source(name).state is SourceState.STARTING for name in ("pods", "nodes")):
            return
        self.exporters = _best(_exporters(situation))
        self.first = tuple(dict.fromkeys(first))
        self._aliases = dict(_aliases(situation, self.exporters))
        self.this_node = self._this_node(situation)
        self._had_exporter |= self.this_node in self.exporters
        could_hold = self.may_hold_driver
        self.may_hold_driver = self._is_in_service(situation) and self._has_no_exporter(situation)
        if could_hold and not self.may_hold_driver:
            self.withdrawn()
        self._told.set()

    def _has_no_exporter(self, situation: Situation) -> bool:
        """Tell whether none has been seen, and one would have been: pods of one namespace alone say nothing."""
        return not self._had_exporter and situation.sees_all_pods

    def _is_in_service(self, situation: Situation) -> bool:
        node = situation.node(self.this_node)
        return node is not None and not node.spec.unschedulable and not paused_why(node.metadata.labels)

    async def until_told(self) -> None:
        """Wait for the first word of the application."""
        await self._told.wait()

    def node_of(self, host: str) -> str:
        """Return the node that a host name in a metric's label stands for; the name itself if none is known."""
        return self._aliases.get(host) or self._aliases.get(host.partition(".")[0]) or host

    def _this_node(self, situation: Situation) -> str:
        for name in filter(None, (self._node_name, self._host)):
            if situation.node(self.node_of(name)) is not None:
                return self.node_of(name)
        if situation.knows("nodes"):
            return ""
        return self._node_name or self._host


def _best(exporters: Iterable[Exporter]) -> dict[str, Exporter]:
    """Return one exporter for each node: of several one that is ready, then that of the GPU Operator."""
    found: dict[str, Exporter] = {}
    for exporter in sorted(exporters, key=lambda item: bool(item.waits)):
        found.setdefault(exporter.node, exporter)
    return found


def _exporters(situation: Situation) -> Iterator[Exporter]:
    for label, value in EXPORTER_LABELS:
        for namespace in list(situation.pods_by_namespace.keys()):
            for pod in situation.pods_by_label.get((namespace, label, value)).values():
                leaving = pod.metadata.deletion_timestamp is not None or pod.status.phase in _LEFT
                if pod.spec.node_name and not leaving:
                    waits = "" if is_ready(pod) else pod_status_text(pod)
                    yield Exporter(pod.spec.node_name, namespace, pod.name, _port(pod), waits)


def _port(pod: Pod) -> int:
    ports = [port for container in pod.spec.containers for port in container.ports]
    named = next((port.container_port for port in ports if port.name == "metrics"), None)
    return named or DEFAULT_PORT


def _aliases(situation: Situation, exporters: Mapping[str, Exporter]) -> Iterator[tuple[str, str]]:
    """Yield what exporters call their host, and the node it is: without NODE_NAME they take their pod's name."""
    for node, exporter in exporters.items():
        yield exporter.pod, node
    for (_, name), item in situation.nodes.items():
        if label := item.metadata.labels.get("kubernetes.io/hostname"):
            yield label, name
    for _, name in situation.nodes:
        yield name.partition(".")[0], name
    for _, name in situation.nodes:
        yield name, name
