"""What a DCGM exporter writes, read into devices; the same metrics may come through a Prometheus.

Names, units and labels: DCGM exporter's `dcp-metrics-included.csv` and DCGM's `dcgm_fields.h`. Labels vary
with the exporter's version and settings, and with what a Prometheus renames.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from collectors.gpu_devices.throttling import reasons_of
from collectors.prometheus_text import Sample, parse_page
from situation.gpu.devices import GpuDevice, Lack, NodeDevices
from situation.meta import ObjectKey

PREFIX: Final = "DCGM_FI_"
NO_SAMPLES: Final = (
    "its exporter answers, but without samples of GPUs: that the pod is Ready proves nothing. The host engine may have "
    "started while the driver was reloaded: restart the exporter (and nvidia-dcgm, if there is one)"
)
_MIB: Final = 2**20
_BLANKS: Final = (range(2_147_483_632, 2_147_483_648), range(2**47, 2**47 + 16))
_BLANK_FROM: Final = 2.0**63 - 1024
"""DCGM writes "not measured" as a number: 0x7ffffff0 and up as int32, 2^47 and up as a float, and the last ones below
2^63 as int64."""


def _count(value: float) -> int:
    return int(value)


def _ratio(value: float) -> float:
    return min(1.0, max(0.0, value / 100))


_FIELDS: Final[Mapping[str, tuple[str, Callable[[float], Any]]]] = {
    "DCGM_FI_DEV_GPU_UTIL": ("utilization_ratio", _ratio),
    "DCGM_FI_DEV_GPU_TEMP": ("temperature_c", float),
    "DCGM_FI_DEV_MEMORY_TEMP": ("memory_temperature_c", float),
    "DCGM_FI_DEV_POWER_USAGE": ("power_w", float),
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": ("power_limit_w", float),
    "DCGM_FI_DEV_SM_CLOCK": ("sm_clock_mhz", float),
    "DCGM_FI_DEV_MEM_CLOCK": ("memory_clock_mhz", float),
    "DCGM_FI_DEV_XID_ERRORS": ("last_xid", _count),
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": ("ecc_corrected", _count),
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": ("ecc_uncorrected", _count),
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": ("remapped_correctable", _count),
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": ("remapped_uncorrectable", _count),
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": ("row_remap_failed", bool),
    "DCGM_FI_DEV_ROW_REMAP_PENDING": ("row_remap_pending", bool),
    "DCGM_FI_DEV_POWER_VIOLATION": ("power_violation", float),
    "DCGM_FI_DEV_THERMAL_VIOLATION": ("thermal_violation", float),
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": ("throttle_reasons", lambda value: reasons_of(int(value))),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": ("throttle_reasons", lambda value: reasons_of(int(value))),
}
_MEMORY: Final = ("DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_RESERVED", "DCGM_FI_DEV_FB_TOTAL")
"""In MiB. TOTAL is off by default; RESERVED is on since exporter 4.4."""
_ENGINE: Final = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
"""0 to 1. All there is of utilisation for a MIG device."""
_NVLINK: Final = frozenset(
    f"DCGM_FI_DEV_NVLINK_{kind}_ERROR_COUNT_TOTAL" for kind in ("CRC_FLIT", "CRC_DATA", "REPLAY", "RECOVERY")
)
WANTED: Final = frozenset({*_FIELDS, *_MEMORY, _ENGINE, *_NVLINK})
_HOST_LABELS: Final = ("Hostname", "hostname")
_UUID_LABELS: Final = ("UUID", "uuid", "gpu_uuid")
_PRODUCT_LABELS: Final = ("modelName", "model_name")
_HOLDER_LABELS: Final = (
    ("exported_namespace", "exported_pod"),
    ("namespace", "pod"),
    ("pod_namespace", "pod_name"),
)
"""First those that a Prometheus renames because its own labels bear their names; last those of old exporters."""
_EXPORTER: Final = "dcgm-exporter"

_Identity = tuple[int, str]
"""Number of the GPU, id of the MIG device."""


def parse_dcgm(body: bytes, node: str, origin: str, now: datetime, what: str) -> tuple[NodeDevices, ...]:
    """Read the page of an exporter. `node` is where it runs; empty: as its labels say, there may be several.

    An exporter without samples gives a node (named `node`) with an error and no devices. Raises BadAnswerError for what
    is no page of metrics at all; `what` names it.
    """
    page = parse_page(body, WANTED, what)
    if not page.samples:
        return (NodeDevices(node, origin=origin, error=NO_SAMPLES, lack=Lack.NO_SAMPLES),)
    error = "its exporter's answer breaks off: some of its GPUs may be missing here" if page.is_cut else ""
    return tuple(
        NodeDevices(node or host, devices, origin, driver, now, error)
        for host, (devices, driver) in devices_by_host(page.samples, one_host=bool(node)).items()
    )


def devices_by_host(
    samples: Iterable[Sample], *, one_host: bool = False
) -> dict[str, tuple[tuple[GpuDevice, ...], str]]:
    """Put samples together: host name as the labels have it -> (devices in order, driver version)."""
    hosts: dict[str, _Host] = {}
    for sample in samples:
        if sample.name not in WANTED or _is_blank(sample.value):
            continue
        name = "" if one_host else _first(sample.labels, _HOST_LABELS)
        hosts.setdefault(name, _Host()).take(sample)
    return {name: (devices, host.driver) for name, host in hosts.items() if (devices := host.devices())}


class _Host:
    """Gathers the samples of one host."""

    def __init__(self) -> None:
        self.driver = ""
        self._parts: dict[_Identity, dict[str, Any]] = {}
        self._nvlink: dict[str, dict[tuple[str, str], int]] = {}
        """Owner -> (metric, link) -> count: a GPU that is shared, or scraped twice, tells each several times."""

    def take(self, sample: Sample) -> None:
        labels, uuid = sample.labels, _first(sample.labels, _UUID_LABELS)
        self.driver = self.driver or labels.get("DCGM_FI_DRIVER_VERSION", "")
        number = labels.get("gpu", "")
        if sample.name in _NVLINK:
            # One line for each link, or their sum; lines of switches (`nvswitch`) belong to no GPU.
            owner = uuid or (f"#{number}" if number and not labels.get("nvswitch") else "")
            if owner:
                counts, link = self._nvlink.setdefault(owner, {}), (sample.name, labels.get("nvlink", ""))
                counts[link] = max(counts.get(link, 0), int(sample.value))
            return
        if not (number.isascii() and number.isdigit()):
            return
        part = self._parts.setdefault((int(number), labels.get("GPU_I_ID", "")), {})
        part.setdefault("uuid", uuid)
        part.setdefault("product", _first(labels, _PRODUCT_LABELS))
        part.setdefault("mig_profile", labels.get("GPU_I_PROFILE", ""))
        if (holder := _holder(labels)) is not None:
            part.setdefault("holders", {})[holder] = None
        if sample.name in _FIELDS:
            field, convert = _FIELDS[sample.name]
            value = convert(max(0.0, sample.value))
            if field == "last_xid" and not value and part.get(field):
                return  # a second exporter of the same GPU began anew: what the other saw still happened
            part[field] = value
        else:
            part[sample.name] = sample.value

    def devices(self) -> tuple[GpuDevice, ...]:
        """Return the devices in order. An identity without any value is none."""
        return tuple(self._device(identity, part) for identity, part in sorted(self._parts.items()))

    def _device(self, identity: _Identity, part: dict[str, Any]) -> GpuDevice:
        used, free, reserved, total = (part.pop(name, None) for name in _MEMORY)
        if total is None and used is not None and free is not None:
            total = used + free + (reserved or 0)
        engine = part.pop(_ENGINE, None)
        if engine is not None and part.get("utilization_ratio") is None:
            part["utilization_ratio"] = min(1.0, max(0.0, engine))
        number, mig_id = identity
        links = self._nvlink.get(part["uuid"], self._nvlink.get(f"#{number}"))
        return GpuDevice(
            number,
            memory_used_bytes=None if used is None else int(used) * _MIB,
            memory_total_bytes=None if total is None else int(total) * _MIB,
            nvlink_errors=sum(links.values()) if links is not None else None,
            mig_id=mig_id,
            holders=tuple(part.pop("holders", ())),
            **part,
        )


def _is_blank(value: float) -> bool:
    return not math.isfinite(value) or value >= _BLANK_FROM or any(value in numbers for numbers in _BLANKS)


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((value for name in names if (value := labels.get(name))), "")


def _holder(labels: Mapping[str, str]) -> ObjectKey | None:
    """Return the pod that holds the GPU, None if no label tells: a Prometheus may put the exporter's own name there."""
    for namespace, name in _HOLDER_LABELS:
        pod = labels.get(name, "")
        if pod and _EXPORTER not in pod:
            return labels.get(namespace, ""), pod
    return None
