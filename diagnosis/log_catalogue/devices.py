"""The devices: NVML, the device plugin, and the Xid errors of the kernel's log."""

from functools import partial
from typing import Final

from diagnosis.log_catalogue.signature import (
    CORDON,
    DELETE_POD,
    FABRIC_IN_DRIVER,
    FABRIC_ON_HOST,
    GPU_ERRORS,
    KERNEL_LOG,
    NVIDIA_SMI,
    OPERANDS,
    Signature,
    Step,
    Weight,
    advice,
    look_on_node,
)
from situation.findings import Effect

_signature = partial(Signature, family="devices")
_xid_signature = partial(
    Signature, family="devices", row="", found_in="the node's kernel, the device plugin", over=("device-unhealthy",)
)
_RESET: Final = advice("drain the node, then reset the GPU or reboot", Effect.DISRUPTIVE)


def _xid(*codes: int) -> tuple[str, ...]:
    """Wordings for Xid codes: the kernel's line, and the device plugin's."""
    return tuple(text for code in codes for text in (f"NVRM: Xid (PCI:…): {code},", f"XidCriticalError: Xid={code} on"))


_KERNEL_THEN: Final[tuple[Step, ...]] = (KERNEL_LOG, GPU_ERRORS)

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="nvml-unknown-error",
        row="gpu-22",
        found_in="a workload that has run for hours or days",
        texts=("Failed to initialize NVML: Unknown Error",),
        meaning="a running container has lost access to its GPU; the node is fine",
        cause="`systemctl daemon-reload` on the node dropped the devices from the cgroups of running containers.",
        next=(
            NVIDIA_SMI,
            DELETE_POD,
            advice("CDI, or the /dev/char symlinks of the validator, keep it from coming again"),
        ),
        over=("nvml-init",),
    ),
    _signature(
        id="nvml-init",
        row="gpu-23",
        found_in="the device plugin and GFD",
        texts=(
            "Failed to initialize NVML:",
            "did you set the docker default runtime to `nvidia`",
            "nvml init failed",
            "Incompatible strategy detected auto",
            "Incompatible platform detected",
            "No devices found. Waiting indefinitely",
        ),
        meaning="the device plugin sees no GPU: its container did not get the NVIDIA runtime",
        cause="The pod runs without the runtime class, the toolkit is not set up, or it is no GPU node.",
        next=(OPERANDS, NVIDIA_SMI, DELETE_POD),
        look_alikes={
            "driver-library-mismatch": "says version mismatch: the runtime is there, the module is old",
            "nvml-unknown-error": "says Unknown Error, in a container that had its GPU before",
            "gpu-init-failed": "there the driver itself finds no device",
        },
    ),
    _signature(
        id="driver-library-mismatch",
        row="gpu-24",
        found_in="device plugin, nvidia-smi, workloads",
        texts=("Driver/library version mismatch",),
        meaning="the driver's libraries are newer than the kernel module that is loaded",
        cause="The node's packages were upgraded (unattended upgrades) while the old module stays loaded.",
        next=(
            look_on_node("which module is loaded?", "cat", "/proc/driver/nvidia/version"),
            advice("drain and reboot the node; hold the driver's packages back", Effect.DISRUPTIVE),
        ),
        over=("nvml-init",),
    ),
    _signature(
        id="device-unhealthy",
        row="gpu-25",
        found_in="the device plugin",
        texts=("XidCriticalError: Xid=", "marking device as unhealthy", "device marked unhealthy"),
        meaning="the device plugin took a GPU out of service after a critical Xid",
        cause="The Xid in the line says why. The device stays unhealthy until the plugin restarts; running pods stay.",
        next=(*_KERNEL_THEN, CORDON, _RESET),
        look_alikes={"xid-application": "13, 31, 43, 45, 68 and 109 do not make the plugin do this"},
    ),
    _signature(
        id="gpu-lost",
        row="gpu-26",
        found_in="the node's kernel, the device plugin, events (UnexpectedAdmissionError)",
        texts=(
            "GPU is lost",
            "Unable to determine the device handle for GPU",
            "has fallen off the bus",
            *_xid(79),
        ),
        meaning="a GPU has fallen off the bus; it can block all GPU allocations on the node",
        cause="Xid 79: power, heat, PCIe or the GPU itself. Hardware, if it comes again after a reboot.",
        next=(*_KERNEL_THEN, CORDON, advice("drain the node and power-cycle it", Effect.DISRUPTIVE)),
        over=("device-unhealthy",),
    ),
    _xid_signature(
        id="xid-gsp",
        row="gpu-27",
        texts=_xid(119, 120),
        meaning="the GPU's firmware (GSP) does not answer: Xid 119 or 120",
        cause="Driver or firmware; the GPU must be reset.",
        next=(*_KERNEL_THEN, CORDON, _RESET),
    ),
    _xid_signature(
        id="xid-memory",
        texts=_xid(48, 94, 95, 140, 171, 172),
        meaning="an uncorrectable memory error of a GPU: Xid 48, 94, 95, 140, 171 or 172",
        cause="Xid 94 hit one application only; 48, 95 and 140 need a reset of the GPU. Hardware, if it comes again.",
        next=(GPU_ERRORS, KERNEL_LOG, CORDON, _RESET),
        look_alikes={"xid-remapped": "63: the row was remapped, the GPU healed itself"},
    ),
    _xid_signature(
        id="xid-remap-failed",
        texts=_xid(64),
        meaning="a GPU could not remap a bad memory row: Xid 64",
        cause="The spare rows are used up: the mark at which replacement is considered.",
        next=(GPU_ERRORS, KERNEL_LOG, CORDON, advice("reset the GPU, then ask the vendor", Effect.DISRUPTIVE)),
    ),
    _xid_signature(
        id="xid-remapped",
        texts=_xid(63),
        meaning="a GPU remapped a bad memory row: Xid 63, it healed itself",
        cause="Takes effect at the next reset of the GPU.",
        next=(GPU_ERRORS, advice("reset the GPU at the next chance", Effect.DISRUPTIVE)),
        weight=Weight.NOTE,
    ),
    _xid_signature(
        id="xid-nvlink",
        texts=_xid(74, 136, *range(144, 151), 155, 158),
        meaning="an NVLink error: Xid 74, 136, 144 to 150, 155 or 158",
        cause="A link, the fabric or Fabric Manager; the other GPUs of the link tell it too.",
        next=(
            look_on_node("which links have errors?", "nvidia-smi", "nvlink", "-e"),
            FABRIC_IN_DRIVER,
            FABRIC_ON_HOST,
            KERNEL_LOG,
            CORDON,
        ),
    ),
    _xid_signature(
        id="xid-reset",
        texts=_xid(46, 62, 109, 110, 143),
        meaning="a GPU hangs and must be reset: Xid 46, 62, 109, 110 or 143",
        cause="Its engine, micro-controller or initialisation failed. Hardware, if it comes again after a reset.",
        next=(*_KERNEL_THEN, CORDON, _RESET),
    ),
    _xid_signature(
        id="xid-power",
        texts=_xid(54),
        meaning="auxiliary power of a GPU is not connected: Xid 54",
        cause="A cable or the power supply.",
        next=(KERNEL_LOG, CORDON, advice("have the power cables checked", Effect.DISRUPTIVE)),
    ),
    _xid_signature(
        id="xid-application",
        texts=_xid(8, 11, 13, 31, 32, 43, 68, 69, 80),
        meaning="an application made a GPU fault: Xid 8, 11, 13, 31, 32, 43, 68, 69 or 80",
        cause="First a fault of the program (bad address, bad command) or its CUDA version; the GPU goes on working.",
        next=(
            KERNEL_LOG,
            advice("restart the application; look at the hardware only if several programs show it on one GPU"),
        ),
    ),
    _xid_signature(
        id="xid-cleanup",
        texts=_xid(45),
        meaning="the driver cleaned up after another error: Xid 45, a consequence",
        cause="The other Xid near it is the one to look at.",
        next=(KERNEL_LOG,),
        weight=Weight.NOTE,
    ),
    _xid_signature(
        id="xid-recovery-action",
        texts=_xid(154),
        meaning="the GPU says which recovery it needs now: Xid 154",
        cause="The text of the line names it: none, reset, reboot or drain.",
        next=(KERNEL_LOG,),
        weight=Weight.NOTE,
    ),
)
