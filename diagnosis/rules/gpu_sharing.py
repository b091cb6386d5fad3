"""Layer 5: GPUs that several teams share without isolation (gpu_operator 5)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.gpu_facts import holders
from diagnosis.placement import wanted
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.cluster import Node
from situation.findings import Evidence, Layer, Severity
from situation.gpu.offer import PRODUCT, gpu_resources
from situation.meta import Ref
from situation.pods import Pod
from situation.situation import Situation

STRATEGY: Final = "nvidia.com/gpu.sharing-strategy"
NOT_ISOLATED: Final[Mapping[str, str]] = {
    "time-slicing": "time-slicing isolates nothing: one pod can fill the memory of all, and turns are not weighted",
    "mps": "MPS isolates no faults: one client's fatal error ends all clients of that GPU",
}
"""What a way of sharing does not give; MIG would give all of it (gpu_operator 5)."""


def _asked_for(pod: Pod, node: Node) -> int:
    return round(sum(wanted(pod, name) for name in gpu_resources(node.status.capacity)))


@rule(
    "gpus-shared-without-isolation",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="labels of the sharing strategy and the replicas; what the node's pods ask for, and their namespaces.",
    look_alikes={"sharing within one namespace": "a team shares with itself: silent"},
)
def gpus_shared_without_isolation(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Pods of several namespaces are on the same GPUs, by time-slicing or MPS, without isolation from each other."""
    labels = node.metadata.labels
    strategy = labels.get(STRATEGY, "")
    count, replicas = labels.get("nvidia.com/gpu.count", ""), labels.get("nvidia.com/gpu.replicas", "")
    if strategy not in NOT_ISOLATED or not count.isdigit() or not replicas.isdigit() or int(replicas) < 2:
        return CLEAR
    pods = holders(node, situation)
    namespaces = sorted({pod.namespace for pod in pods})
    used = sum(_asked_for(pod, node) for pod in pods)
    if len(namespaces) < 2 or used <= int(count):
        return CLEAR  # no GPU has two holders for sure, or they are of one team
    group = f"{labels.get(PRODUCT, 'GPU').removesuffix('-SHARED')} ({strategy}, {replicas} replicas)"
    shown = (
        fact(
            "nodes", f"{node.name}: {used} of {int(count) * int(replicas)} slots of {counted(int(count), 'GPU')} in use"
        ),
        fact("pods", f"namespaces: {shorten(', '.join(namespaces), 120)}"),
        fact("nodes", NOT_ISOLATED[strategy]),
        *_more_than_one(pods, node),
    )
    return Fired(
        Ref("NodeGroup", "", group),
        "shares GPUs between namespaces without isolation",
        shown,
        (
            kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
                    purpose="who shares its GPUs?"),
        ),
    )  # fmt: skip


def _more_than_one(pods: tuple[Pod, ...], node: Node) -> tuple[Evidence, ...]:
    """Return which pods ask for several slots: these may all be of one GPU, and give no more of its time."""
    several = [f"{pod.namespace}/{pod.name}" for pod in pods if _asked_for(pod, node) > 1]
    if not several:
        return ()
    return (fact("pods", f"several slots are not several GPUs: {shorten(', '.join(several), 120)}"),)


RULES: Final[tuple[Rule, ...]] = (gpus_shared_without_isolation,)
