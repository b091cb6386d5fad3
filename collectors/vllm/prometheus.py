"""Model servers as a Prometheus knows them, or a server that answers as one does: for those that nobody else hears.

What comes is as old as its scrape.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from collectors.http import HttpReader
from collectors.prometheus_api import PrometheusApi, queries_for
from collectors.prometheus_text import Page, Sample
from collectors.vllm import names
from collectors.vllm.page import read_samples
from collectors.vllm.wishes import Place
from situation.meta import ObjectKey
from situation.serving.readings import ModelServer, ServerReading, Software

EVERY_S: Final = 15.0
"""Prometheus itself scrapes every 15 to 60 s."""
FIRST_S: Final = 4.0
"""The first round waits so long for it: whoever looks once wants it included."""
_WHERE: Final = ("namespace", "pod", "instance")
_KEPT_LABELS: Final = (
    *_WHERE, "model_name", "model", "engine", "dp_rank", "version", "le", "reason", "finished_reason", "sleep_state",
    "server", "block_size", "num_gpu_blocks", "gpu_memory_utilization", "cache_dtype", "enable_prefix_caching",
    "kv_cache_size_tokens", "kv_cache_max_concurrency", "running_lora_adapters", "waiting_lora_adapters",
    "kv_cache_block_type",
)  # fmt: skip
"""All others only make the answer larger."""
_AGES: Final = (
    "vllm:num_requests_running|sglang:num_running_reqs|tgi_queue_size|nv_inference_request_success|num_request_max"
)
"""One of these is in every server's page: they say when it was scraped last."""

_Target = tuple[str, str, str]
"""Namespace, pod and instance, as Prometheus labels them."""


class _Found(NamedTuple):
    target: _Target
    samples: tuple[Sample, ...]
    scraped_at: datetime | None


def queries(softwares: Collection[Software]) -> list[str]:
    """Return the instant queries that tell all of these kinds of server, vLLM always among them."""
    families = (family for family in names.FAMILIES if family is names.VLLM or family.software in softwares)
    return queries_for([name for family in families for name in names.wanted_of(family)], _KEPT_LABELS)


class PrometheusServers:
    """Asks a Prometheus beside the rounds: one that is slow delays none of them, but for the first."""

    def __init__(
        self, url: str, http: HttpReader, clock: Callable[[], datetime], token_file: Path | None = None
    ) -> None:
        self._api = PrometheusApi(url, http, token_file)
        self._clock = clock
        self._task: asyncio.Task[list[_Found]] | None = None
        self._due = 0.0
        self._is_first = True

    async def aclose(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def told(self, places: Mapping[str, Place], missing: Collection[str]) -> list[ServerReading]:
        """Return what came since the last call of the servers whose keys are `missing`; of all if no pod is known.

        Raises SourceError for what came instead.
        """
        if self._task is None and monotonic() >= self._due and (missing or not places):
            softwares = frozenset(place.software for place in places.values())
            self._task = asyncio.create_task(self._ask_all(softwares))
            self._due = monotonic() + EVERY_S
        if self._task is None:
            return []
        if self._is_first:
            self._is_first = False
            await asyncio.wait({self._task}, timeout=FIRST_S)
        if not self._task.done():
            return []
        task, self._task = self._task, None
        found = await task
        return list(self._readings(found, places, missing))

    async def _ask_all(self, softwares: Collection[Software]) -> list[_Found]:
        by_target: dict[_Target, list[Sample]] = {}
        for query in queries(softwares):
            for sample in await self._api.ask(query):
                by_target.setdefault(_target(sample), []).append(sample)
        scraped = {_target(sample): at for sample, at in await self._api.scraped_at(_WHERE, _AGES)}
        return [_Found(target, tuple(samples), scraped.get(target)) for target, samples in by_target.items()]

    def _readings(
        self, found: Iterable[_Found], places: Mapping[str, Place], missing: Collection[str]
    ) -> Iterable[ServerReading]:
        now = self._clock()
        by_pod: dict[tuple[str, str], list[Place]] = {}
        for known in places.values():
            by_pod.setdefault((known.namespace, known.pod), []).append(known)
        by_address = {known.address: known for known in places.values()}
        first: dict[str, _Found] = {}
        for item in sorted(found, key=lambda item: item.target):
            place = _place(item.target, by_pod, by_address)
            if place is not None and (place.key not in first or _port(item.target) == place.port):
                first[place.key] = item
        for item in found:
            place = _place(item.target, by_pod, by_address)
            if place is None and not places:
                yield _reading(item, _key(item.target), None, self._api.shown, now)
            elif place is None:
                continue  # of another cluster
            elif first[place.key] is item:
                if place.key in missing:
                    yield _reading(item, place.key, (place.namespace, place.pod), self._api.shown, now)
            elif _ranks(item) != _ranks(first[place.key]):  # a port of its own for each rank, else one server twice
                yield _reading(item, _key(item.target), None, self._api.shown, now)


def _reading(found: _Found, key: str, pod: ObjectKey | None, shown: str, now: datetime) -> ServerReading:
    page = read_samples(Page(found.samples, 0, False))
    server = ModelServer(key, page.software, pod, "prometheus", shown, page)
    return ServerReading(server, min(now, found.scraped_at or now))


def _ranks(found: _Found) -> frozenset[tuple[str, str]]:
    """Return model and rank of all engines that a target tells of."""
    return frozenset((engine.model, engine.engine) for engine in read_samples(Page(found.samples, 0, False)).engines)


def _target(sample: Sample) -> _Target:
    labels = sample.labels
    return labels.get("namespace", ""), labels.get("pod", ""), labels.get("instance", "")


def _place(
    target: _Target, by_pod: Mapping[tuple[str, str], list[Place]], by_address: Mapping[tuple[str, int], Place]
) -> Place | None:
    """Return the pod that is meant: of the same name, and where the instance is an address, at that address."""
    namespace, pod, instance = target
    host, number = instance.rpartition(":")[0].strip("[]"), _port(target)
    named = by_pod.get((namespace, pod), [])
    if not _is_ip(host):
        return named[0] if named else None
    same = [place for place in named if place.ip == host]
    return (
        next((place for place in same if place.port == number), None)
        or by_address.get((host, number))
        or (same[0] if same else None)
    )


def _port(target: _Target) -> int:
    port = target[2].rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() else 0


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _key(target: _Target) -> str:
    namespace, pod, instance = target
    port = instance.rpartition(":")[2]
    return f"{namespace}/{pod}:{port}" if pod else instance
