"""What reading a DCGM exporter's page costs."""

import statistics
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

from collectors.gpu_devices.dcgm import parse_dcgm
from tests.collectors.dcgm_pages import dcgm_page

GPUS: Final = 8
_RUNS: Final = 51


def page_ms() -> float:
    """Median time to read one page of 8 GPUs into devices, in milliseconds."""
    body, now = dcgm_page(GPUS), datetime.now(UTC)
    times: list[float] = []
    for _ in range(_RUNS):
        began = perf_counter()
        (found,) = parse_dcgm(body, "gpu-07", "dcgm", now, "the page")
        times.append(perf_counter() - began)
        if len(found.devices) != GPUS:
            raise RuntimeError(f"{len(found.devices)} devices were read instead of {GPUS}")
    return statistics.median(times) * 1000
