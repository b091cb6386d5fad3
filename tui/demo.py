"""`midwatch demo`: the cockpit on a simulated cluster that runs beside it on loopback."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tui.etcd_options import EtcdArguments
from tui.exits import UsageProblem
from tui.reach import Reach
from tui.start import CockpitOptions, open_cockpit

_READY: Final = "ready "
_ETCD: Final = "etcd "
"""Starts a line about a member: name, endpoint, URL of its metrics."""
_END_S: Final = 5.0


def list_scenarios() -> Iterator[str]:
    """Yield one line for each shipped incident."""
    from simulator.scenarios import SCENARIOS

    for name, title in SCENARIOS.items():
        yield f"{name:<22} {title}"


def open_demo(scenario: str, speed: float, theme: str | None) -> int:
    """Run the demo until the user leaves and return the exit code. Raises UsageProblem for an unknown scenario."""
    from simulator.scenarios import SCENARIOS

    if scenario not in SCENARIOS:
        raise UsageProblem(f"no scenario {scenario!r}; there are: {', '.join(SCENARIOS)}")
    with tempfile.TemporaryDirectory(prefix="midwatch-demo-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        with simulated_cluster([scenario, "--speed", str(speed)], kubeconfig) as cluster:
            etcd = EtcdArguments(cluster.etcd_endpoints, metrics=cluster.etcd_metrics)
            return open_cockpit(CockpitOptions(Reach(kubeconfig, etcd=etcd), theme, mode="demo · read-only"))


class SimulatedCluster(NamedTuple):
    """Where a simulator answers."""

    url: str
    etcd_endpoints: tuple[str, ...] = ()
    etcd_metrics: tuple[str, ...] = ()


@contextmanager
def simulated_cluster(arguments: list[str], kubeconfig: Path) -> Iterator[SimulatedCluster]:
    """Run the simulator as a child and yield where it answers; it ends with us.

    Raises UsageProblem when it does not start.
    """
    # -P: a folder named `simulator` where the user stands is not ours.
    command = [sys.executable, "-P", "-m", "simulator", *arguments, "--kubeconfig", str(kubeconfig)]
    child = subprocess.Popen(  # noqa: S603 - our own module, arguments checked by the caller
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        members: list[tuple[str, str]] = []
        while (line := child.stdout.readline()).startswith(_ETCD):
            _, _, endpoint, metrics_url = line.split()
            members.append((endpoint, metrics_url))
        if not line.startswith(_READY):
            raise UsageProblem(f"the simulator did not start: {(line + _end(child)).strip()}")
        endpoints, metrics = tuple(item[0] for item in members), tuple(item[1] for item in members)
        yield SimulatedCluster(line.removeprefix(_READY).strip(), endpoints, metrics)
    finally:
        _end(child)


def _end(child: "subprocess.Popen[str]") -> str:
    """End the child, the hard way if it takes long, and return what it wrote to standard error since the last call."""
    if child.stderr is None or child.stderr.closed:
        return ""
    child.terminate()
    try:
        return child.communicate(timeout=_END_S)[1]
    except subprocess.TimeoutExpired:
        child.kill()
        return child.communicate()[1]
