"""All nodes' GPUs from a Prometheus, or a server that answers as one does. Source `gpu/prometheus`.

Instead of a thousand scrapes some instant queries, each for a few metrics: eight thousand GPUs at once would be a
hundred megabytes of JSON.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from collectors.errors import AbsentError
from collectors.gpu_devices.dcgm import WANTED, devices_by_host
from collectors.gpu_devices.wishes import DeviceWishes
from collectors.http import HttpReader
from collectors.prometheus_api import PrometheusApi, queries_for
from collectors.prometheus_text import Sample
from situation.gpu.devices import GpuReading, NodeDevices
from situation.readings import Reading, SourceState

EVERY_S: Final = 30.0
FRESH_S: Final = 120.0
RETRY_S: Final = 60.0
NODES_AT_ONCE: Final = 100
BETWEEN_S: Final = 0.2
"""Each node that was read is judged again, a thousand in a fifth of a second: told in parts, no key has to wait."""
_KEPT_LABELS: Final = (
    "Hostname", "hostname", "node", "gpu", "UUID", "uuid", "gpu_uuid", "modelName", "model_name", "GPU_I_ID",
    "GPU_I_PROFILE", "nvlink", "nvswitch", "namespace", "pod", "exported_namespace", "exported_pod",
    "pod_namespace", "pod_name", "DCGM_FI_DRIVER_VERSION",
)  # fmt: skip
"""All others only make the answer larger; so does a label that differs between two scrapes of the same GPU."""
_AGES: Final = "DCGM_FI_DEV_GPU_TEMP|DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_FB_USED"
"""Of these metrics one is on in every exporter: they say when a node was scraped last."""


def queries() -> list[str]:
    """Return the instant queries of one round."""
    return queries_for(WANTED, _KEPT_LABELS)


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
        self._api = PrometheusApi(url, http, token_file)
        self._wishes = wishes
        self._clock = clock
        self._told_all = False
        """Who waits for the first picture waits for all of it."""

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_told()
        samples: list[Sample] = []
        for query in queries():
            samples += await self._api.ask(query)
        if not samples:
            raise AbsentError(
                f"{self._api.shown} has no metrics DCGM_FI_*: does it scrape the DCGM exporters?", RETRY_S
            )
        nodes = await asyncio.to_thread(self._nodes, samples, await self._scraped_at())
        for start in range(0, len(nodes), NODES_AT_ONCE):
            if start:
                await asyncio.sleep(BETWEEN_S)
            is_whole = self._told_all or start + NODES_AT_ONCE >= len(nodes)
            value = GpuReading(tuple(nodes[start : start + NODES_AT_ONCE]))
            state = SourceState.LIVE if is_whole else SourceState.STARTING
            yield Reading(self.name, state, self._clock(), value, fresh_for_s=FRESH_S)
        self._told_all = True

    async def _scraped_at(self) -> dict[str, datetime]:
        """Return when each host was scraped last: an instant query answers with values that are minutes old."""
        told = await self._api.scraped_at(("Hostname", "hostname"), _AGES)
        return {host: at for sample, at in told if (host := _host(sample))}

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
