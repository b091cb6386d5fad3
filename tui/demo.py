"""`midwatch demo`: the cockpit on a simulated cluster that runs beside it on loopback."""

import json
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
from tui.signals import removed_when_killed
from tui.start import CockpitOptions, Demo, open_cockpit

_READY: Final = "ready "
_ETCD: Final = "etcd "
_END_S: Final = 5.0


class Simulated(NamedTuple):
    """A simulated cluster that runs."""

    url: str
    etcd: EtcdArguments = EtcdArguments()
    """How its etcd is reached, if it has one."""


def list_scenarios() -> Iterator[str]:
    """Yield one line for each shipped incident."""
    from simulator.scenarios import SCENARIOS

    for name, title in SCENARIOS.items():
        yield f"{name:<24} {title}"


def open_demo(scenario: str, speed: float, theme: str | None, *, drill: bool = False) -> int:
    """Run the demo until the user leaves and return the exit code. Raises UsageProblem for an unknown scenario."""
    from simulator.scenarios import SCENARIOS

    if scenario not in SCENARIOS:
        raise UsageProblem(f"no scenario {scenario!r}; there are: {', '.join(SCENARIOS)}")
    with tempfile.TemporaryDirectory(prefix="midwatch-demo-") as folder, removed_when_killed(Path(folder)):
        kubeconfig = Path(folder) / "kubeconfig"
        with simulated_cluster([scenario, "--speed", str(speed)], kubeconfig) as simulated:
            reach = Reach(kubeconfig, etcd=simulated.etcd)
            demo = Demo(f"midwatch demo {scenario}{' --drill' if drill else ''}", Path(folder))
            return open_cockpit(
                CockpitOptions(reach, theme, mode="demo · read-only", drill=scenario if drill else "", demo=demo)
            )


@contextmanager
def simulated_cluster(arguments: list[str], kubeconfig: Path) -> Iterator[Simulated]:
    """Run the simulator as a child and yield where it is; it ends with us. Raises UsageProblem if it does not start."""
    # -P: a folder named `simulator` where the user stands is not ours.
    command = [sys.executable, "-P", "-m", "simulator", *arguments, "--kubeconfig", str(kubeconfig)]
    child = subprocess.Popen(  # noqa: S603 - our own module, arguments checked by the caller
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        line, etcd = child.stdout.readline(), EtcdArguments()
        if line.startswith(_ETCD):
            etcd = _etcd_arguments(line.removeprefix(_ETCD))
            line = child.stdout.readline()
        if not line.startswith(_READY):
            raise UsageProblem(f"the simulator did not start: {(line + _end(child)).strip()}")
        yield Simulated(line.removeprefix(_READY).strip(), etcd)
    finally:
        _end(child)


def _etcd_arguments(line: str) -> EtcdArguments:
    way = json.loads(line)
    cacert, cert, key = (Path(way[name]) if way.get(name) else None for name in ("cacert", "cert", "key"))
    return EtcdArguments(tuple(way["endpoints"]), cacert, cert, key, tuple(way["metrics_urls"]))


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
