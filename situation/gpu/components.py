"""The GPU Operator's components and what each of them needs, as data, and how their pods are recognised.

Names, labels and edges are those of the operator's releases v23.9 to v26.7.
"""

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Final, NamedTuple

from situation.gpu.links import Component
from situation.meta import KubernetesObject
from situation.pods import Pod
from situation.workloads import DaemonSet

DEPLOY: Final = "nvidia.com/gpu.deploy."
"""Prefix of the node labels by which the operator gives each node its operands."""


class Part(NamedTuple):
    """One component."""

    title: str
    """Short, for the pane."""
    needs: tuple[Component, ...] = ()
    """Must be ready on the node before it can get ready. One that is not wanted there holds up nothing: so the plugin
    needs MPS, and the exporter DCGM, only where there is one."""
    labelled_by: Component | None = None
    """Sets the node labels without which it has no pod, or nothing to do."""
    deploy: tuple[str, ...] = ()
    """Node labels `nvidia.com/gpu.deploy.<this>` that give it its pod: the device-plugin stack's, the DRA stack's."""
    apps: tuple[str, ...] = ()
    """Values of the label `app` of its pods; the DaemonSets bear the same names."""


_C = Component
_RUNTIME: Final = (_C.TOOLKIT, _C.VALIDATOR)
"""What runs with runtime class `nvidia` needs its handler, which the toolkit brings, and the file that the validator
writes once the toolkit works."""

PARTS: Final[Mapping[Component, Part]] = {
    _C.NFD: Part("NFD"),
    _C.OPERATOR: Part("operator", labelled_by=_C.NFD, apps=("gpu-operator",)),
    _C.DRIVER: Part("driver", labelled_by=_C.OPERATOR, deploy=("driver",), apps=("nvidia-driver-daemonset",)),
    _C.TOOLKIT: Part(
        "toolkit", (_C.DRIVER,), _C.OPERATOR, ("container-toolkit",), ("nvidia-container-toolkit-daemonset",)
    ),
    _C.VALIDATOR: Part(
        "validator", (_C.DRIVER, _C.TOOLKIT), _C.OPERATOR, ("operator-validator",), ("nvidia-operator-validator",)
    ),
    _C.PLUGIN: Part(
        "plugin", (*_RUNTIME, _C.MPS), _C.OPERATOR, ("device-plugin",),
        ("nvidia-device-plugin-daemonset", "nvidia-device-plugin"),
    ),
    _C.GFD: Part("GFD", _RUNTIME, _C.OPERATOR, ("gpu-feature-discovery",), ("gpu-feature-discovery",)),
    _C.DCGM: Part(
        "DCGM", (*_RUNTIME, _C.DRA_DRIVER), _C.OPERATOR, ("dcgm", "dcgm-dra"), ("nvidia-dcgm", "nvidia-dcgm-dra")
    ),
    _C.EXPORTER: Part(
        "exporter", (*_RUNTIME, _C.DCGM, _C.DRA_DRIVER), _C.OPERATOR, ("dcgm-exporter", "dcgm-exporter-dra"),
        ("nvidia-dcgm-exporter", "nvidia-dcgm-exporter-dra"),
    ),
    _C.MIG: Part("MIG", _RUNTIME, _C.GFD, ("mig-manager",), ("nvidia-mig-manager",)),
    _C.MPS: Part(
        "MPS", _RUNTIME, _C.GFD, ("device-plugin",),
        ("nvidia-device-plugin-mps-control-daemon", "nvidia-mps-control-daemon"),
    ),
    _C.DRA_DRIVER: Part(
        "DRA", (_C.DRIVER,), _C.OPERATOR, ("dra-driver",), ("nvidia-dra-driver-kubelet-plugin",)
    ),
    _C.CHECKS: Part(
        "checks", (*_RUNTIME, _C.PLUGIN, _C.DRA_DRIVER, _C.CAPACITY), _C.OPERATOR,
        ("operator-validator", "dra-validator"),
        ("nvidia-cuda-validator", "nvidia-device-plugin-validator", "nvidia-dra-validator"),
    ),
    _C.CAPACITY: Part("GPUs", (_C.PLUGIN,)),
}  # fmt: skip
"""In the order in which they are drawn."""

MPS_CAPABLE: Final = "nvidia.com/mps.capable"
MIG_CAPABLE: Final = "nvidia.com/mig.capable"

DRIVER_MANAGER: Final = "k8s-driver-manager"
DRIVER_STEPS: Final = frozenset({DRIVER_MANAGER, "nvidia-driver-installer"})
"""Init containers that take as long as a driver does: GKE installs its own in one, of the plugin or of a pod apart."""
LATE_STEPS: Final = frozenset({"cuda-validation", "plugin-validation"})
"""Init containers of the validator that come after the device plugin; those before them open the gate for all."""
_AWAITS: Final = {
    "driver-validation": _C.DRIVER,
    "toolkit-validation": _C.VALIDATOR,
    "plugin-validation": _C.PLUGIN,
    "gpu-validation": _C.DRA_DRIVER,
}

ORDER: Final = tuple(
    TopologicalSorter(
        {
            component: (*part.needs, *((part.labelled_by,) if part.labelled_by else ()))
            for component, part in PARTS.items()
        }
    ).static_order()
)
"""Each component after all that it depends on."""


def _all_needs(component: Component) -> frozenset[Component]:
    needs = PARTS[component].needs
    return frozenset(needs).union(*map(_all_needs, needs))


NEEDS: Final[Mapping[Component, tuple[Component, ...]]] = {
    component: part.needs
    + tuple(other for other in ORDER if other in _all_needs(component) and other not in part.needs)
    for component, part in PARTS.items()
}
"""What a component needs, directly first, then through others in order."""

_BY_APP: Final = {app: component for component, part in PARTS.items() for app in part.apps}
_NOT_LINKS: Final = (
    "nvidia-node-status-exporter",
    "nvidia-vfio-manager",
    "nvidia-sandbox-",
    "nvidia-kata-",
    "nvidia-vgpu-manager",
    "nvidia-vgpu-device-manager",
    "nvidia-vgpu-host-manager-",
    "nvidia-cc-manager",
    "nvidia-dra-driver-controller",
)
"""Other operands: for virtual machines, for Kata containers, and what stands beside the chain."""
_BY_PREFIX: Final = tuple(sorted(_BY_APP.items(), key=lambda item: -len(item[0])))
_DRIVER_NAME: Final = re.compile(r"nvidia-(?:driver-daemonset|(?:gpu|vgpu)-driver-)")
"""DaemonSets of a ClusterPolicy (with a kernel or OS suffix where the driver is precompiled) and of an NVIDIADriver."""
_NFD_ROLES: Final = frozenset({"master", "worker"})
_OF_GKE: Final = {"nvidia-gpu-device-plugin": _C.PLUGIN, "nvidia-driver-installer": _C.DRIVER}
"""Label `k8s-app` of what GKE itself deploys (GoogleCloudPlatform/container-engine-accelerators)."""
_DRA_CHARTS: Final = frozenset({"nvidia-dra-driver-gpu", "dra-driver-nvidia-gpu"})
"""Label `app.kubernetes.io/name` of the DRA driver that its own Helm chart deploys, by its older and its newer name."""
_GIVES_GPUS: Final = "gpus"
"""Its container for GPUs; without it the driver brings ComputeDomains alone, and the device plugin the GPUs."""
_APP, _COMPONENT, _NAME = "app", "app.kubernetes.io/component", "app.kubernetes.io/name"


def awaited(component: Component, init: str) -> Component | None:
    """Return what an init container waits for; the validator's own toolkit step tries the toolkit itself."""
    return _C.TOOLKIT if component is _C.VALIDATOR and init == "toolkit-validation" else _AWAITS.get(init)


def needs_of(component: Component, init: str = "") -> tuple[Component, ...]:
    """Return what a component needs, nearest first; the validator's CUDA step needs driver and toolkit alone."""
    return NEEDS[_C.VALIDATOR] if component is _C.CHECKS and init == "cuda-validation" else NEEDS[component]


def component_of(item: KubernetesObject, init: str = "") -> Component | None:
    """Return the component that a pod, DaemonSet or Deployment belongs to, None for anything else.

    `init` is the init container that is meant: the validator's late steps are `Component.CHECKS`.
    """
    labels = item.metadata.labels
    app = labels.get(_APP, "")
    found = _BY_APP.get(app)
    if found is None:
        return _by_other_labels(item, labels, app)
    if found is _C.VALIDATOR:
        # The DRA stack's validator shares the label on purpose.
        return _C.CHECKS if init in LATE_STEPS or labels.get(_NAME) == "nvidia-dra-validator" else found
    return found


def _by_other_labels(item: KubernetesObject, labels: Mapping[str, str], app: str) -> Component | None:
    part = labels.get(_COMPONENT)
    if part == "nvidia-driver":
        return _C.DRIVER
    if part == "nvidia-vgpu-host-manager" or labels.get("name", "").startswith(_NOT_LINKS):
        return None
    name = labels.get(_NAME, "")
    if labels.get("role") in _NFD_ROLES:
        return _C.NFD if "feature-discovery" in name or "nfd" in name else None
    if name in _DRA_CHARTS:
        return _C.DRA_DRIVER if _GIVES_GPUS in _containers(item) else None
    if name == "dcgm-exporter":
        return _C.EXPORTER
    if name == "nvidia-device-plugin" or labels.get("name") == "nvidia-device-plugin-ds":
        return _C.PLUGIN
    if (found := _OF_GKE.get(labels.get("k8s-app", ""))) is not None:
        return found
    if app in ("nfd-master", "nfd-worker"):
        return _C.NFD
    return _by_name(app) or _by_name(item.metadata.name)


def is_of_dra_chart(item: KubernetesObject) -> bool:
    """Tell whether a pod or DaemonSet is of the DRA driver's own chart, which needs no GPU Operator."""
    return item.metadata.labels.get(_NAME) in _DRA_CHARTS


def _containers(item: KubernetesObject) -> tuple[str, ...]:
    match item:
        case Pod():
            return tuple(container.name for container in item.spec.containers)
        case DaemonSet():
            return tuple(container.name for container in item.spec.template.spec.containers)
    return ()


def _by_name(name: str) -> Component | None:
    if not name.startswith(("nvidia-", "gpu-")) or name.startswith(_NOT_LINKS):
        return None
    if _DRIVER_NAME.match(name):
        return _C.DRIVER
    for prefix, component in _BY_PREFIX:
        if component is not _C.OPERATOR and name.startswith(prefix):
            return component
    return None
