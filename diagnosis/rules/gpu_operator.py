"""Layer 5: what the GPU Operator says of itself, held against what the nodes show (gpu_operator 3).

Its `ready` is no proof: it is also said with no GPU node at all. Its `notReady` names symptoms: whatever fails explains
it, so it is a consequence of that.
"""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.endpoints import readiness_changed_at
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.gpu_facts import (
    FEATURE,
    drivers,
    gpu_signs,
    is_discovered,
    nfd_workloads,
    operator_namespace,
    policies,
    ready_since,
    unready_owners,
)
from diagnosis.gpu_status import RESOURCES, describe, kind_name, operator_log, says, trouble
from diagnosis.node_agents import Agent, agents
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule, wait_until
from diagnosis.rules.gpus import node_gpus_lost
from situation.cluster import Node
from situation.findings import Effect, Evidence, Layer, Mark, Severity
from situation.gpu.by_claim import has_lost_gpus
from situation.gpu.offer import UPGRADE
from situation.gpu.operator import ClusterPolicy, NvidiaDriver, OperatorResource
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_ready
from situation.situation import Situation
from situation.workloads import DaemonSet

DISCOVERY_S: Final = 300.0
"""Node feature discovery labels a node within a minute or two of its start; five are ample (gpu_operator 2.1)."""
RECONCILE_S: Final = 120.0
"""A reconcile error is tried again within seconds to a minute; one that stays is no hiccup. Ours."""
LAG_S: Final = 240.0
"""The operator looks at its operands every few seconds, and we at it once a minute: after so long both have seen it."""


def _in_force(policy: ClusterPolicy, situation: Situation) -> bool:
    return policy.status.state != "ignored" and policies(situation)[0].name == policy.name


def _why_blind(policy: ClusterPolicy, situation: Situation) -> str:
    """Return why a policy is ready without a GPU node, empty if it has some; old operators leave it to the nodes."""
    if any(map(is_discovered, situation.nodes.values())):
        return ""
    ready = find_condition(policy.status.conditions, "Ready")
    if ready is not None:
        return ready.reason if ready.reason in ("NFDLabelsMissing", "NoGPUNodes") else ""
    labelled = any(name.startswith(FEATURE) for node in situation.nodes.values() for name in node.metadata.labels)
    return "NoGPUNodes" if labelled else "NFDLabelsMissing"


@rule(
    "gpu-operator-blind",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="ClusterPolicy",
    needs=("clusterpolicies", "nodes"),
    looks_at="state and conditions of the ClusterPolicy, feature labels of the nodes, other signs of GPUs on them.",
    look_alikes={
        "gpu-node-not-discovered": "single nodes are not seen; this follows it",
        "a cluster scaled down to no GPU node": "no node shows any sign of a GPU: a hint only",
    },
)
def gpu_operator_blind(policy: ClusterPolicy, situation: Situation, now: datetime) -> Verdict:
    """The ClusterPolicy is `ready` because the GPU Operator sees no GPU node, so it deploys nothing."""
    if policy.status.state != "ready" or not _in_force(policy, situation) or not situation.nodes:
        return CLEAR
    if not (why := _why_blind(policy, situation)):
        return CLEAR
    if wait := wait_until(policy.metadata.creation_timestamp, DISCOVERY_S, now):
        return wait
    known = {node.name: signs for node in situation.nodes.values() if (signs := gpu_signs(node))}
    unlabelled = why == "NFDLabelsMissing"
    evidence = [*says(policy), *(fact("nodes", f"{name}: {', '.join(known[name])}") for name in sorted(known)[:3])]
    if not known:
        evidence.append(fact("nodes", "no node shows a sign of a GPU", Mark.EXCLUDES))
    return Fired(
        Ref("ClusterPolicy", "", policy.name),
        "says ready, but " + ("no node has a label of feature discovery" if unlabelled else "it sees no GPU node"),
        tuple(evidence),
        (
            kubectl("get", "pods", "-A", "-l", "app.kubernetes.io/name=node-feature-discovery", "-o", "wide",
                    purpose="does node feature discovery run, and where?"),
            kubectl("get", "nodes", "-L", f"{FEATURE}pci-10de.present,nvidia.com/gpu.present",
                    purpose="which nodes are seen to have a GPU?"),
            operator_log(situation),
        ),
        severity=Severity.CRITICAL if known else Severity.WARNING if unlabelled else Severity.INFO,
        follows=(*nfd_workloads(situation), *(Ref("Node", "", name) for name in known)),
    )  # fmt: skip


@rule(
    "gpu-operator-ready-in-name",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="ClusterPolicy",
    needs=("clusterpolicies", "nodes", "pods", "daemonsets"),
    looks_at="state `ready` of the ClusterPolicy against the GPUs that its nodes offer.",
    look_alikes={"node-gpus-lost": "the fault of each node; this says that the operator's `ready` hides it"},
)
def gpu_operator_ready_in_name(policy: ClusterPolicy, situation: Situation, now: datetime) -> Verdict:
    """The ClusterPolicy is `ready` though GPU nodes offer no GPU: `ready` is said of DaemonSets, not of GPUs."""
    if policy.status.state != "ready" or not _in_force(policy, situation):
        return CLEAR
    gpu_nodes = [node for node in situation.nodes.values() if is_discovered(node)]
    verdicts = {node.name: _lost(node, situation, now) for node in gpu_nodes}
    empty = [name for name, verdict in verdicts.items() if isinstance(verdict, Fired)]
    if not empty:
        due = min((verdict.until for verdict in verdicts.values() if isinstance(verdict, Wait)), default=None)
        return Wait(due) if due else CLEAR
    return Fired(
        Ref("ClusterPolicy", "", policy.name),
        f"says ready, though no GPU is offered by {len(empty)} of {counted(len(gpu_nodes), 'GPU node')}",
        (*says(policy), fact("nodes", f"no GPU on {shorten(', '.join(sorted(empty)), 200)}")),
        (
            kubectl("get", "nodes", "-L", "nvidia.com/gpu.deploy.device-plugin,nvidia.com/mig.config.state," + UPGRADE,
                    purpose="are operands paused or switched off there?"),
            describe(policy),
        ),
        follows=tuple(Ref("Node", "", name) for name in empty),
    )  # fmt: skip


def _lost(node: Node, situation: Situation, now: datetime) -> Verdict:
    offered = node.status.allocatable.get("nvidia.com/gpu", "0")
    if offered not in ("0", 0):
        return CLEAR  # told at a glance for nearly all nodes of a large cluster
    if not has_lost_gpus(node, situation):
        return CLEAR
    return node_gpus_lost.judge(node, situation, now)


@rule(
    "gpu-operator-reconcile-failed",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="ClusterPolicy NVIDIADriver GPUCluster",
    needs=("nodes",),
    looks_at="condition Error with the reason ReconcileFailed.",
    look_alikes={"gpu-operands-not-ready": "there all is deployed, and something of it does not get ready"},
)
def gpu_operator_reconcile_failed(item: OperatorResource, situation: Situation, now: datetime) -> Verdict:
    """The GPU Operator cannot bring the cluster to what its resource asks for: a call or a check of it fails."""
    error = trouble(item, "ReconcileFailed")
    if error is None:
        return CLEAR
    if wait := wait_until(error.last_transition_time, RECONCILE_S, now):
        return wait
    return Fired(
        Ref(kind_name(item), "", item.name),
        f"cannot be applied: {shorten(error.message.partition(': ')[2] or error.message, 60)}",
        says(item),
        (describe(item), operator_log(situation)),
        follows=tuple(nfd_workloads(situation)) if "label" in error.message else (),
    )


@rule(
    "gpu-policy-ignored",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="ClusterPolicy",
    needs=("clusterpolicies",),
    looks_at="the ClusterPolicies by age: the oldest is in force, whatever the state of the others says.",
)
def gpu_policy_ignored(policy: ClusterPolicy, situation: Situation, now: datetime) -> Verdict:
    """A second ClusterPolicy: the operator follows the oldest alone, so what this one asks for is not done."""
    first = policies(situation)[0]
    if first.name == policy.name:
        return CLEAR
    return Fired(
        Ref("ClusterPolicy", "", policy.name),
        f"is ignored: {first.name} is older and in force",
        (fact("clusterpolicies", f"{len(policies(situation))} ClusterPolicies"), *says(policy)),
        (
            kubectl("get", RESOURCES["ClusterPolicy"], "--sort-by=.metadata.creationTimestamp",
                    purpose="which one is the oldest?"),
            kubectl("delete", RESOURCES["ClusterPolicy"], policy.name,
                    purpose="remove it, once what it asks for stands in the other", effect=Effect.MUTATING),
        ),
    )  # fmt: skip


@rule(
    "gpu-operands-not-ready",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="ClusterPolicy NVIDIADriver GPUCluster",
    needs=("nodes", "pods"),
    looks_at="condition Error with the reason OperandNotReady or DriverNotReady, or state notReady where there are no "
    "conditions (operators before v24), and which operands are not ready.",
    look_alikes={
        "node-agent-not-ready": "the operand that fails: the cause, this only follows it",
        "operands that come up": "twenty minutes are given: a driver may be compiled",
        "a driver that was not restarted after an update": "all operands are ready, but not of the present version",
    },
)
def gpu_operands_not_ready(item: OperatorResource, situation: Situation, now: datetime) -> Verdict:
    """The GPU Operator says that operands are not ready: symptoms of the first one that fails."""
    error = trouble(item, "OperandNotReady", "DriverNotReady")
    if error is None and (item.status.state != "notReady" or item.status.conditions):
        return CLEAR
    owned = list(agents(situation, Agent.GPU))
    pods = [pod for ref in owned for pod in situation.pods_of(ref)]
    if wait := wait_until(error.last_transition_time if error else _waits_since(item, pods), DRIVER_START_S, now):
        return wait
    unready = [pod for pod in pods if not is_ready(pod)]
    short = [ref for ref in owned if _is_short(ref, situation)]
    causes = (*dict.fromkeys((*unready_owners(unready), *short)), *_elsewhere(item, unready, situation))
    if not causes and situation.knows("daemonsets"):
        newest = max((since for pod in pods if (since := ready_since(pod))), default=None)
        if wait := wait_until(newest, LAG_S, now):
            return wait
    return Fired(
        Ref(kind_name(item), "", item.name),
        "is not ready" if causes or not owned else "is not ready, though all its operands are",
        (*says(item), *_outdated(owned, situation)),
        (describe(item), kubectl("get", "pods", "-o", "wide", purpose="which operand is the first that is not ready?",
                                 namespace=operator_namespace(situation))),
        # Something else fails and is told, or comes up on a node that joined: no cause of its own.
        severity=Severity.INFO if causes else Severity.WARNING,
        follows=causes,
    )  # fmt: skip


def _waits_since(item: OperatorResource, pods: list[Pod]) -> datetime | None:
    """Return since when the operator waits, where it sets no conditions: for the pod that has been unready longest.

    Where all are ready, it has yet to notice the last of them.
    """
    unready = [pod for pod in pods if not is_ready(pod)]
    times = [time for pod in unready or pods if (time := readiness_changed_at(pod)) is not None]
    since = min(times, default=None) if unready else max(times, default=None)
    return max((time for time in (since, item.metadata.creation_timestamp) if time is not None), default=None)


def _is_short(ref: Ref, situation: Situation) -> bool:
    daemonset = situation.get(ref)
    return (
        isinstance(daemonset, DaemonSet) and daemonset.status.number_ready < daemonset.status.desired_number_scheduled
    )


def _elsewhere(item: OperatorResource, unready: list[Pod], situation: Situation) -> tuple[Ref, ...]:
    """Return what else may be why: the nodes of unready operands, upgrades that failed, drivers of their own kind."""
    names = {pod.spec.node_name for pod in unready if pod.spec.node_name}
    names |= {node.name for node in situation.nodes.values() if node.metadata.labels.get(UPGRADE) == "upgrade-failed"}
    nodes = tuple(Ref("Node", "", name) for name in sorted(names))
    if isinstance(item, NvidiaDriver):
        return nodes
    not_ready = [other.name for other in drivers(situation) if other.status.state == "notReady"]
    return (*nodes, *(Ref("NVIDIADriver", "", name) for name in not_ready))


def _outdated(owned: list[Ref], situation: Situation) -> tuple[Evidence, ...]:
    """Return which DaemonSets have pods of an older version; those of the driver are replaced by hand or upgrade."""
    lines = []
    for ref in owned:
        daemonset = situation.get(ref)
        if isinstance(daemonset, DaemonSet):
            status = daemonset.status
            if status.updated_number_scheduled < status.desired_number_scheduled == status.number_ready:
                told = f"{status.updated_number_scheduled} of {counted(status.desired_number_scheduled, 'pod')}"
                lines.append(fact("daemonsets", f"{ref.name}: {told} of the present version", Mark.OPEN))
    return tuple(lines[:3])


RULES: Final[tuple[Rule, ...]] = (
    gpu_policy_ignored,
    gpu_operator_reconcile_failed,
    gpu_operator_blind,
    gpu_operands_not_ready,
    gpu_operator_ready_in_name,
)
