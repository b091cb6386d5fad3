"""Model servers as they stand now: state, figures over the last window, and the pods and models they belong to."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from situation.meta import ObjectKey, Ref
from situation.serving.arguments import EngineArguments
from situation.serving.readings import CacheConfig, RoutedServer, ServedModel, Software

MODEL_SERVER: Final = "ModelServer"
"""Kind of the reference to one server."""


class ServerState(StrEnum):
    """How a model server is."""

    HEALTHY = "healthy"
    STARTING = "starting"
    """Its container runs, nobody listens yet, and it is young enough: it loads the model."""
    SLEEPING = "sleeping"
    STALLED = "stalled"
    """Requests run, and neither tokens nor gauges move, while `/health` says 200."""
    DEAD = "dead"
    """The engine is dead (`/health` says so), or nobody listens on a server that was up."""
    DOWN = "down"
    """Its pod does not run: Pending, crashing, being pulled; the pod's own finding says why."""
    NOT_MEASURED = "not measured"
    """It answers, without a single series of its engine: statistics are disabled."""
    LEFT_OUT = "left out"
    """The configuration says not to ask it."""
    UNKNOWN = "unknown"
    """It could not be asked, or has not been asked yet; `why` says which."""


WIDE: Final = 3.0
"""A bucket whose bounds lie further apart than this says between which two the quantile lies, and no more. vLLM's
of the first token grow by more than that above 160 s only (640, 2560)."""


class Spread(msgspec.Struct, frozen=True):
    """Quantiles over the window, seconds. None: nothing was observed in it."""

    p50: float | None = None
    p99: float | None = None
    count: float = 0.0
    """Observations that they are taken of."""
    p99_bucket: tuple[float, float] | None = None
    """Bounds of the bucket that the 99th percentile lies in, between which it is interpolated."""

    @property
    def p99_between(self) -> tuple[float, float] | None:
        """The bounds of a bucket too wide for a figure in it to be told as one (`WIDE`), else None."""
        if self.p99_bucket is None:
            return None
        low, high = self.p99_bucket
        return (low, high) if low > 0 and high > WIDE * low else None

    @property
    def p99_least(self) -> float | None:
        """So much the 99th percentile is at least, as far as its bucket tells."""
        return self.p99_between[0] if self.p99_between else self.p99

    @property
    def p99_most(self) -> float | None:
        """So much it is at most; infinite above the last bound."""
        return self.p99_between[1] if self.p99_between else self.p99


class EngineFigures(msgspec.Struct, frozen=True):
    """One engine and model over the last window. None: not measured, or not twice."""

    model: str
    engine: str = "0"
    running: float | None = None
    max_running: float | None = None
    waiting: float | None = None
    deferred: float | None = None
    kv_usage_ratio: float | None = None
    preemptions_per_min: float | None = None
    ttft: Spread = Spread()
    itl: Spread = Spread()
    prompt_tokens_per_s: float | None = None
    generation_tokens_per_s: float | None = None
    prefix_hit_ratio: float | None = None
    errors_per_min: float | None = None
    """Finished with reason `error`."""
    aborts_per_min: float | None = None
    """Finished with reason `abort`: clients that hung up; up to vLLM 0.12 failed requests too."""
    queue_slope_per_min: float | None = None
    """How fast the queue grows (negative: drains), requests per minute, by a line through the window."""
    doubles_in_s: float | None = None
    """When the queue will be twice as long if it goes on so; None if it does not grow."""
    growing_since: datetime | None = None
    """Since when the queue has been growing without a break."""
    still_since: datetime | None = None
    """Since when neither tokens nor gauges have moved while requests run or wait; None while they move."""
    window: timedelta = timedelta(0)
    """What the rates really span."""
    cache: CacheConfig | None = None
    preempted: float | None = None
    """Preemptions within the window, as a count."""
    kv_held_ratio: float | None = None
    """KV cache usage that at least half of the last scrapes reached; None if there were too few."""
    mean_running: float | None = None
    """Over the scrapes of the window on which any ran."""
    most_running: float | None = None
    """The most requests that were seen running while others waited."""
    queued_since: datetime | None = None
    """Since when requests have been waiting on every page."""
    queued_scrapes: int = 0
    """On how many pages in a row."""
    waiting_before: float | None = None
    """Mean of the queue over the minutes before the window."""
    ttft_before: Spread = Spread()
    """TTFT over the minutes before the window."""

    @property
    def key(self) -> tuple[str, str]:
        """(model, engine), as `ServingMemory.curve` takes it."""
        return (self.model, self.engine)


class ServerView(msgspec.Struct, frozen=True):
    """One model server now."""

    ref: Ref
    """Kind `ModelServer`; namespace and name of its pod, or the URL as name."""
    key: str
    software: Software
    state: ServerState
    why: str
    """What the state rests on, one line."""
    pod: ObjectKey | None = None
    workload: Ref | None = None
    """What manages the pod: Deployment, StatefulSet ..."""
    node: str = ""
    arguments: EngineArguments = EngineArguments()
    engines: tuple[EngineFigures, ...] = ()
    """As read last; empty if never."""
    version: str = ""
    models: tuple[ServedModel, ...] = ()
    origin: str = ""
    source: str = ""
    """Name of the source that told: `vllm/servers`."""
    read_at: datetime | None = None
    """When its figures were read; None if never."""
    is_fresh: bool = False
    """The figures tell of the present."""
    rejections_per_min: float | None = None
    http_errors_per_min: float | None = None
    http_error_ratio: float | None = None
    """Answers 5xx among all answers of the window, 0 to 1."""
    error: str = ""
    """Why a part could not be read."""
    name: str = ""
    """Under which name it serves, as its page or its command line tells."""
    recognised_by: str = ""
    """What it was recognised by; empty at a URL."""
    url: str = ""
    """As it was asked, without password and without the path of its metrics; empty if it never was."""
    metrics_path: str = "/metrics"
    container: str = ""
    """Name of the container that serves."""
    health_port: int | None = None
    """Where its health is, if not where its metrics are."""
    started_at: datetime | None = None
    """When its process started; None if it never told."""
    died_at: datetime | None = None
    """When it was first found dead, until it works again."""
    running_loras: tuple[str, ...] = ()
    waiting_loras: tuple[str, ...] = ()
    routed: tuple[RoutedServer, ...] = ()
    """Of a router: the back ends that it knows."""

    @property
    def max_num_seqs(self) -> int | None:
        """How many requests each engine may run at once: as its page says, else its command line; None if neither does.

        TGI's flag bounds those that wait too.
        """
        told = [item.max_running for item in self.engines if item.max_running]
        if told:
            return int(min(told))
        return self.arguments.max_num_seqs if self.software is not Software.TGI else None

    def total(self, of: str) -> float | None:
        """Return the sum of a figure (`running`) over its engines; None if none was measured."""
        found = [value for item in self.engines if (value := getattr(item, of)) is not None]
        return sum(found) if found else None


class ModelView(msgspec.Struct, frozen=True):
    """All servers of one model of one workload together. Sums leave out what was not measured; None if nothing was."""

    name: str
    workload: Ref | None = None
    servers: tuple[ServerView, ...] = ()
    replicas_ready: int = 0
    replicas_wanted: int | None = None
    running: float | None = None
    waiting: float | None = None
    kv_usage_ratio: float | None = None
    """The highest of its engines."""
    preemptions_per_min: float | None = None
    generation_tokens_per_s: float | None = None
    ttft: Spread = Spread()
    """Over the observations of all engines."""
    itl: Spread = Spread()
    prefix_hit_ratio: float | None = None


class Serving(msgspec.Struct, frozen=True):
    """All model servers now."""

    servers: tuple[ServerView, ...] = ()
    """Worst first."""
    models: tuple[ModelView, ...] = ()
    by_ref: Mapping[Ref, ServerView] = {}
    by_workload: Mapping[Ref, tuple[ServerView, ...]] = {}
    """By what manages their pods, or the server itself where nothing does."""

    def beside(self, server: ServerView) -> tuple[ServerView, ...]:
        """Return the servers of the same workload, itself among them."""
        return self.by_workload.get(server.workload or server.ref, (server,))

    def of(self, ref: Ref) -> ServerView | None:
        """Return the server that `ref` (kind `ModelServer`) names."""
        return self.by_ref.get(ref)


def total(engines: Iterable[EngineFigures], of: Callable[[EngineFigures], float | None]) -> float | None:
    """Return the sum of a figure over those engines that measure it; None if none does."""
    found = [value for engine in engines if (value := of(engine)) is not None]
    return sum(found) if found else None


def highest(engines: Iterable[EngineFigures], of: Callable[[EngineFigures], float | None]) -> float | None:
    """Return the highest of a figure over those engines that measure it; None if none does."""
    return max((value for engine in engines if (value := of(engine)) is not None), default=None)


def server_ref(pod: ObjectKey | None, key: str, port: int | None = None) -> Ref:
    """Return the subject of findings about one server; `port` tells those apart that a pod has besides its first."""
    if pod is None:
        return Ref(MODEL_SERVER, "", key)
    namespace, name = pod
    return Ref(MODEL_SERVER, namespace, name if port is None else f"{name}:{port}")


def pod_of_server(ref: Ref) -> Ref | None:
    """Return the pod of a model server; None of one that is known by its URL only, and of anything else."""
    if ref.kind != MODEL_SERVER or not ref.namespace:
        return None
    return Ref("Pod", ref.namespace, ref.name.partition(":")[0])
