"""What the GPU Operator says in the status of its resources, as evidence, and the commands that show it."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from diagnosis.commands import fact, kubectl, pods_on, shorten
from diagnosis.gpu_facts import MIG_MANAGER, named, operands_on, operator_namespace
from diagnosis.node_agents import Agent, agents
from situation.cluster import Node
from situation.findings import Command, Evidence
from situation.gpu.components import component_of
from situation.gpu.links import Component
from situation.gpu.offer import gpu_resources
from situation.gpu.operator import ClusterPolicy, NvidiaDriver, OperatorResource
from situation.logs import LogTarget, log_target
from situation.meta import Condition, Ref, find_condition
from situation.pods import Pod
from situation.selectors import container_pairs, has_run
from situation.situation import Situation
from situation.workloads import PodDisruptionBudget

RESOURCES: Final = {
    "ClusterPolicy": "clusterpolicies.nvidia.com",
    "NVIDIADriver": "nvidiadrivers.nvidia.com",
    "GPUCluster": "gpuclusters.nvidia.com",
}
"""With their group: other projects have a ClusterPolicy too."""

WHICH_OPERAND: Final = "which is the first operand of the chain that is not ready?"
"""The purpose of a look at the operands of a node."""


def kind_name(item: OperatorResource) -> str:
    """Return the manifest kind of one of the operator's resources."""
    return (
        "ClusterPolicy"
        if isinstance(item, ClusterPolicy)
        else "NVIDIADriver"
        if isinstance(item, NvidiaDriver)
        else "GPUCluster"
    )


def describe(item: OperatorResource) -> Command:
    """Return the command that shows what the operator says about one of its resources."""
    return kubectl("describe", RESOURCES[kind_name(item)], item.name, purpose="what does the operator say?")


def operator_log(situation: Situation) -> Command:
    """Return the command that shows the operator's log."""
    return kubectl("logs", "deployment/gpu-operator", "--tail=100", purpose="what does the operator report?",
                   namespace=operator_namespace(situation))  # fmt: skip


def says(item: OperatorResource) -> tuple[Evidence, ...]:
    """Return the state and the conditions of one of the operator's resources as evidence."""
    kind = RESOURCES[kind_name(item)].partition(".")[0]
    lines = [fact(kind, f"state {item.status.state or 'not set'}")]
    for condition in item.status.conditions:
        if condition.message:
            text = f"{condition.type}={condition.status} {condition.reason}: {shorten(condition.message, 300)}"
            lines.append(fact(kind, text))
    return tuple(lines[:3])


def trouble(item: OperatorResource, *reasons: str) -> Condition | None:
    """Return the condition `Error` if it is set for one of `reasons`."""
    condition = find_condition(item.status.conditions, "Error")
    return condition if condition is not None and condition.status == "True" and condition.reason in reasons else None


def capacity_evidence(node: Node) -> Evidence:
    """Return what a node has and offers of its GPUs."""
    names = sorted(gpu_resources(node.status.capacity)) or ["nvidia.com/gpu"]
    numbers = [
        f"{name}: capacity {node.status.capacity.get(name, 'absent')}, "
        f"allocatable {node.status.allocatable.get(name, 'absent')}"
        for name in names
    ]
    return fact("nodes", "; ".join(numbers))


def operand_commands(node: Node, situation: Situation) -> tuple[Command, ...]:
    """Return the commands that show the operands of a node, and what all nodes offer."""
    columns = "N:.metadata.name,CAP:.status.capacity.nvidia\\.com/gpu,ALLOC:.status.allocatable.nvidia\\.com/gpu"
    namespace = next((pod.namespace for pod in operands_on(node.name, situation)), operator_namespace(situation))
    return (
        pods_on(node.name, purpose=WHICH_OPERAND, namespace=namespace),
        kubectl("get", "nodes", "-o", f"custom-columns={columns}", purpose="which nodes offer how many GPUs?"),
    )


def operand_log(pod: Pod, container: str, purpose: str) -> tuple[Command, ...]:
    """Return the command that shows the log of an operand's container, none while it has never run."""
    if not any(status.name == container and has_run(status) for _, status in container_pairs(pod)):
        return ()
    return (
        kubectl("logs", pod.name, "-c", container, "--tail=200", purpose=purpose, namespace=pod.namespace,
                log=LogTarget(pod.namespace, pod.name, container)),
    )  # fmt: skip


def plugin_of(pods: Iterable[Pod]) -> Pod | None:
    """Return the device plugin's pod among these."""
    return next((pod for pod in pods if component_of(pod) is Component.PLUGIN), None)


def plugin_log(pods: Iterable[Pod], purpose: str) -> tuple[Command, ...]:
    """Return the command that shows the device plugin's log, none without one or while it has never run."""
    plugin = plugin_of(pods)
    if plugin is None:
        return ()
    names = [container.name for container in plugin.spec.containers]
    main = next((name for name in names if name.startswith("nvidia-")), names[0] if names else "")
    return operand_log(plugin, main, purpose)


def manager_log(pods: Iterable[Pod]) -> tuple[Command, ...]:
    """Return the command that shows the log of the MIG manager among these pods, none without one."""
    manager = named(pods, MIG_MANAGER)
    if manager is None:
        return ()
    return (
        kubectl("logs", manager.name, "--tail=200", purpose="which step failed?", namespace=manager.namespace,
                log=log_target(manager)),
    )  # fmt: skip


def manager_owners(situation: Situation) -> tuple[Ref, ...]:
    """Return the DaemonSets of the MIG manager."""
    return tuple(ref for ref in agents(situation, Agent.GPU) if ref.name.startswith(MIG_MANAGER))


def blockers(pods: Iterable[Pod], budgets: Iterable[PodDisruptionBudget]) -> tuple[Evidence, ...]:
    """Return who holds GPUs, and which disruption budgets forbid to evict them, as evidence."""
    lines = [fact("pods", f"holds GPUs: {pod.namespace}/{pod.name}") for pod in islice(pods, 4)]
    lines += [
        fact("poddisruptionbudgets", f"{budget.namespace}/{budget.name} allows no eviction now")
        for budget in islice(budgets, 2)
    ]
    return tuple(lines)
