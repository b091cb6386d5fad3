"""From SIGSTOP of etcd to the finding on the screen: a real etcd of three members beside a simulated API server."""

from pathlib import Path
from time import monotonic
from typing import NamedTuple

from benchmarks.commands import MIDWATCH, environ
from benchmarks.terminal import Terminal
from simulator.cluster import Cluster
from simulator.server import Simulator
from tests.real_etcd import RealEtcd

_FOUND = ("etcd has lost quorum", "quorum lost")
"""What the cause says, and what the pane of the control plane does."""


class Outlived(NamedTuple):
    """Seconds until the finding stands on the screen."""

    two_stopped_s: float
    all_stopped_s: float


async def frozen_etcd(folder: Path) -> Outlived:
    """Stop two of three members, then all three, under an open cockpit each; the API server freezes with them."""
    place = folder / "outlive-etcd"
    place.mkdir()
    async with RealEtcd(place) as etcd:
        two = await _until_found(etcd, folder, 2)
        await etcd.until_healthy()
        return Outlived(two, await _until_found(etcd, folder, 3))


async def _until_found(etcd: RealEtcd, folder: Path, count: int) -> float:
    kubeconfig = folder / "outlive-kubeconfig"
    files = ["--etcd-cacert", etcd.cacert, "--etcd-cert", etcd.cert, "--etcd-key", etcd.key]
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(kubeconfig)
        argv = [MIDWATCH, "--kubeconfig", str(kubeconfig), "--etcd-endpoints", ",".join(etcd.endpoints), *files]
        async with Terminal(argv, environ(folder)) as terminal:
            # The known fault of this version is judged from what a member has answered: then etcd is live.
            await terminal.until("etcd 3.5")
            leader = await etcd.leader()
            stopped = sorted(etcd.members, key=lambda member: member != leader)[:count]
            simulator.faults.freeze_etcd = True
            for member in stopped:
                etcd.pause(member)
            began = monotonic()
            try:
                return await terminal.until(lambda screen: all(words in screen for words in _FOUND)) - began
            finally:
                for member in stopped:
                    etcd.resume(member)
