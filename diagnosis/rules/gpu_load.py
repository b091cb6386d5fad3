"""Layer 5: GPUs that are hot, slowed down or too full: heat, clocks, memory and sharing (L5-13, playbooks I and J)."""

from datetime import datetime, timedelta
from statistics import fmean
from typing import Final

from diagnosis.commands import kubectl
from diagnosis.gpu_readings import lines, numbers, readable, smi, told, unless_doubted
from diagnosis.rule import Fired, Rule, Verdict, rule
from situation.cluster import Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.gpu.devices import GpuDevice, NodeDevices
from situation.meta import Ref
from situation.situation import Situation

HOT_C: Final = 83.0
"""From here on clocks are held down (playbook J: below 80 C is fine, from 83 C on it throttles)."""
BUSY_RATIO: Final = 0.5
"""Below this, slow clocks cost nobody anything."""
MEMORY_FULL_RATIO: Final = 0.95
"""Of a shared GPU (playbook I: "sum of use near total"); a whole one may well be filled by one model server."""
OVERSUBSCRIBED_RATIO: Final = 0.95
ROOM_RATIO: Final = 0.20
"""Mean utilisation of shared GPUs (playbook I: "95 % at 4x = oversubscribed; 20 % = room")."""
LOAD_WATCHED: Final = timedelta(minutes=4)
LOAD_SAMPLES: Final = 3
"""A mean over less says nothing: utilisation is that of the last second."""
THERMAL: Final = frozenset({"hw_thermal_slowdown", "sw_thermal_slowdown", "thermal_violation"})
POWER: Final = frozenset({"hw_power_brake_slowdown", "hw_slowdown"})
"""The board's or the rack's power, not the limit that every busy GPU works at."""
POWER_CAP: Final = frozenset({"sw_power_cap", "power_violation"})
_QUERY: Final = "index,temperature.gpu,clocks.sm,power.draw,power.limit,utilization.gpu"


def _ref(node: Node) -> Ref:
    return Ref("Node", "", node.name)


@rule(
    "gpu-hot",
    signature="L5-13",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="the temperature of each GPU.",
    look_alikes={"memory that is hot": "it may be 95 C: only the GPU's own temperature is judged"},
)
def gpu_hot(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A GPU is so hot that its clocks are held down: cooling, or a neighbour in the same rack."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    found = [device for device in devices.devices if device.temperature_c is not None and device.temperature_c >= HOT_C]
    if not found:
        return unless_doubted(devices)
    hottest = max(device.temperature_c or 0.0 for device in found)
    return Fired(
        _ref(node),
        f"{numbers(found)}: {hottest:.0f} C",
        lines(node, devices, found, _heat_text),
        (
            smi(node, f"--query-gpu={_QUERY}", "--format=csv", purpose="which GPUs are hot, and how slow?"),
            smi(node, "-q", "-d", "TEMPERATURE,PERFORMANCE", purpose="at what temperature does it slow down?"),
        ),
        node=node.name,
    )


def _heat_text(device: GpuDevice) -> str:
    clock = f", SM clock {device.sm_clock_mhz:.0f} MHz" if device.sm_clock_mhz is not None else ""
    return f"{device.temperature_c:.0f} C (slows down from {HOT_C:.0f} C){clock}"


@rule(
    "gpu-throttled",
    signature="L5-13",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="why the clocks of busy GPUs are held down: NVML's reasons, or DCGM's counters where they are on.",
    look_alikes={
        "an idle GPU": "its clocks are low because nobody needs them: below 50 % utilisation this is silent",
        "the power limit (sw_power_cap)": "normal for a GPU under full load: a hint only",
    },
)
def gpu_throttled(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A busy GPU is slowed down, by heat or by the power it gets."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    busy = [device for device in devices.devices if (device.utilization_ratio or 0.0) >= BUSY_RATIO]
    slowed = [device for device in busy if (THERMAL | POWER) & set(device.held_down_by)]
    capped = [device for device in busy if POWER_CAP & set(device.held_down_by)]
    found = slowed or capped
    if not found:
        return unless_doubted(devices)
    heat = any(THERMAL & set(device.held_down_by) for device in slowed)
    at_limit = "runs at its power limit" if len(found) == 1 else "run at their power limit"
    said = f"slowed down {'by heat' if heat else 'by the power supply'}" if slowed else at_limit
    return Fired(
        _ref(node),
        f"{numbers(found)}: {said}",
        lines(node, devices, found, _throttle_text),
        (
            smi(node, "-q", "-d", "PERFORMANCE,CLOCK,POWER", purpose="what holds the clocks down?"),
            smi(node, f"--query-gpu={_QUERY}", "--format=csv", purpose="are all GPUs of the node slow?"),
        ),
        severity=Severity.WARNING if slowed else Severity.INFO,
        follows=(_ref(node),) if heat else (),
        follows_only=("gpu-hot",),
        node=node.name,
    )


def _throttle_text(device: GpuDevice) -> str:
    reasons = ", ".join(name for name in device.held_down_by if name in THERMAL | POWER | POWER_CAP)
    power = ""
    if device.power_w is not None:
        limit = f" of {device.power_limit_w:.0f}" if device.power_limit_w is not None else ""
        power = f", {device.power_w:.0f}{limit} W"
    return f"{reasons} at {device.utilization_ratio or 0.0:.0%} utilisation{power}"


@rule(
    "gpu-memory-full",
    signature="L5-13",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="used and total memory of GPUs that several pods share (time-slicing, MPS).",
    look_alikes={
        "a whole GPU that is full": "a model server takes 90 % on purpose: only shared GPUs are judged",
        "a full MIG device": "its memory is its own: silent",
    },
)
def gpu_memory_full(node: Node, situation: Situation, now: datetime) -> Verdict:
    """The memory of a shared GPU is nearly full: the next allocation fails, in whichever pod asks for it."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    shared = _replicas(node) > 1
    found = [
        device
        for device in devices.devices
        if not device.mig_id and (shared or len(device.holders) > 1) and _memory_ratio(device) >= MEMORY_FULL_RATIO
    ]
    if not found:
        return unless_doubted(devices)
    return Fired(
        _ref(node),
        f"{numbers(found)}: shared, and its memory is {max(map(_memory_ratio, found)):.0%} full",
        (
            *lines(node, devices, found, _memory_text),
            told(devices, f"shared by {_sharing(node)}: nothing keeps one pod from taking the memory of another"),
        ),
        (
            smi(node, "--query-compute-apps=gpu_uuid,pid,used_memory", "--format=csv", purpose="who takes the memory?"),
            _pods_on(node),
        ),
        node=node.name,
    )


def _memory_ratio(device: GpuDevice) -> float:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    return used / total if used is not None and total else 0.0


def _memory_text(device: GpuDevice) -> str:
    return f"{(device.memory_used_bytes or 0) / 2**30:.1f} of {(device.memory_total_bytes or 0) / 2**30:.1f} GiB used"


def _replicas(node: Node) -> int:
    """How many pods the sharing on this node puts on one GPU."""
    replicas = node.metadata.labels.get("nvidia.com/gpu.replicas", "1")
    return int(replicas) if replicas.isdigit() else 1


def _sharing(node: Node) -> str:
    return node.metadata.labels.get("nvidia.com/gpu.sharing-strategy", "several pods")


@rule(
    "gpu-sharing-load",
    signature="L5-13",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="Node",
    needs=("nodes",),
    looks_at="mean utilisation of shared GPUs over the last minutes, against the replicas of the node's label.",
    look_alikes={
        "a moment's load": "some minutes are watched before this says anything",
        "a GPU that is not shared": "full is what it is there for: silent",
    },
)
def gpu_sharing_load(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Shared GPUs are busier than they can be, or have room for more replicas."""
    devices = readable(node, situation, now)
    if not isinstance(devices, NodeDevices):
        return devices
    replicas = _replicas(node)
    means = [mean for device in devices.devices if not device.mig_id and (mean := _mean_load(device, now)) is not None]
    if replicas <= 1 or not means:
        return unless_doubted(devices)
    mean = fmean(means)
    if ROOM_RATIO < mean < OVERSUBSCRIBED_RATIO:
        return unless_doubted(devices)
    full = mean >= OVERSUBSCRIBED_RATIO
    return Fired(
        _ref(node),
        f"shares each GPU {replicas} times and is {mean:.0%} busy: {'oversubscribed' if full else 'has room'}",
        (
            told(devices, f"mean utilisation {mean:.0%} over the last minutes, {replicas} replicas"),
            Evidence(
                "utilisation says how often the GPU worked, not how hard", f"gpu/{devices.origin}",
                devices.observed_at, Mark.OPEN,
            ),
        ),
        (smi(node, "dmon", "-c", "10", "-s", "pum", purpose="how busy is each GPU now?"), _pods_on(node)),
        node=node.name,
    )  # fmt: skip


def _mean_load(device: GpuDevice, now: datetime) -> float | None:
    """Return the mean utilisation over the history, None if that is too short."""
    loads = [item.utilization_ratio for item in device.earlier if item.utilization_ratio is not None]
    if device.utilization_ratio is None or len(loads) < LOAD_SAMPLES or now - device.earlier[0].at < LOAD_WATCHED:
        return None
    return fmean((*loads, device.utilization_ratio))


def _pods_on(node: Node) -> Command:
    return kubectl(
        "get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
        purpose="which pods share these GPUs?",
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (gpu_hot, gpu_throttled, gpu_memory_full, gpu_sharing_load)
