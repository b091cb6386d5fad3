"""Pods without a node, nodes with GPUs, and what the rules about them say first."""

from collections.abc import Iterable
from typing import Any

from diagnosis.rule import Fired, Rule
from diagnosis.rules import scheduling
from situation.findings import Finding
from situation.pods import Pod
from situation.readings import SourceState
from tests.build import NOW, Manifest, ago, judged, made, node, pod, situation

GPU = "nvidia.com/gpu"
IDS = {rule.id for rule in scheduling.RULES}


def waiting(
    message: str = "", *, name: str = "llm-1", age_s: float = 300, reason: str = "Unschedulable", **over: Any
) -> Manifest:
    """Return a pod without a node whose scheduler says `message`; no condition at all if it is empty."""
    conditions = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": ago(age_s),
        }
    ]
    status = {"conditions": conditions if message else [], "containerStatuses": []}
    return pod(name, node="", phase="Pending", ready=False, age_s=age_s, status=status, **over)


def wants(**resources: str) -> Manifest:
    """Return a container that limits these resources; `gpu` stands for the NVIDIA resource."""
    return {"resources": {"limits": {GPU if name == "gpu" else name: amount for name, amount in resources.items()}}}


def gpu_node(name: str, capacity: str | None = "8", allocatable: str | None = None, **over: Any) -> Manifest:
    have = {"cpu": "64", "memory": "512Gi", "pods": "110"}
    offered = capacity if allocatable is None else allocatable
    status = {
        "capacity": {**have, **({GPU: capacity} if capacity is not None else {})},
        "allocatable": {**have, **({GPU: offered} if offered is not None else {})},
    }
    return node(name, status=status, **over)


def none_of(total: int, *reasons: str) -> str:
    return f"0/{total} nodes are available: {', '.join(reasons)}. preemption: 0/{total} nodes are available: {total} x."


def first(
    subject: Manifest, *others: Manifest, missing: dict[str, SourceState] | None = None
) -> tuple[Rule, Fired] | None:
    """Return what fires first for a pod, as the engine does."""
    known = situation(subject, *others, missing=missing)
    found = made(subject)
    assert isinstance(found, Pod)
    for rule in scheduling.RULES:
        if rule.kind == "Pod" and isinstance(verdict := rule.judge(found, known, NOW), Fired):
            return rule, verdict
    return None


def ours(manifests: Iterable[Manifest]) -> list[Finding]:
    """Return the findings of this family in a whole diagnosis."""
    every = [item for cause in judged(*manifests).causes for item in (cause, *cause.consequences)]
    return [finding for finding in every if finding.rule in IDS]


def texts(fired: Fired) -> str:
    return "\n".join(line.text for line in fired.evidence)


def offering(name: str, labels: dict[str, str] | None = None, **resources: str) -> Manifest:
    """Return a node that has and offers these GPU resources."""
    have = {"cpu": "64", "memory": "512Gi", "pods": "110", **resources}
    return node(name, labels=labels or {}, status={"capacity": have, "allocatable": have})


def held(where: str, gpus: int, name: str = "train-0", owner: str = "StatefulSet/train") -> Manifest:
    """Return a running pod of namespace `ml` that holds GPUs of a node."""
    return pod(name, node=where, owner=owner, namespace="ml", container=wants(gpu=str(gpus)))


def asks(resource: str = GPU, amount: int = 1, *others: str, **over: Any) -> Manifest:
    """Return a pod that waits for a resource; `others` are what the scheduler says beside that it is insufficient."""
    message = none_of(9, f"9 Insufficient {resource}", *others)
    return waiting(message, container={"resources": {"limits": {resource: str(amount)}}}, **over)
