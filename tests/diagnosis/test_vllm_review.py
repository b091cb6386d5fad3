"""How model servers are set up: each weak point alone, a set-up without any, and what cannot be told."""

from typing import Any, Final

import pytest

from diagnosis.engine import Engine, diagnose
from diagnosis.rules import vllm_review
from situation.findings import Finding, Mark, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.readings import Changed, Reading, SourceState
from situation.serving.readings import Software
from situation.serving.view import ServerState, ServerView, server_ref
from tests.build import NOW, Manifest, made, meta, pod, situation
from tests.diagnosis.model_servers import container, deployment, server
from tests.diagnosis.test_vllm_pods import claim

PROBE: Final = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10, "failureThreshold": 60}
MOUNTS: Final = [{"name": "cache", "mountPath": "/root/.cache/huggingface"}, {"name": "shm", "mountPath": "/dev/shm"}]
CACHE: Final = {"name": "cache", "persistentVolumeClaim": {"claimName": "models"}}
VOLUMES: Final = [CACHE, {"name": "shm", "emptyDir": {"medium": "Memory"}}]
MODEL: Final = ("--model", "meta-llama/Llama-3.1-8B-Instruct", "--max-model-len", "8192")
BUDGET: Final[Manifest] = {"kind": "PodDisruptionBudget", "metadata": meta("llm"),
                           "spec": {"selector": {"matchLabels": {"app": "llm"}}, "minAvailable": 1}}  # fmt: skip
SHARED: Final = claim("ReadWriteMany")


def good(*args: str, gpus: int = 1, memory: str | None = "24Gi", **over: Any) -> Manifest:
    """Return a container without a weak point; `over` is laid over."""
    fields = {"startupProbe": PROBE, "volumeMounts": MOUNTS, **over}
    return container(*MODEL, *args, gpus=gpus, memory=memory, **fields)


def autoscaler(metrics: list[Manifest], window: int | None = None, least: int = 2) -> Manifest:
    behavior = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": window}}} if window is not None else {}
    return {"kind": "HorizontalPodAutoscaler", "metadata": meta("llm"),
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "llm"}, "minReplicas": least, "metrics": metrics,
                     **behavior}}  # fmt: skip


CPU: Final = {"type": "Resource", "resource": {"name": "cpu"}}
QUEUE: Final = {"type": "Pods", "pods": {"metric": {"name": "vllm:num_requests_waiting"}}}


def reviews(*manifests: Manifest, missing: dict[str, SourceState] | None = None) -> list[Finding]:
    known = situation(*manifests, missing=missing)
    return [cause for cause in diagnose(known, NOW).causes if cause.rule == "vllm-review"]


def whole(
    of: Manifest | None = None, *more: Manifest, volumes: list[Manifest] = VOLUMES, **over: Any
) -> list[Manifest]:
    spec = {"volumes": volumes}
    return [deployment(of or good(), spec=spec, **over), BUDGET, SHARED, *more]


def limits(**amounts: str) -> Manifest:
    return {"resources": {"limits": {"nvidia.com/gpu": "1", **amounts}}}


POINTS: Final[dict[str, tuple[list[Manifest], str, str]]] = {
    "CPU limit": (whole(good(**limits(cpu="8", memory="24Gi"))), "CPU limit", "CPU limit 8: throttling"),
    "no memory limit": (whole(good(memory=None)), "no memory limit", "(16 to 24 Gi for 8B by its name)"),
    "low memory limit": (whole(good(memory="8Gi")), "low memory limit", "memory limit 8Gi is below the rule of thumb"),
    "no startup probe": (whole(good(startupProbe=None)), "no startup probe", "loading takes 60 to 120 s"),
    "liveness delay": (
        whole(good(startupProbe=None, livenessProbe={**PROBE, "failureThreshold": 3, "initialDelaySeconds": 300})),
        "no startup probe", "initialDelaySeconds 300 stands in for it: the liveness probe kills it after 5m30s",
    ),
    "short window": (
        whole(good(startupProbe={**PROBE, "failureThreshold": 6})), "short startup probe", "startupProbe allows 60s",
    ),
    "no /dev/shm": (
        whole(good("-tp", "2", gpus=2, volumeMounts=MOUNTS[:1])), "shared memory", "NCCL gets 64 MiB",
    ),
    "/dev/shm on a disk": (
        whole(good("-tp", "2", gpus=2), volumes=[CACHE, {"name": "shm", "emptyDir": {}}]), "shared memory", "NCCL",
    ),
    "no volume": (
        whole(good(volumeMounts=[]), volumes=[]), "no model volume", "it is downloaded at every start",
    ),
    "an emptyDir keeps nothing": (
        whole(volumes=[{"name": "cache", "emptyDir": {}}, VOLUMES[1]]), "no model volume", "at every start",
    ),
    "a claim of one node": (
        [deployment(good(), spec={"volumes": VOLUMES}), BUDGET, claim("ReadWriteOnce")],
        "claim of one node", "2 replicas share claim models (ReadWriteOnce)",
    ),
    "one replica": (whole(replicas=1), "one replica", "an outage"),
    "one replica at night": (whole(None, autoscaler([QUEUE], least=1)), "one replica", "an outage"),
    "no budget": ([*whole()[:1], SHARED], "no disruption budget", "a drain may take all replicas at once"),
    "too much memory": (
        whole(good("--gpu-memory-utilization", "0.97")), "high memory share", "utilization 0.97: above 0.9",
    ),
    "no context limit": (
        whole(good(args=["--model", "meta/Llama-3-8B"])), "no context limit", "--max-model-len is not set",
    ),
    "too few GPUs": (whole(good("-tp", "4", gpus=2)), "GPUs", "is 4, and it asks for 2 nvidia.com/gpu: it will not"),
    "idle GPUs": (whole(good(gpus=4)), "GPUs", "is 1, and it asks for 4 nvidia.com/gpu: the others stay idle"),
    "autoscaler on CPU": (whole(None, autoscaler([CPU])), "autoscaler", "autoscaler llm looks at cpu only"),
    "autoscaler in a hurry": (whole(None, autoscaler([QUEUE], 60)), "scale-down window", "scales down after 60 s"),
    "sidecar by annotation": (
        whole(template_meta={"annotations": {"sidecar.istio.io/inject": "true"}}), "sidecar", "sidecar.istio.io",
    ),
    "sidecar by namespace": (
        whole(None, {"kind": "Namespace", "metadata": meta("shop", "", labels={"istio-injection": "enabled"})}),
        "sidecar", "its namespace is labelled istio-injection=enabled",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manifests", "name", "text"), POINTS.values(), ids=list(POINTS))
def test_each_weak_point_alone(manifests: list[Manifest], name: str, text: str) -> None:
    (found,) = reviews(*manifests)
    assert found.title == f"llm has 1 weak point in its set-up: {name}"
    assert any(text in line.text for line in found.evidence), [line.text for line in found.evidence]
    assert (found.subject, found.severity) == (Ref("Deployment", "shop", "llm"), Severity.INFO)


STREAMED: Final = ["--model", "s3://models/llama-8b", "--max-model-len", "8192"]
SILENT: Final[dict[str, list[Manifest]]] = {
    "all is well": whole(),
    "all is well, four GPUs": whole(good("-tp", "4", "--gpu-memory-utilization=0.9", gpus=4)),
    "an autoscaler on the queue": whole(None, autoscaler([CPU, QUEUE], 600)),
    "scaled to zero": [deployment(container(), replicas=0)],
    "no model server": whole({"image": "shop/web:1"}),
    "a router": whole({"image": "lmcache/lmstack-router:1", "args": ["--port", "8000"]}),
    "a model of the image": whole(good(args=["--model", "/models/llama-8b", "--max-model-len", "1"], volumeMounts=[])),
    "set in a file": whole(good(args=["--config", "/etc/vllm.yaml"])),
    "set by the environment": whole(good(args=[])),
    "streamed weights": whole(good(args=STREAMED, volumeMounts=[])),
    "a volume of a kind that is not read": whole(volumes=[{"name": "cache", "nfs": {"server": "x"}}, VOLUMES[1]]),
    "GPUs of several pods": whole(good("-tp", "8", "--nnodes", "2")),
    "data parallel attention": whole(good("--tp-size", "8", "--dp-size", "8", "--enable-dp-attention", gpus=8)),
    "sidecar turned off": whole(template_meta={"labels": {"app": "llm", "sidecar.istio.io/inject": "false"}}),
}


@pytest.mark.parametrize("manifests", SILENT.values(), ids=list(SILENT))
def test_what_is_well_is_silent(manifests: list[Manifest]) -> None:
    assert reviews(*manifests) == []


def test_a_large_model_needs_a_longer_window() -> None:
    large = ["--model", "m/Llama-70B", "--max-model-len", "1", "-tp", "4"]
    (found,) = reviews(*whole(good(args=large, gpus=4, memory="64Gi")))
    assert "the model takes 15 to 30 minutes when cold (by its name)" in found.evidence[0].text


def test_several_points_are_one_finding() -> None:
    (found,) = reviews(deployment(container("--dtype", "auto", memory=None), replicas=1))
    assert found.title.startswith("llm has 4 weak points in its set-up: no memory limit, no startup probe")
    assert len(found.evidence) == 4


def test_a_claim_template_of_a_statefulset_is_one_for_each_replica() -> None:
    made_of = deployment(good(), spec={"volumes": VOLUMES[1:]})
    assert reviews({**made_of, "kind": "StatefulSet"}, BUDGET) == []


def test_what_was_not_read_is_said_to_be_open() -> None:
    gone = dict.fromkeys(("poddisruptionbudgets", "horizontalpodautoscalers"), SourceState.FORBIDDEN)
    (found,) = reviews(*whole(good(memory=None))[:1], missing=gone)
    assert found.title == "llm has 1 weak point in its set-up: no memory limit"
    open_ = [line.text for line in found.evidence if line.mark is Mark.OPEN]
    assert [text.partition(":")[0] for text in open_] == [
        "whether a disruption budget protects it", "whether and how it is scaled", "how its claims may be shared",
    ]  # fmt: skip


def test_without_istio_nobody_gets_a_sidecar() -> None:
    manifests = whole(template_meta={"annotations": {"sidecar.istio.io/inject": "true"}})
    assert reviews(*manifests, missing={"virtualservices": SourceState.ABSENT}) == []


def test_a_budget_that_goes_is_noticed() -> None:
    known, engine = situation(*whole()), Engine()
    assert not [cause for cause in engine.judge(known, (), NOW).causes if cause.rule == "vllm-review"]
    gone = Reading("kubernetes/poddisruptionbudgets", SourceState.LIVE, NOW,
                   Changed("poddisruptionbudgets", removed=(("shop", "llm"),)))  # fmt: skip
    found = engine.judge(known, known.apply(gone), NOW).causes
    assert "no disruption budget" in next(cause.title for cause in found if cause.rule == "vllm-review")


def test_a_pod_of_its_own_is_reviewed_as_a_server() -> None:
    alone = pod("llm-1", container=container(*MODEL, memory=None), node="gpu-1")
    owned = server(*MODEL, memory=None, name="llm-2")
    known = situation(alone, owned)

    def verdict(name: str) -> Any:
        view = ServerView(server_ref(("shop", name), ""), name, Software.VLLM, ServerState.HEALTHY, "", ("shop", name))
        return vllm_review.vllm_review.judge(view, known, NOW)

    assert isinstance(made(alone), Pod)
    assert verdict("llm-1").about == Ref("Pod", "shop", "llm-1")
    assert verdict("llm-1").title.endswith("no memory limit, no startup probe, no model volume, no workload")
    assert type(verdict("llm-2")).__name__ == "Clear", "its workload is reviewed"
    assert type(verdict("llm-3")).__name__ == "Clear"
