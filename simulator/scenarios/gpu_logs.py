"""What the containers of the GPU incidents print: the lines that people search for, as the programs write them."""

from typing import Final

TOOLKIT: Final = (
    'level=info msg="Flushing config to /runtime/config-dir/config.toml"\n'
    'level=info msg="Sending SIGHUP signal to containerd"\n'
    + "".join(
        f'level=warning msg="Error signaling containerd, attempt {attempt}/6: unable to dial: '
        'dial unix /runtime/sock-dir/containerd.sock: connect: no such file or directory"\n'
        for attempt in range(1, 6)
    )
    + 'level=warning msg="Max retries reached 6/6, aborting"\n'
)
PLUGIN_STARTS: Final = "Starting FS watcher.\nStarting OS watcher.\nStarting Plugins.\nLoading configuration.\n"
PLUGIN_SERVES: Final = (
    f"{PLUGIN_STARTS}Retrieving plugins.\nDetected NVML platform: found NVML library\n"
    "Starting GRPC server for 'nvidia.com/gpu'\nRegistered device plugin for 'nvidia.com/gpu' with Kubelet\n"
)
PLUGIN_NO_NVML: Final = (
    f"{PLUGIN_STARTS}Failed to initialize NVML: Driver/library version mismatch\n"
    "If this is a GPU node, did you set the docker default runtime to `nvidia`?\n"
    "error starting plugins: error getting plugins: nvml init failed: Driver/library version mismatch\n"
)
DRIVER_NO_FABRIC: Final = (
    "Loading NVIDIA driver kernel modules...\nStarting NVIDIA persistence daemon...\n"
    "Starting NVIDIA fabric manager daemon...\n"
    "fabric manager NVIDIA GPU driver interface version 570.195.03 don't match with driver version 580.126.20. Please "
    "update with matching NVIDIA driver package.\n"
    "Mounting NVIDIA driver rootfs...\nDone, now waiting for signal\n"
)
"""Of a driver's container (`nvidia-driver` in NVIDIA/gpu-driver-container; the line of Fabric Manager as in its #735
and in gpu-operator #544): it goes on without Fabric Manager. Images with its #908 (August 2026) end instead."""
CUDA: Final = (
    "[Vector addition of 50000 elements]\nFailed to allocate device vector A (error code system not yet initialized)!\n"
)
CUDA_WAITS: Final = "pod nvidia-cuda-validator is curently in Pending phase\n" * 3
VLLM_NO_FABRIC: Final = (
    "INFO: initializing a tensor parallel group of 4\n"
    "RuntimeError: CUDA error: system not yet initialized\n"
    "ERROR: Engine core initialization failed\n"
)
VLLM_NO_GPU: Final = "INFO: loading weights, 1 of 1 GPUs\nRuntimeError: No CUDA GPUs are available\n"
VLLM_OUT_OF_MEMORY: Final = (
    "INFO: loading weights, 1 of 1 GPUs\n"
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 79.11 GiB "
    "of which 187.06 MiB is free.\n"
    "ERROR: Engine core initialization failed\n"
)
VLLM_SERVES: Final = "INFO: Application startup complete.\nINFO: running 6 requests, waiting 0\n"
MIG_WAITS: Final = (
    "level=info msg=\"Waiting for change to 'nvidia.com/mig.config' label\"\n"
    'level=info msg="Updating to MIG config: all-1g.10gb"\n'
    'level=info msg="Shutting down all GPU clients in Kubernetes by disabling their component-specific nodeSelector '
    'labels"\n'
    'level=info msg="Waiting for the device-plugin to shutdown"\n'
    'level=info msg="Waiting for gpu-feature-discovery to shutdown"\n'
    'level=info msg="Waiting for dcgm-exporter to shutdown"\n'
)
MIG_GAVE_UP: Final = (
    f"{MIG_WAITS}"
    'level=error msg="Error: failed to wait for pods to be deleted: dcgm-exporter pod did not shutdown: '
    'context deadline exceeded"\n'
    "level=info msg=\"Waiting for change to 'nvidia.com/mig.config' label\"\n"
)


def plugin_lost(uuid: str) -> str:
    """The device plugin's log once a GPU has reported Xid 79."""
    return (
        f"{PLUGIN_SERVES}XidCriticalError: Xid=79 on Device={uuid}; marking device as unhealthy.\n"
        f"'nvidia.com/gpu' device marked unhealthy: {uuid}\n"
    )
