"""Validator, MIG manager, MPS, DCGM, feature discovery, the operator itself, and what admission refuses."""

from functools import partial
from typing import Final

from diagnosis.log_catalogue.signature import (
    DELETE_POD,
    FABRIC_IN_DRIVER,
    FABRIC_ON_HOST,
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

_signature = partial(Signature, family="operands")
_CUDA: Final = "the pod nvidia-cuda-validator, CUDA programs"
_ADMISSION: Final = "events of DaemonSets (FailedCreate)"
_LABELS: Final = look("which labels has the node?", "get", "node", "<node>", "--show-labels", namespace="")
_MIG: Final = look(
    "which MIG layout is asked for, and how far is it?",
    "get", "nodes", "-L", "nvidia.com/mig.config", "-L", "nvidia.com/mig.config.state", namespace="",
)  # fmt: skip

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="cuda-not-initialized",
        row="gpu-28",
        found_in=_CUDA,
        texts=("system not yet initialized",),
        meaning="CUDA cannot start: Fabric Manager does not run, or its version is not the driver's",
        cause="On NVSwitch systems (HGX, DGX) no GPU works without Fabric Manager of exactly the driver's version.",
        next=(
            FABRIC_IN_DRIVER,
            FABRIC_ON_HOST,
            look_on_node("which driver version?", "cat", "/proc/driver/nvidia/version"),
            OPERANDS,
        ),
        over=("cuda-sample", "cuda-child"),
    ),
    _signature(
        id="cuda-no-device",
        row="",
        found_in=_CUDA,
        texts=("no CUDA-capable device is detected",),
        meaning="CUDA finds no GPU in this container",
        cause="The container got none: no GPU requested, the runtime class is missing, or the device is gone.",
        next=(OPERANDS, NVIDIA_SMI, look("what does the pod ask for?", "describe", "pod", "<pod>")),
        over=("cuda-sample", "cuda-child"),
    ),
    _signature(
        id="cuda-busy",
        row="",
        found_in=_CUDA,
        texts=("CUDA-capable device(s) is/are busy or unavailable",),
        meaning="the GPU is there but refuses a new context: busy, exclusive or not supported any more",
        cause="Exclusive compute mode with another process on it, or a sample built without this GPU's architecture.",
        next=(look_on_node("which mode, which processes?", "nvidia-smi", "-q", "-d", "COMPUTE,PIDS"), OPERANDS),
        over=("cuda-sample", "cuda-child"),
    ),
    _signature(
        id="cuda-driver-old",
        row="",
        found_in=_CUDA,
        texts=("forward compatibility was attempted on non supported HW",),
        meaning="the driver is too old for this CUDA, and the GPU takes no compatibility package",
        cause="The image brings a newer CUDA than the driver serves.",
        next=(
            look_on_node("which driver version?", "cat", "/proc/driver/nvidia/version"),
            advice("take a newer driver, or an image with an older CUDA", Effect.DISRUPTIVE),
        ),
        over=("cuda-sample", "cuda-child"),
    ),
    _signature(
        id="cuda-sample",
        row="",
        found_in="the pod nvidia-cuda-validator",
        texts=("Failed to allocate device vector",),
        meaning="the CUDA test of the validator fails at its first allocation",
        cause="The error text in the line says why.",
        next=(OPERANDS, NVIDIA_SMI),
    ),
    _signature(
        id="cuda-child",
        row="",
        found_in="the init container cuda-validation",
        texts=("gave up waiting for pod…to be available",),
        meaning="the validator's CUDA test pod did not succeed within 5 minutes",
        cause="The cause is in the log of that pod, not in this one.",
        next=(look("how did the test pods end?", "get", "pods", "-l", "app=nvidia-cuda-validator", "-o", "wide"),),
        weight=Weight.WAITS,
    ),
    _signature(
        id="no-gpu-resource",
        row="gpu-29",
        found_in="the init container plugin-validation",
        texts=(
            "GPU resources are not yet discovered by the node",
            "GPU resources are not discovered by the node",
        ),
        meaning="the node offers no GPU resource: the device plugin has registered none",
        cause="The device plugin is off (for the cluster or by the node's label), crashes, or MIG is on without "
        "instances.",
        next=(OPERANDS, _LABELS),
    ),
    _signature(
        id="mig-clients-stay",
        row="gpu-30",
        found_in="the MIG manager",
        texts=("failed to wait for pods to be deleted", "pod did not shutdown:", "client pods did not shutdown:"),
        meaning="the MIG manager gave up waiting for a pod that it stopped, and does not try again",
        cause="The pod named did not go within 5 minutes. The state stays pending and the operands stay paused, until "
        "the manager is started anew or another layout is asked for (mig-parted #485).",
        next=(
            look("which pods are still on the node?", "get", "pods", "-A", "-o", "wide", "--field-selector",
                 "spec.nodeName=<node>", namespace=""),
            _MIG,
            change("have it try again, once no pod is left that uses a GPU", "delete", "pod", "<pod>",
                   effect=Effect.MUTATING),
        ),
    ),
    _signature(
        id="mig-apply",
        row="gpu-31",
        found_in="the MIG manager",
        texts=("Error applying MIG configuration", "unable to apply MIG config with MIG mode disabled"),
        meaning="the MIG layout could not be applied",
        cause="The change of mode needs a reset or reboot (WITH_REBOOT), or driver or GPU do not allow the layout.",
        next=(
            _MIG,
            look_on_node("which mode now, and which is pending?", "nvidia-smi", "-q", "-d", "MIG"),
            advice("let the MIG manager reboot (WITH_REBOOT=true), or reboot the drained node", Effect.DISRUPTIVE),
        ),
    ),
    _signature(
        id="mps-daemon",
        row="gpu-33",
        found_in="the device plugin",
        texts=(
            "error waiting for MPS daemon",
            "error checking MPS daemon health",
            "failed to send command to MPS daemon",
            "using MPS requires --mps-root to be specified",
        ),
        meaning="sharing by MPS is asked for, but the MPS daemon does not run on this node",
        cause="It is not scheduled (a label of GFD is missing), or the plugin was started without --mps-root.",
        next=(OPERANDS, _LABELS),
    ),
    _signature(
        id="plugin-config-missing",
        row="gpu-34",
        found_in="the init container config-manager-init",
        texts=("specified config…does not exist",),
        meaning="the device plugin's configuration of that name does not exist",
        cause="The node's label or the default names a key that is not in the ConfigMap, or it is another ConfigMap.",
        next=(
            look("which configuration do the nodes ask for?", "get", "nodes", "-L", "nvidia.com/device-plugin.config",
                 namespace=""),
            look("which ConfigMaps are there?", "get", "configmaps"),
        ),
    ),
    _signature(
        id="no-gpu-node",
        row="gpu-35",
        found_in="the GPU Operator",
        texts=("No GPU node in the cluster, do not create DaemonSets",),
        meaning="the operator knows of no GPU node: node feature discovery has labelled none",
        cause="Its worker does not run on the GPU nodes (taints), its master is down, or PCI devices are not reported.",
        next=(
            look("which nodes have the label?", "get", "nodes", "-l",
                 "feature.node.kubernetes.io/pci-10de.present=true", namespace=""),
            look("does node feature discovery run?", "get", "pods", "-A", "-o", "wide", "-l",
                 "app.kubernetes.io/name=node-feature-discovery", namespace=""),
        ),
    ),
    _signature(
        id="nfd-namespace",
        row="gpu-36",
        found_in="the master of node feature discovery",
        texts=("Namespace 'nvidia.com' is not allowed", 'Namespace "nvidia.com" is not allowed'),
        meaning="node feature discovery refuses the labels of nvidia.com",
        cause="It was installed separately, without extraLabelNs: nvidia.com.",
        next=(
            look("what does it run with?", "get", "pod", "<pod>", "-o", "jsonpath={.spec.containers[*].args}"),
            advice("allow nvidia.com in its extraLabelNs", Effect.MUTATING),
        ),
    ),
    _signature(
        id="critical-quota",
        row="gpu-38",
        found_in=_ADMISSION,
        texts=("insufficient quota to match these scopes",),
        meaning="the namespace may not hold pods of critical priority: a ResourceQuota for it is missing",
        cause="On GKE system-node-critical outside kube-system needs a ResourceQuota with that scope.",
        next=(look("which quotas are there?", "get", "resourcequotas"),
              advice("create a ResourceQuota for the priority classes system-node-critical and system-cluster-critical",
                     Effect.MUTATING)),
    ),
    _signature(
        id="operand-pod-security",
        row="gpu-39",
        found_in=_ADMISSION,
        texts=("violates PodSecurity", "PodSecurityPolicy: unable to admit pod",
               "unable to validate against any pod security policy"),
        meaning="the namespace does not allow privileged pods, which the operands are",
        cause="It is not labelled pod-security.kubernetes.io/enforce=privileged.",
        next=(
            look("what does the namespace enforce?", "get", "namespace", "<namespace>", "--show-labels", namespace=""),
            change("allow privileged pods in it", "label", "namespace", "<namespace>",
                   "pod-security.kubernetes.io/enforce=privileged", "--overwrite",
                   effect=Effect.MUTATING, namespace=""),
        ),
    ),
    _signature(
        id="dcgm-stale-driver",
        row="gpu-40",
        found_in="DCGM",
        texts=("nvidia driver modules are not yet loaded, invoking",),
        meaning="DCGM started while the driver was reloading: it runs, but sees no GPU",
        cause="toolkit-ready outlives a restart of the driver, so DCGM was let through too early.",
        next=(OPERANDS, DELETE_POD),
    ),
    _signature(
        id="dcgm-unreachable",
        row="gpu-41",
        found_in="the DCGM exporter",
        texts=(
            "Error starting nv-hostengine",
            "This request is serviced by a module of DCGM that is not currently loaded",
            "Error connecting to nv-hostengine",
            "Failed to connect to remote hostengine",
            "Host engine connection invalid/disconnected",
        ),
        meaning="the exporter cannot use its DCGM host engine",
        cause="No NVML in the container, or it expects a remote engine (port 5555) that is not there. Once or twice at "
        "the start it is normal: it does not wait for the engine.",
        next=(OPERANDS, look("which engine does it expect?", "get", "pod", "<pod>", "-o",
                             "jsonpath={.spec.containers[*].env}")),
        look_alikes={"dcgm-stale-driver": "there everything runs, only the series are missing"},
    ),
)  # fmt: skip
