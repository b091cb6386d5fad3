"""Model servers as manifests: pods of Deployment llm with their arguments, limits and states, and GPU nodes."""

from typing import Any, Final

from diagnosis.engine import diagnose
from diagnosis.log_catalogue.signature import Weight
from diagnosis.log_signatures import find_signatures
from situation.findings import Diagnosis, Finding
from situation.log_reads import LOG_SOURCE, LogRead, LogSaid, RunRead
from situation.meta import Ref
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, meta, node, pod, situation
from tests.diagnosis.pod_faults import looping

H100_MIB: Final = "81559"
OWNED: Final[dict[str, Any]] = {"owner": "ReplicaSet/llm-5d8", "labels": {"app": "llm", "pod-template-hash": "5d8"}}
ME: Final = Ref("Pod", "shop", "llm-1")


def container(*args: str, gpus: int | str = 1, memory: str | None = "64Gi", **more: Any) -> Manifest:
    """Return vLLM's container with these arguments."""
    limits: Manifest = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    if memory is not None:
        limits["memory"] = memory
    return {
        "image": "vllm/vllm-openai:v0.11.0",
        "args": list(args),
        "ports": [{"containerPort": 8000}],
        "resources": {"limits": limits},
        **more,
    }


def server(
    *args: str,
    gpus: int | str = 1,
    memory: str | None = "64Gi",
    of: Manifest | None = None,
    name: str = "llm-1",
    spec: Manifest | None = None,
    **over: Any,
) -> Manifest:
    """Return a pod of Deployment llm on gpu-1 that crashes (exit 1, 4 restarts) unless told otherwise."""
    fields: dict[str, Any] = {"ready": False, "node": "gpu-1", "container_status": looping(), **OWNED, **over}
    made = {**container(*args, gpus=gpus, memory=memory), **(of or {})}
    return pod(name, container=made, spec=spec, **fields)


def gpu_node(memory: str | None = H100_MIB, **labels: str) -> Manifest:
    """Return node gpu-1 with 8 GPUs of that many MiB."""
    told = {"nvidia.com/gpu.memory": memory} if memory is not None else {}
    have = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8"}
    return node("gpu-1", labels={**told, **labels}, status={"capacity": have, "allocatable": have})


def said(log: str) -> tuple[LogSaid, ...]:
    return tuple(
        LogSaid(
            match.signature.id,
            match.signature.meaning,
            match.text,
            match.line,
            match.signature.weight is Weight.FAULT,
            match.explained_by,
        )
        for match in find_signatures(log)
    )


def read(log: str, number: int = 4, name: str = "llm-1") -> Reading:
    """Return the reading of a log that somebody read: of run `number`, the last that `looping()` ended."""
    value = LogRead("shop", name, f"uid-{name}", "app", (RunRead(number, said(log)),), NOW)
    return Reading(LOG_SOURCE, SourceState.LIVE, NOW, value)


def known(*manifests: Manifest, log: str | None = None, number: int = 4) -> Situation:
    """Return a Situation of just these, with the log of llm-1 if it was read."""
    found = situation(*manifests)
    if log is not None:
        found.apply(read(log, number))
    return found


def findings(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for cause in diagnosis.causes for finding in (cause, *cause.consequences)]


def fault(*manifests: Manifest, log: str | None = None, number: int = 4) -> Finding | None:
    """Return what the full set of rules says of pod llm-1, None when it is clear."""
    found = [item for item in findings(diagnose(known(*manifests, log=log, number=number), NOW)) if ME in item.members]
    assert len(found) <= 1, [finding.key for finding in found]
    return found[0] if found else None


def deployment(of: Manifest | None = None, *, replicas: int = 2, spec: Manifest | None = None, **over: Any) -> Manifest:
    """Return Deployment llm with its template."""
    labels = {"app": "llm"}
    template: Manifest = {"metadata": {"labels": labels, **over.pop("template_meta", {})},
                          "spec": {"containers": [{"name": "app", **(of or container())}], **(spec or {})}}  # fmt: skip
    return {
        "kind": "Deployment",
        "metadata": meta("llm", generation=1),
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        "status": {"observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas,
                   "updatedReplicas": replicas},
        **over,
    }  # fmt: skip
