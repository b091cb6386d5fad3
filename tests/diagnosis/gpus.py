"""GPU nodes with readings of their GPUs, for the rules on devices."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from diagnosis.engine import Engine
from diagnosis.rules import gpu_devices, gpu_load, gpus
from situation.findings import Finding
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, node, situation

RULES: Final = (*gpus.RULES, *gpu_devices.RULES, *gpu_load.RULES)
NODE: Final = "gpu-07"


def gpu_node(offered: int = 8, labels: Mapping[str, str] | None = None, allocatable: int | None = None) -> Manifest:
    numbers = {"cpu": "96", "memory": "1Ti", "pods": "110"}
    return node(
        NODE,
        labels={"nvidia.com/gpu.present": "true", **(labels or {})},
        status={
            "capacity": {**numbers, "nvidia.com/gpu": str(offered)},
            "allocatable": {**numbers, "nvidia.com/gpu": str(offered if allocatable is None else allocatable)},
        },
    )


def devices(count: int = 8, **of_gpu_3: Any) -> tuple[GpuDevice, ...]:
    """Return healthy GPUs; the fields given are those of GPU 3."""
    well: dict[str, Any] = {
        "temperature_c": 41.0, "utilization_ratio": 0.6, "memory_used_bytes": 60 * 2**30,
        "memory_total_bytes": 80 * 2**30, "ecc_corrected": 2, "ecc_uncorrected": 0, "row_remap_failed": False,
        "row_remap_pending": False, "last_xid": 0, "nvlink_errors": 4, "throttle_reasons": (),
    }  # fmt: skip
    return tuple(
        GpuDevice(number, f"GPU-{number}", **(well | of_gpu_3 if number == 3 else well)) for number in range(count)
    )


def known(
    *rounds: tuple[GpuDevice, ...],
    of: Manifest | None = None,
    error: str = "",
    every_s: float = 60,
    origin: str = "dcgm",
) -> tuple[Situation, datetime]:
    """Return a Situation into which these readings came one after the other, and the time of the last."""
    result, now = situation(of or gpu_node()), NOW
    for number, found in enumerate(rounds):
        now = NOW + timedelta(seconds=every_s * number)
        last = number == len(rounds) - 1
        item = NodeDevices(NODE, found, origin, "580", now, error if last else "")
        result.apply(Reading(f"gpu/{origin}", SourceState.LIVE, now, GpuReading((item,))))
    return result, now


def found_in(state: tuple[Situation, datetime], later: Sequence[float] = (0,)) -> dict[str, Finding]:
    """Return all findings by rule, consequences too."""
    known_, now = state
    causes = Engine(RULES).judge(known_, (), now + timedelta(seconds=later[0])).causes
    return {finding.rule: finding for cause in causes for finding in (cause, *cause.consequences)}
