"""Model servers for tests: pods that serve models, and what they say round by round."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.serving.readings import (
    CacheConfig,
    EnginePage,
    Health,
    ModelServer,
    ServedModel,
    ServerPage,
    ServerReading,
    Software,
)
from tests.build import NOW, Manifest, meta, pod

SOURCE: Final = "vllm/servers"
ROUND_S: Final = 10
_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))


def vllm_pod(
    name: str,
    workload: str = "",
    *,
    namespace: str = "inference",
    node: str = "gpu-1",
    model: str = "llama-8b",
    flags: tuple[str, ...] = ("--max-num-seqs", "256"),
    **more: Any,
) -> Manifest:
    """Return a pod that serves a model with vLLM; it belongs to a ReplicaSet of the Deployment `workload`."""
    return pod(
        name,
        namespace=namespace,
        node=node,
        owner=f"ReplicaSet/{workload}-7d9f8b6c5" if workload else "",
        container={"image": "vllm/vllm-openai:v0.33.0", "command": ["vllm", "serve", model, *flags]},
        **more,
    )


def deployment(name: str, ready: int, wanted: int, namespace: str = "inference") -> tuple[Manifest, Manifest]:
    """Return a Deployment, and the ReplicaSet that `vllm_pod` names."""
    set_ = {"kind": "ReplicaSet", "metadata": meta(f"{name}-7d9f8b6c5", namespace, owner=f"Deployment/{name}")}
    return set_, {
        "kind": "Deployment",
        "metadata": meta(name, namespace),
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": name}}},
        "status": {"replicas": wanted, "readyReplicas": ready},
    }


def observed(count: float, at_s: float, slow: float = 0.0, slow_s: float = 5.0) -> Histogram:
    """Return a histogram of `count` observations of `at_s`, and `slow` of `slow_s`."""
    return Histogram.of({bound: count * (at_s <= bound) + slow * (slow_s <= bound) for bound in _BOUNDS})


def engine(round_: int, model: str = "llama-8b", **fields: Any) -> EnginePage:
    """Return the page of a quiet engine at its `round_`th scrape: 20 requests and 12,000 tokens a round."""
    told: dict[str, Any] = {
        "running": 16.0,
        "waiting": 0.0,
        "kv_usage_ratio": 0.42,
        "preemptions": 0.0,
        "prompt_tokens": 40_000.0 * round_,
        "generation_tokens": 12_000.0 * round_,
        "ttft": observed(20.0 * round_, 0.08),
        "itl": observed(12_000.0 * round_, 0.03),
        "prefix_queries": 40_000.0 * round_,
        "prefix_hits": 17_000.0 * round_,
        "cache": CacheConfig(block_size=16, blocks=25_600, max_concurrency=12.5),
        **fields,
    }
    return EnginePage(model, **told)


def said(name: str, *engines: EnginePage, namespace: str = "inference", at: datetime = NOW, **fields: Any) -> Reading:
    """Return what a server said in one round."""
    told: dict[str, Any] = {
        "page": ServerPage(Software.VLLM, engines),
        "health": Health.OK,
        "version": "0.33.0",
        "models": tuple(ServedModel(item.model) for item in engines),
        **fields,
    }
    key = f"{namespace}/{name}:8000"
    url = f"/api/v1/namespaces/{namespace}/pods/{name}:8000/proxy"
    server = ModelServer(key, Software.VLLM, (namespace, name), "proxy", url, **told)
    return Reading(SOURCE, SourceState.LIVE, at, ServerReading(server, at), fresh_for_s=30.0)


def rounds(minutes: float = 5, now: datetime = NOW) -> Iterator[tuple[int, datetime]]:
    """Yield (number, time) of the rounds of the last minutes, oldest first."""
    count = int(minutes * 60 / ROUND_S)
    for number in range(count + 1):
        yield number, now - timedelta(seconds=ROUND_S * (count - number))


def quiet(name: str, model: str = "llama-8b", *, minutes: float = 5, **fields: Any) -> list[Reading]:
    """Return the rounds of a server that is well."""
    return [said(name, engine(number, model, **fields), at=at) for number, at in rounds(minutes)]


def overloaded(name: str, model: str = "llama-8b", *, minutes: float = 8) -> list[Reading]:
    """Return the rounds of a server whose queue grows, and whose KV cache is full."""
    return [
        said(
            name,
            engine(
                number,
                model,
                running=256.0,
                waiting=2.0 * number,
                kv_usage_ratio=min(0.97, 0.5 + number / 60),
                preemptions=max(0.0, number - 20.0) * 2,
                ttft=observed(20.0 * number, 0.08, slow=float(number)),
            ),
            at=at,
        )
        for number, at in rounds(minutes)
    ]


def stalled(name: str, model: str = "llama-8b") -> list[Reading]:
    """Return the rounds of a server that has stood still for three minutes."""
    return [said(name, engine(min(number, 12), model, running=8.0), at=at) for number, at in rounds(5)]
