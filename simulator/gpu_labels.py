"""Labels of a GPU node: what node feature discovery, the operator and GPU feature discovery write on it."""

from simulator.gpu_operator import DEPLOY, DRIVER_VERSION, OPERANDS


def nfd_node_labels() -> dict[str, str]:
    """What node feature discovery writes on a node with an NVIDIA GPU."""
    found = "feature.node.kubernetes.io/"
    return {
        f"{found}pci-10de.present": "true",
        f"{found}kernel-version.full": "6.8.0-60-generic",
        f"{found}system-os_release.ID": "ubuntu",
        f"{found}system-os_release.VERSION_ID": "24.04",
    }


def gpu_node_labels(gpus: int = 8, replicas: int = 1) -> dict[str, str]:
    """All labels of a GPU node that is in order: those of NFD, the operator and GPU feature discovery."""
    deployed = [operand.deploy for operand in OPERANDS if operand.deploy] + ["dcgm", "node-status-exporter"]
    product = "NVIDIA-H100-80GB-HBM3"
    return {
        **nfd_node_labels(),
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "nvidia.com/gpu.present": "true",
        **{f"{DEPLOY}{name}": "true" for name in deployed},
        "nvidia.com/gpu-driver-upgrade-state": "upgrade-done",
        "nvidia.com/gpu.product": product if replicas == 1 else f"{product}-SHARED",
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.replicas": str(replicas),
        "nvidia.com/gpu.sharing-strategy": "none" if replicas == 1 else "time-slicing",
        "nvidia.com/gpu.memory": "81559",
        "nvidia.com/gpu.family": "hopper",
        "nvidia.com/gpu.compute.major": "9",
        "nvidia.com/gpu.compute.minor": "0",
        "nvidia.com/cuda.driver-version.full": DRIVER_VERSION,
        "nvidia.com/cuda.runtime-version.full": "13.0",
        "nvidia.com/mig.capable": "true",
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/mig.config": "all-disabled",
        "nvidia.com/mig.config.state": "success",
        "nvidia.com/mps.capable": "false",
    }
