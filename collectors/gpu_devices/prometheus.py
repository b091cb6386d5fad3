"""All nodes' GPUs from a Prometheus, or a server that answers as one does. Source `gpu/prometheus`.

Instead of a thousand scrapes some instant queries, each for a few metrics: eight thousand GPUs at once would be a
hundred megabytes of JSON.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from collectors.errors import AbsentError, BadAnswerError, RefusedError, SourceError, UnauthorizedError
from collectors.gpu_devices.dcgm import WANTED, devices_by_host
from collectors.gpu_devices.wishes import DeviceWishes
from collectors.http import HttpReader, with_path, without_password
from collectors.prometheus_text import Sample
from situation.gpu.devices import GpuReading, NodeDevices
from situation.readings import Reading, SourceState
from situation.text import harmless

EVERY_S: Final = 30.0
FRESH_S: Final = 120.0
DEADLINE_S: Final = 10.0
"""For one query."""
ANSWER_LIMIT_BYTES: Final = 64 * 2**20
NAMES_AT_ONCE: Final = 6
RETRY_S: Final = 60.0
NODES_AT_ONCE: Final = 100
BETWEEN_S: Final = 0.2
"""Each node that was read is judged again, a thousand in a fifth of a second: told in parts, no key has to wait."""
_KEPT_LABELS: Final = (
    "Hostname", "hostname", "node", "gpu", "UUID", "uuid", "gpu_uuid", "modelName", "model_name", "GPU_I_ID",
    "GPU_I_PROFILE", "nvlink", "nvswitch", "namespace", "pod", "exported_namespace", "exported_pod",
    "DCGM_FI_DRIVER_VERSION",
)  # fmt: skip
"""All others only make the answer larger; so does a label that differs between two scrapes of the same GPU."""
_AGES: Final = "DCGM_FI_DEV_GPU_TEMP|DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_FB_USED"
"""Of these metrics one is on in every exporter: they say when a node was scraped last."""


class _Data(msgspec.Struct, frozen=True):
    result: tuple["_Series", ...] = ()


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data = _Data()
    error: str = ""


def parse_answer(body: bytes, what: str) -> list[Sample]:
    """Parse the answer to an instant query; values that are no numbers are left out. Raises SourceError."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if body.lstrip()[:1] == b"<":
            raise BadAnswerError(f"{what} answered with a web page: is a login page in between?") from error
        raise BadAnswerError(f"{what} does not answer as Prometheus does: {error}") from error
    if answer.status != "success":
        raise RefusedError(f"{what} refuses the query: {harmless(answer.error)[:200]}")
    return [sample for series in answer.data.result if (sample := _sample(series)) is not None]


def _sample(series: _Series) -> Sample | None:
    try:
        value = float(series.value[1])
    except ValueError:
        return None
    labels = {name: harmless(text) for name, text in series.metric.items()}
    return Sample(labels.get("__name__", ""), labels, value)


def queries() -> list[str]:
    """Return the instant queries of one round."""
    names = sorted(WANTED)
    groups = [names[start : start + NAMES_AT_ONCE] for start in range(0, len(names), NAMES_AT_ONCE)]
    kept = ",".join(("__name__", *_KEPT_LABELS))
    return [f'max by ({kept}) ({{__name__=~"{"|".join(group)}"}})' for group in groups]


class PrometheusCollector:
    """Asks a Prometheus now and then."""

    name = "gpu/prometheus"
    pause_s = EVERY_S
    deadline_s = None

    def __init__(
        self,
        url: str,
        http: HttpReader,
        wishes: DeviceWishes,
        clock: Callable[[], datetime],
        token_file: Path | None = None,
    ) -> None:
        self._url = with_path(url, "/api/v1/query")
        self._shown = without_password(url)
        self._http = http
        self._wishes = wishes
        self._clock = clock
        self._token_file = token_file
        self._told_all = False
        """Who waits for the first picture waits for all of it."""

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_told()
        samples: list[Sample] = []
        for query in queries():
            samples += await self._ask(query)
        if not samples:
            raise AbsentError(f"{self._shown} has no metrics DCGM_FI_*: does it scrape the DCGM exporters?", RETRY_S)
        nodes = await asyncio.to_thread(self._nodes, samples, await self._scraped_at())
        for start in range(0, len(nodes), NODES_AT_ONCE):
            if start:
                await asyncio.sleep(BETWEEN_S)
            is_whole = self._told_all or start + NODES_AT_ONCE >= len(nodes)
            value = GpuReading(tuple(nodes[start : start + NODES_AT_ONCE]))
            state = SourceState.LIVE if is_whole else SourceState.STARTING
            yield Reading(self.name, state, self._clock(), value, fresh_for_s=FRESH_S)
        self._told_all = True

    async def _ask(self, query: str) -> list[Sample]:
        try:
            body = await self._http.get(
                self._url,
                {"query": query},
                deadline_s=DEADLINE_S,
                token_file=self._token_file,
                limit_bytes=ANSWER_LIMIT_BYTES,
            )
        except UnauthorizedError as error:
            hint = "put USER:PASSWORD@ into the URL, or name a file with a token: prometheus_token_file"
            raise UnauthorizedError(f"{error}; {hint}") from error
        return await asyncio.to_thread(parse_answer, body, self._shown)

    async def _scraped_at(self) -> dict[str, datetime]:
        """Return when each host was scraped last: an instant query answers with values that are minutes old."""
        query = f'max by (Hostname, hostname) (timestamp({{__name__=~"{_AGES}"}}))'
        try:
            samples = await self._ask(query)
        except SourceError:
            return {}  # some that answer like Prometheus do not know it
        return {
            host: datetime.fromtimestamp(sample.value, UTC)
            for sample in samples
            if (host := _host(sample)) and 0 < sample.value < 2**33
        }

    def _nodes(self, samples: Iterable[Sample], scraped: dict[str, datetime]) -> list[NodeDevices]:
        now = self._clock()
        found: dict[str, NodeDevices] = {}
        named = {_host(sample): sample.labels["node"] for sample in samples if sample.labels.get("node")}
        for host, (devices, driver) in devices_by_host(samples).items():
            node = self._wishes.node_of(host)
            if node == host and host in named:
                node = self._wishes.node_of(named[host])
            if node:
                found[node] = NodeDevices(node, devices, "prometheus", driver, min(now, scraped.get(host, now)))
        return list(found.values())


def _host(sample: Sample) -> str:
    return sample.labels.get("Hostname") or sample.labels.get("hostname") or ""
