"""Layer 5: nodes whose GPUs are lost, in whole or in part (L5-10, L5-12, L5-13b, L5-14)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, on_node
from diagnosis.gpu_chain import DRIVER_START_S
from diagnosis.gpu_offer import MIG_STATE, PRESENT, UPGRADE, Offer, gpu_offer, gpu_resources, paused_why
from diagnosis.node_agents import Agent, agent_of, agents
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.cluster import Node
from situation.findings import Command, Effect, Evidence, Layer, Mark, Severity
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_node_ready, is_ready, pod_status_text
from situation.situation import Situation

REGISTER_S: Final = 120.0
"""After the device plugin or its node came back, its resource needs seconds to register; two minutes are ample."""
COUNT_S: Final = 300.0
"""GPU feature discovery writes its labels each minute; five minutes after the plugin they agree with the capacity."""
BROKEN_DEVICES: Final = ("gpu-off-bus", "gpu-memory-errors", "gpu-xid")
"""Rules on what the GPUs themselves say: why the device plugin takes one out (`gpu_devices`)."""
_HARD_WAITS: Final = frozenset({"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"})


def _operands(node: Node, situation: Situation) -> list[Pod]:
    on_it = situation.pods_by_node.get(node.name).values()
    return [pod for pod in on_it if agent_of(pod) is Agent.GPU and pod.metadata.controller is not None]


def _plugin(pods: Iterable[Pod]) -> Pod | None:
    return next((pod for pod in pods if pod.name.startswith("nvidia-device-plugin-daemonset")), None)


def _still_starting(pods: Iterable[Pod]) -> bool:
    """Tell whether a driver pod is on its way: not ready, and no container of it failed."""
    return any(
        not is_ready(pod)
        and not any(
            status.state.waiting and status.state.waiting.reason in _HARD_WAITS
            for status in pod.status.init_container_statuses + pod.status.container_statuses
        )
        for pod in pods
        if "driver" in pod.name
    )


def _due(node: Node, situation: Situation, pods: list[Pod], offer: Offer) -> datetime | None:
    """Return until when the GPUs of a node may be away: it joined, came back, or its operands just started."""
    ready = find_condition(node.status.conditions, "Ready")
    came = [node.metadata.creation_timestamp, ready.last_transition_time if ready else None]
    long = offer is Offer.NEVER or _still_starting(pods)
    if long:
        came += [pod.metadata.creation_timestamp for pod in pods]
        came += [
            item.metadata.creation_timestamp for ref in agents(situation, Agent.GPU) if (item := situation.get(ref))
        ]
    elif (plugin := _plugin(pods)) is not None:
        condition = find_condition(plugin.status.conditions, "Ready")
        came.append((condition.last_transition_time if condition else None) or plugin.metadata.creation_timestamp)
    newest = max((time for time in came if time is not None), default=None)
    return newest + timedelta(seconds=DRIVER_START_S if long else REGISTER_S) if newest else None


def _capacity_evidence(node: Node) -> Evidence:
    names = sorted(gpu_resources(node.status.capacity)) or ["nvidia.com/gpu"]
    numbers = [
        f"{name}: capacity {node.status.capacity.get(name, 'absent')}, "
        f"allocatable {node.status.allocatable.get(name, 'absent')}"
        for name in names
    ]
    return fact("nodes", "; ".join(numbers))


def _operand_commands(node: Node, situation: Situation, pods: list[Pod]) -> tuple[Command, ...]:
    namespaces = [pod.namespace for pod in pods] + [ref.namespace for ref in agents(situation, Agent.GPU)]
    columns = "N:.metadata.name,CAP:.status.capacity.nvidia\\.com/gpu,ALLOC:.status.allocatable.nvidia\\.com/gpu"
    return (
        kubectl("get", "pods", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
                purpose="which is the first operand of the chain that is not ready?",
                namespace=namespaces[0] if namespaces else "gpu-operator"),
        kubectl("get", "nodes", "-o", f"custom-columns={columns}", purpose="which nodes offer how many GPUs?"),
    )  # fmt: skip


def _plugin_logs(pods: list[Pod]) -> tuple[Command, ...]:
    plugin = _plugin(pods)
    if plugin is None:
        return ()
    return (
        kubectl("logs", plugin.name, "-c", "nvidia-device-plugin", "--tail=200", purpose="which Xid, which device?",
                namespace=plugin.namespace),
    )  # fmt: skip


@rule(
    "node-gpus-lost",
    signature="L5-10 L5-12 L5-13b",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="capacity and allocatable of nvidia.com/gpu and nvidia.com/mig-*, the node's GPU labels and operands.",
    look_alikes={
        "all GPUs in use": "capacity and allocatable stay; use is never subtracted",
        "MIG or driver change under way": "the node's labels say so: a hint only",
        "a node that just joined": "20 minutes are given, a driver may have to be compiled",
        "a cluster without the GPU Operator's operands": "labels are all that is left of it: a hint only",
        "GPUs given out by DRA or to virtual machines": "the node's labels say so: silent",
    },
)
def node_gpus_lost(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A GPU node offers no GPU at all: the device plugin is not registered, or every GPU is unhealthy."""
    offer = gpu_offer(node)
    if not is_node_ready(node) or offer not in (Offer.NEVER, Offer.GONE, Offer.STOPPED):
        return CLEAR
    pods = _operands(node, situation)
    labels = node.metadata.labels
    paused = paused_why(labels)
    due = _due(node, situation, pods, offer)
    if not paused and due is not None and now < due:
        return wait_until(due, 0, now) or CLEAR
    operands = tuple(agents(situation, Agent.GPU))
    plugin = _plugin(pods)
    serving = plugin is not None and is_ready(plugin)
    title = {
        Offer.NEVER: "has GPUs but offers none: the device plugin never registered",
        Offer.GONE: "offers no GPU any more: the device plugin is not registered",
        Offer.STOPPED: "offers no GPU: " + ("every GPU is unhealthy" if serving else "the device plugin has stopped"),
    }[offer]
    evidence = [_capacity_evidence(node)]
    shown = [f"{name}={labels[name]}" for name in (PRESENT, "nvidia.com/gpu.product", MIG_STATE, UPGRADE)
             if name in labels]  # fmt: skip
    if shown:
        evidence.append(fact("nodes", f"labels: {', '.join(shown)}"))
    unready = [pod for pod in pods if not is_ready(pod) and pod.status.phase != "Succeeded"]
    evidence += [fact("pods", f"{pod.name}: {pod_status_text(pod)}") for pod in unready[:3]]
    if not pods:
        evidence.append(fact("pods", "no GPU operand runs on it"))
    if labels.get("nvidia.com/gpu.product", "").endswith("MIG-INVALID"):
        evidence.append(fact("nodes", "the MIG layout does not fit the strategy `single`"))
    return Fired(
        Ref("Node", "", node.name),
        f"offers no GPU {paused}" if paused else title,
        tuple(evidence),
        (*_operand_commands(node, situation, pods), *_plugin_logs(pods)),
        severity=Severity.INFO if paused or not (pods or operands) else Severity.CRITICAL,
        follows=operands,
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
        f"{pod.namespace}/{pod.name}: {device.resource_id} {device.health}"
        for pod in situation.pods_by_node.get(node.name).values()
        for status in pod.status.container_statuses
        for resource in status.allocated_resources_status
        for device in resource.resources
        if device.health == "Unhealthy"
    ]
    return Fired(
        Ref("Node", "", node.name),
        f"has {lost:.0f} of {counted(round(sum(capacity.values())), 'GPU')} unhealthy",
        (
            _capacity_evidence(node),
            *(fact("pods", f"in use by {user}") for user in users[:4]),
            fact("nodes", "an Xid or ECC fault: the device plugin's log and the kernel's say which", Mark.OPEN),
        ),
        (
            *(_plugin_logs(pods) or _operand_commands(node, situation, pods)[:1]),
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
    plugin = _plugin(pods)
    if total >= expected or plugin is None or not is_ready(plugin) or not is_node_ready(node):
        return CLEAR
    condition = find_condition(plugin.status.conditions, "Ready")
    if wait := wait_until(condition.last_transition_time if condition else None, COUNT_S, now):
        return wait
    return Fired(
        Ref("Node", "", node.name),
        f"shows {total:.0f} of {counted(expected, 'GPU')}",
        (_capacity_evidence(node), fact("nodes", f"labels: gpu.count={count}, gpu.replicas={replicas}")),
        (*_plugin_logs(pods), on_node(node.name, "dmesg", "-T", "--level=err,warn", purpose="Xid 79, off the bus?")),
        follows=(Ref("Node", "", node.name),),
        follows_only=BROKEN_DEVICES,
        node=node.name,
    )


@rule(
    "mig-change-failed",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="label nvidia.com/mig.config.state=failed.",
    look_alikes={"a change under way": "the state is pending or rebooting"},
)
def mig_change_failed(node: Node, situation: Situation, now: datetime) -> Verdict:
    """The MIG manager could not apply the layout that the node's label asks for."""
    labels = node.metadata.labels
    if labels.get(MIG_STATE) != "failed":
        return CLEAR
    managers = [pod for pod in _operands(node, situation) if pod.name.startswith("nvidia-mig-manager")]
    logs = tuple(
        kubectl("logs", pod.name, "--tail=200", purpose="which step failed?", namespace=pod.namespace)
        for pod in managers[:1]
    )
    return Fired(
        Ref("Node", "", node.name),
        f"could not change its MIG layout to {labels.get('nvidia.com/mig.config', 'the one asked for')}",
        (fact("nodes", f"{MIG_STATE}=failed"), _capacity_evidence(node)),
        logs + _operand_commands(node, situation, managers)[:1],
        node=node.name,
    )


RULES: Final[tuple[Rule, ...]] = (node_gpus_lost, gpu_unhealthy, gpu_missing, mig_change_failed)
