"""The pages of DCGM exporters, made up from the cluster: which GPUs a node has, and which pods hold them.

The number of GPUs, their model and memory are those of the node's labels; a GPU that a pod holds is busy, and how busy
moves a little with time. What the objects do not tell is in `Cluster.gpus`.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_DNS, uuid5
from zlib import crc32

from simulator.cluster import Cluster, GpuFacts, Manifest
from situation.meta import ObjectKey

PORT: Final = 9400
DRIVER_VERSION: Final = "580.126.20"
_GPU: Final = "nvidia.com/gpu"
_LABELS: Final = "nvidia.com/gpu."
_APPS: Final = ("nvidia-dcgm-exporter", "nvidia-dcgm-exporter-dra")
_RESERVED_MIB: Final = 551
_PERIOD_S: Final = 40.0
_XID_TEXTS: Final = {0: "No Error", 79: "GPU has fallen off the bus"}


class _Gpu(NamedTuple):
    number: int
    """Its index on the node."""
    facts: GpuFacts
    busy: float
    """Share of the time, 0 to 1."""
    used_mib: int
    total_mib: int
    now_s: float


class _Field(NamedTuple):
    name: str
    type: str
    about: str
    value: Callable[[_Gpu], float]


_FIELDS: Final = (
    _Field("DCGM_FI_DEV_SM_CLOCK", "gauge", "MHz", lambda gpu: 1980 if gpu.busy else 345),
    _Field("DCGM_FI_DEV_MEM_CLOCK", "gauge", "MHz", lambda gpu: 2619),
    _Field("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "C", lambda gpu: 38 + round(30 * gpu.busy)),
    _Field("DCGM_FI_DEV_GPU_TEMP", "gauge", "C", lambda gpu: 31 + round(34 * gpu.busy)),
    _Field("DCGM_FI_DEV_POWER_USAGE", "gauge", "W", lambda gpu: 72 + 560 * gpu.busy),
    _Field("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "mJ", lambda gpu: int(gpu.now_s * 250_000)),
    _Field("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "count", lambda gpu: 0),
    _Field("DCGM_FI_DEV_GPU_UTIL", "gauge", "%", lambda gpu: round(100 * gpu.busy)),
    _Field("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "%", lambda gpu: round(45 * gpu.busy)),
    _Field("DCGM_FI_DEV_ENC_UTIL", "gauge", "%", lambda gpu: 0),
    _Field("DCGM_FI_DEV_DEC_UTIL", "gauge", "%", lambda gpu: 0),
    _Field("DCGM_FI_DEV_FB_FREE", "gauge", "MiB", lambda gpu: gpu.total_mib - gpu.used_mib - _RESERVED_MIB),
    _Field("DCGM_FI_DEV_FB_USED", "gauge", "MiB", lambda gpu: gpu.used_mib),
    _Field("DCGM_FI_DEV_FB_RESERVED", "gauge", "MiB", lambda gpu: _RESERVED_MIB),
    _Field("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "counter", "total", lambda gpu: int(gpu.now_s * 500)),
    _Field("DCGM_FI_DEV_VGPU_LICENSE_STATUS", "gauge", "status", lambda gpu: 0),
    _Field("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter", "rows", lambda gpu: 0),
    _Field("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "counter", "rows", lambda gpu: 0),
    _Field("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "flag", lambda gpu: 0),
    _Field("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "ratio", lambda gpu: gpu.busy),
    _Field("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "ratio", lambda gpu: 0.4 * gpu.busy),
    _Field("DCGM_FI_PROF_DRAM_ACTIVE", "gauge", "ratio", lambda gpu: 0.5 * gpu.busy),
    _Field("DCGM_FI_PROF_PCIE_TX_BYTES", "gauge", "B/s", lambda gpu: int(2.1e9 * gpu.busy)),
    _Field("DCGM_FI_PROF_PCIE_RX_BYTES", "gauge", "B/s", lambda gpu: int(3.4e9 * gpu.busy)),
)
"""What the operator's metric file switches on."""


class _Claim(NamedTuple):
    """What a pod holds of its node's GPUs."""

    version: int
    node: str
    since: str
    container: str
    gpus: int
    uuids: tuple[str, ...]
    """Those that its status names; else it gets the next free ones."""


def gpu_uuid(node: str, index: int) -> str:
    """Return the UUID of a node's GPU: always the same."""
    return f"GPU-{uuid5(NAMESPACE_DNS, f'{index}.{node}')}"


def is_exporter(pod: Manifest) -> bool:
    """Tell whether a pod is the operator's DCGM exporter."""
    return (pod["metadata"].get("labels") or {}).get("app") in _APPS


class Exporters:
    """Plays the DCGM exporters of a cluster."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns seconds; what moves, moves with it."""
        self._cluster = cluster
        self._clock = clock
        self._claims: dict[ObjectKey, _Claim] = {}
        """By pod; pods without GPUs have a claim of none, so that they are decoded only when they change."""

    def page(self, exporter: Manifest) -> str:
        """Return the metrics page of an exporter's pod; empty if its node is not there or has no GPUs."""
        name = exporter.get("spec", {}).get("nodeName", "")
        node = self._cluster.get("nodes", "", name)
        if node is None:
            return ""
        labels = node["metadata"].get("labels") or {}
        model = labels.get(f"{_LABELS}product", "NVIDIA-GPU").removesuffix("-SHARED").replace("-", " ")
        holders = self._holders(name, _count(node, labels))
        gpus = [(self._gpu(name, index, labels, bool(of)), of) for index, of in enumerate(holders)]
        shown = {
            gpu.number: f'gpu="{gpu.number}",UUID="{gpu_uuid(name, gpu.number)}",'
            f'pci_bus_id="00000000:{0x18 + 0x11 * gpu.number:02X}:00.0",device="nvidia{gpu.number}",'
            f'modelName="{model}",Hostname="{name}",DCGM_FI_DRIVER_VERSION="{DRIVER_VERSION}"{_of_holder(holder)}'
            for gpu, holder in gpus
        }
        lines = []
        for field in _FIELDS:
            lines += _head(field.name, field.type, field.about)
            lines += [
                f"{field.name}{{{shown[gpu.number]}}} {field.value(gpu):.15g}" for gpu, _ in gpus if not gpu.facts.lost
            ]
        lines += _head("DCGM_FI_DEV_XID_ERRORS", "gauge", "last Xid")
        for gpu, _ in gpus:
            xid = gpu.facts.xid
            error = f',err_code="{xid}",err_msg="{_XID_TEXTS.get(xid, "Unknown Error")}"'
            lines.append(f"DCGM_FI_DEV_XID_ERRORS{{{shown[gpu.number]}{error}}} {xid}")
        return "\n".join(lines) + "\n" if gpus else ""

    def _gpu(self, node: str, index: int, labels: Mapping[str, str], held: bool) -> _Gpu:
        facts = self._cluster.gpus.get(node, {}).get(index, GpuFacts())
        share = crc32(f"{node}/{index}".encode()) / 2**32
        total = int(labels.get(f"{_LABELS}memory") or 81559)
        now_s = self._clock()
        busy = facts.utilization_ratio
        if busy is None:
            busy = 0.68 + 0.2 * share if held else 0.0
        if busy:
            busy += 0.06 * math.sin(2 * math.pi * (now_s / _PERIOD_S + share))
        used = facts.memory_used_mib
        if used is None:
            used = int(total * (0.62 + 0.2 * share)) if held else 4
        return _Gpu(index, facts, min(1.0, max(0.0, busy)), min(used, total - _RESERVED_MIB), total, now_s)

    def _holders(self, node: str, count: int) -> list[tuple[ObjectKey, str] | None]:
        """Return pod and container that hold each GPU. A GPU that several share shows one of them, as exporters do."""
        found: list[tuple[ObjectKey, str] | None] = [None] * count
        uuids = {gpu_uuid(node, index): index for index in range(count)}
        claims = sorted(self._claims_on(node), key=lambda item: (not item[1].uuids, item[1].since, item[0]))
        for key, claim in claims:
            named = [uuids[uuid] for uuid in claim.uuids if uuid in uuids]
            free = [index for index in range(count) if found[index] is None]
            for index in named or free[: claim.gpus]:
                found[index] = (key, claim.container)
        return found

    def _claims_on(self, node: str) -> Iterator[tuple[ObjectKey, _Claim]]:
        pods = self._cluster.table("pods").objects
        if len(self._claims) > 2 * len(pods):
            self._claims = {key: claim for key, claim in self._claims.items() if key in pods}
        for key, stored in pods.items():
            claim = self._claims.get(key)
            if claim is None or claim.version != stored.version:
                has_any = _GPU.encode() in stored.tail
                claim = self._claims[key] = _claim(stored.version, stored.manifest() if has_any else {})
            if claim.node == node and claim.gpus:
                yield key, claim


def _claim(version: int, pod: Manifest) -> _Claim:
    spec, status = pod.get("spec", {}), pod.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed") or not spec.get("nodeName"):
        return _Claim(version, "", "", "", 0, ())
    wanted: defaultdict[str, int] = defaultdict(int)
    for container in spec.get("containers", []):
        wanted[container["name"]] += int((container.get("resources", {}).get("limits") or {}).get(_GPU, 0))
    uuids = tuple(
        device["resourceID"].partition("::")[0]
        for item in status.get("containerStatuses", [])
        for resource in item.get("allocatedResourcesStatus", [])
        for device in resource.get("resources", [])
    )
    container = max(wanted, key=lambda name: wanted[name], default="")
    since = pod["metadata"].get("creationTimestamp", "")
    return _Claim(version, spec["nodeName"], since, container, sum(wanted.values()), uuids)


def _count(node: Manifest, labels: Mapping[str, str]) -> int:
    """Return the number of GPUs in the node: its label says; without one, the capacity."""
    counted = labels.get(f"{_LABELS}count", "")
    capacity: Mapping[str, Any] = node.get("status", {}).get("capacity", {})
    return int(counted) if counted.isdigit() else int(capacity.get(_GPU, 0))


def _of_holder(holder: tuple[ObjectKey, str] | None) -> str:
    if holder is None:
        return ""
    (namespace, pod), container = holder
    return f',container="{container}",namespace="{namespace}",pod="{pod}"'


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
