"""What the API server's own metrics cost us: a recorded page of 4 MB, fetched and parsed while it streams in."""

import asyncio
import gc
import statistics
import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from collectors.control_plane.api_page import parse_api_page, slices
from collectors.control_plane.polls import SLICE_BYTES, MetricsPoll
from collectors.kubernetes.client import Client
from situation.api_server import ApiServerReading
from situation.clock import utc_now
from tests.collectors.api_pages import recorded_page
from tests.collectors.kubeconfigs import connected, kubeconfig
from tests.collectors.loopback import Loopback, http

LISTS: Final = 89
_RUNS: Final = 15
_SCRAPES: Final = 5
_TICK_S: Final = 0.001


class PageCost(NamedTuple):
    """One page."""

    megabytes: float
    parse_ms: float
    """Median, in slices as they are parsed."""
    longest_turn_ms: float
    """The longest time for which a scrape keeps the event loop from other tasks; median over scrapes."""
    peak_mb: float
    """Allocated during a scrape, transport included, the recorded page itself not."""


async def api_page() -> PageCost:
    """Measure the recorded page."""
    body = recorded_page()
    times: list[float] = []
    for _ in range(_RUNS):
        began = perf_counter()
        page = parse_api_page(slices(body, SLICE_BYTES))
        times.append(perf_counter() - began)
        if len(page.lists) != LISTS:
            raise RuntimeError(f"{len(page.lists)} kinds of lists were read instead of {LISTS}")
    async with _client(body) as client:
        turns = [await _longest_turn_s(client) for _ in range(_SCRAPES)]
        gc.collect()
        tracemalloc.start()
        await _scrape(client)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return PageCost(len(body) / 2**20, statistics.median(times) * 1000, statistics.median(turns) * 1000, peak / 2**20)


@asynccontextmanager
async def _client(body: bytes) -> AsyncIterator[Client]:
    async with Loopback({"/metrics": http(body)}) as server:
        with tempfile.TemporaryDirectory() as folder:
            async with await connected(kubeconfig(Path(folder), server.url, {"token": "t"})) as client:
                await _scrape(client)
                yield client


async def _scrape(client: Client) -> None:
    found = [reading.value async for reading in MetricsPoll(client, utc_now).collect()]
    if not isinstance(found[0], ApiServerReading):
        raise RuntimeError("the page was not read")


async def _longest_turn_s(client: Client) -> float:
    """Scrape once beside a task that wants its turn every millisecond."""
    longest = 0.0
    scrape = asyncio.create_task(_scrape(client))
    while not scrape.done():
        began = perf_counter()
        await asyncio.sleep(_TICK_S)
        longest = max(longest, perf_counter() - began - _TICK_S)
    await scrape
    return longest
