"""What a model server writes at `/metrics`, read into a `ServerPage`. Counters stay cumulative, as scraped."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from collectors.errors import BadAnswerError
from collectors.prometheus_text import Page, Sample, parse_page
from collectors.vllm import names
from collectors.vllm.names import Family
from situation.histograms import Histogram
from situation.serving.readings import CacheConfig, EnginePage, RoutedServer, ServerPage, Software

PAGE_LIMIT_BYTES: Final = 8 * 2**20
"""A page of eight engines with every metric on is half a megabyte."""
ENGINES_LIMIT: Final = 1024
"""Of one page; who has more has made them up."""
_METRICS: Final = re.compile(rb"\s*(?:#|[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*[{ \t])")
_BOUNDS_KEPT: Final = 256
_SLEEP_LEVELS: Final = ((2, "discard_all"), (1, "weights_offloaded"))

_Identity = tuple[str, str]
"""Model and engine."""


def parse_server_page(body: bytes, what: str) -> ServerPage:
    """Read a page; `what` is what errors call it.

    What is not there, and what is no number, is not measured. A page without any known metric is one of a server with
    its statistics disabled. Raises BadAnswerError for what is no page of metrics, and for one that is too large.
    """
    if len(body) > PAGE_LIMIT_BYTES:
        raise BadAnswerError(f"{what} is larger than {PAGE_LIMIT_BYTES >> 20} MiB: not read")
    page = parse_page(body, _wanted(body), what)
    if body.strip() and not page.samples and not _METRICS.match(body.removeprefix(b"\xef\xbb\xbf")):
        raise BadAnswerError(f"{what} is no page of metrics")
    found = read_samples(page)
    if page.is_cut and not found.engines and not found.routed:
        raise BadAnswerError(f"{what} breaks off before it tells of an engine")
    return found


def read_samples(page: Page) -> ServerPage:
    """Put the samples of one server together."""
    reader = _Reader()
    for sample in page.samples:
        reader.take(sample)
    return reader.page(page)


def _wanted(body: bytes) -> frozenset[str]:
    present = tuple(family.marker in body for family in names.FAMILIES)
    return _wanted_of(present, names.RAY_MARKER in body)


@lru_cache(maxsize=32)
def _wanted_of(present: tuple[bool, ...], ray: bool) -> frozenset[str]:
    """Only what a page can have: each name more costs time in each line."""
    families = (family for family, is_there in zip(names.FAMILIES, present, strict=True) if is_there)
    return names.COMMON.union(*map(names.wanted_of, families), names.RAY if ray else ())


class _Engine:
    """Gathers what is told of one model and engine."""

    def __init__(self) -> None:
        self.numbers: dict[str, tuple[int, float]] = {}
        self.buckets: dict[str, dict[int, dict[float, float]]] = {}
        """Field -> rank of the metric -> upper bound -> count."""
        self.finished: dict[str, float] = {}
        self.sleep: dict[str, float] = {}

    def take_number(self, field: str, rank: int, value: float) -> None:
        known = self.numbers.get(field)
        if known is None or rank < known[0]:
            self.numbers[field] = (rank, value)

    def page(self, identity: _Identity, cache: CacheConfig | None, max_running: float | None) -> EnginePage:
        fields: dict[str, Any] = {field: value for field, (_, value) in self.numbers.items()}
        for field, by_rank in self.buckets.items():
            fields[field] = _histogram(by_rank[min(by_rank)])
        if "awake" in self.sleep:
            fields["is_sleeping"] = self.sleep["awake"] == 0
            fields["sleep_level"] = next((level for level, name in _SLEEP_LEVELS if self.sleep.get(name)), 0)
        return EnginePage(*identity, max_running=max_running, finished=self.finished, cache=cache, **fields)


class _Routed:
    """Gathers what a router tells of one back end."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}

    def server(self, url: str) -> RoutedServer:
        healthy = self.numbers.get("healthy")
        return RoutedServer(
            url,
            None if healthy is None else healthy > 0,
            self.numbers.get("running"),
            self.numbers.get("waiting"),
        )


class _Reader:
    """Puts the samples of one page together."""

    def __init__(self) -> None:
        self._engines: dict[_Identity, _Engine] = {}
        self._limits: dict[str, float] = {}
        """By model: a NIM 2.x says it beside its engine's own metrics."""
        self._caches: dict[str, CacheConfig] = {}
        """By engine: these lines do not name the model."""
        self._routed: dict[str, _Routed] = {}
        self._families: dict[Software, None] = {}
        self._loras: tuple[float, Mapping[str, str]] = (-math.inf, {})
        self._started_at: float | None = None
        self._rejections: float | None = None
        self._http: tuple[float, float] | None = None
        self._bad_bounds = 0

    def take(self, sample: Sample) -> None:
        """Take in one sample. NaN is not measured; infinite is only an upper bound."""
        name, labels, value = sample
        name = names.RAY.get(name, name)
        is_number = math.isfinite(value)
        family = names.FAMILY_OF.get(name)
        if family is None:
            if is_number:
                self._take_common(name, labels, value)
        elif "server" in labels and family is names.VLLM:
            if is_number:
                self._take_routed(name, labels["server"], value)
        elif (bucket := family.buckets.get(name)) is not None:
            self._take_bucket(self._engine(family, labels), bucket, labels, value)
        elif is_number:
            self._take_number(family, name, labels, value)

    def _take_common(self, name: str, labels: Mapping[str, str], value: float) -> None:
        if name == names.STARTED:
            self._started_at = value if self._started_at is None else self._started_at
        elif name == names.HTTP:
            total, errors = self._http or (0.0, 0.0)
            self._http = (total + value, errors + (value if labels.get("status", "").startswith("5") else 0.0))

    def _take_routed(self, name: str, server: str, value: float) -> None:
        meaning = names.VLLM.numbers.get(name)
        field = "healthy" if name == names.HEALTHY else meaning.field if meaning else ""
        if field in ("healthy", "running", "waiting") and len(self._routed) < ENGINES_LIMIT:
            self._routed.setdefault(server, _Routed()).numbers.setdefault(field, value)

    def _take_number(self, family: Family, name: str, labels: Mapping[str, str], value: float) -> None:
        if name == names.LORAS:
            self._families[family.software] = None
            if value > self._loras[0]:
                self._loras = (value, labels)
        elif name == names.REJECTIONS:
            self._families[family.software] = None
            self._rejections = (self._rejections or 0.0) + value
        elif name == names.CACHE:
            self._families[family.software] = None
            self._caches.setdefault(_engine_of(family, labels), _cache(labels))
        elif name == names.MAX_RUNNING:
            self._limits.setdefault(labels.get(family.model, ""), value)
        elif name != names.HEALTHY:
            self._take_engine_number(self._engine(family, labels), family, name, labels, value)

    def _take_engine_number(
        self, engine: _Engine, family: Family, name: str, labels: Mapping[str, str], value: float
    ) -> None:
        if (meaning := family.numbers.get(name)) is not None:
            engine.take_number(meaning.field, meaning.rank, value)
        elif (reason := family.finished.get(name)) is not None:
            reason = reason or labels.get("finished_reason", "")
            engine.finished[reason] = engine.finished.get(reason, 0.0) + value
        elif name == names.BY_REASON:
            if labels.get("reason") == "deferred":
                engine.take_number("deferred", 0, value)
        elif name == names.SLEEP:
            engine.sleep.setdefault(labels.get("sleep_state", ""), value)
        elif name == names.KV_BLOCKS and labels.get("kv_cache_block_type") == "fraction":
            engine.take_number("kv_usage_ratio", 0, value)

    def _take_bucket(self, engine: _Engine, meaning: names.Meaning, labels: Mapping[str, str], value: float) -> None:
        try:
            bound = float(labels.get("le", "")) * meaning.scale
        except ValueError:
            bound = math.nan
        if math.isnan(bound):
            self._bad_bounds += 1
            return
        engine.buckets.setdefault(meaning.field, {}).setdefault(meaning.rank, {}).setdefault(bound, value)

    def _engine(self, family: Family, labels: Mapping[str, str]) -> _Engine:
        self._families[family.software] = None
        identity = (labels.get(family.model, ""), _engine_of(family, labels))
        found = self._engines.get(identity)
        if found is None:
            if len(self._engines) >= ENGINES_LIMIT:
                raise BadAnswerError(f"more than {ENGINES_LIMIT} models and engines on one page: not read")
            found = self._engines[identity] = _Engine()
        return found

    def page(self, page: Page) -> ServerPage:
        """Return what was found."""
        software = next(iter(self._families), Software.ROUTER if self._routed else Software.UNKNOWN)
        if Software.TRITON in self._families:
            software = Software.TRITON  # whichever engine is in it, and tells of itself on the same page
        _, loras = self._loras
        total, errors = self._http or (None, None)
        return ServerPage(
            software,
            tuple(
                self._engines[identity].page(identity, self._caches.get(identity[1]), self._limits.get(identity[0]))
                for identity in sorted(self._engines, key=_order)
            ),
            tuple(self._routed[url].server(url) for url in sorted(self._routed)),
            self._started_at,
            self._rejections,
            total,
            errors,
            _adapters(loras.get("running_lora_adapters", "")),
            _adapters(loras.get("waiting_lora_adapters", "")),
            page.broken + self._bad_bounds,
            page.is_cut,
        )


def _engine_of(family: Family, labels: Mapping[str, str]) -> str:
    """Return the rank of an engine; of what Ray tells, with the replica: its page may be of several."""
    engine, replica = labels.get(family.engine) or "0", labels.get("ReplicaId")
    return f"{replica}/{engine}" if replica else engine


def _order(identity: _Identity) -> tuple[str, int, str]:
    model, engine = identity
    return model, int(engine) if engine.isascii() and engine.isdigit() else -1, engine


def _histogram(buckets: Mapping[float, float]) -> Histogram | None:
    """Return it only whole: without a bucket, or the last of them, later differences would be wrong."""
    if not all(map(math.isfinite, buckets.values())):
        return None
    found = Histogram.of(buckets)
    if not found.bounds or not math.isinf(found.bounds[-1]):
        return None
    return Histogram(_shared(found.bounds), found.counts)


_bounds: Final[dict[tuple[float, ...], tuple[float, ...]]] = {}


def _shared(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Return equal bounds as one object: every page that is kept has the same ones."""
    if len(_bounds) >= _BOUNDS_KEPT:
        _bounds.clear()
    return _bounds.setdefault(bounds, bounds)


@lru_cache(maxsize=64)
def _adapters(text: str) -> tuple[str, ...]:
    """Read names with commas between them; there may be thousands, and they are the same in the next page."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _cache(labels: Mapping[str, str]) -> CacheConfig:
    caching = labels.get("enable_prefix_caching", "").lower()
    block_size, blocks = _whole(labels, "block_size"), _whole(labels, "num_gpu_blocks")
    tokens = _whole(labels, "kv_cache_size_tokens")
    if tokens is None and block_size is not None and blocks is not None:
        tokens = block_size * blocks
    return CacheConfig(
        block_size,
        blocks,
        _number(labels, "gpu_memory_utilization"),
        _word(labels, "cache_dtype"),
        caching == "true" if caching in ("true", "false") else None,
        tokens,
        _number(labels, "kv_cache_max_concurrency"),
    )


def _word(labels: Mapping[str, str], name: str) -> str:
    text = labels.get(name, "")
    return "" if text == "None" else text


def _number(labels: Mapping[str, str], name: str) -> float | None:
    try:
        number = float(labels.get(name, ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(labels: Mapping[str, str], name: str) -> int | None:
    number = _number(labels, name)
    return None if number is None else int(number)
