"""Layer 5: GPUs that are broken, as they say themselves: memory, Xid, links, off the bus (L5-12, L5-13b, L5-19)."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from diagnosis.commands import counted, fact
from diagnosis.gpu_readings import (
    NAMES_SHOWN,
    grown,
    kernel_log,
    lines,
    name_of,
    numbers,
    out_of_service,
    readable,
    smi,
    source_of,
    told,
    unless_doubted,
)
from diagnosis.rule import Fired, Rule, Verdict, rule
from diagnosis.xids import (
    FOLLOWS,
    LOST,
    MEMORY,
    XidClass,
    fresh_xids,
    gravest,
    may_hide,
    rank_of,
    severity_of,
    xid_of,
)
from situation.cluster import Node
from situation.findings import Evidence, Layer, Mark, Severity
from situation.gpu.devices import GpuDevice, NodeDevices, SeenXid
from situation.gpu.offer import gpu_resources, paused_why
from situation.meta import Ref
from situation.situation import Situation

UNCORRECTED_MIN: Final = 1
"""Any double-bit error is hardware."""
CORRECTED_GROWTH_MIN: Final = 10
"""Single-bit errors within the history; single ones are normal in memory of this size."""
NVLINK_GROWTH_MIN: Final = 1
"""New link errors within the history; old ones are history."""
OTHERS_SHOWN: Final = 3
"""Xids of a GPU besides the one that it is named for, the last ones."""

_UNTOLD_WHEN_OLD: Final = frozenset(
    {XidClass.APPLICATION, XidClass.CONSEQUENCE, XidClass.WATCH, XidClass.HEALED, XidClass.SOFTWARE}
)


def _ref(node: Node) -> Ref:
    return Ref("Node", "", node.name)


@rule(
    "gpu-off-bus",
    signature="L5-13b",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes",),
    looks_at="the GPUs that answer against the node's capacity (by its replicas), and a fresh Xid 79.",
    look_alikes={
        "gpu-missing": "there the device plugin itself counts fewer than were discovered",
        "a reading that breaks off": "it carries an error: unknown",
        "MIG and shared GPUs": "capacity counts slices: only whole GPUs are compared, by the replicas of the label",
        "a MIG or driver change under way": "the node's labels say so",
    },
)
def gpu_off_bus(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Fewer GPUs answer than the node offers: one has fallen off the bus, or its driver lost it."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    fallen = [(device, xid) for device in devices.devices for xid in fresh_xids(device, now) if xid.code in LOST]
    present, expected = len({device.index for device in devices.devices if device.answers}), _expected(node)
    missing = 0 if devices.error and devices.origin != "nvml" else max(0, expected - present)
    if not fallen and not missing:
        return unless_doubted(devices)
    answering = f"{present} of {counted(expected, 'GPU')} answer"
    evidence = [told(devices, answering)] if missing else []
    if devices.error:
        evidence.append(told(devices, devices.error))
    evidence += [_xid_evidence(devices, device, xid) for device, xid in fallen]
    title = (
        f"lost {numbers(device for device, _ in fallen)}: fallen off the bus"
        if fallen
        else f"has GPUs missing: only {answering}"
    )
    return Fired(
        _ref(node),
        title,
        tuple(evidence),
        (smi(node, "-L", purpose="which GPUs answer?"), kernel_log(node), *out_of_service(node)),
        node=node.name,
    )


def _expected(node: Node) -> int:
    """Number of whole GPUs that the node offers to pods, 0 if it cannot be told."""
    labels, capacity = node.metadata.labels, gpu_resources(node.status.capacity)
    if paused_why(labels) or any(name.startswith("nvidia.com/mig-") for name in capacity):
        return 0
    if labels.get("nvidia.com/mig.strategy") == "single" and "MIG" in labels.get("nvidia.com/gpu.product", ""):
        return 0
    replicas = labels.get("nvidia.com/gpu.replicas", "1")
    divisor = int(replicas) if replicas.isdigit() and int(replicas) > 0 else 1
    return int(sum(capacity.values())) // divisor


@rule(
    "gpu-memory-errors",
    signature="L5-12",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="row remapping (failed, pending), double-bit and growing single-bit errors of each GPU.",
    look_alikes={
        "rows remapped long ago": "a remapping that worked is a repair: silent",
        "single-bit errors of the past": "they are corrected; only growth between readings counts",
        "an exporter without these counters": "not measured is not zero, and not a fault: silent",
    },
)
def gpu_memory_errors(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A GPU's memory fails: row remapping failed or waits for a reset, or errors were found in it."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    found = [device for device in devices.devices if _memory_text(device)]
    if not found:
        return unless_doubted(devices)
    worst = min(found, key=_memory_rank)
    failed, doubled = bool(worst.row_remap_failed), _uncorrected_grown(worst)
    return Fired(
        _ref(node),
        f"{numbers([device for device in found if _memory_rank(device) == _memory_rank(worst)])}: "
        f"{_memory_text(worst)[0]}",
        lines(node, devices, sorted(found, key=_memory_rank), lambda device: "; ".join(_memory_text(device))),
        (
            smi(node, "-q", "-d", "ECC,ROW_REMAPPER", purpose="which GPU, how many errors and spare rows?"),
            kernel_log(node),
            *out_of_service(node),
        ),
        severity=Severity.CRITICAL if failed or doubled else Severity.WARNING,
        node=node.name,
    )


def _uncorrected_grown(device: GpuDevice) -> int:
    return grown(device, lambda item: item.ecc_uncorrected, device.ecc_uncorrected)


def _memory_rank(device: GpuDevice) -> int:
    marks = (device.row_remap_failed, _uncorrected_grown(device), device.ecc_uncorrected, device.row_remap_pending)
    return next((rank for rank, mark in enumerate(marks) if mark), len(marks))


def _memory_text(device: GpuDevice) -> list[str]:
    """Return what is wrong with a GPU's memory, gravest first; nothing if it is well."""
    said: list[str] = []
    if device.row_remap_failed:
        said.append("row remapping failed: a candidate for replacement")
    if new := _uncorrected_grown(device):
        said.append(f"{counted(new, 'new double-bit error')}")
    elif (device.ecc_uncorrected or 0) >= UNCORRECTED_MIN:
        said.append(f"{counted(device.ecc_uncorrected or 0, 'double-bit error')} since the driver was loaded")
    if device.row_remap_pending:
        said.append("row remapping waits for a reset of the GPU")
    growth = grown(device, lambda item: item.ecc_corrected, device.ecc_corrected)
    if growth >= CORRECTED_GROWTH_MIN:
        said.append(f"{growth} new single-bit errors since {device.earlier[0].at:%H:%M} UTC")
    return said


@rule(
    "gpu-xid",
    signature="L5-12",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="the last Xid of each GPU and those before it, as far as they were seen to come within the last minutes.",
    look_alikes={
        "an Xid of the past": "DCGM keeps the last one until the exporter restarts: a hint at most",
        "an application's own fault (Xid 13, 31, 43 ...)": "the catalogue's class says so: a hint",
        "the same Xid again": "only NVML tells it from the old one, on the host itself; the kernel's log does",
        "an Xid that follows another (45, 154, 171, 172)": "DCGM shows only the last: told if none was seen before",
        "no Xid from NVML": "it tells only those that come while it is listened to: unknown, not none",
    },
)
def gpu_xid(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A GPU reports an Xid: what it means and what is done depends on its number."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    fresh = [(device, xid) for device in devices.devices if (xid := gravest(device, now)) is not None]
    old = [(device, xid) for device in devices.devices if (xid := _worth_telling(device)) is not None]
    shown = sorted(fresh or old, key=lambda item: (rank_of(item[1].code), item[0].index))
    if not shown:
        return unless_doubted(devices)
    code = shown[0][1].code
    meant, severity = xid_of(code), severity_of(code) if fresh else Severity.INFO
    title = f"{numbers(device for device, xid in shown if xid.code == code)}: Xid {code}, {meant.meaning}"
    evidence = _xids_evidence(devices, shown, now)
    said = partial(Evidence, source=source_of(devices), observed_at=devices.observed_at)
    evidence.append(said(f"class {meant.kind}; what is done: {meant.action}"))
    for follower in sorted({device.last_xid or 0 for device, _ in shown if may_hide(device)}):
        hidden = f"Xid {follower} {FOLLOWS[follower]}; one before it, which led to it, may be hidden"
        evidence.append(said(f"{hidden}: none was seen just before; the kernel log tells", mark=Mark.OPEN))
    if not fresh:
        history = "it was there when it was first looked at, or has been for long: history"
        evidence.append(said(history, mark=Mark.EXCLUDES))
    grave = severity is Severity.CRITICAL
    followed = ("gpu-off-bus",) * (code in LOST) + ("gpu-memory-errors",) * (code in MEMORY)
    followed += ("gpu-unhealthy",) * (not fresh)  # an old one explains nothing, and stands with what it may have done
    return Fired(
        _ref(node),
        title if fresh else f"{title} (in the past)",
        tuple(evidence),
        (kernel_log(node), smi(node, "-q", purpose="what does the GPU say now?"), *(out_of_service(node) * grave)),
        severity=severity,
        follows=(_ref(node),) if followed else (),
        follows_only=followed,
        node=node.name,
    )


def _worth_telling(device: GpuDevice) -> SeenXid | None:
    """Return the gravest Xid of a GPU that is worth telling though it is old, the last one of these."""
    worth = [xid for xid in reversed(device.xids) if xid_of(xid.code).kind not in _UNTOLD_WHEN_OLD]
    return min(worth, key=lambda xid: rank_of(xid.code), default=None)


def _xids_evidence(devices: NodeDevices, shown: Sequence[tuple[GpuDevice, SeenXid]], now: datetime) -> list[Evidence]:
    """Return the Xid that each GPU is shown for, and with it what else was seen of that GPU, in the order of time."""
    evidence = []
    for device, shown_for in shown[:NAMES_SHOWN]:
        fresh = fresh_xids(device, now)
        evidence.append(_xid_evidence(devices, device, shown_for))
        for xid in [other for other in device.xids if other.code != shown_for.code][-OTHERS_SHOWN:]:
            past = "" if xid in fresh else ", in the past"
            evidence.append(_xid_evidence(devices, device, xid, f" (also{past})"))
    return evidence


def _xid_evidence(devices: NodeDevices, device: GpuDevice, xid: SeenXid, note: str = "") -> Evidence:
    return told(devices, f"{name_of(device)}: Xid {xid.code}, {xid_of(xid.code).meaning}{note}", xid.at)


@rule(
    "gpu-nvlink-errors",
    signature="L5-19",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="the error counters of each GPU's NVLinks (replay, recovery, CRC), as far as they grow between readings.",
    look_alikes={
        "errors of the past": "counters never fall: only growth counts",
        "an exporter that does not count them": "they are off by default: not measured",
    },
)
def gpu_nvlink_errors(node: Node, situation: Situation, now: datetime) -> Verdict:
    """NVLink errors grow on a GPU: pods that use several GPUs become slow or hang."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    growth = {
        device.index: more
        for device in devices.devices
        if (more := grown(device, lambda item: item.nvlink_errors, device.nvlink_errors)) >= NVLINK_GROWTH_MIN
    }
    if not growth:
        return unless_doubted(devices)
    found = [device for device in devices.devices if device.index in growth]
    return Fired(
        _ref(node),
        f"{numbers(found)}: NVLink errors grow",
        (
            *lines(node, devices, found, lambda device: f"{growth[device.index]} more, {device.nvlink_errors} in all"),
            fact("nodes", "a pod with several GPUs needs these links; one with a single GPU does not", Mark.OPEN),
        ),
        (
            smi(node, "nvlink", "-s", purpose="are all links up?"),
            smi(node, "nvlink", "-e", purpose="which link counts errors?"),
            kernel_log(node),
            *out_of_service(node),
        ),
        follows=(_ref(node),),
        follows_only=("gpu-off-bus", "gpu-xid"),
        node=node.name,
    )


RULES: Final[tuple[Rule, ...]] = (gpu_off_bus, gpu_memory_errors, gpu_xid, gpu_nvlink_errors)
