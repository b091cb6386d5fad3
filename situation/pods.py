"""Pods: the fields that rules and panes read."""

import re
from typing import Final

import msgspec

from situation.affinity import Affinity, Toleration, TopologySpreadConstraint
from situation.command_secrets import without_secrets
from situation.meta import Annotations, Condition, IntOrString, KubernetesObject, Quantities, Time, Wire
from situation.volumes import Volume, VolumeMount

_SERVERS: Final = (
    "vllm",
    "sglang",
    "text-generation",
    "triton",
    "huggingfaceserver",
    "llm-d",
    "lmstack",
    "/nim/",
    "--served-model-name",
    "--model-id",
)
_TGI: Final = re.compile(r"(?:^|/)tgi[:@]")
_ADDRESS: Final = re.compile(r"(?:^|//|@)([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:\d{1,5})(?:[/?,;]|$)")


def _names_a_server(text: str) -> bool:
    """Tell whether an image or a word of a command line speaks of a model server: only then that line is kept.

    Asked of every container that comes: looking for plain words takes a tenth of what one expression takes.
    """
    for name in _SERVERS:  # a generator takes four times as long
        if name in text:
            return True
    return "tgi" in text and _TGI.search(text) is not None


class ContainerPort(Wire, frozen=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class ObjectKeyRef(Wire, frozen=True):
    """Names a ConfigMap or Secret, and for single values the key in it."""

    name: str = ""
    key: str = ""
    optional: bool = False


class EnvVarSource(Wire, frozen=True):
    config_map_key_ref: ObjectKeyRef | None = None
    secret_key_ref: ObjectKeyRef | None = None


class EnvVar(Wire, frozen=True):
    """An environment variable. Its value is dropped at decode except for a `host:port` in it: no secret is kept."""

    name: str
    value: str = ""
    """`host:port` found in the value, else empty."""
    value_from: EnvVarSource | None = None

    def __post_init__(self) -> None:
        if self.value:
            found = _ADDRESS.search(self.value) if ":" in self.value else None
            msgspec.structs.force_setattr(self, "value", found[1] if found else "")


class EnvFromSource(Wire, frozen=True):
    config_map_ref: ObjectKeyRef | None = None
    secret_ref: ObjectKeyRef | None = None


class ResourceRequirements(Wire, frozen=True):
    limits: Quantities = {}
    requests: Quantities = {}


class HttpGet(Wire, frozen=True):
    path: str = "/"
    port: IntOrString = 0
    scheme: str = "HTTP"


class PortAction(Wire, frozen=True):
    port: IntOrString = 0


class ExecAction(Wire, frozen=True):
    command: tuple[str, ...] = ()


class Probe(Wire, frozen=True):
    http_get: HttpGet | None = None
    tcp_socket: PortAction | None = None
    grpc: PortAction | None = None
    exec: ExecAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    failure_threshold: int = 3

    @property
    def budget_s(self) -> int:
        """Seconds from container start until the probe has failed often enough to act."""
        return self.initial_delay_seconds + self.period_seconds * self.failure_threshold


class Container(Wire, frozen=True):
    """Command line and mounts are kept of model servers only (rules read them there), with secrets masked."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    image_pull_policy: str = ""
    ports: tuple[ContainerPort, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    restart_policy: str = ""
    """`Always` on an init container makes it a sidecar."""
    volume_mounts: tuple[VolumeMount, ...] = ()

    def __post_init__(self) -> None:
        if not self.command and not self.args and not self.volume_mounts:
            return
        words = self.command + self.args
        set_ = msgspec.structs.force_setattr
        if not _names_a_server(self.image) and not any(map(_names_a_server, words)):
            set_(self, "command", ())
            set_(self, "args", ())
            set_(self, "volume_mounts", ())
        elif words:
            masked = without_secrets(words)
            set_(self, "command", masked[: len(self.command)])
            set_(self, "args", masked[len(self.command) :])


class DnsConfig(Wire, frozen=True):
    nameservers: tuple[str, ...] = ()


class NamedItem(Wire, frozen=True):
    name: str = ""


class PodResourceClaim(Wire, frozen=True):
    """A claim on devices (dynamic resource allocation): one that exists, or a template to make one from."""

    name: str = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodResourceClaimStatus(Wire, frozen=True):
    name: str = ""
    resource_claim_name: str = ""
    """The claim that was made from the template; empty while there is none."""


class PodSpec(Wire, frozen=True):
    node_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    """What the pod asks for as a whole; where it says something it stands for what its containers say."""
    overhead: Quantities = {}
    """What its runtime class needs beside its containers."""
    volumes: tuple[Volume, ...] = ()
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    scheduler_name: str = "default-scheduler"
    scheduling_gates: tuple[NamedItem, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()
    priority_class_name: str = ""
    runtime_class_name: str = ""
    service_account_name: str = ""
    image_pull_secrets: tuple[NamedItem, ...] = ()
    restart_policy: str = "Always"
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None


class Waiting(Wire, frozen=True):
    reason: str = ""
    message: str = ""


class Running(Wire, frozen=True):
    started_at: Time | None = None


class Terminated(Wire, frozen=True):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None


class ContainerState(Wire, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ResourceHealth(Wire, frozen=True):
    resource_id: str = msgspec.field(default="", name="resourceID")
    health: str = ""


class ResourceStatus(Wire, frozen=True):
    name: str = ""
    resources: tuple[ResourceHealth, ...] = ()


class ContainerStatus(Wire, frozen=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    started: bool | None = None
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    allocated_resources_status: tuple[ResourceStatus, ...] = ()


class PodStatus(Wire, frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    start_time: Time | None = None
    nominated_node_name: str = ""
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    resource_claim_statuses: tuple[PodResourceClaimStatus, ...] = ()


class Pod(KubernetesObject, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class TemplateMeta(Wire, frozen=True):
    labels: dict[str, str] = {}
    annotations: Annotations = Annotations()


class PodTemplate(Wire, frozen=True):
    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()
