"""What of a node's GPU chain explains a finding: the rules' way to the model of the chain."""

from datetime import datetime, timedelta
from typing import Final

from situation.gpu.chain import chain_of
from situation.gpu.components import NEEDS, PARTS, component_of, needs_of
from situation.gpu.links import BROKEN, Component, Link, LinkState, NodeChain
from situation.gpu.operand_pods import DRIVER_START
from situation.gpu.requests import asks_for_nvidia
from situation.gpu.survey import survey
from situation.meta import KubernetesObject, Ref
from situation.placing import target_node
from situation.pods import Pod
from situation.selectors import is_settled, unhealthy_devices
from situation.situation import Situation

DRIVER_START_S: Final = DRIVER_START.total_seconds()
"""What a node may need until it offers its GPUs: a driver may have to be built."""

RECHECK: Final = timedelta(seconds=5)
"""What waits for a chain that comes up is looked at again this often, if no budget of the chain ends sooner."""

_MATES_SEEN: Final = 50
"""Pods of a workload that are looked at, at most."""

SERVING: Final = frozenset({*NEEDS[Component.CAPACITY], Component.CAPACITY, Component.DRA_DRIVER})
"""Without these no pod gets a GPU; the others label, measure, and set up."""

_HURTING: Final = (SERVING | {Component.CHECKS}) - {Component.CAPACITY}
"""Broken, these are why a pod that has got its GPUs fails all the same."""


def is_operand(item: KubernetesObject) -> bool:
    """Tell whether a pod or DaemonSet is a link of the chain on its nodes; NFD and the operator are not of one node."""
    component = component_of(item)
    return component is not None and bool(PARTS[component].deploy)


def node_of(pod: Pod) -> str:
    """Return the node a pod is on, or the one that its DaemonSet made it for."""
    return pod.spec.node_name or target_node(pod.spec)


def about(link: Link, node: str, situation: Situation) -> Ref:
    """Return what a finding about a broken link is about: its DaemonSet, else the operator that should bring one."""
    if link.owner is not None:
        return link.owner
    operator = survey(situation).operator
    return Ref("Node", "", node) if operator is None else Ref("Deployment", *operator.key)


def cause_refs(
    chain: NodeChain | None, situation: Situation, component: Component = Component.CAPACITY
) -> tuple[Ref, ...]:
    """Return what the findings are about that explain why a component is not there: the links before it that broke."""
    if chain is None:
        return ()
    found = {link.component: link for link in chain.links if link.state in BROKEN}
    before = [found[other] for other in NEEDS[component] if other in found]
    link = chain.link(component)
    if not before and link is not None and (cause := chain.cause_of(link)) is not None and cause is not link:
        before.append(cause)  # NFD or the operator: without their labels the node has nothing of what it needs
    return tuple(dict.fromkeys(about(link, chain.node, situation) for link in before))


def broken_refs(node: str, situation: Situation, now: datetime) -> tuple[Ref, ...]:
    """Return what the findings about the broken links of a node are about."""
    chain = chain_of(node, situation, now)
    broken = (link for link in chain.links if link.state in BROKEN) if chain else ()
    return tuple(dict.fromkeys(about(link, node, situation) for link in broken))


def gpu_faults(pod: Pod, situation: Situation, now: datetime) -> tuple[Ref, ...]:
    """Return what the findings about the GPUs of a pod's node are about, which may be why it fails: links of the chain
    that serve pods, or a GPU of its own that is unhealthy.

    Nothing if another pod of its workload is not well where GPUs are: then the fault goes with the workload.
    """
    if is_operand(pod) or not asks_for_nvidia(pod):  # other vendors' GPUs do not come by this chain
        return ()
    mates = [mate for mate in situation.pods_of(situation.workload_of(pod)) if not is_settled(mate, now)]
    found: list[Ref] = []
    for mate in (mates or [pod])[:_MATES_SEEN]:
        refs = _faults_of(mate, situation, now)
        if not refs:
            return ()
        found += refs
    return tuple(dict.fromkeys(found))


def _faults_of(pod: Pod, situation: Situation, now: datetime) -> list[Ref]:
    node = pod.spec.node_name
    chain = chain_of(node, situation, now)
    links = [link for link in chain.links if link.state in BROKEN and link.component in _HURTING] if chain else []
    refs = [about(link, node, situation) for link in links]
    return [*refs, Ref("Node", "", node)] if unhealthy_devices(pod) else refs


def comes_up(chain: NodeChain | None, component: Component, now: datetime) -> datetime | None:
    """Return when to look again at a chain that comes up before `component`; None if it is up, broken, or not known."""
    if chain is None:
        return None
    before = [link for link in chain.links if link.component in NEEDS[component]]
    if any(link.state in BROKEN for link in before):
        return None
    if not any(link.state in (LinkState.STARTING, LinkState.WAITING, LinkState.PAUSED) for link in before):
        return None
    return next_look(chain, now)


def next_look(chain: NodeChain, now: datetime) -> datetime:
    """Return when the state of a chain that is not at rest may change by itself."""
    dues = (link.until for link in chain.links if link.state is LinkState.STARTING and link.until is not None)
    return min((due for due in dues if due > now), default=now + RECHECK)


def needed_sets(pod: Pod, situation: Situation) -> tuple[Ref, ...]:
    """Return the DaemonSets that an operand needs, where its node's chain cannot be told because nodes are not read."""
    component = component_of(pod)
    if component is None or situation.node(pod.spec.node_name) is not None:
        return ()
    found = survey(situation).daemonsets
    return tuple(Ref("DaemonSet", *item.key) for other in needs_of(component) for item in found.get(other, ()))
