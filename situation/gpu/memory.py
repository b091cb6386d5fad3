"""What of earlier readings is kept with a GPU: when its last Xid changed, and how its counters grew.

Kept here and not in a collector, because a tape that is played back, and a second source for the same GPU, must lead to
the same picture. It is bounded: some counts of the last minutes for each GPU.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from situation.gpu.devices import Counts, GpuDevice, NodeDevices, SeenXid

DEVICES_FRESH: Final = timedelta(seconds=120)
"""So old may a reading be and still count. The slowest way is a Prometheus that scrapes each minute and is asked each
half minute."""
WINDOW: Final = timedelta(minutes=15)
"""Growth is judged over this time at most."""
SPACING: Final = timedelta(seconds=120)
COUNTS_KEPT: Final = 8
"""So little because a Prometheus may tell of eight thousand GPUs."""
SEEN_TO_CHANGE: Final = timedelta(minutes=10)
"""Between two readings further apart than this, an Xid may have changed at any time: it is history."""
XIDS_KEPT: Final = 8
"""Different ones, of each GPU."""
ORIGINS: Final = ("nvml", "dcgm", "prometheus")
"""In the order of trust: the driver itself, its exporter, what somebody scraped from that."""
_XIDS: Final = ("last_xid", "xid_changed_at", "earlier_xids")
_NOT_FILLED: Final = frozenset({"index", "uuid", "throttle_reasons", "earlier", "answers", *_XIDS})
"""The history belongs to the counters beside it; of `throttle_reasons` only None is a gap: empty says "none"."""


def remembering(before: NodeDevices | None, read: NodeDevices) -> NodeDevices:
    """Return `read` with what `before`, the last reading of the same node by the same way, tells about each GPU.

    A node that could not be read keeps what was known of it, with the reason.
    """
    if before is None:
        return read
    if read.observed_at is None:
        return msgspec.structs.replace(before, error=read.error, lack=read.lack)
    if before.observed_at is None or read.observed_at <= before.observed_at:
        return read if before.observed_at is None else msgspec.structs.replace(before, error=read.error, lack=read.lack)
    known = {_identity(device): device for device in before.devices}
    devices = tuple(
        _continued(known.get(_identity(device)), device, before.observed_at, read.observed_at)
        for device in read.devices
    )
    return msgspec.structs.replace(read, devices=devices)


def believed(by_origin: Mapping[str, NodeDevices]) -> NodeDevices:
    """Return what is to be believed of a node that several ways lead to: the most trusted one that is fresh.

    What it does not measure is filled in from the others, for the same GPU. `by_origin` must not be empty.
    """
    newest = max((item.observed_at for item in by_origin.values() if item.observed_at), default=None)
    ordered = sorted(by_origin.values(), key=lambda item: _trust(item, newest))
    first, *others = ordered
    fresh = [item for item in others if newest and item.observed_at and newest - item.observed_at <= DEVICES_FRESH]
    if first.observed_at is None or not fresh:
        return first
    for other in fresh:
        known = {_identity(device): device for device in other.devices}
        devices = tuple(_filled(device, known.get(_identity(device))) for device in first.devices)
        first = msgspec.structs.replace(first, devices=devices)
    return first


def _trust(item: NodeDevices, newest: datetime | None) -> tuple[bool, bool, int]:
    old = item.observed_at is None or newest is None or newest - item.observed_at > DEVICES_FRESH
    rank = ORIGINS.index(item.origin) if item.origin in ORIGINS else len(ORIGINS)
    return (old, bool(item.error), rank)


def _identity(device: GpuDevice) -> tuple[str, str]:
    """Name a device in the same way whoever tells of it: for a MIG device NVML gives its own uuid, DCGM its GPU's."""
    return (device.uuid if device.uuid and not device.mig_id else f"#{device.index}", device.mig_id)


def _filled(device: GpuDevice, other: GpuDevice | None) -> GpuDevice:
    if other is None:
        return device
    gaps = {
        name: value
        for name in GpuDevice.__struct_fields__
        if name not in _NOT_FILLED
        and getattr(device, name) in (None, "", ())
        and (value := getattr(other, name)) not in (None, "", ())
    }
    if device.throttle_reasons is None and other.throttle_reasons is not None:
        gaps["throttle_reasons"] = other.throttle_reasons
    if other.xids or device.last_xid is None:
        gaps |= _xids_of_both(device, other)
    return msgspec.structs.replace(device, **gaps) if gaps else device


def _xids_of_both(device: GpuDevice, other: GpuDevice) -> dict[str, object]:
    last = other if _tells_later_xid(other, device) else device
    known = {xid.code: xid for xid in (*other.xids, *device.xids) if xid.code != last.last_xid}
    earlier = sorted(known.values(), key=lambda xid: xid.at.timestamp() if xid.at else 0.0) if last.last_xid else ()
    return dict(zip(_XIDS, (last.last_xid, last.xid_changed_at, tuple(earlier)), strict=True))


def _tells_later_xid(other: GpuDevice, device: GpuDevice) -> bool:
    """Tell whether another way knows of an Xid after the last one that `device` has.

    One whose time is known outweighs one of an unknown time, and a 0: that only says that an exporter began anew.
    """
    if other.last_xid is None or device.last_xid is None:
        return other.last_xid is not None
    if not other.last_xid or other.xid_changed_at is None or _is_late(other, device):
        return False
    if not device.last_xid or device.xid_changed_at is None or _is_late(device, other):
        return True
    return other.xid_changed_at > device.xid_changed_at


def _is_late(gauge: GpuDevice, driver: GpuDevice) -> bool:
    """Tell whether a gauge's last Xid is what another way saw before: it is shown up to `DEVICES_FRESH` later."""
    return any(
        gauge.xid_changed_at is not None
        and xid.at is not None
        and xid.code == gauge.last_xid
        and timedelta(0) <= gauge.xid_changed_at - xid.at <= DEVICES_FRESH
        for xid in driver.xids
    )


def with_xid(seen: tuple[SeenXid, ...], new: SeenXid) -> tuple[SeenXid, ...]:
    """Return what was seen with one more at its end: each code once, with its last time, and only some of them."""
    return (*(item for item in seen if item.code != new.code), new)[-XIDS_KEPT:]


def _continued(before: GpuDevice | None, device: GpuDevice, then: datetime, now: datetime) -> GpuDevice:
    if before is None:
        return device
    return msgspec.structs.replace(
        device,
        xid_changed_at=_xid_changed_at(before, device, then, now),
        earlier_xids=_earlier_xids(before, device),
        earlier=_earlier(before, device, then, now),
        throttle_reasons=_reasons(before, device),
    )


def _xid_changed_at(before: GpuDevice, device: GpuDevice, then: datetime, now: datetime) -> datetime | None:
    if device.xid_changed_at is not None:
        return device.xid_changed_at  # the driver itself told when
    if before.last_xid is None or device.last_xid is None:
        return None
    if before.last_xid == device.last_xid:
        return before.xid_changed_at
    return now if now - then <= SEEN_TO_CHANGE else None


def _earlier_xids(before: GpuDevice, device: GpuDevice) -> tuple[SeenXid, ...]:
    """Return what a gauge of the last Xid showed before; a 0 says that it began anew."""
    if device.xid_changed_at is not None or not device.last_xid:
        return device.earlier_xids
    if before.last_xid == device.last_xid:
        return before.earlier_xids
    return tuple(item for item in before.xids if item.code != device.last_xid)[-XIDS_KEPT:]


def _reasons(before: GpuDevice, device: GpuDevice) -> tuple[str, ...] | None:
    """Return the reasons of a reading, and the limits that held the clocks down since the last one.

    Limits are counted where DCGM was told to; that these two did not is no word on the other reasons: then None stays.
    """
    pairs = {
        "power_violation": (before.power_violation, device.power_violation),
        "thermal_violation": (before.thermal_violation, device.thermal_violation),
    }
    violated = tuple(name for name, (old, new) in pairs.items() if old is not None and new is not None and new > old)
    return (device.throttle_reasons or ()) + violated if violated else device.throttle_reasons


def _earlier(before: GpuDevice, device: GpuDevice, then: datetime, now: datetime) -> tuple[Counts, ...]:
    kept = tuple(item for item in before.earlier if now - item.at <= WINDOW)
    if not kept or then - kept[-1].at >= SPACING:
        kept += (
            Counts(
                then,
                before.ecc_corrected,
                before.ecc_uncorrected,
                before.nvlink_errors,
                before.utilization_ratio,
            ),
        )
    if any(_fell(kept[-1], device)):
        return ()  # the driver was loaded again: its counters start at 0
    return kept[-COUNTS_KEPT:]


def _fell(before: Counts, device: GpuDevice) -> tuple[bool, ...]:
    pairs = (
        (before.ecc_corrected, device.ecc_corrected),
        (before.ecc_uncorrected, device.ecc_uncorrected),
        (before.nvlink_errors, device.nvlink_errors),
    )
    return tuple(old is not None and new is not None and new < old for old, new in pairs)
