"""The next commands for each answer to "why is this GPU pod Pending"; those that change something come last."""

from collections.abc import Iterable, Iterator
from typing import Final

from diagnosis.commands import kubectl, pods_on
from diagnosis.gpu_places import Place
from diagnosis.gpu_status import WHICH_OPERAND, plugin_log
from diagnosis.gpu_use import Use
from diagnosis.node_agents import Agent, agents
from situation.findings import Command, Effect
from situation.gpu.offer import MIG_STATE
from situation.gpu.operator_namespace import operator_namespace
from situation.gpu.requests import is_gpu
from situation.situation import Situation

_SCALABLE: Final = ("Deployment", "StatefulSet")
TAINT_COLUMNS: Final = "custom-columns=N:.metadata.name,TAINTS:.spec.taints[*].key,EFFECT:.spec.taints[*].effect"


def _escaped(resource: str) -> str:
    return resource.replace(".", "\\.")


def offers(resource: str) -> Command:
    name = _escaped(resource)
    columns = f"N:.metadata.name,CAP:.status.capacity.{name},ALLOC:.status.allocatable.{name}"
    return kubectl("get", "nodes", "-o", f"custom-columns={columns}", purpose=f"which node offers {resource}?")


def layouts() -> Command:
    return kubectl(
        "get", "nodes", "-L", f"nvidia.com/mig.config,{MIG_STATE}", purpose="which MIG layout do nodes have?"
    )


def sharing() -> Command:
    labels = "nvidia.com/gpu.product,nvidia.com/gpu.sharing-strategy,nvidia.com/gpu.replicas"
    return kubectl("get", "nodes", "-L", labels, purpose="which nodes share their GPUs, and how?")


def by_shape(resource: str) -> list[Command]:
    """Return what shows the names under which nodes offer GPUs, for a resource that none of them offers."""
    return [layouts(), offers(resource)] if "mig-" in resource else [offers(resource), sharing()]


def holders(resource: str) -> Command:
    limits = f".spec.containers[*].resources.limits.{_escaped(resource)}"
    columns = f"NS:.metadata.namespace,POD:.metadata.name,NODE:.spec.nodeName,PHASE:.status.phase,WANTS:{limits}"
    return kubectl("get", "pods", "-A", "-o", f"custom-columns={columns}", purpose="who holds them?")


def operands(places: Iterable[Place], situation: Situation) -> Iterator[Command]:
    """Yield what shows the chain of operands on the first of these nodes."""
    namespace = operator_namespace(situation) or next((ref.namespace for ref in agents(situation, Agent.GPU)), "")
    for place in list(places)[:1]:
        node = place.account.node.name
        if namespace:
            yield pods_on(node, purpose=WHICH_OPERAND, namespace=namespace)
        else:
            on_it = f"spec.nodeName={node}"
            yield kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", on_it,
                          purpose="does any device plugin run on it?")  # fmt: skip


def plugin_logs(places: Iterable[Place], situation: Situation) -> Iterator[Command]:
    """Yield the device plugin's log on the first of these nodes: it says which GPU it took out, and why."""
    for place in list(places)[:1]:
        pods = situation.pods_by_node.get(place.account.node.name).values()
        yield from plugin_log(pods, "which GPU is unhealthy, and why?")


def free_idle(use: Use, resource: str) -> Iterator[Command]:
    """Yield how to scale down the biggest holder that keeps all its measured GPUs idle. It changes something."""
    for workload, idle, have in use.idle_by:
        if idle == have and workload.kind in _SCALABLE and is_gpu(resource):
            yield kubectl(
                "scale", f"{workload.kind.lower()}/{workload.name}", "--replicas=0",
                purpose=f"frees {resource} that stands idle, once its owner agrees",
                namespace=workload.namespace, effect=Effect.MUTATING,
            )  # fmt: skip
            return
