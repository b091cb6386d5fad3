"""The metrics API (`kubectl top`): use of CPU and memory, made up from what each pod asks for and from its name.

What a metrics-server would not know is not there either: pods that are not in phase Running, containers that have not
run yet, and everything on a node that is not Ready. A container between two restarts has the last sample of its run,
which a metrics-server drops some seconds later.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from simulator.cluster import Cluster, Manifest, Stored, Table
from simulator.wire import stamp_text
from situation.kinds import ObjectKind
from situation.meta import KubernetesObject
from situation.quantity import parse_quantity

GROUP_VERSION: Final = "metrics.k8s.io/v1beta1"
POD_METRICS: Final = ObjectKind("pods", "PodMetrics", GROUP_VERSION, KubernetesObject, label="podmetrics")
NODE_METRICS: Final = ObjectKind(
    "nodes", "NodeMetrics", GROUP_VERSION, KubernetesObject, namespaced=False, label="nodemetrics"
)
METRICS: Final = (POD_METRICS, NODE_METRICS)
VERBS: Final = ("get", "list")

_MI: Final = 2**20
_WINDOW: Final = "15s"
_NODE_CPU: Final = 0.35
"""Cores that kubelet, container runtime and kernel use."""
_NODE_MEMORY: Final = 900 * _MI


class _Use(NamedTuple):
    cores: float
    memory_bytes: float

    def written(self) -> Manifest:
        return {"cpu": f"{self.cores * 1e9:.0f}n", "memory": f"{self.memory_bytes / 1024:.0f}Ki"}


def metrics_table(cluster: Cluster, group_version: str, resource: str) -> Table | None:
    """Return the collection behind a path of the metrics API as it is at this moment, or None for other paths."""
    kind = next((kind for kind in METRICS if (kind.group_version, kind.resource) == (group_version, resource)), None)
    if kind is None:
        return None
    table = Table(kind, history=0)
    found = _pods(cluster) if kind is POD_METRICS else _nodes(cluster)
    for metadata, body in found:
        key = (metadata.get("namespace", ""), metadata["name"])
        kept: Manifest = {name: metadata[name] for name in ("name", "namespace", "labels") if name in metadata}
        manifest = {"metadata": {**kept, "creationTimestamp": stamp_text(datetime.now(UTC))}, **body}
        table.objects[key] = Stored(key, cluster.resource_version, msgspec.json.encode(manifest)[1:])
    return table


def _pods(cluster: Cluster) -> Iterable[tuple[Manifest, Manifest]]:
    ready = {stored.key[1] for stored in cluster.table("nodes").ordered() if _is_ready(stored.manifest())}
    for stored in cluster.table("pods").ordered():
        manifest = stored.manifest()
        if manifest.get("spec", {}).get("nodeName") not in ready or not (used := container_use(manifest)):
            continue
        containers = [{"name": name, "usage": use.written()} for name, (use, _) in used.items()]
        seen_at = max((ended for _, ended in used.values()), key=lambda ended: ended or "~")
        yield (
            manifest["metadata"],
            {
                "timestamp": seen_at or stamp_text(datetime.now(UTC)),
                "window": _WINDOW,
                "containers": containers,
            },
        )


def _nodes(cluster: Cluster) -> Iterable[tuple[Manifest, Manifest]]:
    cores: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    pods = [stored.manifest() for stored in cluster.table("pods").ordered()]
    for pod in pods:
        node = pod.get("spec", {}).get("nodeName", "")
        running = [use for use, ended in container_use(pod).values() if ended is None]
        cores[node] += sum(round(use.cores * 1e9) for use in running)
        memory[node] += sum(round(use.memory_bytes) for use in running)
    for stored in cluster.table("nodes").ordered():
        manifest, name = stored.manifest(), stored.key[1]
        if not _is_ready(manifest):
            continue
        allocatable = manifest.get("status", {}).get("allocatable", {})
        use = _Use(
            min(_NODE_CPU * (1 + _share(name, "cpu")) + cores[name] / 1e9, 0.95 * _amount(allocatable, "cpu", 1.0)),
            min(_NODE_MEMORY * (1 + _share(name)) + memory[name], 0.95 * _amount(allocatable, "memory", 2**30)),
        )
        stamp = stamp_text(datetime.now(UTC))
        yield manifest["metadata"], {"timestamp": stamp, "window": _WINDOW, "usage": use.written()}


def container_use(pod: Manifest) -> dict[str, tuple[_Use, str | None]]:
    """Return what each container of a pod uses, and when its run ended if it does not run now."""
    spec, status = pod.get("spec", {}), pod.get("status", {})
    if status.get("phase") != "Running":
        return {}
    sidecars = [item for item in spec.get("initContainers", []) if item.get("restartPolicy") == "Always"]
    states = {
        item["name"]: item for name in ("containerStatuses", "initContainerStatuses") for item in status.get(name, [])
    }
    metadata = pod["metadata"]
    found = {}
    for container in (*spec.get("containers", []), *sidecars):
        state = states.get(container["name"], {})
        runs, end = "running" in (state.get("state") or {}), _end(state)
        if runs or end:
            name = f"{metadata.get('namespace', '')}/{metadata['name']}/{container['name']}"
            use = _use(name, container.get("resources") or {}, end.get("reason") == "OOMKilled")
            found[container["name"]] = (use, None if runs else end.get("finishedAt"))
    return found


def _end(status: Mapping[str, Any]) -> Manifest:
    for name in ("state", "lastState"):
        ended: Manifest | None = (status.get(name) or {}).get("terminated")
        if ended is not None:
            return ended
    return {}


def _use(name: str, resources: Manifest, was_oom_killed: bool) -> _Use:
    """Near the limit where the last run was killed for it; else a share of the limit, the request or 96 MiB."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    share = _share(name)
    cores = _amount(requests, "cpu", 0.1) * (0.1 + 0.6 * _share(name, "cpu"))
    if limit := _amount(limits, "memory"):
        memory = limit * (0.97 + 0.02 * share if was_oom_killed else 0.3 + 0.4 * share)
    else:
        memory = _amount(requests, "memory", 96 * _MI) * (0.4 + 0.8 * share)
    return _Use(cores, memory)


def _share(name: str, of: str = "memory") -> float:
    """A number from 0 to 1 that is always the same for a name."""
    return crc32(f"{of} {name}".encode()) / 2**32


def _amount(resources: Mapping[str, Any], name: str, otherwise: float = 0.0) -> float:
    return parse_quantity(resources[name]) or otherwise if name in resources else otherwise


def _is_ready(node: Manifest) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
