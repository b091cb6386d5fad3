"""What rules need of a node's GPUs: whether the reading counts, names of devices, evidence and commands."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from diagnosis.commands import kubectl, on_node
from diagnosis.rule import CLEAR, Clear, Unknown
from situation.cluster import Node
from situation.findings import Command, Effect, Evidence
from situation.gpu.devices import Counts, GpuDevice, NodeDevices
from situation.gpu.memory import DEVICES_FRESH
from situation.gpu.sharing import gpu_sharing
from situation.situation import Situation

NAMES_SHOWN: Final = 4


def readable(node: Node, situation: Situation, now: datetime) -> NodeDevices | Unknown | Clear:
    """Return the GPUs of a node if their reading counts, Unknown with the reason if not.

    Clear if nobody has asked yet: then there is nothing that could have turned unknown.
    """
    devices = situation.devices.get(node.name)
    if devices is None:
        return CLEAR
    if devices.observed_at is None:
        return Unknown(devices.error or "its GPUs have not been read")
    if now - devices.observed_at > DEVICES_FRESH:
        age_s = (now - devices.observed_at).total_seconds()
        return Unknown(f"its GPUs were read {age_s:.0f} s ago{f': {devices.error}' if devices.error else ''}")
    return devices


def unless_doubted(devices: NodeDevices) -> Clear | Unknown:
    """Return what a rule says that found nothing: a reading with an error is no proof of health."""
    return Unknown(devices.error) if devices.error else CLEAR


def source_of(devices: NodeDevices) -> str:
    return f"gpu/{devices.origin}"


def told(devices: NodeDevices, text: str, at: datetime | None = None) -> Evidence:
    """Return evidence from the reading, as old as that is."""
    return Evidence(text, source_of(devices), at or devices.observed_at)


def numbers(found: Iterable[GpuDevice]) -> str:
    """Return `GPU 3`, `GPU 0, 3` or `8 GPUs`."""
    unique = sorted({device.index for device in found})
    if len(unique) > NAMES_SHOWN:
        return f"{len(unique)} GPUs"
    return f"GPU {', '.join(map(str, unique))}"


def name_of(device: GpuDevice) -> str:
    mig = f" ({device.mig_profile or 'MIG ' + device.mig_id})" if device.mig_id else ""
    return f"GPU {device.index}{mig}"


def holders_text(device: GpuDevice, node: Node) -> str:
    """Return `, held by ml/train-0`; of a GPU that pods share only that these are some of them, which is all we know.

    An exporter names one pod of each GPU, unless it was told to name all (gpu_operator 7, DE #307).
    """
    names = ", ".join(f"{namespace}/{name}" for namespace, name in device.holders[:2])
    if not names:
        return ""
    more = f" and {len(device.holders) - 2} more" if len(device.holders) > 2 else ""
    if gpu_sharing(node.metadata.labels).is_shared:
        return f", shared by pods, {names}{more} among them"
    return f", held by {names}{more}"


def grown(device: GpuDevice, count: Callable[[Counts], int | None], now: int | None) -> int:
    """Return by how much a counter has grown within the history, 0 if that is not known."""
    before = next((value for item in device.earlier if (value := count(item)) is not None), None)
    return max(0, now - before) if now is not None and before is not None else 0


def smi(node: Node, *options: str, purpose: str) -> Command:
    return on_node(node.name, "nvidia-smi", *options, purpose=purpose)


def kernel_log(node: Node) -> Command:
    return on_node(node.name, "dmesg", "-T", "--level=err,warn", purpose="which Xid does the kernel report?")


def out_of_service(node: Node) -> tuple[Command, ...]:
    """Return what is done with a node whose GPU is suspect: keep pods off, then test it without any."""
    return (
        kubectl("cordon", node.name, purpose="keep new pods off it once confirmed", effect=Effect.MUTATING),
        Command(
            ("dcgmi", "diag", "-r", "3"),
            "test the GPUs for half an hour: only when no pod uses them",
            effect=Effect.DISRUPTIVE,
            where=f"node {node.name}",
        ),
    )


def lines(
    node: Node, devices: NodeDevices, found: Sequence[GpuDevice], text: Callable[[GpuDevice], str]
) -> tuple[Evidence, ...]:
    """Return a line of evidence for each GPU of a node, some of them if there are many."""
    shown = [
        told(devices, f"{name_of(device)}: {text(device)}{holders_text(device, node)}")
        for device in found[:NAMES_SHOWN]
    ]
    if len(found) > NAMES_SHOWN:
        shown.append(told(devices, f"and {len(found) - NAMES_SHOWN} more like these"))
    return tuple(shown)
