"""Claims, volumes and the classes that make them."""

from situation.affinity import NodeSelector
from situation.meta import Condition, KubernetesObject, LabelSelector, Quantities, Wire


class VolumeResources(Wire, frozen=True):
    requests: Quantities = {}


class ClaimSpec(Wire, frozen=True):
    access_modes: tuple[str, ...] = ()
    resources: VolumeResources = VolumeResources()
    storage_class_name: str | None = None
    """None asks for the default class, the empty string for none at all."""
    volume_name: str = ""
    selector: LabelSelector | None = None


class ClaimStatus(Wire, frozen=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class PersistentVolumeClaim(KubernetesObject, frozen=True):
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def is_of_one_node(self) -> bool:
        """It can be used on one node at a time only (ReadWriteOnce, or by one pod: ReadWriteOncePod)."""
        modes = self.spec.access_modes
        return bool(modes) and not {"ReadWriteMany", "ReadOnlyMany"}.intersection(modes)


class ClaimRef(Wire, frozen=True):
    namespace: str = ""
    name: str = ""


class VolumeNodeAffinity(Wire, frozen=True):
    required: NodeSelector | None = None


class VolumeSpec(Wire, frozen=True):
    capacity: Quantities = {}
    access_modes: tuple[str, ...] = ()
    storage_class_name: str = ""
    claim_ref: ClaimRef | None = None
    node_affinity: VolumeNodeAffinity | None = None


class VolumeStatus(Wire, frozen=True):
    phase: str = ""
    message: str = ""


class PersistentVolume(KubernetesObject, frozen=True):
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


class StorageClass(KubernetesObject, frozen=True):
    provisioner: str = ""
    volume_binding_mode: str = "Immediate"
