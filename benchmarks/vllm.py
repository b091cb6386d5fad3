"""What model servers cost: one real page, and a round over many servers on loopback."""

import asyncio
import gzip
import multiprocessing
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, NamedTuple

from collectors.http import HttpReader
from collectors.vllm.collect import vllm_collectors
from collectors.vllm.options import VllmOptions
from collectors.vllm.page import parse_server_page
from collectors.vllm.rounds import EVERY_S
from collectors.vllm.wishes import VllmWishes
from situation.clock import utc_now
from situation.kinds import BY_NAME
from situation.readings import Listed, Reading, SourceState
from situation.serving.readings import ServerReading
from situation.situation import Situation

SERVERS: Final = 200
_PAGE: Final = Path(__file__).parents[1] / "tests" / "data" / "vllm_0.32.0_metrics.txt.gz"
_TOKENS: Final = b"20659.0"
"""What the page says of the tokens that its engine has generated: served, they are more each time."""
_RUNS: Final = 51
_ROUNDS: Final = 7


class Rounds(NamedTuple):
    """Medians over some rounds."""

    wall_s: float
    cpu_cores: float
    """Of one core, if a round is made every EVERY_S."""


def page() -> bytes:
    """Return a page of vLLM 0.32.0 as it was scraped (50 KB)."""
    return gzip.decompress(_PAGE.read_bytes())


def page_ms() -> float:
    """Median time to read one page, in milliseconds."""
    body, times = page(), list[float]()
    for _ in range(_RUNS):
        began = perf_counter()
        found = parse_server_page(body, "the page")
        times.append(perf_counter() - began)
        if len(found.engines) != 1:
            raise RuntimeError(f"{len(found.engines)} engines were read instead of 1")
    return statistics.median(times) * 1000


async def rounds() -> Rounds:
    """Ask 200 servers, all at URLs of one process of its own; the first round, which asks for more, does not count."""
    situation, wishes = Situation(), VllmWishes()
    now = utc_now()
    situation.apply(Reading(BY_NAME["pods"].source, SourceState.LIVE, now, Listed("pods", ())))
    wishes.tell(situation)
    walls, cpus = list[float](), list[float]()
    with _served() as port:
        async with HttpReader() as http:
            options = VllmOptions(urls=tuple(f"http://127.0.0.1:{port}/{number}" for number in range(SERVERS)))
            (collector,) = vllm_collectors(None, http, wishes, options)
            for number in range(_ROUNDS + 1):
                began, busy = perf_counter(), process_time()
                read, error = 0, ""
                async for reading in collector.collect():
                    value, error = reading.value, reading.error
                    read += isinstance(value, ServerReading) and value.server.page is not None
                if read != SERVERS:
                    raise RuntimeError(f"{read} servers were read instead of {SERVERS}: {error}")
                if number:
                    walls.append(perf_counter() - began)
                    cpus.append(process_time() - busy)
    return Rounds(statistics.median(walls), statistics.median(cpus) / EVERY_S)


@contextmanager
def _served() -> Iterator[int]:
    """Serve the page in another process; give its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, page()), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, body: bytes) -> None:
    before, after = body.split(_TOKENS)
    moved = count(20_660)
    answers = {
        "version": _answer(b'{"version":"0.32.0"}'),
        "models": _answer(b'{"data":[]}'),
        "health": _answer(b""),
    }

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = head.split(b" ", 2)[1].decode().rpartition("/")[2]
                progress = b"%d" % next(moved)
                writer.write(answers.get(asked) or _answer(before + progress + after))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
