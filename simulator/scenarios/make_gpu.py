"""Makes the tapes of the GPU incidents: `python -m simulator.scenarios.make_gpu`."""

import sys
from typing import Final

from simulator.scenarios import gpu_chain_incidents as chain
from simulator.scenarios import gpu_device_incidents as devices
from simulator.scenarios.incident import Incident, write_all

INCIDENTS: Final = {
    "gpu_toolkit": Incident(
        "The container toolkit cannot signal containerd: no runtime for the operands of one GPU node",
        chain.toolkit,
        150.0,
    ),
    "gpu_device_plugin": Incident(
        "The device plugin of one GPU node crashes, NVML does not start: its GPUs are not offered",
        chain.device_plugin,
        150.0,
    ),
    "gpu_fabric_manager": Incident(
        "A driver comes back without Fabric Manager: GPUs are offered, but no CUDA program starts",
        chain.fabric_manager,
        chain.FABRIC_UNTIL,
    ),
    "gpu_nfd_down": Incident(
        "A new GPU node has a taint that node feature discovery does not tolerate: its GPUs stay unseen",
        chain.nfd_down,
        430.0,
        chain.UNSEEN_FROM - 5,
    ),
    "gpu_mig_stuck": Incident(
        "A MIG change never ends: the exporter's pod does not go, and a budget keeps a model server on the GPUs",
        devices.mig_stuck,
        devices.STUCK_UNTIL,
        devices.STUCK_UNTIL - 70,
    ),
    "gpu_lost": Incident(
        "A GPU falls off the bus (Xid 79): seven of eight are left, a pod for the last four waits",
        devices.gpu_lost,
        90.0,
    ),
    "gpu_time_slicing": Incident(
        "Four pods share each GPU of a node and its memory is full: a model server runs out of it",
        devices.time_slicing,
        90.0,
    ),
}


def main() -> int:
    """Write the tapes beside this file."""
    write_all(INCIDENTS, "gpu-prod")
    return 0


if __name__ == "__main__":
    sys.exit(main())
