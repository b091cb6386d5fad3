"""A component without a pod on a node: not wanted there, set aside on purpose, brought by the host, or missing."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from situation.cluster import Node, Taint
from situation.gpu.by_claim import LOST, gives_by_claim
from situation.gpu.components import DEPLOY, MIG_CAPABLE, MPS_CAPABLE, PARTS
from situation.gpu.links import Component, Link, LinkState
from situation.gpu.offer import PRESENT, gpu_offer
from situation.gpu.survey import Survey, is_operators
from situation.meta import Ref
from situation.placing import selects, tolerates
from situation.situation import Situation
from situation.workloads import DaemonSet

ABSENT_AFTER: Final = timedelta(seconds=120)
"""A DaemonSet makes its pods within seconds of the node, the label and itself; two minutes are ample. Ours."""

_ALL_OPERANDS: Final = f"{DEPLOY}operands"
WORKLOAD: Final = "nvidia.com/gpu.workload.config"
_VGPU: Final = "nvidia.com/vgpu.host-driver-version"
"""Of a virtual machine with a share of a GPU: GFD says MIG-capable all the same, and the operator gives it no MIG
manager (GPU Operator, state manager)."""
DRA_LABEL: Final = f"{DEPLOY}dra-driver"
_DEVICE_PLUGIN_STACK: Final = frozenset(
    {Component.TOOLKIT, Component.VALIDATOR, Component.PLUGIN, Component.GFD, Component.MIG, Component.MPS}
)
_BUILT_FOR: Final = {
    "feature.node.kubernetes.io/kernel-version.full": "kernel",
    "feature.node.kubernetes.io/system-os_release.OSTREE_VERSION": "OS image",
}
"""Labels of what a precompiled driver, and one of OpenShift's driver toolkit, is built for (GPU Operator, driver)."""
_OWN_TAINTS: Final = "node.kubernetes.io/"
"""Taints of a node's state: the DaemonSet controller gives its pods the tolerations."""
_KEYS: Final = {component: tuple(DEPLOY + name for name in part.deploy) for component, part in PARTS.items()}
_SAYS: Final = (_ALL_OPERANDS, WORKLOAD, MPS_CAPABLE, *dict.fromkeys(key for keys in _KEYS.values() for key in keys))
"""All labels that `set_aside` looks at."""


def deploy_value(component: Component, labels: Mapping[str, str]) -> str:
    """Return the value of the node label that gives the component its pod, empty if there is none."""
    value = ""
    for key in _KEYS[component]:
        if (found := labels.get(key)) == "true":
            return found
        value = value or found or ""
    return value


def all_set_aside(labels: Mapping[str, str], situation: Situation) -> Mapping[Component, Link]:
    """Return the links of the components of which a node's labels say that they have no pod there.

    Most nodes of a fleet have the same labels of this kind, so what they say is worked out once for all of them.
    """
    known: dict[tuple[str | None, ...], Mapping[Component, Link]] = situation.once("gpu-set-aside", dict)
    said = tuple(map(labels.get, _SAYS))
    if (found := known.get(said)) is None:
        links = ((component, set_aside(component, labels)) for component, keys in _KEYS.items() if keys)
        known[said] = found = {component: link for component, link in links if link is not None}
    return found


def set_aside(component: Component, labels: Mapping[str, str]) -> Link | None:
    """Return the link if the node's labels say that the component has no pod there, and why."""
    if labels.get(_ALL_OPERANDS) == "false":
        return Link(component, LinkState.NOT_WANTED, "all operands switched off")
    if labels.get(WORKLOAD, "container") != "container":
        return Link(component, LinkState.NOT_WANTED, "node for virtual machines")
    if component is Component.MPS and labels.get(MPS_CAPABLE) != "true":
        return Link(component, LinkState.NOT_WANTED, "no MPS")
    value = deploy_value(component, labels)
    if value in ("", "true"):
        return None
    if "paused-for-mig-change" in value:
        return Link(component, LinkState.PAUSED, "MIG change")
    if "paused" in value:
        return Link(component, LinkState.PAUSED, "driver upgrade")
    if value == "pre-installed":
        return Link(component, LinkState.PREINSTALLED, "host driver")
    return Link(component, LinkState.NOT_WANTED, "switched off" if value == "false" else f"label says {value}")


def without_pod(
    component: Component, node: Node, found: Survey, situation: Situation, now: datetime, held: bool, gfd_ready: bool
) -> Link:
    """Judge a component that the node's labels allow and that has no pod there.

    `held` tells that pods of the node wait for what only this component brings; `gfd_ready`, that GFD has said its say.
    """
    labels = node.metadata.labels
    value = deploy_value(component, labels)
    if not found.read:
        return Link(component, LinkState.UNKNOWN, "DaemonSets not read")
    if not value and component in _DEVICE_PLUGIN_STACK and labels.get(DRA_LABEL) == "true":
        return Link(component, LinkState.NOT_WANTED, "devices through DRA")
    if component in (Component.PLUGIN, Component.MPS) and gives_by_claim(node, situation):
        return Link(component, LinkState.NOT_WANTED, "devices through DRA")
    sets = found.daemonsets.get(component, ())
    if not sets:
        return _without_daemonset(component, node, found, now, value, held)
    chosen = [item for item in sets if selects(item.spec.template.spec, node)]
    if chosen:
        return _expected(component, chosen[0], node, situation, now)
    return _not_selected(component, sets, node, now, value, gfd_ready)


def _without_daemonset(component: Component, node: Node, found: Survey, now: datetime, value: str, held: bool) -> Link:
    """Nothing deploys it: switched off for the cluster, unless the node shows that it is needed."""
    if not found.installed:
        return Link(component, LinkState.NOT_WANTED, "not installed")
    if component in (Component.DRIVER, Component.TOOLKIT):
        if held:
            return _absent(component, "nothing deploys it, and the host has none", (node,), now, None)
        return Link(component, LinkState.PREINSTALLED, f"host {PARTS[component].title}")
    if (
        value
        and found.by_operator
        and (component is Component.VALIDATOR or (component is Component.PLUGIN and gpu_offer(node) in LOST))
    ):
        created = [item for items in found.daemonsets.values() for item in items]
        return _absent(component, "no DaemonSet", (node, *created), now, None)
    return Link(component, LinkState.NOT_WANTED, "not deployed")


def _not_selected(
    component: Component, sets: tuple[DaemonSet, ...], node: Node, now: datetime, value: str, gfd_ready: bool
) -> Link:
    """No DaemonSet of the component selects the node."""
    labels = node.metadata.labels
    if component is Component.MIG and not value:
        if labels.get(_VGPU):
            return Link(component, LinkState.NOT_WANTED, "vGPU")
        if MIG_CAPABLE not in labels and not gfd_ready:
            return Link(component, LinkState.WAITING, "GFD has yet to tell", waits_for=Component.GFD)
        if labels.get(MIG_CAPABLE) != "true":
            return Link(component, LinkState.NOT_WANTED, "no MIG")
    if component in (Component.DRA_DRIVER, Component.MPS) and not value:
        return Link(component, LinkState.NOT_WANTED, "not deployed here")
    owner = _ref(sets[0])
    if not value and not any(is_operators(item) for item in sets):
        return Link(component, LinkState.NOT_WANTED, "its DaemonSet does not select the node", owner=owner)
    if not value and labels.get(PRESENT) != "true":
        return Link(component, LinkState.WAITING, "no labels", waits_for=Component.OPERATOR, owner=owner)
    nearest = min(sets, key=lambda item: (len(_lacking(item, labels)), item.name))
    return _absent(component, _why_not_selected(nearest, labels), (node, nearest), now, _ref(nearest))


def _lacking(item: DaemonSet, labels: Mapping[str, str]) -> list[str]:
    wanted = item.spec.template.spec.node_selector
    return sorted(key for key, value in wanted.items() if labels.get(key) != value)


def _why_not_selected(item: DaemonSet, labels: Mapping[str, str]) -> str:
    """Say what of a node's labels the nearest DaemonSet does not select; drivers may be of one kernel or OS image."""
    if not (lacking := _lacking(item, labels)):
        return "no DaemonSet selects the node"
    key = lacking[0]
    has, wants = labels.get(key), item.spec.template.spec.node_selector[key]
    if has and key in _BUILT_FOR:
        return f"none is for {_BUILT_FOR[key]} {has}"
    owner = item.metadata.controller
    by = "no NVIDIADriver selects the node: " if owner is not None and owner.kind == "NVIDIADriver" else ""
    return f"{by}label {key}={has}, not {wants}" if has else f"{by}label {key}={wants} is missing"


def _expected(component: Component, item: DaemonSet, node: Node, situation: Situation, now: datetime) -> Link:
    """A DaemonSet selects the node, so there should be a pod, unless a taint keeps it away or it cannot be made."""
    owner, status = _ref(item), item.status
    if (taint := untolerated(item, node)) is not None:
        return _absent(component, f"does not tolerate taint {taint.key}", (node, item), now, owner)
    if status.desired_number_scheduled == 0:
        return _absent(component, "its DaemonSet wants no pod", (node, item), now, owner)
    if status.current_number_scheduled < status.desired_number_scheduled:
        if not situation.knows("events") or situation.events_of(item, "DaemonSet", "FailedCreate"):
            return _absent(component, "its pod cannot be made", (node, item), now, owner)
        return Link(component, LinkState.STARTING, "its pod is being made", owner=owner)
    return Link(component, LinkState.UNKNOWN, "no pod, and its DaemonSet misses none", owner=owner)


def untolerated(item: DaemonSet, node: Node) -> Taint | None:
    """Return a taint that keeps the DaemonSet's pods off the node."""
    tolerations = item.spec.template.spec.tolerations
    for taint in node.spec.taints:
        if taint.effect in ("NoSchedule", "NoExecute") and not taint.key.startswith(_OWN_TAINTS):
            if not any(tolerates(toleration, taint) for toleration in tolerations):
                return taint
    return None


def _absent(
    component: Component, text: str, since: tuple[Node | DaemonSet, ...], now: datetime, owner: Ref | None
) -> Link:
    """Return ABSENT once the node and the DaemonSets are old enough to have got their pods, else STARTING."""
    created = [made for item in since if (made := item.metadata.creation_timestamp) is not None]
    due = max(created) + ABSENT_AFTER if created else None
    if due is not None and now < due:
        return Link(component, LinkState.STARTING, "its pod is yet to come", until=due, owner=owner)
    return Link(component, LinkState.ABSENT, text, owner=owner)


def _ref(item: DaemonSet) -> Ref:
    return Ref("DaemonSet", item.namespace, item.name)
