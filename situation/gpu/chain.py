"""The GPU Operator's chain on one node, judged: what each component does now, and what it waits for."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from situation.cluster import Node
from situation.gpu.capacity import capacity_link
from situation.gpu.cluster_links import nfd_link, operator_link
from situation.gpu.components import LATE_STEPS, NEEDS, ORDER, PARTS, component_of, needs_of
from situation.gpu.links import BROKEN, Component, Link, LinkState, NodeChain
from situation.gpu.mig_change import TAKEN_UP, mig_change_due
from situation.gpu.missing_pods import all_set_aside, without_pod
from situation.gpu.offer import MIG_STATE, PRESENT, gpu_resources, has_gpu
from situation.gpu.operand_pods import DRIVER_START, Own, read_pod, resting_link
from situation.gpu.survey import Survey, sees_operands, survey
from situation.indexes import controller_ref
from situation.meta import KubernetesObject, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation

__all__ = ["BROKEN", "Component", "Link", "LinkState", "NodeChain", "is_gpu_node", "node_chain"]

VALIDATION: Final = timedelta(seconds=60)
"""A `*-validation` init container polls every 5 s, so this long after what it waits for came up it should be through
(GPU Operator, validator)."""

PLUGIN_CHECK: Final = timedelta(seconds=180)
"""The validator's plugin step asks 30 times, 5 s apart, for the node's GPUs (GPU Operator, validator)."""

HANDLER: Final = timedelta(seconds=120)
"""The `nvidia` handler is missing for the first minutes of a GPU node: the toolkit edits the runtime's configuration
and restarts it, and the kubelet tries a sandbox again every 10 s and more (fault_signatures L5-15)."""

GFD_LABELS: Final = timedelta(seconds=300)
"""GPU feature discovery writes its features each minute, and NFD carries them to the node's labels each minute."""

_BUDGETS: Final = {Component.PLUGIN: PLUGIN_CHECK, Component.TOOLKIT: HANDLER}
"""How long a step may go on after what it waits for is ready, where that is not `VALIDATION`."""

BLOCKING: Final = frozenset(
    {LinkState.FAILING, LinkState.ABSENT, LinkState.WAITING, LinkState.STARTING, LinkState.PAUSED}
)
"""What waits for a link in one of these cannot get ready. Not UNKNOWN: it explains nothing."""

_STEPS: Final = tuple(
    (component, bool(PARTS[component].deploy) and component is not Component.CHECKS) for component in ORDER
)
"""In the order in which they are judged; whether each is an operand with one pod on the node."""
_LOOKED_BEHIND: Final = frozenset({Component.TOOLKIT, Component.GFD, Component.MIG})
"""A pod of these may be ready, and what it is for not done."""
_GFD_KEYS: Final = frozenset({"nvidia.com/gpu.product", "nvidia.com/gpu.count", "nvidia.com/gfd.timestamp"})
_TAINT: Final = "nvidia.com/gpu"


def is_gpu_node(node: Node) -> bool:
    """Tell whether a node has NVIDIA GPUs, by labels of NFD, the operator or a cloud, its capacity, or the taint."""
    labels = node.metadata.labels
    present = labels.get(PRESENT)
    if present is not None:
        return present == "true" or bool(gpu_resources(node.status.capacity))
    return (
        has_gpu(labels)
        or bool(gpu_resources(node.status.capacity))
        or any(taint.key == _TAINT for taint in node.spec.taints)
    )


def node_chain(node: Node, situation: Situation, now: datetime) -> NodeChain:
    """Judge every link of a node, each after all that it needs."""
    ready = find_condition(node.status.conditions, "Ready")
    if ready is not None and ready.status == "Unknown":
        return _all(node, "node does not report")
    if not situation.knows("pods"):
        return _all(node, "pods not read")
    if not sees_operands(situation):
        return _all(node, situation.part)
    judge = _Judge(node, situation, now)
    links = judge.links
    for component, is_operand in _STEPS:
        links[component] = judge.operand(component) if is_operand else judge.other(component)
    return NodeChain(node.name, tuple([links[component] for component in PARTS]))


def chain_of(name: str, situation: Situation, now: datetime) -> NodeChain | None:
    """Return the chain of a node, None if the node is not known; judged once for all who ask in the same round."""
    node = situation.node(name)
    return situation.once(("gpu-chain", name, now), lambda: node_chain(node, situation, now)) if node else None


def _all(node: Node, text: str) -> NodeChain:
    return NodeChain(node.name, tuple(Link(component, LinkState.UNKNOWN, text) for component in PARTS))


_UNDECIDED: Final = frozenset({LinkState.FAILING, LinkState.STARTING})
"""The validator gives the pod that it starts five minutes; that pod's own crash says sooner what is wrong."""


class _Judge:
    """One node's links, judged one after the other."""

    def __init__(self, node: Node, situation: Situation, now: datetime) -> None:
        self.links: dict[Component, Link] = {}
        self._node = node
        self._labels = node.metadata.labels
        self._situation = situation
        self._now = now
        self._found: Survey = survey(situation)
        self._pods, self._trials = _pods(node.name, situation)
        self._aside = all_set_aside(self._labels, situation)

    def other(self, component: Component) -> Link:
        """Judge what is no operand with one pod on the node."""
        match component:
            case Component.NFD:
                return self._nfd()
            case Component.OPERATOR:
                return operator_link(self._node, self._found, self._situation, self._now)
            case Component.CHECKS:
                return self._checks()
        return capacity_link(self._node, self.links, lambda: self._blocker(Component.CAPACITY), self._now)

    def operand(self, component: Component) -> Link:
        if (aside := self._aside.get(component)) is not None:
            return self._hosts_driver(aside) if component is Component.DRIVER else aside
        pod = self._pods.get(component)
        if pod is None:
            return self._without_pod(component)
        link = resting_link(component, pod)
        if link is None:
            link = self._placed(component, pod, read_pod(component, pod, self._situation, self._now))
        if component in _LOOKED_BEHIND and link.state is LinkState.READY:
            if component is Component.TOOLKIT:
                return self._with_handler(link)
            if component is Component.GFD:
                return self._with_labels(link)
            return self._with_layout(link)
        return link

    def _hosts_driver(self, aside: Link) -> Link:
        """A label says that the operator brings no driver here; pods that wait for one tell that the host has none."""
        if aside.state is LinkState.PAUSED or not self._is_held(Component.DRIVER):
            return aside
        owner, created = Ref("Node", "", self._node.name), self._node.metadata.creation_timestamp
        if created is not None and self._now < (due := created + DRIVER_START):
            return _with(aside, LinkState.STARTING, "host driver is yet to come", until=due, owner=owner)
        said = "pre-installed" if aside.state is LinkState.PREINSTALLED else "switched off"
        return _with(aside, LinkState.ABSENT, f"{said} by its label, and none answers on the host", owner=owner)

    def _with_layout(self, manager: Link) -> Link:
        """A MIG manager that is ready may have failed all the same at a change of the layout, or hang in it."""
        change = f"change to {self._labels.get('nvidia.com/mig.config') or 'the layout asked for'}"
        if self._labels.get(MIG_STATE) == "failed":
            asked_at = self._situation.mig_asked_at.get(self._node.name)
            if asked_at is not None and self._now < (until := asked_at + TAKEN_UP):
                return _with(manager, LinkState.STARTING, change, until=until)
            return _with(manager, LinkState.FAILING, f"{change} failed", since=None)  # its pod has been ready since
        due = mig_change_due(self._node, self._pods.values())
        if due is not None and self._now < due:
            return _with(manager, LinkState.STARTING, change, until=due)
        return manager if due is None else _with(manager, LinkState.FAILING, f"{change} hangs", since=None)

    def _without_pod(self, component: Component) -> Link:
        gfd = self.links.get(Component.GFD)
        gfd_ready = gfd is not None and gfd.state in (LinkState.READY, LinkState.NOT_WANTED)
        held = component in (Component.DRIVER, Component.TOOLKIT) and self._is_held(component)
        link = without_pod(component, self._node, self._found, self._situation, self._now, held, gfd_ready)
        if link.state is LinkState.ABSENT and link.owner is not None:
            if self._situation.has_unread("pods", link.owner.namespace):
                return _with(link, LinkState.UNKNOWN, "a pod could not be decoded")
        is_blamed = link.waits_for is Component.OPERATOR and not self._blocks(Component.OPERATOR)
        if is_blamed and self._blocks(Component.NFD):  # nobody has told the operator of the node
            return _with(link, link.state, link.text, waits_for=Component.NFD)
        return link

    def _is_held(self, component: Component) -> bool:
        """Tell whether a pod of the node waits for a driver or a runtime handler for longer than it takes."""
        budget = VALIDATION if component is Component.DRIVER else HANDLER
        for other, pod in self._pods.items():
            if other in NEEDS and component in NEEDS[other]:
                own = read_pod(other, pod, self._situation, self._now)
                if own.awaits is component and own.since is not None and self._now >= own.since + budget:
                    return True
        return False

    def _placed(self, component: Component, pod: Pod, own: Own) -> Link:
        """Return the link of a pod: as the pod says, or waiting for what is not there yet."""
        link = Link(
            component,
            own.state,
            own.text,
            since=own.since,
            until=own.until,
            restarts=own.restarts,
            container=own.container,
            pod=Ref("Pod", *pod.key),
            owner=controller_ref(pod),
        )
        if own.state is LinkState.READY or own.own_fault:
            return link
        blocker = self._blocker(component, own.container, own.awaits)
        if blocker is not None:
            return _with(link, LinkState.WAITING, own.text, waits_for=blocker, until=None)
        return self._overdue(link, own) if own.awaits is not None else link

    def _blocker(self, component: Component, step: str = "", awaited: Component | None = None) -> Component | None:
        """Return what keeps a component from getting ready: what its present step waits for, else the nearest."""
        if awaited is not None and self._blocks(awaited):
            return awaited
        return next((other for other in needs_of(component, step) if self._blocks(other)), None)

    def _blocks(self, component: Component) -> bool:
        link = self.links.get(component)
        return link is not None and link.state in BLOCKING

    def _overdue(self, link: Link, own: Own) -> Link:
        """A step waits though what it waits for is there: it may take a moment, then it fails itself."""
        awaited = self.links[own.awaits] if own.awaits is not None else None
        if awaited is not None and awaited.state is LinkState.UNKNOWN and link.pod is not None:
            if self._situation.has_unread("pods", link.pod.namespace):
                return _with(link, LinkState.UNKNOWN, "waits for a pod that could not be decoded")
        times = [time for time in (own.since, awaited.since if awaited else None) if time is not None]
        budget = _BUDGETS.get(awaited.component, VALIDATION) if awaited else VALIDATION
        due = max(times) + budget if times else None
        if due is not None and self._now < due:
            return _with(link, LinkState.STARTING, own.text, until=due)
        return _with(link, LinkState.FAILING, f"{own.container} does not end" if own.container else own.text)

    def _with_handler(self, toolkit: Link) -> Link:
        """A toolkit that is ready has brought the runtime its handler; pods that cannot start for want of it tell."""
        for component, pod in self._pods.items():
            if pod.status.phase != "Pending" or Component.TOOLKIT not in NEEDS[component]:
                continue
            own = read_pod(component, pod, self._situation, self._now)
            if own.awaits is Component.TOOLKIT and not own.container:
                times = [time for time in (own.since, toolkit.since) if time is not None]
                if not times or self._now >= max(times) + HANDLER:
                    return _with(toolkit, LinkState.FAILING, "did not bring the runtime its handler", since=None)
        return toolkit

    def _with_labels(self, gfd: Link) -> Link:
        """GFD that is ready has labelled the node, through NFD."""
        if self._has_gfd_labels():
            return gfd
        nfd = self.links[Component.NFD].state
        if nfd in BROKEN:
            return _with(gfd, LinkState.WAITING, "its labels do not arrive", waits_for=Component.NFD)
        due = gfd.since + GFD_LABELS if gfd.since else None
        if due is not None and self._now < due:
            return _with(gfd, LinkState.STARTING, "its labels are on their way", until=due)
        return _with(gfd, LinkState.FAILING, "does not get its labels to the node", since=None)

    def _has_gfd_labels(self) -> bool:
        return not _GFD_KEYS.isdisjoint(self._labels)

    def _nfd(self) -> Link:
        link = nfd_link(self._node, self._found, self._pods.get(Component.NFD), self._situation, self._now)
        gfd = self._pods.get(Component.GFD)
        if link.state is not LinkState.READY or gfd is None or self._has_gfd_labels():
            return link
        own = read_pod(Component.GFD, gfd, self._situation, self._now)
        if own.state is LinkState.READY and (own.since is None or self._now >= own.since + GFD_LABELS):
            return _with(link, LinkState.FAILING, "does not pass on GFD's labels", since=None)
        return link

    def _checks(self) -> Link:
        """The validator's late steps, or the DRA stack's validator; what they start on the node tells why they fail."""
        own_pod = self._pods.get(Component.CHECKS)
        pod = own_pod or self._pods.get(Component.VALIDATOR)
        validator = self.links[Component.VALIDATOR]
        if (aside := self._aside.get(Component.CHECKS)) is not None:
            return aside
        if own_pod is None and validator.state is not LinkState.READY:
            if validator.state in BLOCKING:
                return Link(Component.CHECKS, LinkState.WAITING, "", waits_for=Component.VALIDATOR)
            return Link(Component.CHECKS, validator.state, validator.text)
        if pod is None:
            return Link(Component.CHECKS, LinkState.NOT_WANTED, "not deployed")
        if (resting := resting_link(Component.CHECKS, pod)) is not None:
            return resting
        own = read_pod(Component.CHECKS, pod, self._situation, self._now)
        link = self._placed(Component.CHECKS, pod, own)
        trial = self._trials[0] if self._trials else None
        if link.state in _UNDECIDED and own.container in LATE_STEPS and trial is not None:
            said = read_pod(Component.CHECKS, trial, self._situation, self._now)
            if said.state is LinkState.FAILING:
                return _with(link, LinkState.FAILING, f"{own.container}: {said.text}", pod=Ref("Pod", *trial.key),
                             container=said.container)  # fmt: skip
        return link


def _with(link: Link, state: LinkState, text: str, **fields: object) -> Link:
    return msgspec.structs.replace(link, state=state, text=text, **fields)


def _pods(node: str, situation: Situation) -> tuple[Mapping[Component, Pod], tuple[Pod, ...]]:
    """Return the pod of each component on the node, and the pods that the validator starts there."""
    found: dict[Component, Pod] = {}
    trials: list[Pod] = []
    for pods in (situation.pods_by_node.get(node), situation.unscheduled_by_target.get(node)):
        for pod in pods.values():
            component = component_of(pod)
            if component is None or component is Component.OPERATOR:
                continue
            if component is Component.CHECKS and not _is_daemon(pod):
                trials.append(pod)
            elif (other := found.get(component)) is None or _rank(pod) > _rank(other):
                found[component] = pod
    return found, tuple(trials)


def _is_daemon(item: KubernetesObject) -> bool:
    owner = item.metadata.controller
    return owner is not None and owner.kind == "DaemonSet" and not item.name.startswith("nvidia-cuda-validator")


def _rank(pod: Pod) -> tuple[bool, bool, str]:
    """The pod that stays counts more than one that goes or has ended, the newer more than the older."""
    created = pod.metadata.creation_timestamp
    return (pod.metadata.deletion_timestamp is None, not is_finished(pod), created.isoformat() if created else "")
