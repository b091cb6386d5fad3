"""What the GPUs themselves say: one type for all the ways in which they are asked."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from situation.meta import ObjectKey

IDLE: Final = "gpu_idle"
"""NVML's reason for low clocks of a GPU that nobody uses."""


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What a GPU had counted, and how busy it was, at an earlier time."""

    at: datetime
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    nvlink_errors: int | None = None
    utilization_ratio: float | None = None
    """0 to 1."""


class SeenXid(msgspec.Struct, frozen=True, gc=False):
    """An Xid that a GPU reported."""

    code: int
    at: datetime | None = None
    """When we saw it come; None if it was there when we first looked."""


class GpuDevice(msgspec.Struct, frozen=True, gc=False):
    """One GPU, or one MIG device. None is "not measured", never 0."""

    index: int
    uuid: str = ""
    product: str = ""
    """`NVIDIA H100 80GB HBM3`."""
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    utilization_ratio: float | None = None
    """0 to 1."""
    temperature_c: float | None = None
    memory_temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    """In NVML's words: `hw_thermal_slowdown`, `sw_power_cap` ... Empty: none. None: not told."""
    ecc_corrected: int | None = None
    """Single-bit errors since the driver was loaded (volatile)."""
    ecc_uncorrected: int | None = None
    """Double-bit errors since the driver was loaded (volatile)."""
    remapped_correctable: int | None = None
    remapped_uncorrectable: int | None = None
    row_remap_failed: bool | None = None
    last_xid: int | None = None
    """The last Xid reported, 0 for none. DCGM keeps it until the exporter restarts: not proof of a present fault. NVML
    tells only those that come while it is listened to: None until then."""
    xid_changed_at: datetime | None = None
    """When we saw `last_xid` come; None if it was there when we first looked: then it is history."""
    earlier_xids: tuple[SeenXid, ...] = ()
    """Those before `last_xid`, oldest first, as far as we saw them: each code once, with its last time."""
    nvlink_errors: int | None = None
    mig_profile: str = ""
    """`1g.10gb`; empty for a whole GPU."""
    mig_id: str = ""
    holders: tuple[ObjectKey, ...] = ()
    """(namespace, name) of the pods that hold it, as far as the source knows."""
    row_remap_pending: bool | None = None
    """Rows are remapped at the next reset of the GPU."""
    power_violation: float | None = None
    """Time during which the power limit held the clocks down. In the exporter's unit (microseconds, nanoseconds from
    4.8 on): only its growth means something."""
    thermal_violation: float | None = None
    """As `power_violation`, for the temperature."""
    earlier: tuple[Counts, ...] = ()
    """Earlier counts, oldest first, of the last minutes only (`situation.gpu.memory`)."""
    answers: bool = True
    """False for one that did not answer this time: nothing but its Xids is known of it."""

    @property
    def xids(self) -> tuple[SeenXid, ...]:
        """All Xids that are known of it, the last one last."""
        return (*self.earlier_xids, SeenXid(self.last_xid, self.xid_changed_at)) if self.last_xid else ()

    @property
    def held_down_by(self) -> tuple[str, ...]:
        """What holds the clocks down, as far as it is told: a GPU that is idle needs none."""
        return tuple(reason for reason in self.throttle_reasons or () if reason != IDLE)


class Lack(StrEnum):
    """Why a way to a node's GPUs brings nothing, though nothing on that way has failed."""

    WAITS = "waits"
    """The exporter's pod is not Ready: it was not asked."""
    NO_SAMPLES = "no samples"
    """The exporter answers, and its page holds no sample of a GPU."""


class NodeDevices(msgspec.Struct, frozen=True):
    """The GPUs of one node, or why they are not known."""

    node: str
    devices: tuple[GpuDevice, ...] = ()
    origin: str = ""
    """`nvml`, `dcgm`, `prometheus`."""
    driver_version: str = ""
    observed_at: datetime | None = None
    """None if they were never read."""
    error: str = ""
    """Why they could not be read now, in words."""
    lack: Lack | None = None
    """Set where `error` is one of these."""


class GpuReading(msgspec.Struct, frozen=True):
    """What one round over the nodes brought; nodes that were not asked keep what was known of them."""

    nodes: tuple[NodeDevices, ...] = ()
