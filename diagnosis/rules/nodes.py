"""Layer 5: nodes that are not Ready (L5-01, L5-02, L5-07) and those that only lack their network plugin (L3-10)."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from diagnosis.commands import counted, fact, kubectl, on_node, said_by, shorten
from diagnosis.node_agents import Agent, agents
from diagnosis.node_services import has_systemd, kubelet_unit, runtime_unit, service_commands
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule, wait_until
from situation.clock import age_text
from situation.cluster import Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Condition, Ref, find_condition
from situation.readings import SourceState
from situation.renewals import NODE_LEASES
from situation.selectors import is_finished, is_ready
from situation.situation import Situation

ALL_NODES: Final = Ref("Cluster", "", "nodes")
"""Subject of "all nodes went down together": a finding about it explains every node that is down."""
JOIN_S: Final = 180.0
"""A new node may take this long until its runtime and network plugin are up."""
FALSE_SETTLE_S: Final = 15.0
"""Ready turns False for seconds when a kubelet or runtime restarts; Unknown has had a grace of 50 s already."""
LEASE_GRACE_S: Final = 40.0
"""The kubelet renews its lease every 10 s (leaseDurationSeconds 40): an older one was missed several times."""

_NETWORK: Final = re.compile(r"NetworkPluginNotReady|container runtime network not ready", re.IGNORECASE)
_RUNTIME: Final = re.compile(
    r"container runtime is down|PLEG is not healthy|container runtime status check may not have completed"
    r"|failed to get runtime status|runtime.*connection refused",
    re.IGNORECASE,
)
_SHUTDOWN: Final = re.compile(r"node is shutting down|graceful node shutdown|node shutdown", re.IGNORECASE)


class State(StrEnum):
    """Why a node is not Ready."""

    GONE = "gone"
    NETWORK = "network"
    RUNTIME = "runtime"
    SHUTDOWN = "shutdown"
    OTHER = "other"


def state_of(node: Node, condition: Condition | None) -> State | None:
    """Classify the Ready condition of a node, None for a Ready one (wordings: catalogue, L5-01, L5-02, L3-10)."""
    if condition is None or condition.status == "Unknown":
        return State.GONE
    if condition.status == "True":
        return None
    for state, words in ((State.NETWORK, _NETWORK), (State.RUNTIME, _RUNTIME), (State.SHUTDOWN, _SHUTDOWN)):
        if words.search(condition.message):
            return state
    return State.OTHER


def settling(node: Node, now: datetime) -> Wait | None:
    """Return Wait while a node that is not Ready may be so for a moment only: nothing that follows is told before."""
    if wait := wait_until(node.metadata.creation_timestamp, JOIN_S, now):
        return wait
    condition = find_condition(node.status.conditions, "Ready")
    if condition is None or state_of(node, condition) in (None, State.GONE):
        return None
    return wait_until(condition.last_transition_time, FALSE_SETTLE_S, now)


def _judge(
    node: Node, situation: Situation, now: datetime, wanted: State
) -> tuple[Condition, tuple[Evidence, ...]] | Verdict:
    """Return the Ready condition and shared evidence if the node is in the wanted state for long enough."""
    condition = find_condition(node.status.conditions, "Ready")
    if state_of(node, condition) is not wanted:
        return CLEAR
    if wait := settling(node, now):
        return wait
    if condition is None:
        condition = Condition("Ready", message="the node has no Ready condition")
    said = f"Ready={condition.status} {condition.reason}: {shorten(condition.message, 240)}"
    return condition, (
        fact("nodes", said, at=condition.last_transition_time),
        *_lease(node, situation, now, wanted, condition.last_transition_time),
        *_pods_on(node, situation),
    )


def _lease(
    node: Node, situation: Situation, now: datetime, wanted: State, since: datetime | None
) -> tuple[Evidence, ...]:
    read = read_lately(NODE_LEASES, situation, now)
    if read is None:
        source = situation.source(NODE_LEASES)
        why = " yet" if source.state is SourceState.STARTING else f": {source.error or source.state_at(now)}"
        return (fact(NODE_LEASES, f"the age of the node's lease is not known{why}", Mark.OPEN),)
    lease = situation.node_lease(node.name)
    if lease is None and situation.is_unread(NODE_LEASES, ("kube-node-lease", node.name)):
        return (fact(NODE_LEASES, "the node's lease could not be decoded", Mark.OPEN),)
    if lease is None or lease.spec.renew_time is None:
        return (fact(NODE_LEASES, "the node has no lease in kube-node-lease"),)
    renewed = lease.spec.renew_time
    if read - renewed > timedelta(seconds=LEASE_GRACE_S):
        return (fact(NODE_LEASES, f"its lease was renewed {age_text(renewed, now)} ago", at=renewed),)
    lives = "the kubelet reaches the API server" + (
        ", but its status is not written" if wanted is State.GONE else ": the machine and its network are up"
    )
    if wanted is State.GONE and not (since or renewed) < renewed <= read:
        # From before the node was given up, or from the future: it may be dead, and its clock have been ahead.
        text = f"its lease was renewed at {renewed:%H:%M:%S} by its own clock, and read at {read:%H:%M:%S}"
        return (fact(NODE_LEASES, text, Mark.OPEN),)
    text = f"its lease was renewed {age_text(renewed, read)} before it was read: {lives}"
    return (fact(NODE_LEASES, text, Mark.EXCLUDES, renewed),)


def _pods_on(node: Node, situation: Situation) -> tuple[Evidence, ...]:
    if not situation.knows("pods"):
        return (fact("pods", "the node's pods are not known", Mark.OPEN),)
    pods = [pod for pod in situation.pods_by_node.get(node.name).values() if not is_finished(pod)]
    ready = sum(is_ready(pod) for pod in pods)
    stale = f", {ready} of them still shown as Ready" if ready else ""
    only = "" if situation.sees_all else f" of namespace {situation.configured.only_namespace}"
    return (fact("pods", f"{counted(len(pods), 'pod')}{only} on it{stale}"),)


def _lease_command(node: Node) -> Command:
    return kubectl(
        "get", "lease", node.name, "-o", "jsonpath={.spec.renewTime}",
        purpose="when did its kubelet report last?", namespace="kube-node-lease",
    )  # fmt: skip


def _describe(node: Node) -> Command:
    return kubectl("describe", "node", node.name, purpose="conditions, taints, events and pods of the node")


@rule(
    "node-unreachable",
    signature="L5-01",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes",),
    takes_down=True,
    looks_at="the Ready condition (Unknown, NodeStatusUnknown or NodeStatusNeverUpdated) and the node's lease.",
    look_alikes={
        "nodes-down-together": "there all nodes went within a minute: certificates, etcd or the network between",
        "node-runtime-down": "there the kubelet still speaks: Ready is False, not Unknown",
    },
)
def node_unreachable(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's kubelet does not report any more; its pods may be dead although they are shown as Running."""
    found = _judge(node, situation, now, State.GONE)
    if not isinstance(found, tuple):
        return found
    condition, evidence = found
    told = (condition.last_heartbeat_time, condition.last_transition_time)
    heard = min((at for at in told if at is not None), default=None)  # the first is by the kubelet's own clock
    never = condition.reason == "NodeStatusNeverUpdated" or "never posted" in condition.message
    words = "kubelet never posted node status" if never else "kubelet stopped posting node status"
    title = f"has never reported: {words}" if never else f"has not reported for {age_text(heard, now)}: {words}"
    taints = ", ".join(f"{taint.key}:{taint.effect}" for taint in node.spec.taints if "unreachable" in taint.key)
    return Fired(
        Ref("Node", "", node.name),
        title,
        (*evidence, *((fact("nodes", f"taints {taints}"),) if taints else ())),
        (_lease_command(node), _describe(node), *service_commands(node, kubelet_unit(node))),
        follows=(ALL_NODES,),
        node=node.name,
        wants=NODE_LEASES,
    )


@rule(
    "node-network-not-ready",
    signature="L3-10",
    layer=Layer.NETWORK,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes",),
    takes_down=True,
    looks_at="the message of Ready=False: NetworkPluginNotReady.",
    look_alikes={
        "node-runtime-down": "there the runtime itself does not answer",
        "node-unreachable": "there the kubelet is silent",
    },
)
def node_network_not_ready(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node is not Ready because its network plugin (CNI) is not."""
    found = _judge(node, situation, now, State.NETWORK)
    if not isinstance(found, tuple):
        return found
    condition, evidence = found
    plugins = tuple(agents(situation, Agent.CNI))
    named = ", ".join(ref.name for ref in plugins)
    plugin = f"network plugins of the cluster: {named}" if named else "no known network plugin runs as a DaemonSet"
    pods = kubectl(
        "get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
        purpose="is the network plugin's pod up on this node?",
    )  # fmt: skip
    return Fired(
        Ref("Node", "", node.name),
        f"is not Ready for {age_text(condition.last_transition_time, now)}: its network plugin (CNI) is not ready",
        (*evidence, fact("daemonsets", plugin) if situation.knows("daemonsets") else
         fact("daemonsets", "the network plugin's DaemonSet is not known", Mark.OPEN)),
        (pods, _describe(node), *([on_node(node.name, "ls", "-l", "/etc/cni/net.d", purpose="is the CNI configured?")]
                                  if has_systemd(node) else [])),
        follows=(*plugins, ALL_NODES),
        node=node.name,
        wants=NODE_LEASES,
    )  # fmt: skip


@rule(
    "node-runtime-down",
    signature="L5-02",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes",),
    takes_down=True,
    looks_at="the message of Ready=False: container runtime is down, PLEG is not healthy; the node's events.",
    look_alikes={
        "node-network-not-ready": "there the message names NetworkPluginNotReady",
        "node-unreachable": "there the kubelet is silent (Unknown)",
    },
)
def node_runtime_down(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's container runtime does not answer its kubelet; containers that run go on, nothing new starts."""
    found = _judge(node, situation, now, State.RUNTIME)
    if not isinstance(found, tuple):
        return found
    condition, evidence = found
    words = "PLEG is not healthy" if "PLEG" in condition.message else "container runtime is down"
    events = situation.events_of(node, "Node", "ContainerGCFailed", "ImageGCFailed")
    return Fired(
        Ref("Node", "", node.name),
        f"is not Ready for {age_text(condition.last_transition_time, now)}: {words}",
        evidence + tuple(said_by(event) for event in events[-2:]),
        (_describe(node), *service_commands(node, runtime_unit(node))),
        follows=(ALL_NODES,),
        node=node.name,
        wants=NODE_LEASES,
    )


@rule(
    "node-not-ready",
    signature="L5-01 L5-07",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes",),
    takes_down=True,
    looks_at="Ready=False with any other message: shutting down, or what the kubelet says.",
    look_alikes={
        "node-runtime-down": "there the message names the runtime or PLEG",
        "node-network-not-ready": "there the message names the network plugin",
    },
)
def node_not_ready(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's kubelet reports that it is not Ready, or that the machine is shutting down."""
    going = _judge(node, situation, now, State.SHUTDOWN)
    found = _judge(node, situation, now, State.OTHER) if going is CLEAR else going
    if not isinstance(found, tuple):
        return found
    condition, evidence = found
    words = condition.message or condition.reason or "no reason given"
    title = "is shutting down" if going is not CLEAR else f"is not Ready: {shorten(words, 60)}"
    return Fired(
        Ref("Node", "", node.name),
        title,
        evidence,
        (_describe(node), _lease_command(node), *service_commands(node, kubelet_unit(node))),
        follows=(ALL_NODES,),
        node=node.name,
        wants=NODE_LEASES,
    )


RULES: Final[tuple[Rule, ...]] = (node_unreachable, node_network_not_ready, node_runtime_down, node_not_ready)
