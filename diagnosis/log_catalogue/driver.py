"""The driver container, the driver manager before it, and what the node's kernel says of the module."""

from functools import partial
from typing import Final

from diagnosis.log_catalogue.signature import (
    DELETE_POD,
    KERNEL_LOG,
    NVIDIA_SMI,
    OPERANDS,
    Signature,
    Weight,
    advice,
    change,
    look,
    look_on_node,
)
from situation.findings import Effect

_signature = partial(Signature, family="driver")
_KERNEL: Final = look(
    "which kernel and system do the nodes run?", "get", "nodes", "-o", "wide", namespace=""
)  # fmt: skip
_DRIVER: Final = "the driver container (nvidia-driver-ctr)"
_MANAGER: Final = "the init container k8s-driver-manager"
_UPGRADE: Final = look(
    "how far is the driver upgrade on each node?",
    "get", "nodes", "-L", "nvidia.com/gpu-driver-upgrade-state", namespace="",
)  # fmt: skip
_ON_NODE: Final = look(
    "which pods are on the node?",
    "get", "pods", "-A", "-o", "wide", "--field-selector", "spec.nodeName=<node>", namespace="",
)  # fmt: skip

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="driver-module-load",
        row="gpu-01",
        found_in=_DRIVER,
        texts=("Unable to load the kernel module",),
        meaning="the NVIDIA kernel module does not load; most often nouveau is loaded",
        cause="The installer prints this whatever the reason: nouveau has the GPU, the module was built for another "
        "kernel or compiler, or this driver branch does not know the GPU. The lines after it say which.",
        next=(
            look_on_node("is nouveau loaded? (not if there is no such folder)", "ls", "-d", "/sys/module/nouveau"),
            KERNEL_LOG,
            advice(
                "if nouveau is loaded: blacklist it on the node, rebuild the initramfs, reboot the node",
                Effect.DISRUPTIVE,
            ),
        ),
        look_alikes={
            "nouveau-loaded": "the installer itself says that nouveau is in use",
            "secure-boot": "a line says that the module is unsigned or its key was rejected",
            "gpu-not-supported": "a line says that this driver does not support the GPU",
            "gpl-symbol": "the build already failed, at modpost",
        },
    ),
    _signature(
        id="nouveau-loaded",
        row="gpu-01",
        found_in=_DRIVER,
        texts=("Nouveau kernel driver is currently in use", "nouveau is currently in use"),
        meaning="nouveau is loaded and has the GPU, so the NVIDIA driver cannot take it",
        cause="The node boots with the open nouveau driver; it is not blacklisted, or the initramfs still holds it.",
        next=(
            look_on_node("is nouveau loaded?", "ls", "-d", "/sys/module/nouveau"),
            advice("blacklist nouveau on the node, rebuild the initramfs, reboot the node", Effect.DISRUPTIVE),
        ),
        over=("driver-module-load",),
    ),
    _signature(
        id="kernel-not-resolved",
        row="gpu-02",
        found_in=_DRIVER,
        texts=("Could not resolve Linux kernel version",),
        meaning="no kernel headers package for the running kernel: the driver cannot be built",
        cause="The repositories that the container reaches do not have this kernel: new, custom, end of life, or the "
        "cluster has no way to them.",
        next=(
            _KERNEL,
            advice("boot a kernel whose headers are there, mirror the packages, or use a precompiled driver image"),
        ),
        look_alikes={"kernel-headers-missing": "there the package is found but the build folder is missing"},
    ),
    _signature(
        id="kernel-headers-missing",
        row="gpu-03",
        found_in=_DRIVER,
        texts=("/lib/modules/…/build: No such file or directory", "Unable to locate package linux-headers-"),
        meaning="the kernel headers of the running kernel are missing",
        cause="They were never installed or were removed, for example by an upgrade of the kernel.",
        next=(_KERNEL, look_on_node("what is there for this kernel?", "ls", "-l", "/lib/modules", "/usr/src")),
        look_alikes={"kernel-not-resolved": "there the container does not even find out which package it needs"},
    ),
    _signature(
        id="gpl-symbol",
        row="gpu-04",
        found_in=_DRIVER,
        texts=("GPL-incompatible module…uses GPL-only symbol",),
        meaning="the driver is older than this kernel needs: the module is refused when it is linked",
        cause="The kernel made a symbol GPL-only that this driver version uses.",
        next=(_KERNEL, advice("take a newer driver version, or an older kernel", Effect.DISRUPTIVE)),
        over=("driver-module-load",),
    ),
    _signature(
        id="secure-boot",
        row="gpu-05",
        found_in=_DRIVER,
        texts=(
            "Loading of unsigned module is rejected",
            "unsigned module loading is restricted",
            "Kernel module load error: Operation not permitted",
            "not signed by a key that is trusted by the kernel",
            "could not insert 'nvidia…': Operation not permitted",
            "could not insert 'nvidia…': Key was rejected by service",
            "could not insert 'nvidia…': Required key not available",
        ),
        meaning="UEFI Secure Boot refuses the NVIDIA kernel module: it is not signed by a trusted key",
        cause="Secure Boot is on, and the module was built in the container without a key that the node trusts.",
        next=(
            look_on_node("is Secure Boot on?", "mokutil", "--sb-state"),
            advice(
                "use precompiled, signed drivers, enroll the signing key, or turn Secure Boot off in the firmware",
                Effect.DISRUPTIVE,
            ),
        ),
        over=("driver-module-load",),
    ),
    _signature(
        id="driver-image-missing",
        row="gpu-06",
        found_in="events of the driver pod",
        texts=("Failed to pull image…/driver:…not found",),
        meaning="there is no driver image for this operating system, kernel and driver version",
        cause="The tag is made of version, kernel (when precompiled) and system; nobody published this one.",
        next=(
            look("which image is asked for?", "get", "pod", "<pod>", "-o", "jsonpath={.spec.containers[*].image}"),
            _KERNEL,
            advice("set a driver version that exists for this system, or build the image"),
        ),
    ),
    _signature(
        id="gpu-init-failed",
        row="gpu-07",
        found_in=f"{_DRIVER}, its startup probe, the node's kernel",
        texts=("RmInitAdapter failed", "No devices were found"),
        meaning="the driver loads, but no GPU can be initialised",
        cause="Passthrough or firmware settings (IOMMU, Above 4G decoding), a GPU this driver does not know, or a "
        "faulty one.",
        next=(KERNEL_LOG, look_on_node("is the GPU on the bus?", "lspci", "-nn", "-d", "10de:"), NVIDIA_SMI),
        look_alikes={"nvml-init": "the device plugin's `No devices found`: there the container got no GPU"},
    ),
    _signature(
        id="gpu-not-supported",
        row="gpu-07",
        found_in=f"{_DRIVER}, the node's kernel",
        texts=("installed in this system is not supported by",),
        meaning="this driver release does not support the GPU",
        cause="The GPU is too old for the branch, too new for it, or needs the open (or the closed) kernel modules.",
        next=(KERNEL_LOG, advice("set a driver branch and module type that support this GPU", Effect.DISRUPTIVE)),
        over=("driver-module-load", "gpu-init-failed"),
    ),
    _signature(
        id="driver-in-use",
        row="gpu-08",
        found_in=_MANAGER,
        texts=("Could not unload NVIDIA driver kernel modules, driver is in use",),
        meaning="the old driver cannot be unloaded: something still uses the GPU",
        cause="Pods or processes of the node hold the GPU; the upgrade policy turned off the manager's own eviction.",
        next=(
            look_on_node("which processes hold the GPU?", "fuser", "/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"),
            _ON_NODE,
            advice("drain the GPU pods of the node, or reboot it", Effect.DISRUPTIVE),
        ),
        look_alikes={"eviction-disabled": "says why nothing was evicted"},
    ),
    _signature(
        id="eviction-disabled",
        row="gpu-09",
        found_in=_MANAGER,
        texts=(
            "Auto eviction of GPU pods on node…is disabled by the upgrade policy",
            "Auto drain of the node…is disabled by the upgrade policy",
            "GPU pod eviction by driver-manager has been superseded",
        ),
        meaning="the driver pod was restarted outside the upgrade controller, which alone may evict GPU pods",
        cause="With the upgrade policy on, the driver manager evicts nothing; only the controller does, node by node.",
        next=(
            _UPGRADE,
            change(
                "hand the node to the upgrade controller",
                "label", "node", "<node>", "nvidia.com/gpu-driver-upgrade-state=upgrade-required", "--overwrite",
                namespace="",
            ),
        ),
    ),
    _signature(
        id="drain-blocked",
        row="gpu-11",
        found_in=_MANAGER,
        texts=(
            "cannot delete Pods with local storage",
            "cannot delete Pods declare no controller",
            "cannot delete Pods not managed by ReplicationController",
            "unable to drain node",
            "Cannot evict pod as it would violate the pod's disruption budget",
        ),
        meaning="the node cannot be drained: a pod on it may not be evicted",
        cause="emptyDir data, a pod without controller, or a PodDisruptionBudget that allows no disruption.",
        next=(
            look("which budgets allow none?", "get", "poddisruptionbudgets", "-A", namespace=""),
            _ON_NODE,
            advice("allow it in the operator's drain settings (delete emptyDir data, force), or move the pod by hand",
                   Effect.DISRUPTIVE),
        ),
    ),
    _signature(
        id="driver-preinstalled",
        row="gpu-13",
        found_in=_MANAGER,
        texts=("NVIDIA GPU driver is already pre-installed on the node",),
        meaning="the node has a driver of its own, so the operator installs none: normal",
        cause="The driver manager found a working host driver. A fault only if what it found is stale.",
        next=(NVIDIA_SMI, advice("if the host's driver is a leftover: remove it, then delete the driver pod",
                                 Effect.DISRUPTIVE)),
        weight=Weight.NOTE,
    ),
    _signature(
        id="waits-for-mofed",
        row="gpu-43",
        found_in=f"{_DRIVER}, the init container mofed-validation",
        texts=("Waiting for MOFED to be installed", "waiting for mofed"),
        meaning="waits for the network driver (MOFED): RDMA is on, but it is not installed",
        cause="The Network Operator's driver is not ready on this node, or RDMA is on without it.",
        next=(OPERANDS, _ON_NODE),
        weight=Weight.WAITS,
    ),
    _signature(
        id="waits-for-driver",
        row="",
        found_in="driver-validation, and the entrypoints of toolkit, device plugin and MIG manager",
        texts=(
            "failed to validate the driver, retrying",
            "waiting for the driver validations to be ready",
            "command failed, retrying after",
        ),
        meaning="waits for the driver, which is not ready on this node",
        cause="The driver pod builds, fails or is missing; it is the one to look at.",
        next=(OPERANDS,),
        look_alikes={"waits-for-toolkit": "there the driver is ready, and the container toolkit is waited for"},
        weight=Weight.WAITS,
    ),
    _signature(
        id="host-driver-incomplete",
        row="gpu-21",
        found_in="the init container driver-validation",
        texts=(
            "failed to load module nvidia-uvm",
            "Module nvidia-uvm not found in directory",
            "could not insert 'nvidia_modeset': No such device",
            "error creating symlink creator",
            "Failed to create symlinks under /dev/char",
        ),
        meaning="the node's own driver is incomplete: modules or device nodes are missing",
        cause="A host driver without nvidia-uvm or nvidia-modeset, or one that does not see the GPU.",
        next=(
            look_on_node("which of its modules are there?", "modinfo", "nvidia-uvm"),
            KERNEL_LOG,
            advice("install the host's driver completely, or set DISABLE_DEV_CHAR_SYMLINK_CREATION=true in the "
                   "validator", Effect.DISRUPTIVE),
            DELETE_POD,
        ),
    ),
    _signature(
        id="fabric-manager-mismatch",
        row="gpu-28",
        found_in=f"{_DRIVER}, or the host's nvidia-fabricmanager.service",
        texts=("fabric manager NVIDIA GPU driver interface version … don't match with driver version",),
        meaning="Fabric Manager does not start: its version is not the driver's",
        cause="On NVSwitch systems (HGX, DGX) no CUDA program starts without it. Driver containers of before August "
        "2026 stay Running and Ready all the same (gpu-driver-container #735, #908).",
        next=(
            look_on_node("which driver version?", "cat", "/proc/driver/nvidia/version"),
            OPERANDS,
            advice("take a driver image, or on the host a package, with Fabric Manager of exactly the driver's version",
                   Effect.DISRUPTIVE),
        ),
        over=("cuda-not-initialized",),
    ),
)  # fmt: skip
