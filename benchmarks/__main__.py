"""`make bench`: every budget of the design with its measured value, and the ratio to kubectl where that compares."""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import cockpit, commands, control_plane, etcd, gpu, memory, outlive, ring, vllm

NODES: Final = 1_000
PODS: Final = 10_000


class Line(NamedTuple):
    """One row of the table."""

    what: str
    value: float
    budget: float
    unit: str
    kubectl: float | None = None
    """The same of `kubectl get pods -A` on the same server."""

    @property
    def text(self) -> str:
        verdict = "ok" if self.value <= self.budget else "OVER"
        ratio = f"{self.value / self.kubectl:.2f} x kubectl" if self.kubectl else ""
        return f"| {self.what} | {self.value:.3g} {self.unit} | {self.budget:g} {self.unit} | {verdict} | {ratio} |"


async def measure(folder: Path) -> list[Line]:
    """Run everything, one after the other."""
    event_ms, whole_ms = gpu.chain_ms()
    page = await control_plane.api_page()
    (folder / "etcd").mkdir()
    etcd_rounds = await etcd.rounds(folder / "etcd")
    serving = await vllm.rounds()
    lines = [
        Line("`midwatch --help`", commands.help_s(), 0.25, "s"),
        Line(f"a DCGM exporter's page of {gpu.GPUS} GPUs", gpu.page_ms(), 5, "ms"),
        Line(f"chains of {gpu.NODES} GPU nodes after one pod event", event_ms, 5, "ms"),
        Line(f"chains of {gpu.NODES} GPU nodes from scratch", whole_ms, 100, "ms"),
        Line(f"an API server's page of {page.megabytes:.1f} MB", page.parse_ms, 150, "ms"),
        Line("the same: longest turn of the event loop", page.longest_turn_ms, 30, "ms"),
        Line("the same: memory at its peak", page.peak_mb, 20, "MB"),
        Line(f"a round over {etcd.MEMBERS} members of etcd", etcd_rounds.without_pages_ms, 60, "ms"),
        Line(f"a round over {etcd.MEMBERS} members of etcd, with their metrics", etcd_rounds.with_pages_ms, 60, "ms"),
        Line("a page of an etcd member", etcd.page_ms(), 5, "ms"),
        Line("a page of a model server (50 KB)", vllm.page_ms(), 3, "ms"),
        Line(f"a round over {vllm.SERVERS} model servers", serving.wall_s, 1.0, "s"),
        Line("the same every 5 s: CPU", serving.cpu_cores, 0.3, "core"),
    ]
    dump = folder / "pods.json"
    kubeconfig = folder / "kubeconfig"
    async with commands.simulated(NODES, PODS, kubeconfig) as server:
        kubectl = await commands.kubectl_get_pods(kubeconfig)
        start = [await cockpit.start(kubeconfig, PODS) for _ in range(5)]
        lines += [
            Line("first paint", _median(run.first_paint_s for run in start), 0.6, "s"),
            Line(
                f"complete, judged picture of {PODS} pods / {NODES} nodes",
                _median(run.complete_s for run in start),
                1.5,
                "s",
                kubectl.wall_s if kubectl else None,
            ),
            Line(
                "resident memory with that cluster",
                _median(run.resident_mb for run in start),
                130,
                "MB",
                kubectl.peak_mb if kubectl else None,
            ),
        ]
        await commands.save_list(server, dump)
    lines.append(
        Line(
            f"`check --dump` on {PODS} pods",
            _median(commands.check_dump_s(dump) for _ in range(5)),
            1.0,
            "s",
            kubectl.wall_s if kubectl else None,
        )
    )
    for label, over_ssh in (("locally, 10 Hz", False), ("over SSH, 4 Hz", True)):
        busy = await cockpit.under_load(folder, NODES, PODS, over_ssh=over_ssh)
        lines += [
            Line(f"1 000 events/s: event to screen p99 ({label})", busy.event_to_screen_p99_ms, 300, "ms"),
            Line(f"1 000 events/s: key to paint p99 ({label})", busy.key_to_paint_p99_ms, 60, "ms"),
            Line(f"1 000 events/s: CPU ({label})", busy.cpu_cores, 0.6, "core"),
            Line(f"1 000 events/s: bytes to the terminal ({label})", busy.kb_per_s, 15, "KB/s"),
        ]
    outlived = await outlive.frozen_etcd(folder)
    lines += [
        Line("SIGSTOP of two of three etcd members to the finding", outlived.two_stopped_s, 5, "s"),
        Line("SIGSTOP of all etcd members to the finding", outlived.all_stopped_s, 5, "s"),
    ]
    held = ring.hold(folder, NODES, PODS)
    lines += [
        Line(
            "ring of the last half hour: the most it held of its limit in a million changes", held.largest_ratio, 1, ""
        ),
        Line("the same: CPU for 1 000 changes", held.cpu_ms, 40, "ms"),
        Line("the same: memory more, once it is full", held.growth_mb, 10, "MB"),
        Line("the same: writing the tape", held.save_s, 10, "s"),
    ]
    print(f"the ring reaches back {held.reach_s:.0f} s at 1 000 changes/s", file=sys.stderr)
    lines.append(Line("memory after a million events", memory.growth_percent(NODES, PODS), 10, "% more"))
    return lines


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


def main() -> int:
    """Print the table; 1 when a budget is exceeded."""
    if shutil.which("kubectl") is None:
        print("kubectl is not here: its column stays empty", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="midwatch-bench-") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        lines = asyncio.run(measure(Path(folder)))
    print(f"\nPython {sys.version.split()[0]}, {os.cpu_count()} cores")
    print("\n| what | measured | budget | | |\n|---|---|---|---|---|")
    for line in lines:
        print(line.text)
    return any(line.value > line.budget for line in lines)


if __name__ == "__main__":
    sys.exit(main())
