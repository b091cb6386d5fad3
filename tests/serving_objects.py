"""Hand-made model servers for tests: their pods, and pages told to a Situation as the collector tells them."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from collectors.vllm.page import parse_server_page
from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.serving.readings import EnginePage, Health, ModelServer, ServerPage, ServerReading, Software
from situation.serving.serving import SOURCE, serving_of
from situation.serving.view import ServerView
from situation.situation import Situation
from tests.build import NOW, Manifest, meta, pod

MODEL: Final = "llama-8b"
URL: Final = "http://10.0.0.9:8000"
BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, float("inf"))
"""Some of vLLM's, none more than 2.5 times the one before."""
STARTED: Final = NOW.timestamp() - 3600


def seconds(**counts: float) -> Histogram:
    """Return a histogram over BOUNDS of observations by upper bound: `at_0_5=3` is three of up to 0.5 s."""
    by_bound = {float(name.removeprefix("at_").replace("_", ".")): count for name, count in counts.items()}
    return Histogram.of({bound: sum(count for le, count in by_bound.items() if le <= bound) for bound in BOUNDS})


def engine(**fields: Any) -> EnginePage:
    """Return an idle engine that was measured; counters stand at 0."""
    made: dict[str, Any] = {
        "model": MODEL,
        "running": 0.0,
        "waiting": 0.0,
        "kv_usage_ratio": 0.0,
        "preemptions": 0.0,
        "prompt_tokens": 0.0,
        "generation_tokens": 0.0,
        "ttft": seconds(),
        "itl": seconds(),
        "finished": {"stop": 0.0, "error": 0.0, "abort": 0.0},
    }
    return EnginePage(**{**made, **fields})


def page(*engines: EnginePage, **fields: Any) -> ServerPage:
    """Return a page of a process that started an hour ago."""
    return ServerPage(**{"software": Software.VLLM, "engines": engines, "started_at": STARTED, **fields})


def server_pod(number: int = 1, *, args: tuple[str, ...] = (), of: str = "llama", **more: Any) -> Manifest:
    """Return a pod of Deployment `of` that serves MODEL with vLLM; as `tests.build.pod` otherwise."""
    serves = {"name": "app", "image": "vllm/vllm-openai:v0.11.0", "args": ["--model", MODEL, *args]}
    made = {"namespace": "ai", "age_s": 3600.0, "owner": f"ReplicaSet/{of}-1", "labels": {"app": of}, **more}
    return pod(f"{of}-1-{number}", **{**made, "container": {**serves, **more.get("container", {})}})


def deployment(replicas: int = 1, *, ready: int | None = None, of: str = "llama") -> tuple[Manifest, Manifest]:
    """Return a Deployment of model servers and its ReplicaSet."""
    counts = {"replicas": replicas, "readyReplicas": replicas if ready is None else ready}
    return (
        {
            "kind": "Deployment",
            "metadata": meta(of, "ai", generation=1),
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": of}}},
            "status": {**counts, "updatedReplicas": replicas, "observedGeneration": 1},
        },
        {
            "kind": "ReplicaSet",
            "metadata": meta(f"{of}-1", "ai", owner=f"Deployment/{of}"),
            "spec": {"replicas": replicas},
            "status": {**counts, "observedGeneration": 1},
        },
    )


def server(number: int | None = None, *, of: str = "llama", **fields: Any) -> ModelServer:
    """Return what a round brought of a pod's server, or of one at URL; `/health` says 200 unless told otherwise."""
    if number is None:
        made: dict[str, Any] = {"key": URL, "origin": "url", "url": URL}
    else:
        name = f"{of}-1-{number}"
        path = f"/api/v1/namespaces/ai/pods/{name}:8000/proxy"
        made = {"key": f"ai/{name}:8000", "pod": ("ai", name), "origin": "proxy", "url": path}
    return ModelServer(**{**made, "software": Software.VLLM, "health": Health.OK, **fields})


def tell(
    known: Situation,
    number: int | None = None,
    *engines: EnginePage,
    ago_s: float = 0.0,
    state: SourceState = SourceState.LIVE,
    **fields: Any,
) -> None:
    """Tell one round of a server; with engines it brought a page of them."""
    at = NOW - timedelta(seconds=ago_s)
    if engines:
        fields = {"page": page(*engines), **fields}
    known.apply(Reading(SOURCE, state, at, ServerReading(server(number, **fields), at), fresh_for_s=30.0))


def view_of(known: Situation, number: int | None = None, now: datetime = NOW) -> ServerView:
    """Return the view of the only server, or that of a pod."""
    servers = serving_of(known, now).servers
    name = f"llama-1-{number}" if number is not None else URL
    (found,) = [item for item in servers if item.ref.name == name]
    return found


def recorded(name: str) -> Iterator[tuple[float, ServerPage]]:
    """Yield the pages of a recording (`preemption`, `queue_saturation`), one a second, with their times in seconds."""
    path = Path(__file__).parent / "data" / f"vllm_{name}.jsonl.gz"
    for line in gzip.decompress(path.read_bytes()).splitlines():
        frame = json.loads(line)
        yield frame["t"], parse_server_page(frame["body"].encode(), name)
