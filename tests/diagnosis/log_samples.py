"""One realistic log for each row of the known GPU faults that a log tells: lines of noise around the telling one."""

from typing import Final

# ruff: noqa: E501  lines of logs are as long as they are

INSTALLER: Final = (
    "DRIVER_ARCH is x86_64\n"
    "Creating directory NVIDIA-Linux-x86_64-550.54.15\n"
    "Verifying archive integrity... OK\n"
    "Uncompressing NVIDIA Accelerated Graphics Driver for Linux-x86_64 550.54.15.......\n"
    "Welcome to the NVIDIA Software Installer for Unix/Linux\n"
    'Performing CC sanity check with CC="/usr/bin/cc".\n'
    "Kernel source path: '/lib/modules/6.8.0-35-generic/build'\n"
    "Building kernel modules\n"
)
MODULE: Final = (
    "ERROR: Unable to load the kernel module 'nvidia.ko'.  This happens most frequently when this kernel module was "
    "built against the wrong or improperly configured kernel sources, with a version of gcc that differs from the one "
    "used to build the target kernel, or if another driver, such as nouveau, is present and prevents the NVIDIA kernel "
    "module from obtaining ownership of the NVIDIA device(s), or no NVIDIA device installed in this system is supported "
    "by this NVIDIA Linux graphics driver release.\n"
)
STOP: Final = "Stopping NVIDIA persistence daemon...\nUnloading NVIDIA driver kernel modules...\nUnmounting rootfs...\n"
PLUGIN: Final = (
    'I1123 02:31:11.456122       1 main.go:238] "Starting NVIDIA Device Plugin" version="1f0b1b6"\n'
    "I1123 02:31:11.456180       1 main.go:241] Starting FS watcher for /var/lib/kubelet/device-plugins\n"
)
KERNEL: Final = (
    "[Mon Nov 23 02:31:10 2026] EXT4-fs (sda1): re-mounted. Quota mode: none.\n"
    "[Mon Nov 23 02:31:12 2026] NVRM: GPU at PCI:0000:3b:00: GPU-4d6f0000\n"
)

SAMPLES: Final[tuple[tuple[str, str, str], ...]] = (
    ("gpu-01", "driver-module-load", INSTALLER + MODULE + STOP),
    (
        "gpu-01",
        "nouveau-loaded",
        INSTALLER + "ERROR: The Nouveau kernel driver is currently in use by your system.  This driver is incompatible "
        "with the NVIDIA driver, and must be disabled before proceeding.\n" + MODULE + STOP,
    ),
    (
        "gpu-02",
        "kernel-not-resolved",
        "Updating the package cache...\nResolving Linux kernel version...\nCould not resolve Linux kernel version\n" + STOP,
    ),
    (
        "gpu-03",
        "kernel-headers-missing",
        INSTALLER + "make[1]: *** /lib/modules/5.4.0-150-generic/build: No such file or directory.  Stop.\n"
        "make: *** [Makefile:80: modules] Error 2\n" + STOP,
    ),
    (
        "gpu-04",
        "gpl-symbol",
        INSTALLER + "  LD [M]  /usr/src/nvidia-470.82.01/kernel/nvidia.o\n"
        "ERROR: modpost: GPL-incompatible module nvidia.ko uses GPL-only symbol 'rcu_read_unlock_strict'\n" + STOP,
    ),
    ("gpu-05", "secure-boot", "modprobe: ERROR: could not insert 'nvidia': Key was rejected by service\n" + STOP),
    (
        "gpu-05",
        "secure-boot",
        INSTALLER + MODULE + "-> Kernel module load error: Operation not permitted\n"
        "-> Kernel messages:\n[ 9.1] Lockdown: modprobe: unsigned module loading is restricted; see man "
        "kernel_lockdown.7\n" + STOP,
    ),
    (
        "gpu-05",
        "secure-boot",
        INSTALLER + "ERROR: The kernel module failed to load, because it was not signed by a key that is trusted by "
        "the kernel. Please try installing the driver again with signing options.\n" + STOP,
    ),
    (
        "gpu-06",
        "driver-image-missing",
        '  Normal   Pulling  5m  kubelet  Pulling image "nvcr.io/nvidia/driver:550.54.15-rhel9.9"\n'
        '  Warning  Failed   5m  kubelet  Failed to pull image "nvcr.io/nvidia/driver:550.54.15-rhel9.9": rpc error: '
        'code = NotFound desc = failed to pull and unpack image: nvcr.io/nvidia/driver:550.54.15-rhel9.9: not found\n',
    ),
    ("gpu-07", "gpu-init-failed", "Startup probe failed: No devices were found\n"),
    (
        "gpu-07",
        "gpu-init-failed",
        KERNEL + "[Mon Nov 23 02:31:13 2026] NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x26:0x56:1474)\n",
    ),
    (
        "gpu-07",
        "gpu-not-supported",
        KERNEL + "NVRM: The NVIDIA GPU 0000:3b:00.0 (PCI ID: 10de:1b38)\nNVRM: installed in this system is not "
        "supported by the\nNVRM: NVIDIA 560.35.03 driver release.\n" + MODULE,
    ),
    (
        "gpu-08",
        "driver-in-use",
        "Unloading NVIDIA driver kernel modules...\nnvidia_uvm 1503232 2\nnvidia 56807424 18 nvidia_uvm\n"
        "Could not unload NVIDIA driver kernel modules, driver is in use\nUnable to cleanup driver modules, attempting "
        "again with node drain...\n",
    ),
    (
        "gpu-09",
        "eviction-disabled",
        "Getting current value of the 'nvidia.com/gpu.deploy.driver' node label\nAuto eviction of GPU pods on node "
        "gpu-07 is disabled by the upgrade policy\nFailed to uninstall nvidia driver components\n",
    ),
    ("gpu-09", "eviction-disabled", "time=x level=info msg=\"Auto drain of the node gpu-07 is disabled by the upgrade policy\"\n"),
    (
        "gpu-09",
        "eviction-disabled",
        "GPU pod eviction by driver-manager has been superseded by the GPU Operator's upgrade policy\n",
    ),
    (
        "gpu-11",
        "drain-blocked",
        "node/gpu-07 cordoned\nerror: unable to drain node \"gpu-07\" due to error:cannot delete Pods with local "
        "storage (use --delete-emptydir-data to override): shop/cache-0, continuing command...\n",
    ),
    (
        "gpu-11",
        "drain-blocked",
        "evicting pod shop/db-0\nerror when evicting pods/\"db-0\" -n \"shop\" (will retry after 5s): Cannot evict pod "
        "as it would violate the pod's disruption budget.\n",
    ),
    (
        "gpu-13",
        "driver-preinstalled",
        "NVIDIA GPU driver is already pre-installed on the node, disabling the containerized driver on the node\n",
    ),
    (
        "gpu-14",
        "no-nvidia-runtime",
        "Warning  FailedCreatePodSandBox  kubelet  Failed to create pod sandbox: rpc error: code = Unknown desc = "
        "failed to get sandbox runtime: no runtime for \"nvidia\" is configured\n",
    ),
    (
        "gpu-14",
        "no-nvidia-runtime",
        "time=\"2026-11-23T02:31:11Z\" level=error msg=\"RunPodSandbox failed\" error=\"unable to get OCI runtime for "
        "sandbox \\\"4f1\\\": no runtime for \\\"nvidia\\\" is configured\"\n",
    ),
    (
        "gpu-15",
        "containerd-not-reached",
        "time=\"2026-11-23T02:31:11Z\" level=warning msg=\"Error signaling containerd, attempt 5/6: unable to dial: dial "
        "unix /runtime/sock-dir/containerd.sock: connect: no such file or directory\"\n",
    ),
    ("gpu-18", "waits-for-toolkit", "waiting for nvidia container stack to be setup\n" * 3),
    ("gpu-18", "waits-for-toolkit", "waiting for nvidia container toolkit to be setup\n"),
    (
        "gpu-19",
        "driver-library-missing",
        "Error: failed to create containerd task: OCI runtime create failed: error running hook #0: exit status 1, "
        "stderr: nvidia-container-cli.real: initialization error: load library failed: libnvidia-ml.so.1: cannot open "
        "shared object file: no such file or directory: unknown\n",
    ),
    ("gpu-19", "driver-library-missing", "nvidia-container-cli: load library failed: libnvidia-container-go.so.1: no\n"),
    ("gpu-19", "driver-not-loaded", "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown\n"),
    (
        "gpu-20",
        "cdi-unresolvable",
        "StartError: failed to create containerd task: failed to inject CDI devices: unresolvable CDI devices "
        "management.nvidia.com/gpu=all: unknown\n",
    ),
    (
        "gpu-21",
        "host-driver-incomplete",
        "time=\"2026-11-23T02:31:11Z\" level=info msg=\"creating symlinks under /dev/char\"\nError: error validating "
        "driver installation: error creating symlink creator: failed to load NVIDIA kernel modules: failed to load module "
        "nvidia-uvm: exit status 1; output=modprobe: FATAL: Module nvidia-uvm not found in directory "
        "/lib/modules/6.8.0\n\nFailed to create symlinks under /dev/char that point to all possible NVIDIA character "
        "devices.\n",
    ),
    ("gpu-21", "host-driver-incomplete", "modprobe: ERROR: could not insert 'nvidia_modeset': No such device\n"),
    ("gpu-22", "nvml-unknown-error", "step 120000 loss 1.77\nFailed to initialize NVML: Unknown Error\n"),
    (
        "gpu-23",
        "nvml-init",
        PLUGIN + "E1123 02:31:12.1  1 factory.go:112] Incompatible strategy detected auto\n"
        "E1123 02:31:12.1  1 factory.go:113] If this is a GPU node, did you configure the NVIDIA Container Toolkit?\n"
        "I1123 02:31:12.2  1 main.go:346] No devices found. Waiting indefinitely.\n",
    ),
    (
        "gpu-23",
        "nvml-init",
        "2026/11/23 02:31:12 Loading NVML\n2026/11/23 02:31:12 Failed to initialize NVML: could not load NVML library.\n"
        "2026/11/23 02:31:12 If this is a GPU node, did you set the docker default runtime to `nvidia`?\n",
    ),
    (
        "gpu-24",
        "driver-library-mismatch",
        PLUGIN + "Failed to initialize NVML: Driver/library version mismatch\nIf this is a GPU node, did you set the "
        "docker default runtime to `nvidia`?\n",
    ),
    (
        "gpu-25",
        "device-unhealthy",
        PLUGIN + "I1123 02:31:12.1 1 health.go:159] XidCriticalError: Xid=38 on Device=GPU-4d6f; marking device as "
        "unhealthy.\nI1123 02:31:12.2 1 server.go:252] 'nvidia.com/gpu' device marked unhealthy: GPU-4d6f\n",
    ),
    (
        "gpu-26",
        "gpu-lost",
        "UnexpectedAdmissionError: Allocate failed due to device plugin GetPreferredAllocation rpc failed with err: rpc "
        "error: code = Unknown desc = error getting list of preferred allocation devices: error creating nvml.Device 3: "
        "nvml: GPU is lost, which is unexpected\n",
    ),
    ("gpu-26", "gpu-lost", "Unable to determine the device handle for GPU 0000:3b:00.0: GPU is lost.  Reboot the system\n"),
    (
        "gpu-26",
        "gpu-lost",
        KERNEL + "[Mon Nov 23 02:31:13 2026] NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has "
        "fallen off the bus.\n",
    ),
    (
        "gpu-27",
        "container-cli-timeout",
        "stderr: nvidia-container-cli: detection error: driver error: timed out: unknown\n",
    ),
    (
        "gpu-27",
        "xid-gsp",
        KERNEL + "[Mon Nov 23 02:31:13 2026] NVRM: Xid (PCI:0000:3b:00): 119, pid=4112, name=python3, Timeout after 6s "
        "of waiting for RPC response from GPU0 GSP! Expected function 76.\n",
    ),
    (
        "gpu-28",
        "cuda-not-initialized",
        "[Vector addition of 50000 elements]\nFailed to allocate device vector A (error code system not yet "
        "initialized)!\n",
    ),
    (
        "gpu-28",
        "fabric-manager-mismatch",
        "Starting NVIDIA fabric manager daemon...\nfabric manager NVIDIA GPU driver interface version 590.48.01 don't match "
        "with driver version 580.126.09. Please update with matching NVIDIA driver package.\n"
        "Mounting NVIDIA driver rootfs...\nDone, now waiting for signal\n",
    ),
    (
        "gpu-29",
        "no-gpu-resource",
        "".join(f"GPU resources are not yet discovered by the node, retry: {n}\n" for n in range(1, 31))
        + "Error: error validating plugin installation: GPU resources are not discovered by the node\n",
    ),
    (
        "gpu-30",
        "mig-clients-stay",
        "time=\"2026-11-23T02:31:11Z\" level=info msg=\"Waiting for dcgm-exporter to shutdown\"\n"
        "time=\"2026-11-23T02:36:11Z\" level=error msg=\"Error: failed to wait for pods to be deleted: dcgm-exporter pod "
        "did not shutdown: context deadline exceeded\"\n",
    ),
    (
        "gpu-31",
        "mig-apply",
        "time=\"2026-11-23T02:31:11Z\" level=debug msg=\"Updating MIG config: map[1g.10gb:7]\"\n"
        "time=\"2026-11-23T02:31:11Z\" level=error msg=\"Error applying MIG configuration with hooks: unable to apply MIG "
        "config with MIG mode disabled\"\n",
    ),
    (
        "gpu-33",
        "mps-daemon",
        PLUGIN + "E1123 02:31:12.1 1 main.go:132] Failed to start plugin: error waiting for MPS daemon: error checking "
        "MPS daemon health: failed to send command to MPS daemon: exit status 1\n"
        "I1123 02:31:12.2 1 main.go:238] Failed to start one or more plugins. Retrying in 30s...\n",
    ),
    ("gpu-33", "mps-daemon", "error: invalid flags: using MPS requires --mps-root to be specified\n"),
    ("gpu-34", "plugin-config-missing", "Waiting for change to config\nError: specified config tesla-t4 does not exist\n"),
    (
        "gpu-35",
        "no-gpu-node",
        '{"level":"info","ts":"2026-11-23T02:31:11Z","logger":"controllers.ClusterPolicy","msg":"No GPU node in the '
        'cluster, do not create DaemonSets","DaemonSet":"nvidia-driver-daemonset"}\n',
    ),
    (
        "gpu-36",
        "nfd-namespace",
        "E1123 02:31:12.1 1 nfd-master.go:391] Namespace 'nvidia.com' is not allowed. Ignoring label "
        "'nvidia.com/gpu.count'\n",
    ),
    (
        "gpu-38",
        "critical-quota",
        "Warning  FailedCreate  daemonset-controller  Error creating: insufficient quota to match these scopes: "
        "[{PriorityClass In [system-node-critical system-cluster-critical]}]\n",
    ),
    (
        "gpu-39",
        "operand-pod-security",
        'Error creating: pods "nvidia-driver-daemonset-x" is forbidden: violates PodSecurity "baseline:latest": '
        "privileged\n",
    ),
    (
        "gpu-40",
        "dcgm-stale-driver",
        "nvidia driver modules are not yet loaded, invoking /usr/local/bin/runc directly\nStarted host engine version "
        "3.3.5 using port number: 5555\n",
    ),
    (
        "gpu-41",
        "dcgm-unreachable",
        'time="2026-11-23T02:31:11Z" level=info msg="Starting dcgm-exporter"\n'
        'time="2026-11-23T02:31:11Z" level=fatal msg="Error starting nv-hostengine: DCGM initialization error"\n',
    ),
    ("gpu-41", "dcgm-unreachable", "This request is serviced by a module of DCGM that is not currently loaded\n"),
    (
        "gpu-41",
        "dcgm-unreachable",
        'level=ERROR msg="Failed to connect to remote hostengine" mode=standalone address=nvidia-dcgm:5555 error="error '
        'connecting to nv-hostengine: Host engine connection invalid/disconnected"\n',
    ),
    ("gpu-43", "waits-for-mofed", "Waiting for MOFED to be installed...\n" * 2),
    (
        "gpu-44",
        "no-nvidia-smi",
        'level=info msg="toolkit is not ready"\nError: exec: "nvidia-smi": executable file not found in $PATH\n',
    ),
)  # fmt: skip

WITHOUT_LOG: Final = {10, 12, 16, 17, 32, 37, 42, 45}
"""Rows that no text of a log tells: labels, counts, states of pods."""
