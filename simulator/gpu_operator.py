"""The GPU Operator (v26, device-plugin stack) as objects: its DaemonSets and their pods on a node.

Written once for incidents told by hand and for generated fleets; what tells them apart is the `Maker`.
"""

from typing import Any, Final, NamedTuple, Protocol
from zlib import crc32

from simulator.cluster import Manifest

NAMESPACE: Final = "gpu-operator"
CHART: Final = "gpu-operator-v26.7.0"
DEPLOY: Final = "nvidia.com/gpu.deploy."
DRIVER_VERSION: Final = "580.126.20"
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_TAINTS: Final = ("not-ready", "unreachable")


class Maker(Protocol):
    """Makes the envelope of objects and the time stamps in them."""

    def manifest(self, kind: str, name: str, namespace: str = "", age_s: float = 0, **fields: Any) -> Manifest:
        """An object; `labels` and `owner` (`Kind/name`) go into its metadata, the rest to the top."""
        ...

    def at(self, t: float) -> Any:
        """The time at `t` seconds."""
        ...


class Operand(NamedTuple):
    """One DaemonSet."""

    name: str
    deploy: str
    """What stands after `nvidia.com/gpu.deploy.` in its node selector; empty for all nodes."""
    init: tuple[str, ...]
    containers: tuple[str, ...]
    image: str
    extra: tuple[tuple[str, str], ...] = ()
    """Labels besides `app` and those of the chart."""
    needs_runtime: bool = True
    """Runs with the runtime class `nvidia`."""

    @property
    def selector(self) -> dict[str, str]:
        return {"app": self.name} if self.deploy else dict(self.extra)

    @property
    def labels(self) -> dict[str, str]:
        managed = {"app.kubernetes.io/managed-by": "gpu-operator", "helm.sh/chart": CHART} if self.deploy else {}
        return {**self.selector, **managed, **dict(self.extra)}


_GATE: Final = ("toolkit-validation",)
_VALIDATOR: Final = f"nvcr.io/nvidia/{CHART.replace('-v', ':v')}"
_NFD: Final = "gpu-operator-node-feature-discovery"
NFD_IMAGE: Final = "registry.k8s.io/nfd/node-feature-discovery:v0.19.0"


def nfd_labels(role: str) -> tuple[tuple[str, str], ...]:
    """Labels of the bundled node-feature-discovery chart."""
    names = {"app.kubernetes.io/name": "node-feature-discovery", "app.kubernetes.io/instance": "gpu-operator"}
    return (*names.items(), ("role", role))


DRIVER: Final = Operand(
    "nvidia-driver-daemonset",
    "driver",
    ("k8s-driver-manager",),
    ("nvidia-driver-ctr",),
    f"nvcr.io/nvidia/driver:{DRIVER_VERSION}-ubuntu24.04",
    (("app.kubernetes.io/component", "nvidia-driver"), ("nvidia.com/precompiled", "false")),
    needs_runtime=False,
)
TOOLKIT: Final = Operand(
    "nvidia-container-toolkit-daemonset",
    "container-toolkit",
    ("driver-validation",),
    ("nvidia-container-toolkit-ctr",),
    "nvcr.io/nvidia/k8s/container-toolkit:v1.19.0",
    needs_runtime=False,
)
VALIDATOR: Final = Operand(
    "nvidia-operator-validator",
    "operator-validator",
    ("driver-validation", "toolkit-validation", "cuda-validation", "plugin-validation"),
    ("nvidia-operator-validator",),
    _VALIDATOR,
    (("app.kubernetes.io/part-of", "gpu-operator"),),
)
PLUGIN: Final = Operand(
    "nvidia-device-plugin-daemonset",
    "device-plugin",
    _GATE,
    ("nvidia-device-plugin",),
    "nvcr.io/nvidia/k8s-device-plugin:v0.19.0",
)
GFD: Final = Operand(
    "gpu-feature-discovery",
    "gpu-feature-discovery",
    _GATE,
    ("gpu-feature-discovery",),
    "nvcr.io/nvidia/k8s-device-plugin:v0.19.0",
    (("app.kubernetes.io/part-of", "nvidia-gpu"),),
)
DCGM: Final = Operand("nvidia-dcgm", "dcgm", _GATE, ("nvidia-dcgm-ctr",), "nvcr.io/nvidia/cloud-native/dcgm:4.6.0-1")
EXPORTER: Final = Operand(
    "nvidia-dcgm-exporter",
    "dcgm-exporter",
    _GATE,
    ("nvidia-dcgm-exporter",),
    "nvcr.io/nvidia/k8s/dcgm-exporter:4.6.0-4.8.3-distroless",
)
MIG: Final = Operand(
    "nvidia-mig-manager",
    "mig-manager",
    _GATE,
    ("nvidia-mig-manager",),
    "nvcr.io/nvidia/cloud-native/k8s-mig-manager:v0.14.0",
)
WORKER: Final = Operand(f"{_NFD}-worker", "", (), ("worker",), NFD_IMAGE, nfd_labels("worker"), needs_runtime=False)
OPERANDS: Final = (WORKER, DRIVER, TOOLKIT, VALIDATOR, PLUGIN, GFD, EXPORTER, MIG)
"""What runs by default; with `DCGM`, the host engine, there are nine components on a node."""


class Step(NamedTuple):
    """How far a pod has come; the default is all the way."""

    done: int | None = None
    """Init containers that have completed; None for all."""
    state: Manifest | None = None
    """Of the next container, if it does not run."""
    last: Manifest | None = None
    restarts: int = 0
    since: float = -86400.0
    """When it came there."""
    born: float = -86400.0
    has_sandbox: bool = True
    leaving_at: float | None = None
    """Deletion time stamp."""

    @property
    def is_ready(self) -> bool:
        return self.done is None and self.state is None


HEALTHY: Final = Step()


def pod_name(owner: str, node: str, salt: str = "") -> str:
    """Name of a DaemonSet's pod on a node: always the same; `salt` for its successor there."""
    number = crc32(f"{owner}/{node}/{salt}".encode())
    return f"{owner}-{''.join(_LETTERS[number // 27**place % 27] for place in range(5))}"


def operand_pod(make: Maker, operand: Operand, node: str, step: Step = HEALTHY, salt: str = "") -> Manifest:
    """The pod of an operand on a node."""
    name = pod_name(operand.name, node, salt)
    done = len(operand.init) if step.done is None else step.done
    initialized = done >= len(operand.init)
    inits = [_status(make, operand, step, name, index - done) for index, name in enumerate(operand.init)]
    mains = [_status(make, operand, step, name, len(operand.init) - done) for name in operand.containers]
    truths = {
        "PodReadyToStartContainers": step.has_sandbox,
        "Initialized": initialized,
        "Ready": step.is_ready,
        "ContainersReady": step.is_ready,
        "PodScheduled": True,
    }
    conditions = [
        {
            "type": kind,
            "status": "True" if truth else "False",
            "lastTransitionTime": make.at(step.since if truth or kind != "PodScheduled" else step.born),
        }
        for kind, truth in truths.items()
    ]
    status: Manifest = {
        "phase": "Running" if initialized else "Pending",
        "conditions": conditions,
        "startTime": make.at(step.born),
        "initContainerStatuses": inits,
        "containerStatuses": mains,
    }
    if step.has_sandbox:
        number = crc32(name.encode())
        status["podIP"] = f"10.244.{number % 250}.{number // 250 % 250 + 2}"
    spec = {"nodeName": node, **_pod_spec(operand)}
    labels = operand.labels
    pod = make.manifest(
        "Pod", name, NAMESPACE, -step.born, labels=labels, owner=f"DaemonSet/{operand.name}", spec=spec, status=status
    )
    if step.leaving_at is not None:
        pod["metadata"]["deletionTimestamp"] = make.at(step.leaving_at)
    return pod


def _status(make: Maker, operand: Operand, step: Step, name: str, place: int) -> Manifest:
    """Status of a container that stands `place` places after the one whose turn it is."""
    is_main = name in operand.containers
    made: Manifest = {"name": name, "image": operand.image, "ready": False, "started": False, "restartCount": 0}
    if place < 0:
        ended = {
            "exitCode": 0,
            "reason": "Completed",
            "startedAt": make.at(step.since),
            "finishedAt": make.at(step.since),
        }
        return {**made, "ready": True, "state": {"terminated": ended}}
    if place > 0 or not step.has_sandbox:
        return {**made, "state": {"waiting": {"reason": "PodInitializing"}}}
    running = step.state is None
    state = step.state or {"running": {"startedAt": make.at(step.since)}}
    ready = running and is_main
    now = {"ready": ready, "started": running, "restartCount": step.restarts, "state": state}
    return {**made, **now, "lastState": step.last or {}}


def _pod_spec(operand: Operand) -> Manifest:
    containers = [_container(name, operand) for name in operand.containers]
    spec: Manifest = {
        "containers": containers,
        "initContainers": [{"name": name, "image": _init_image(name, operand)} for name in operand.init],
        "serviceAccountName": operand.name,
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            *({"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"} for key in _TAINTS),
        ],
    }
    if operand.deploy:
        spec |= {"nodeSelector": {f"{DEPLOY}{operand.deploy}": "true"}, "priorityClassName": "system-node-critical"}
    if operand.needs_runtime:
        spec["runtimeClassName"] = "nvidia"
    return spec


def _init_image(name: str, operand: Operand) -> str:
    return "nvcr.io/nvidia/cloud-native/k8s-driver-manager:v0.11.0" if name == "k8s-driver-manager" else _VALIDATOR


def _container(name: str, operand: Operand) -> Manifest:
    made: Manifest = {"name": name, "image": operand.image}
    if operand is EXPORTER:
        made["ports"] = [{"name": "metrics", "containerPort": 9400}]
        made["readinessProbe"] = {"httpGet": {"path": "/health", "port": 9400}, "initialDelaySeconds": 45}
    elif operand is DRIVER:
        probe = {"exec": {"command": ["/usr/local/bin/startup-probe.sh"]}, "initialDelaySeconds": 60}
        made["startupProbe"] = {**probe, "timeoutSeconds": 60, "periodSeconds": 10, "failureThreshold": 120}
    return made


def daemonset(make: Maker, operand: Operand, desired: int, current: int, ready: int) -> Manifest:
    """An operand's DaemonSet with these counts."""
    counts = {"desiredNumberScheduled": desired, "currentNumberScheduled": current, "numberReady": ready}
    template = {"metadata": {"labels": operand.labels}, "spec": _pod_spec(operand)}
    spec = {"selector": {"matchLabels": operand.selector}, "template": template}
    status = {**counts, "observedGeneration": 1}
    owner = {"owner": "ClusterPolicy/cluster-policy"} if operand.deploy else {}
    made = make.manifest(
        "DaemonSet", operand.name, NAMESPACE, 8 * 86400.0, labels=operand.labels, spec=spec, status=status, **owner
    )
    made["metadata"]["generation"] = 1
    return made
