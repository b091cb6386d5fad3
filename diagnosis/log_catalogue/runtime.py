"""The container toolkit and the container runtime: how GPUs get into containers."""

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
    look,
    look_on_node,
)
from situation.findings import Effect

_signature = partial(Signature, family="runtime")
_TOOLKIT: Final = "the container toolkit"
_START: Final = "events and start errors of containers, the container runtime's log"

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="no-nvidia-runtime",
        row="gpu-14",
        found_in="events of operands (FailedCreatePodSandBox), the runtime's log",
        texts=('no runtime for "nvidia" is configured',),
        meaning="the container runtime does not know the runtime class `nvidia`",
        cause="The toolkit is not through yet, it edited a configuration that the runtime does not read, or another "
        "tool wrote over it.",
        next=(OPERANDS, look_on_node("what does the runtime read?", "grep", "-rn", "nvidia", "/etc/containerd")),
        look_alikes={"containerd-not-reached": "the toolkit's own log says that it could not tell the runtime"},
    ),
    _signature(
        id="containerd-not-reached",
        row="gpu-15",
        found_in=_TOOLKIT,
        texts=(
            "Error signaling containerd",
            "unable to dial: dial unix…containerd.sock",
            "Error signaling crio",
            "unable to dial: dial unix…docker.sock",
        ),
        meaning="the toolkit cannot reach the container runtime's socket, so its settings do not take effect",
        cause="k3s, RKE2 and microk8s keep socket and configuration elsewhere: CONTAINERD_CONFIG and CONTAINERD_SOCKET "
        "of the toolkit are not set.",
        next=(
            look_on_node("where is the socket?", "ls", "-l", "/run/containerd/containerd.sock",
                         "/run/k3s/containerd/containerd.sock"),
            look("which paths does the toolkit have?", "get", "pod", "<pod>", "-o",
                 "jsonpath={.spec.containers[*].env}"),
            advice("set toolkit.env CONTAINERD_CONFIG and CONTAINERD_SOCKET of the operator", Effect.DISRUPTIVE),
        ),
    ),
    _signature(
        id="waits-for-toolkit",
        row="gpu-18",
        found_in="the init container toolkit-validation of device plugin, GFD, DCGM and MIG manager",
        texts=(
            "waiting for nvidia container stack to be setup",
            "waiting for nvidia container toolkit to be setup",
        ),
        meaning="waits for driver, toolkit and validator: toolkit-ready has not been written",
        cause="The validator's step toolkit-validation writes it, after driver and toolkit; look at these three first.",
        next=(OPERANDS,),
        look_alikes={"waits-for-driver": "there the driver itself is waited for"},
        weight=Weight.WAITS,
    ),
    _signature(
        id="driver-library-missing",
        row="gpu-19",
        found_in=_START,
        texts=(
            "load library failed: libnvidia-ml.so",
            "load library failed: libnvidia-container-go.so",
            "libnvidia-ml.so.1: cannot open shared object file",
            "libnvidia-ml.so.1: file not found",
        ),
        meaning="the driver's libraries are not where the container toolkit looks for them",
        cause="The driver is missing, the toolkit was given another driver root than the node has, or a stale mount.",
        next=(
            OPERANDS,
            look_on_node("is the operator's driver mounted?", "ls", "/run/nvidia/driver/usr"),
            NVIDIA_SMI,
        ),
        look_alikes={"driver-not-loaded": "there the library is found and says that the module is not loaded"},
    ),
    _signature(
        id="driver-not-loaded",
        row="gpu-19",
        found_in=_START,
        texts=("nvml error: driver not loaded",),
        meaning="the driver's kernel module is not loaded on the node",
        cause="The driver pod is not ready, or the module was unloaded under running operands.",
        next=(OPERANDS, NVIDIA_SMI),
    ),
    _signature(
        id="cdi-unresolvable",
        row="gpu-20",
        found_in=_START,
        texts=("unresolvable CDI devices",),
        meaning="a CDI device that the container asks for is not described on the node",
        cause="The CDI files are missing or stale, for example after a loss of power.",
        next=(
            look_on_node("which CDI files are there?", "ls", "-l", "/var/run/cdi", "/etc/cdi"),
            OPERANDS,
            advice("restart the toolkit pod of this node: it writes the files anew", Effect.DISRUPTIVE),
        ),
    ),
    _signature(
        id="container-cli-timeout",
        row="gpu-27",
        found_in=_START,
        texts=("driver error: timed out",),
        meaning="a GPU hangs: the driver does not answer in time",
        cause="A hung or faulty GPU, often with Xid 119 (GSP) in the kernel's log.",
        next=(
            KERNEL_LOG,
            NVIDIA_SMI,
            advice("reset the GPU or reboot the node; where Xid 119 comes again, turning GSP firmware off was advised",
                   Effect.DISRUPTIVE),
        ),
    ),
    _signature(
        id="no-nvidia-smi",
        row="gpu-44",
        found_in="toolkit-validation, pods that run nvidia-smi",
        texts=('"nvidia-smi": executable file not found', "toolkit is not ready"),
        meaning="nothing was put into the container: nvidia-smi is not there",
        cause="For 3 to 5 minutes after a reboot of the node this is normal; later, the toolkit did not set up the "
        "runtime, or the pod was started before it had.",
        next=(OPERANDS, DELETE_POD),
        look_alikes={"no-nvidia-runtime": "there not even the sandbox starts"},
    ),
)  # fmt: skip
