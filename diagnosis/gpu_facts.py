"""What the rules about the GPU Operator ask of nodes and operands: discovered or not, paused or not, used by whom."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from diagnosis.node_agents import Agent, agent_of, is_nfd
from diagnosis.placement import wanted
from situation.cluster import Node
from situation.gpu.components import DEPLOY
from situation.gpu.offer import ACCELERATORS, PRESENT, PRODUCT, gpu_resources, is_seen
from situation.gpu.operator import ClusterPolicy, NvidiaDriver
from situation.gpu.operator_namespace import operator_namespace as found_namespace
from situation.gpu.survey import is_operators, survey
from situation.meta import KubernetesObject, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_finished, is_ready
from situation.situation import Situation
from situation.workloads import PodDisruptionBudget

MIG_MANAGER: Final = "nvidia-mig-manager"
FEATURE: Final = "feature.node.kubernetes.io/"
SLICES: Final = "resourceslices"
CLAIMS: Final = "resourceclaims"
GPU_TAINT: Final = "nvidia.com/gpu"


def is_discovered(node: Node) -> bool:
    """Tell whether the operator takes this node for one with a GPU, or did: its own label follows those of NFD."""
    labels = node.metadata.labels
    return labels.get(PRESENT) == "true" or is_seen(labels)


def gpu_signs(node: Node) -> tuple[str, ...]:
    """Return what else shows that a node has an NVIDIA GPU: its capacity's past, labels, a taint. Not proof."""
    labels = node.metadata.labels
    found = [f"capacity has {name}" for name in sorted(gpu_resources(node.status.capacity))]
    if labels.get(PRODUCT):
        found.append(f"label {PRODUCT}={labels[PRODUCT]}")
    found += [f"label {name}={labels[name]}" for name in ACCELERATORS if "nvidia" in labels.get(name, "")]
    found += [f"taint {taint.key}" for taint in node.spec.taints if taint.key == GPU_TAINT]
    return tuple(found)


def is_paused(value: str, by: str) -> bool:
    """Tell whether a deploy label's value says that the operand is paused for `driver-upgrade` or `mig-change`."""
    return value.endswith(f"paused-for-{by}")


def paused_operands(labels: Mapping[str, str], by: str) -> tuple[str, ...]:
    """Return the operands that a node's labels pause for `driver-upgrade` or `mig-change`."""
    return tuple(
        name.removeprefix(DEPLOY)
        for name, value in sorted(labels.items())
        if name.startswith(DEPLOY) and is_paused(value, by)
    )


def operands_on(node: str, situation: Situation) -> tuple[Pod, ...]:
    """Return the operands' pods on a node, those of DaemonSets only, by name."""
    on_it = situation.pods_by_node.get(node).values()
    found = [
        pod
        for pod in on_it
        if (owner := pod.metadata.controller) is not None and owner.kind == "DaemonSet" and agent_of(pod) is Agent.GPU
    ]
    return tuple(sorted(found, key=lambda pod: pod.name))


def named(pods: Iterable[Pod], prefix: str) -> Pod | None:
    """Return the first pod whose `app` label or name starts so."""
    return next(
        (pod for pod in pods if pod.metadata.labels.get("app", "").startswith(prefix) or pod.name.startswith(prefix)),
        None,
    )


def unready_owners(pods: Iterable[Pod]) -> tuple[Ref, ...]:
    """Return the DaemonSets of those pods that are not ready: what fails among them explains the rest."""
    return tuple(
        dict.fromkeys(
            Ref(owner.kind, pod.namespace, owner.name)
            for pod in pods
            if not is_ready(pod) and (owner := pod.metadata.controller) is not None
        )
    )


def ready_since(pod: Pod) -> datetime | None:
    """Return since when a pod is ready, None if it is not or does not say."""
    condition = find_condition(pod.status.conditions, "Ready")
    return condition.last_transition_time if condition is not None and condition.status == "True" else None


def is_nfd_worker(item: KubernetesObject) -> bool:
    """Tell whether a pod or DaemonSet is the part of node feature discovery that runs on each node."""
    return is_nfd(item) and (item.metadata.labels.get("role") == "worker" or "worker" in item.name)


def nfd_workloads(situation: Situation) -> Iterator[Ref]:
    """Yield the workloads of node feature discovery."""
    for key, daemonset in situation.daemonsets.items():
        if is_nfd(daemonset):
            yield Ref("DaemonSet", *key)
    for key, deployment in situation.deployments.items():
        if is_nfd(deployment):
            yield Ref("Deployment", *key)


def policies(situation: Situation) -> tuple[ClusterPolicy, ...]:
    """Return the ClusterPolicies, the one in force first: the oldest, then by name (gpu_operator 3)."""
    found = [item for item in situation.table("clusterpolicies").values() if isinstance(item, ClusterPolicy)]
    return tuple(sorted(found, key=lambda item: (str(item.metadata.creation_timestamp or ""), item.name)))


def drivers(situation: Situation) -> tuple[NvidiaDriver, ...]:
    """Return the NVIDIADrivers by name."""
    found = [item for item in situation.table("nvidiadrivers").values() if isinstance(item, NvidiaDriver)]
    return tuple(sorted(found, key=lambda item: item.name))


def has_operator(situation: Situation) -> bool:
    """Tell whether the GPU Operator is installed, or at least operands of it: a device plugin of its own is none."""
    return situation.once("has-operator", lambda: _has_operator(situation))


def _has_operator(situation: Situation) -> bool:
    found = survey(situation)
    return (
        bool(policies(situation)) or found.operator is not None or any(map(is_operators, situation.daemonsets.values()))
    )


def operator_namespace(situation: Situation) -> str:
    """Return where the operands run, as far as anything tells, else the chart's default."""
    return found_namespace(situation) or "gpu-operator"


def holders(node: Node, situation: Situation) -> tuple[Pod, ...]:
    """Return the unfinished pods on a node that asked for NVIDIA GPUs of it, by namespace and name."""
    names = gpu_resources(node.status.capacity) or {"nvidia.com/gpu": 0.0}
    found = [
        pod
        for pod in situation.gpu_pods_by_node.get(node.name).values()
        if not is_finished(pod) and any(wanted(pod, name) for name in names)
    ]
    return tuple(sorted(found, key=lambda pod: pod.key))


def forbidding_budgets(pods: Iterable[Pod], situation: Situation) -> tuple[PodDisruptionBudget, ...]:
    """Return the disruption budgets that allow none of these pods to be evicted now."""
    held = tuple(pods)
    return tuple(
        budget
        for budget in situation.table("poddisruptionbudgets").values()
        if isinstance(budget, PodDisruptionBudget)
        and budget.status.disruptions_allowed <= 0
        and budget.spec.selector is not None
        and any(pod.namespace == budget.namespace and budget.spec.selector.matches(pod.metadata.labels) for pod in held)
    )
