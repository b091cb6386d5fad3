"""`python -m simulator`: serve an incident or a generated cluster on loopback until told to stop.

Prints `ready URL` once it answers; before that, if the incident has etcd in it, `etcd` and how its members are reached:
`{"endpoints": [...], "metrics_urls": [...], "cacert": "...", "cert": "...", "key": "..."}`.
"""

import argparse
import asyncio
import os
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from simulator.cluster import Cluster
from simulator.generator import churn, generate
from simulator.leases import keep_renewing, leases_renewed_since
from simulator.scenarios import SCENARIOS, open_scenario
from simulator.server import Simulator
from simulator.show import RENEWED_WITHIN, Show
from situation.clock import utc_now
from tape.format import TapeError
from tape.reader import Tape


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("scenario", nargs="?", help=f"a tape, or one of {', '.join(SCENARIOS)}")
    parser.add_argument("--nodes", type=int, default=0, help="generate a cluster with so many nodes instead")
    parser.add_argument("--pods", type=int, default=0, help="pods of the generated cluster")
    parser.add_argument("--gpu-nodes", type=int, default=0, help="nodes with the GPU Operator's pods besides those")
    parser.add_argument("--churn", type=float, default=0.0, help="watch events per second of the generated cluster")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig for this server there")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the incident plays")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; else a free one")
    parser.add_argument("--bookmarks", type=float, default=60.0, help="seconds between bookmarks")
    return parser


async def serve(given: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT, or the end of standard input. Raises TapeError, KeyError and OSError."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    _stop_with_parent(loop, stopped)
    show = _show(given)
    cluster: Cluster = show.cluster if show else generate(given.nodes, given.pods, gpu_nodes=given.gpu_nodes)
    async with Simulator(cluster, token=None, port=given.port) as simulator:
        simulator.faults.bookmark_every_s = given.bookmarks
        if show is not None:
            simulator.faults.absent |= show.absent
        if given.kubeconfig is not None:
            simulator.write_kubeconfig(given.kubeconfig, show.tape.header.context if show else "simulator")
        playing = asyncio.create_task(show.play(simulator) if show else _go_on(cluster, given.churn))
        waiting = asyncio.create_task(stopped.wait())
        if cluster.etcd:
            print(f"etcd {msgspec.json.encode(cluster.etcd_way).decode()}")
        print(f"ready {simulator.url}", flush=True)
        try:
            await asyncio.wait((playing, waiting), return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
        finally:
            for task in (playing, waiting):
                task.cancel()
            await asyncio.gather(playing, waiting, return_exceptions=True)


async def _go_on(cluster: Cluster, churn_per_s: float) -> None:
    alive = leases_renewed_since(cluster, utc_now() - RENEWED_WITHIN)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_renewing(cluster, alive, utc_now))
        tasks.create_task(churn(cluster, churn_per_s))


def _show(given: argparse.Namespace) -> Show | None:
    if given.scenario is None:
        return None
    path = Path(given.scenario)
    tape = Tape(path) if path.is_file() else open_scenario(given.scenario)
    return Show(tape, speed=given.speed)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Stop when standard input ends: a parent that holds the other end of the pipe may die without a word."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return

    def look() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stopped.set()

    loop.add_reader(0, look)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.scenario is None and given.nodes <= 0 and given.gpu_nodes <= 0:
        parser.error("name a scenario, or give --nodes and --pods")
    if given.speed <= 0 or given.bookmarks <= 0 or given.churn < 0 or given.pods < 0:
        parser.error("--speed and --bookmarks are greater than 0, --churn and --pods at least 0")
    try:
        asyncio.run(serve(given))
    except (TapeError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"simulator: {error.args[0]}", file=sys.stderr)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main())
