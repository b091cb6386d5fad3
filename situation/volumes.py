"""A pod's volumes, and where a container mounts them: the fields that rules and panes read."""

from situation.meta import Wire


class ClaimVolume(Wire, frozen=True):
    claim_name: str = ""


class EphemeralVolume(Wire, frozen=True):
    """A volume that lives as long as its pod, through a claim made for it: its template says no more than the claim."""


class ConfigMapVolume(Wire, frozen=True):
    name: str = ""
    optional: bool = False


class SecretVolume(Wire, frozen=True):
    secret_name: str = ""
    optional: bool = False


class EmptyDirVolume(Wire, frozen=True):
    medium: str = ""
    """`Memory` for a tmpfs."""
    size_limit: str = ""


class Volume(Wire, frozen=True):
    name: str
    empty_dir: EmptyDirVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    ephemeral: EphemeralVolume | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None


class VolumeMount(Wire, frozen=True):
    name: str = ""
    mount_path: str = ""
