"""Whole commands, timed from outside."""

import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.request import Request, urlopen

MIDWATCH = str(Path(sys.executable).parent / "midwatch")
TOKEN = "midwatch-demo"  # noqa: S105 - the simulator's


class Cost(NamedTuple):
    """What a command took."""

    wall_s: float
    peak_mb: float


def help_s() -> float:
    """Median of seven `midwatch --help`, in seconds."""
    return statistics.median(_wall_s([MIDWATCH, "--help"], 0) for _ in range(7))


def check_dump_s(dump: Path) -> float:
    """One `midwatch check --dump`, in seconds."""
    return _wall_s([MIDWATCH, "check", "--dump", str(dump)], None)


def _wall_s(argv: list[str], expected: int | None) -> float:
    began = monotonic()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
    took = monotonic() - began
    if expected is not None and done.returncode != expected:
        raise RuntimeError(f"{argv} exited with {done.returncode}")
    return took


@asynccontextmanager
async def simulated(nodes: int, pods: int, kubeconfig: Path) -> AsyncIterator[str]:
    """A generated cluster in a process of its own; yields its URL."""
    argv = ["simulator", "--nodes", str(nodes), "--pods", str(pods), "--kubeconfig", str(kubeconfig)]
    async with serving(argv) as child:
        yield (await next_line(child)).removeprefix("ready ")


@asynccontextmanager
async def serving(argv: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python module in a process of its own, ended with the context: what it costs must not be measured with us."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        child.terminate()
        await child.wait()


async def next_line(child: asyncio.subprocess.Process) -> str:
    """The next line a child prints. Raises RuntimeError when it ended instead."""
    assert child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    line = (await child.stdout.readline()).decode().strip()
    if not line:
        raise RuntimeError("the child ended")
    return line


async def kubectl_get_pods(kubeconfig: Path) -> Cost | None:
    """Median of three `kubectl get pods -A -o json` (it must read the objects as we do), None without kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    walls: list[float] = []
    for _ in range(3):
        began = monotonic()
        child = await asyncio.create_subprocess_exec(
            kubectl, "--kubeconfig", str(kubeconfig), "get", "pods", "-A", stdout=asyncio.subprocess.DEVNULL
        )
        if await child.wait():
            raise RuntimeError("kubectl get pods failed")
        walls.append(monotonic() - began)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return Cost(statistics.median(walls), peak_mb)


async def save_list(url: str, path: Path) -> None:
    """Save what `kubectl get pods -A -o json` would print."""

    def load() -> bytes:
        request = Request(f"{url}/api/v1/pods", headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310 - loopback
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body

    body = await asyncio.to_thread(load)
    await asyncio.to_thread(path.write_bytes, body)


def environ(folder: Path, *, over_ssh: bool = False) -> dict[str, str]:
    """The environment of a cockpit under measurement."""
    unwanted = ("SSH_", "TMUX", "STY", "PYTHONDONTWRITEBYTECODE")
    made = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    made |= {"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "COLORTERM": "truecolor"}
    if over_ssh:
        made |= {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
        del made["COLORTERM"]  # usually lost over SSH
    return made
