"""What of the GPU Operator is in the cluster as a whole: its DaemonSets, the operator itself, NFD."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from situation.gpu.components import DEPLOY, component_of
from situation.gpu.links import Component
from situation.gpu.operator_namespace import operator_namespace
from situation.pods import Pod
from situation.selectors import is_ready
from situation.situation import Situation
from situation.workloads import DaemonSet, Deployment

_NAMESPACES: Final = ("gpu-operator", "nvidia-gpu-operator", "gpu-operator-resources")
"""Of Helm's documentation, OpenShift, and very old releases."""
_OPERATOR: Final = "gpu-operator"
"""Name of the Deployment; not to be overridden in the chart."""
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
_GKE_INSTALLER: Final = "nvidia-driver-installer"
"""Its pods are the driver of their nodes; a node without one has its driver from GKE itself, and lacks nothing."""


class Survey(NamedTuple):
    """The parts of the chain that are not of one node."""

    daemonsets: Mapping[Component, tuple[DaemonSet, ...]]
    operator: Deployment | None
    operator_known: bool
    """Whether Deployments have been read at all."""
    nfd_masters: tuple[Pod, ...]
    read: bool
    """Whether DaemonSets have been read at all."""
    by_operator: bool
    """Whether the GPU Operator deploys an operand of the chain; labels may be left of one that was removed."""
    installed: bool
    """Whether it does, or something else brings driver or device plugin: an exporter alone makes no chain."""

    @property
    def nfd_down(self) -> bool:
        """Tell whether there are NFD masters, and none of them is ready."""
        return bool(self.nfd_masters) and not any(map(is_ready, self.nfd_masters))


def survey(situation: Situation) -> Survey:
    """Look for the operator's parts; kept as long as the Situation stays as it is."""
    return situation.once("gpu-survey", lambda: _survey(situation))


def sees_operands(situation: Situation) -> bool:
    """Tell whether the GPU Operator's pods would be seen: all namespaces are read, or the one that it lives in."""
    return situation.sees_all or survey(situation).installed


def is_operators(item: DaemonSet) -> bool:
    """Tell whether the GPU Operator deploys a DaemonSet: by the label that it sets on all of them, or its selector."""
    return item.metadata.labels.get(_MANAGED_BY) == "gpu-operator" or any(
        key.startswith(DEPLOY) for key in item.spec.template.spec.node_selector
    )


def _survey(situation: Situation) -> Survey:
    found: defaultdict[Component, list[DaemonSet]] = defaultdict(list)
    for item in situation.daemonsets.values():
        component = component_of(item)
        if component is not None and item.name != _GKE_INSTALLER:
            found[component].append(item)
    spaces = dict.fromkeys(item.namespace for items in found.values() for item in items)
    spaces |= dict.fromkeys((operator_namespace(situation), *_NAMESPACES))
    operator = None
    masters: list[Pod] = []
    for namespace in spaces:
        operator = operator or situation.deployments.get((namespace, _OPERATOR))
        pods = situation.pods_by_label.get((namespace, "role", "master")).values()
        masters += [pod for pod in pods if component_of(pod) is Component.NFD]
    by_operator = any(
        is_operators(item) for other, items in found.items() if other is not Component.NFD for item in items
    )
    return Survey(
        {component: tuple(items) for component, items in found.items()},
        operator,
        situation.knows("deployments") and not any(situation.has_unread("deployments", space) for space in spaces),
        tuple(masters),
        situation.knows("daemonsets") and not any(situation.has_unread("daemonsets", space) for space in spaces),
        by_operator,
        by_operator or Component.PLUGIN in found or Component.DRIVER in found,
    )
