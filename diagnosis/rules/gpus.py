"""Layer 5: nodes whose GPUs are lost, in whole or in part (L5-10, L5-12, L5-13b)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, on_node
from diagnosis.gpu_causes import cause_refs, next_look
from diagnosis.gpu_status import capacity_evidence, operand_commands, plugin_log, plugin_of
from diagnosis.node_agents import Agent, agent_of
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule, wait_until
from situation.cluster import Node
from situation.findings import Effect, Layer, Mark, Severity
from situation.gpu.by_claim import LOST, count_expected
from situation.gpu.chain import chain_of
from situation.gpu.components import component_of
from situation.gpu.links import Component, LinkState
from situation.gpu.offer import MIG_STATE, PRESENT, PRODUCT, UPGRADE, Offer, gpu_offer, gpu_resources, paused_why
from situation.gpu.survey import survey
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_node_ready, is_ready, pod_status_text, unhealthy_devices
from situation.situation import Situation

COUNT_S: Final = 300.0
"""GPU feature discovery writes its labels each minute; five minutes after the plugin they agree with the capacity."""
WHICH_XID: Final = "which Xid, which device?"
BROKEN_DEVICES: Final = ("gpu-off-bus", "gpu-memory-errors", "gpu-xid")
"""Rules on what the GPUs themselves say: why the device plugin takes one out (`gpu_devices`)."""


def _operands(node: Node, situation: Situation) -> list[Pod]:
    on_it = situation.pods_by_node.get(node.name).values()
    return [pod for pod in on_it if agent_of(pod) is Agent.GPU and pod.metadata.controller is not None]


def _may_follow(labels: Mapping[str, str]) -> bool:
    """Tell whether a MIG layout, a driver upgrade or its discovery may be why: what is found of these explains it."""
    return (
        bool(paused_why(labels))
        or labels.get(PRESENT) != "true"
        or labels.get(MIG_STATE) == "failed"
        or labels.get(UPGRADE) == "upgrade-failed"
        or "nvidia.com/mig.strategy" in labels
        or labels.get(PRODUCT, "").endswith("MIG-INVALID")
    )


@rule(
    "node-gpus-lost",
    signature="L5-10 L5-12 L5-13b",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="capacity and allocatable of nvidia.com/gpu and nvidia.com/mig-*, the node's GPU labels, its GPU chain.",
    look_alikes={
        "all GPUs in use": "capacity and allocatable stay; use is never subtracted",
        "MIG or driver change under way": "the node's labels say so: a hint only",
        "a node that just joined": "20 minutes are given, a driver may have to be compiled",
        "a cluster without the GPU Operator's operands": "labels are all that is left of it: a hint only",
        "GPUs given out by DRA or to virtual machines": "the node's labels say so, or the DaemonSet of a DRA driver "
        "with a container `gpus` selects it, and none of a device plugin: silent",
    },
)
def node_gpus_lost(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A GPU node offers no GPU at all: the device plugin is not registered, or every GPU is unhealthy."""
    offer = count_expected(node, situation).offer
    if not is_node_ready(node) or offer not in LOST:
        return CLEAR
    pods = _operands(node, situation)
    labels = node.metadata.labels
    paused = paused_why(labels)
    chain = chain_of(node.name, situation, now)
    link = chain.link(Component.CAPACITY) if chain else None
    if chain is None or link is None or link.state in (LinkState.UNKNOWN, LinkState.NOT_WANTED):
        return CLEAR
    if not paused and link.state in (LinkState.WAITING, LinkState.STARTING) and chain.cause_of(link) is None:
        return Wait(next_look(chain, now))
    brought = survey(situation).installed or any(component_of(pod) is not Component.EXPORTER for pod in pods)
    plugin = plugin_of(pods)
    serving = plugin is not None and is_ready(plugin)
    title = {
        Offer.NEVER: "has GPUs but offers none: the device plugin never registered",
        Offer.GONE: "offers no GPU any more: the device plugin is not registered",
        Offer.STOPPED: "offers no GPU: " + ("every GPU is unhealthy" if serving else "the device plugin has stopped"),
    }[offer]
    evidence = [capacity_evidence(node)]
    shown = [f"{name}={labels[name]}" for name in (PRESENT, PRODUCT, MIG_STATE, UPGRADE)
             if name in labels]  # fmt: skip
    if shown:
        evidence.append(fact("nodes", f"labels: {', '.join(shown)}"))
    unready = [pod for pod in pods if not is_ready(pod) and pod.status.phase != "Succeeded"]
    evidence += [fact("pods", f"{pod.name}: {pod_status_text(pod)}") for pod in unready[:3]]
    if not pods:
        evidence.append(fact("pods", "no GPU operand runs on it"))
    reads = (*operand_commands(node, situation), *plugin_log(pods, WHICH_XID))
    if plugin is not None and serving and offer is not Offer.STOPPED:
        reads = (*plugin_log(pods, "why does it register no GPU?"), *operand_commands(node, situation))
        evidence.append(fact("pods", f"{plugin.name} is Ready and registers no GPU: its log tells", Mark.OPEN))
    if labels.get(PRODUCT, "").endswith("MIG-INVALID"):
        evidence.append(fact("nodes", "the MIG layout does not fit the strategy `single`"))
    return Fired(
        Ref("Node", "", node.name),
        f"offers no GPU {paused}" if paused else title,
        tuple(evidence),
        reads,
        severity=Severity.CRITICAL if brought and not paused else Severity.INFO,
        follows=(*cause_refs(chain, situation), *((Ref("Node", "", node.name),) if _may_follow(labels) else ())),
        node=node.name,
    )


@rule(
    "gpu-unhealthy",
    signature="L5-12",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="allocatable below capacity for nvidia.com/gpu or nvidia.com/mig-*; health of devices in pods' status.",
    look_alikes={
        "node-gpus-lost": "there nothing is allocatable",
        "gpu-missing": "there capacity itself is smaller than the machine's count",
    },
)
def gpu_unhealthy(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Some GPUs of a node are marked unhealthy; they stay so until the device plugin restarts."""
    if not is_node_ready(node) or gpu_offer(node) is not Offer.PARTLY:
        return CLEAR
    capacity, allocatable = gpu_resources(node.status.capacity), gpu_resources(node.status.allocatable)
    lost = sum(max(0.0, total - allocatable.get(name, 0.0)) for name, total in capacity.items())
    pods = _operands(node, situation)
    users = [
        f"{pod.namespace}/{pod.name}: {device} Unhealthy"
        for pod in situation.pods_by_node.get(node.name).values()
        for device in unhealthy_devices(pod)
    ]
    return Fired(
        Ref("Node", "", node.name),
        f"has {lost:.0f} of {counted(round(sum(capacity.values())), 'GPU')} unhealthy",
        (
            capacity_evidence(node),
            *(fact("pods", f"in use by {user}") for user in users[:4]),
            fact("nodes", "an Xid or ECC fault: the device plugin's log and the kernel's say which", Mark.OPEN),
        ),
        (
            *(plugin_log(pods, WHICH_XID) or operand_commands(node, situation)[:1]),
            on_node(node.name, "nvidia-smi", "-q", "-d", "ECC,ROW_REMAPPER", purpose="which GPU, what error?"),
            on_node(node.name, "dmesg", "-T", "--level=err,warn", purpose="which Xid does the kernel report?"),
            kubectl("cordon", node.name, purpose="keep new pods off it once confirmed", effect=Effect.MUTATING),
        ),
        follows=(Ref("Node", "", node.name),),
        follows_only=BROKEN_DEVICES,
        node=node.name,
    )  # fmt: skip


@rule(
    "gpu-missing",
    signature="L5-13b",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="the label nvidia.com/gpu.count (times replicas) against the capacity, on nodes without MIG.",
    look_alikes={"gpu-unhealthy": "there capacity counts the GPU, allocatable does not"},
)
def gpu_missing(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node shows fewer GPUs than were discovered: one may have fallen off the bus."""
    labels = node.metadata.labels
    capacity = gpu_resources(node.status.capacity)
    total = sum(capacity.values())
    count, replicas = labels.get("nvidia.com/gpu.count", ""), labels.get("nvidia.com/gpu.replicas", "1")
    if not count.isdigit() or not replicas.isdigit() or gpu_offer(node) is not Offer.ALL or paused_why(labels):
        return CLEAR
    if any(name.startswith("nvidia.com/mig-") for name in capacity) or labels.get("nvidia.com/mig.strategy") == "mixed":
        return CLEAR
    expected = int(count) * max(1, int(replicas))
    pods = _operands(node, situation)
    plugin = plugin_of(pods)
    if total >= expected or plugin is None or not is_ready(plugin) or not is_node_ready(node):
        return CLEAR
    condition = find_condition(plugin.status.conditions, "Ready")
    if wait := wait_until(condition.last_transition_time if condition else None, COUNT_S, now):
        return wait
    return Fired(
        Ref("Node", "", node.name),
        f"shows {total:.0f} of {counted(expected, 'GPU')}",
        (capacity_evidence(node), fact("nodes", f"labels: gpu.count={count}, gpu.replicas={replicas}")),
        (
            *plugin_log(pods, WHICH_XID),
            on_node(node.name, "dmesg", "-T", "--level=err,warn", purpose="Xid 79, off the bus?"),
        ),
        follows=(Ref("Node", "", node.name),),
        follows_only=BROKEN_DEVICES,
        node=node.name,
    )


RULES: Final[tuple[Rule, ...]] = (node_gpus_lost, gpu_unhealthy, gpu_missing)
