"""The cockpit on a pseudo-terminal: start, and what a thousand watch events a second cost."""

import asyncio
import statistics
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from benchmarks.commands import MIDWATCH, environ, next_line, serving
from benchmarks.terminal import Terminal, cpu_s, resident_mb

_RATE_PER_S = 1_000
_SAMPLES = 100
_ABOUT = " · L".encode()
"""Stands in the second line of every finding's evidence, before the row of the catalogue."""


class Start(NamedTuple):
    """One start of the cockpit."""

    first_paint_s: float
    complete_s: float
    resident_mb: float


class Busy(NamedTuple):
    """The cockpit under load."""

    event_to_screen_p99_ms: float
    key_to_paint_p99_ms: float
    cpu_cores: float
    kb_per_s: float


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


async def start(kubeconfig: Path, pods: int) -> Start:
    """Start the cockpit once, until all pods are counted and the causes stand there."""
    argv = [MIDWATCH, "--kubeconfig", str(kubeconfig)]
    async with Terminal(argv, environ(kubeconfig.parent)) as terminal:
        terminal.emulates = False
        first = await terminal.until_bytes(b"Causes") - terminal.started_at
        await terminal.until_bytes(f"{_grouped(pods)} pods".encode())
        complete = await terminal.until_bytes(b" explain ") - terminal.started_at
        await asyncio.sleep(3)
        return Start(first, complete, resident_mb(terminal.pid))


async def under_load(folder: Path, nodes: int, pods: int, *, over_ssh: bool) -> Busy:
    """Run the cockpit while pods change at 1,000 events/s; a beacon pod and keys are timed to the screen."""
    kubeconfig = folder / "busy-kubeconfig"
    argv = ["benchmarks.busy_cluster", str(nodes), str(pods), str(_RATE_PER_S), str(kubeconfig)]
    async with serving(argv) as cluster:
        await next_line(cluster)
        argv = [MIDWATCH, "--kubeconfig", str(kubeconfig)]
        async with Terminal(argv, environ(folder, over_ssh=over_ssh)) as terminal:
            await terminal.until("explain")
            await asyncio.sleep(3)
            sent, began, cpu = terminal.received_bytes, monotonic(), cpu_s(terminal.pid)
            await asyncio.sleep(15)
            took = monotonic() - began
            kb_per_s = (terminal.received_bytes - sent) / took / 1000
            cores = (cpu_s(terminal.pid) - cpu) / took
            terminal.emulates = False
            to_screen = [await _time_beacon(cluster, terminal, number) for number in range(1, _SAMPLES)]
            to_paint = [await _time_key(terminal, number % 2 == 0) for number in range(_SAMPLES)]
    return Busy(_p99_ms(to_screen), _p99_ms(to_paint), cores, kb_per_s)


async def _time_beacon(cluster: asyncio.subprocess.Process, terminal: Terminal, number: int) -> float:
    await asyncio.sleep(0.05 + 0.013 * (number % 7))
    terminal.mark()
    assert cluster.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    cluster.stdin.write(b"\n")
    began = float(await next_line(cluster))
    return await terminal.until_bytes(f"Beacon{number} ".encode()) - began


async def _time_key(terminal: Terminal, down: bool) -> float:
    """Move the cursor to the next cause and back; its evidence is painted with it."""
    await asyncio.sleep(0.1)
    began = terminal.mark()
    terminal.type("j" if down else "k")
    return await terminal.until_bytes(_ABOUT) - began


def _p99_ms(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98] * 1000
