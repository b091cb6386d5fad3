"""What one model server says of itself: its metrics, health, version and models. Cumulative values as scraped."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from situation.histograms import Histogram
from situation.meta import ObjectKey


class Software(StrEnum):
    """What serves. The names are those of the projects."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    TGI = "TGI"
    TRITON = "Triton"
    NIM = "NIM"
    """NVIDIA's container around an engine: with endpoints of its own, and from 2.0 on with vLLM's metrics."""
    ROUTER = "vLLM router"
    """The production stack's router: it stands before engines and reuses the prefix `vllm:` with a label `server`."""
    UNKNOWN = "model server"


HEALTH_PATH: Final[Mapping[Software, str]] = {
    **dict.fromkeys(Software, "/health"),
    Software.TRITON: "/v2/health/ready",
    Software.NIM: "/v1/health/ready",
}
"""Where each kind says whether it serves: metrics.md 1.7; of NIM its API reference. Triton does so at another port
than that of its metrics."""

TRITON_METRICS_PORT: Final = 8002
TRITON_HTTP_PORT: Final = 8000
"""Its defaults (`tritonserver --help`)."""


def triton_http_url(url: str, port: int | None = None) -> str:
    """Return where a Triton tells its health whose metrics are at `url`: at `port`, or if that is not known and both
    stand at their default ports. Empty elsewhere. User and password are for the port that they were given for.
    """
    parts = urlsplit(url)
    if port is None and (parts.port != TRITON_METRICS_PORT or parts.path.strip("/")):
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{port or TRITON_HTTP_PORT}", "", "", ""))


LEFT_OUT: Final = "left out"
"""`ModelServer.origin` of a server that the configuration says not to ask."""


class CacheConfig(msgspec.Struct, frozen=True):
    """Labels of `vllm:cache_config_info`. None: this version does not tell."""

    block_size: int | None = None
    blocks: int | None = None
    """`num_gpu_blocks`."""
    gpu_memory_utilization: float | None = None
    cache_dtype: str = ""
    prefix_caching: bool | None = None
    size_tokens: int | None = None
    """`kv_cache_size_tokens`; else `block_size` times `blocks`."""
    max_concurrency: float | None = None


class EnginePage(msgspec.Struct, frozen=True, gc=False):
    """One engine and model of one scrape. None: not measured there, which is not 0."""

    model: str
    """Label `model_name`: the name under which it is served."""
    engine: str = "0"
    """Data-parallel rank."""
    running: float | None = None
    max_running: float | None = None
    """The most that it may run at once, where its page tells (NIM)."""
    waiting: float | None = None
    deferred: float | None = None
    """Of the waiting, those that wait for something else than capacity; since vLLM 0.20."""
    kv_usage_ratio: float | None = None
    """0 to 1."""
    preemptions: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    ttft: Histogram | None = None
    """Time to first token, seconds."""
    itl: Histogram | None = None
    """Inter-token latency, seconds."""
    e2e: Histogram | None = None
    """Request latency, seconds, told when a request is finished."""
    queue_time: Histogram | None = None
    prefill_time: Histogram | None = None
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    """In tokens, as `prefix_queries`."""
    prefix_hit_ratio: float | None = None
    """0 to 1, where only a gauge tells (vLLM up to 0.9.0, SGLang)."""
    finished: Mapping[str, float] = {}
    """Finished requests by reason."""
    is_sleeping: bool | None = None
    sleep_level: int = 0
    """1: weights are offloaded; 2: all is discarded."""
    cache: CacheConfig | None = None


class RoutedServer(msgspec.Struct, frozen=True):
    """One back end as a router sees it (label `server`)."""

    url: str
    healthy: bool | None = None
    running: float | None = None
    waiting: float | None = None


class ServerPage(msgspec.Struct, frozen=True):
    """What one scrape of `/metrics` says."""

    software: Software = Software.UNKNOWN
    """As the names of its metrics tell."""
    engines: tuple[EnginePage, ...] = ()
    """By model and engine; empty where statistics are disabled."""
    routed: tuple[RoutedServer, ...] = ()
    started_at: float | None = None
    """`process_start_time_seconds`; not there with several API servers on one port."""
    rejections: float | None = None
    """Requests refused because the queue was full; since vLLM 0.32."""
    http_requests: float | None = None
    http_errors: float | None = None
    """Answers 5xx."""
    running_loras: tuple[str, ...] = ()
    waiting_loras: tuple[str, ...] = ()
    broken_lines: int = 0
    is_cut: bool = False


class Health(StrEnum):
    """Answer of `/health`."""

    OK = "ok"
    """200. Says that the engine process lives, not that it makes progress."""
    ENGINE_DEAD = "engine dead"
    """503 (500 before vLLM 0.11.0)."""
    NOT_READY = "not ready"
    """It says that it does not serve now, as while it loads: of those that do not say by this that they died."""
    REFUSED = "connection refused"
    """Nobody listens: starting, or gone."""
    NO_ANSWER = "no answer"
    """A connection, and nothing in time."""


class ServedModel(msgspec.Struct, frozen=True):
    """One entry of `/v1/models`."""

    id: str
    root: str = ""
    parent: str = ""
    """Set for LoRA adapters."""
    max_model_len: int | None = None


WAYS: Final[Mapping[str, str]] = {
    "url": "at the URL given",
    "proxy": "through the API server",
    "pod-ip": "at its pod's IP",
    "prometheus": "in Prometheus",
}
"""`ModelServer.origin` in words: where it was read."""


class ModelServer(msgspec.Struct, frozen=True):
    """What one round at one server brought. Each part has its own error; a part without either was not asked for."""

    key: str
    """`namespace/pod:port`, or the URL that was given."""
    software: Software = Software.UNKNOWN
    pod: ObjectKey | None = None
    """(namespace, name); None at a URL that no known pod has."""
    origin: str = ""
    """The way it was asked: a key of `WAYS`; empty if there was none, LEFT_OUT if it is not to be asked."""
    url: str = ""
    """As asked, without password: a URL, or the path on the API server."""
    page: ServerPage | None = None
    page_error: str = ""
    health: Health | None = None
    health_error: str = ""
    version: str = ""
    version_error: str = ""
    models: tuple[ServedModel, ...] = ()
    models_error: str = ""

    @property
    def answers(self) -> bool:
        return self.page is not None or self.health in (Health.OK, Health.ENGINE_DEAD, Health.NOT_READY)


def software_told(found: Software, page: ServerPage | None) -> Software:
    """Return what serves, as its page says, else as it was found; a NIM stays one, whatever engine is in it."""
    if page is None or page.software is Software.UNKNOWN or found is Software.NIM:
        return found
    return page.software


class ServerReading(msgspec.Struct, frozen=True):
    """What one round at one server brought, and when."""

    server: ModelServer
    read_at: datetime
