"""Layer 5: GPUs that are broken, as they say themselves: memory, Xid, links, off the bus (L5-12, L5-13b, L5-19)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact
from diagnosis.gpu_readings import (
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
from diagnosis.xids import LOST, MEMORY, RECOVERY_CHANGED, SEVERITY, XidClass, is_fresh, severity_of, xid_of
from situation.cluster import Node
from situation.findings import Evidence, Layer, Mark, Severity
from situation.gpu.devices import GpuDevice, NodeDevices
from situation.gpu.offer import gpu_resources, paused_why
from situation.meta import Ref
from situation.situation import Situation

UNCORRECTED_MIN: Final = 1
"""Any double-bit error is hardware."""
CORRECTED_GROWTH_MIN: Final = 10
"""Single-bit errors within the history; single ones are normal in memory of this size."""
NVLINK_GROWTH_MIN: Final = 1
"""New link errors within the history; old ones are history."""

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
    fallen = [device for device in devices.devices if device.last_xid in LOST and is_fresh(device, now)]
    present, expected = len({device.index for device in devices.devices}), _expected(node)
    missing = 0 if devices.error and devices.origin != "nvml" else max(0, expected - present)
    if not fallen and not missing:
        return unless_doubted(devices)
    answering = f"{present} of {counted(expected, 'GPU')} answer"
    evidence = [told(devices, answering)] if missing else []
    if devices.error:
        evidence.append(told(devices, devices.error))
    evidence += [_xid_evidence(devices, device) for device in fallen]
    title = f"lost {numbers(fallen)}: fallen off the bus" if fallen else f"has GPUs missing: only {answering}"
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
    looks_at="the last Xid of each GPU, and whether it was seen to change within the last minutes.",
    look_alikes={
        "an Xid of the past": "the gauge keeps the last one until the exporter restarts: a hint at most",
        "an application's own fault (Xid 13, 31, 43 ...)": "the catalogue's class says so: a hint",
        "the same Xid again": "cannot be told from the old one: the kernel's log can",
    },
)
def gpu_xid(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A GPU reports an Xid: what it means and what is done depends on its number."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    reported = [device for device in devices.devices if device.last_xid]
    fresh = [device for device in reported if is_fresh(device, now)]
    old = [
        device
        for device in reported
        if device not in fresh and xid_of(device.last_xid or 0).kind not in _UNTOLD_WHEN_OLD
    ]
    shown = sorted(fresh or old, key=_xid_rank)
    if not shown:
        return unless_doubted(devices)
    worst = shown[0]
    code, meant = worst.last_xid or 0, xid_of(worst.last_xid or 0)
    severity = severity_of(code) if fresh else Severity.INFO
    title = f"{numbers([item for item in shown if item.last_xid == code])}: Xid {code}, {meant.meaning}"
    evidence = [_xid_evidence(devices, device) for device in shown[:4]]
    evidence.append(
        Evidence(f"class {meant.kind}; what is done: {meant.action}", source_of(devices), devices.observed_at)
    )
    if any(device.last_xid == RECOVERY_CHANGED for device in shown):
        hidden = (
            f"Xid {RECOVERY_CHANGED} was the last one, and only the last is kept: "
            "one before it, which led to it, may be hidden; the kernel log tells"
        )
        evidence.append(Evidence(hidden, source_of(devices), devices.observed_at, Mark.OPEN))
    if not fresh:
        evidence.append(
            Evidence(
                "it was there when it was first looked at, or has been for long: history", source_of(devices),
                devices.observed_at, Mark.EXCLUDES,
            )
        )  # fmt: skip
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


def _xid_rank(device: GpuDevice) -> tuple[int, int]:
    order = list(SEVERITY)
    kind = xid_of(device.last_xid or 0).kind
    return (order.index(kind) if kind in order else len(order), device.index)


def _xid_evidence(devices: NodeDevices, device: GpuDevice) -> Evidence:
    code = device.last_xid or 0
    return told(devices, f"{name_of(device)}: Xid {code}, {xid_of(code).meaning}", device.xid_changed_at)


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
