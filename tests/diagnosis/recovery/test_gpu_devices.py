"""GPUs that are well again by their node's capacity, or by the next reading of their exporter."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, pod, situation
from tests.collectors.dcgm_pages import dcgm_page
from tests.diagnosis.gpus import NODE, devices, gpu_node
from tests.diagnosis.recovery.harness import Case, Step, check, gone
from tests.diagnosis.test_gpu_devices import SHARED
from tests.diagnosis.test_gpu_exporters import exporter, page
from tests.diagnosis.test_node_agents import COUNTED, OTHER_PLUGIN, PLUGIN
from tests.diagnosis.test_node_agents import gpu_node as offering

AFTER_S: Final = 2.0


def reading(item: NodeDevices, after_s: float = AFTER_S) -> Reading:
    return Reading("gpu/dcgm", SourceState.LIVE, NOW + timedelta(seconds=after_s), GpuReading((item,)))


def told(found: tuple[GpuDevice, ...], after_s: float = AFTER_S) -> Reading:
    """Return what the exporter says of the node's GPUs so long after NOW."""
    return reading(NodeDevices(NODE, found, "dcgm", "580", NOW + timedelta(seconds=after_s)), after_s)


def before(*rounds: tuple[GpuDevice, ...], of: Manifest | None = None) -> Callable[[], Situation]:
    """Return what makes a Situation into which these readings came, a minute apart, the last one at NOW."""

    def made() -> Situation:
        known = situation(of or gpu_node())
        for number, found in zip(range(len(rounds) - 1, -1, -1), rounds, strict=True):
            known.apply(told(found, -60.0 * number))
        return known

    return made


def minutes(found: tuple[GpuDevice, ...], last: int) -> list[Step]:
    """Return readings of these GPUs, one a minute."""
    return [told(found, 60.0 * number) for number in range(1, last + 1)]


def unhealthy_user() -> Manifest:
    health = {"allocatedResourcesStatus": [
        {"name": "nvidia.com/gpu", "resources": [{"resourceID": "GPU-1", "health": "Unhealthy"}]}]}  # fmt: skip
    return pod("train-1", container_status=health)


def shared(**fields: Any) -> tuple[GpuDevice, ...]:
    return tuple(devices(4, **fields)[3:])


ONE: Final = gpu_node(4, SHARED)
TWO_HOLD: Final[dict[str, Any]] = {"holders": (("a", "b"), ("a", "c"))}
FULL_BYTES: Final = 79 * 2**30
CASES: Final = (
    Case("node-gpus-lost", [offering("8", "0"), OTHER_PLUGIN], [offering("8", "8")], name="all are offered"),
    Case("node-gpus-lost", [offering("0", "0"), OTHER_PLUGIN], [gone("Node", "node-1", "")], name="the node is gone"),
    Case("gpu-unhealthy", [offering("8", "7"), PLUGIN, OTHER_PLUGIN, unhealthy_user()],
         [offering("8", "8"), pod("train-1")]),
    Case("gpu-missing", [offering("7", "7", more=COUNTED), PLUGIN, OTHER_PLUGIN], [offering("8", "8", more=COUNTED)],
         name="it is back"),
    Case("gpu-missing", [offering("7", "7", more=COUNTED), PLUGIN, OTHER_PLUGIN],
         [offering("7", "7", more={**COUNTED, "nvidia.com/gpu.count": "7"})], name="the count was corrected"),
    Case("gpu-off-bus", before(devices(7)), [told(devices())]),
    Case("gpu-memory-errors", before(devices(), devices(row_remap_failed=True)), [told(devices())], name="reset"),
    Case("gpu-memory-errors", before(devices(ecc_uncorrected=1), devices(ecc_uncorrected=1)),
         [told(devices(ecc_uncorrected=0))], name="driver loaded anew"),
    Case("gpu-memory-errors", before(devices(), devices(ecc_corrected=30)),
         minutes(devices(ecc_corrected=30), 17), after_s=17 * 60, name="none for a quarter of an hour"),
    Case("gpu-xid", before(devices(), devices(last_xid=94)), [told(devices(last_xid=0))], name="driver loaded anew"),
    Case("gpu-xid", before(devices(), devices(last_xid=31)), minutes(devices(last_xid=31), 17), after_s=17 * 60,
         name="an application's, of the past"),
    Case("gpu-nvlink-errors", before(devices(), devices(nvlink_errors=10)), minutes(devices(nvlink_errors=10), 17),
         after_s=17 * 60),
    Case("gpu-hot", before(devices(temperature_c=90.0)), [told(devices())]),
    Case("gpu-throttled", before(devices(throttle_reasons=("hw_power_brake_slowdown",))), [told(devices())]),
    Case("gpu-memory-full", before(devices(**TWO_HOLD, memory_used_bytes=FULL_BYTES)), [told(devices(**TWO_HOLD))]),
    Case("gpu-sharing-load", before(*[shared(utilization_ratio=0.99)] * 8, of=ONE),
         minutes(shared(utilization_ratio=0.6), 16), after_s=16 * 60),
    Case("gpu-exporter-silent", lambda: silent(), [reading(page(dcgm_page(8)))], name="samples are back"),
    Case("gpu-exporter-silent", lambda: silent(), [exporter(age_s=-1)],
         name="it started anew"),
)  # fmt: skip


def silent() -> Situation:
    known = situation(gpu_node(), exporter())
    known.apply(reading(page(b"# HELP nothing\n"), 0.0))
    return known


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
