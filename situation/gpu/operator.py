"""The GPU Operator's custom resources and the devices of dynamic resource allocation: what rules read of them.

Fields as in `nvidia.com/v1` (ClusterPolicy), `nvidia.com/v1alpha1` (NVIDIADriver, GPUCluster) and `resource.k8s.io/v1`.
"""

import msgspec

from situation.meta import Condition, IntOrString, KubernetesObject, Wire


class UpgradePolicy(Wire, frozen=True):
    auto_upgrade: bool = False
    max_parallel_upgrades: int = 1
    """0 is no limit."""
    max_unavailable: IntOrString = "25%"


class DriverSpec(Wire, frozen=True):
    use_crd: bool = msgspec.field(default=False, name="useNvidiaDriverCRD")
    upgrade_policy: UpgradePolicy = UpgradePolicy()


class ClusterPolicySpec(Wire, frozen=True):
    driver: DriverSpec = DriverSpec()


class OperatorStatus(Wire, frozen=True):
    """Status of all three: conditions `Ready` and `Error` come in pairs, and not before v24."""

    state: str = ""
    """`ready`, `notReady`, `ignored`, `disabled`."""
    namespace: str = ""
    """Where the operands run."""
    conditions: tuple[Condition, ...] = ()


class ClusterPolicy(KubernetesObject, frozen=True):
    """Configures the device-plugin stack; the oldest one is in force."""

    spec: ClusterPolicySpec = ClusterPolicySpec()
    status: OperatorStatus = OperatorStatus()


class NvidiaDriverSpec(Wire, frozen=True):
    node_selector: dict[str, str] = {}


class NvidiaDriver(KubernetesObject, frozen=True):
    """Configures the driver of the nodes that it selects."""

    spec: NvidiaDriverSpec = NvidiaDriverSpec()
    status: OperatorStatus = OperatorStatus()


class GpuCluster(KubernetesObject, frozen=True):
    """Configures the stack of dynamic resource allocation (operator v26.7 and newer)."""

    status: OperatorStatus = OperatorStatus()


OperatorResource = ClusterPolicy | NvidiaDriver | GpuCluster


class ResourcePool(Wire, frozen=True):
    name: str = ""
    generation: int = 0


class Device(Wire, frozen=True):
    name: str = ""


class ResourceSliceSpec(Wire, frozen=True):
    driver: str = ""
    node_name: str = ""
    """Empty for devices that belong to no single node."""
    pool: ResourcePool = ResourcePool()
    devices: tuple[Device, ...] = ()


class AllocatedDevice(Wire, frozen=True):
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool | None = None
    """To look at the device only, as monitoring does: it stays free for others."""


class DeviceAllocation(Wire, frozen=True):
    results: tuple[AllocatedDevice, ...] = ()


class Allocation(Wire, frozen=True):
    devices: DeviceAllocation = DeviceAllocation()


class Consumer(Wire, frozen=True):
    resource: str = ""
    """`pods`"""
    name: str = ""


class ResourceClaimStatus(Wire, frozen=True):
    allocation: Allocation | None = None
    reserved_for: tuple[Consumer, ...] = ()
    """Who uses it. A pod stays here until its kubelet had the devices unprepared by their driver."""


class ResourceClaim(KubernetesObject, frozen=True):
    """Devices that pods asked for by dynamic resource allocation."""

    status: ResourceClaimStatus = ResourceClaimStatus()


class ResourceSlice(KubernetesObject, frozen=True):
    """Devices that a driver of dynamic resource allocation publishes."""

    spec: ResourceSliceSpec = ResourceSliceSpec()
