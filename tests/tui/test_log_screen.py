"""L: the log of what is attended to, read once, on a screen of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from collectors.kubernetes.pod_logs import read_pod_log
from simulator.server import Simulator
from situation.clock import utc_now
from situation.logs import LogLine, LogRun, LogTarget, PodLog
from situation.readings import Changed, Reading, SourceState
from tests.build import NOW, Manifest, ago, made, node, pod
from tests.collectors.harness import client_of
from tests.diagnosis.log_samples import INSTALLER, MODULE, SAMPLES, STOP
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tui.app import Cockpit
from tui.log_screen import LogScreen
from tui.start import cockpit_bindings
from widgets.pods import PodsPane

NONE = LogRun(state=SourceState.ABSENT, said="there is no previous run")
SECURE_BOOT = INSTALLER + MODULE + "-> Kernel module load error: Operation not permitted\n" + STOP
LOOP = {
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": ago(60), "finishedAt": ago(50)}},
}


def crashing(restarts: int = 4, **more: Any) -> Manifest:
    return pod(
        "driver-1",
        namespace="gpu-operator",
        owner="DaemonSet/driver",
        node="gpu-07",
        ready=False,
        container_status={**LOOP, "ready": False, "restartCount": restarts},
        labels={"app": "nvidia-driver-daemonset"},
        **more,
    )


def run(text: str) -> LogRun:
    return LogRun(tuple(LogLine(line, NOW - timedelta(seconds=60)) for line in text.splitlines()))


class Logs:
    """Stands where the server is: answers with `runs`, as soon as `may_answer`."""

    def __init__(self, previous: LogRun = NONE, current: LogRun = NONE) -> None:
        self.previous, self.current = previous, current
        self.asked: list[LogTarget] = []
        self.cancelled = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, target: LogTarget) -> PodLog:
        self.asked.append(target)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return PodLog(target, self.previous, self.current, NOW)


@asynccontextmanager
async def cockpit(
    folder: Path, logs: Any, *more: Manifest, **options: Any
) -> AsyncIterator[tuple[Pilot[int], Cluster]]:
    cluster = Cluster(cluster_readings(node("gpu-07"), *(more or (crashing(),))))
    cluster.read_log = logs
    async with open_cockpit(cluster, folder, **options) as pilot:
        await until(pilot, lambda: app_of(pilot)._connected is not None)
        yield pilot, cluster


def app_of(pilot: Pilot[int]) -> Cockpit:
    assert isinstance(pilot.app, Cockpit)
    return pilot.app


def log_screen(pilot: Pilot[int]) -> LogScreen:
    assert isinstance(pilot.app.screen, LogScreen), screen_text(pilot)
    return pilot.app.screen


async def open_log(pilot: Pilot[int]) -> str:
    """Press L and return the screen once the log was read."""
    await pilot.press("L")
    await until(pilot, lambda: isinstance(pilot.app.screen, LogScreen) and not pilot.app.screen.is_reading)
    await pilot.pause()
    return screen_text(pilot)


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_log_tells_the_fault_what_to_do_and_where_it_stands(tmp_path: Path, size: tuple[int, int]) -> None:
    logs = Logs(run(SECURE_BOOT), run("starting\n"))
    async with cockpit(tmp_path, logs, size=size) as (pilot, _):
        assert logs.asked == [], "nothing is read before somebody asks"
        text = await open_log(pilot)
        assert logs.asked == [LogTarget("gpu-operator", "driver-1", "app", previous=True)]
        assert "Log of driver-1 · app" in text
        assert "read at 02:41:07 UTC" in text
        assert "UEFI Secure Boot refuses the NVIDIA kernel module" in text
        assert "secure-boot · gpu-05" in text
        assert "mokutil --sb-state" in text
        assert "▸ 02:40:07 -> Kernel module load error: Operation not permitted" in text
        await pilot.press("c")
        await until(pilot, (tmp_path / "last-command").exists)
        assert (tmp_path / "last-command").read_text().strip() == "mokutil --sb-state"
        await pilot.press("home")
        assert "previous run: its last 13 lines" in screen_text(pilot)
        await pilot.press("end")
        assert "present run: one line" in screen_text(pilot)


async def test_what_the_log_tells_scrolls_by_the_keys_it_names(tmp_path: Path) -> None:
    async with cockpit(tmp_path, Logs(run(SECURE_BOOT)), size=(80, 24)) as (pilot, _):
        await open_log(pilot)
        await until(pilot, lambda: "more, J and K scroll" in screen_text(pilot))
        assert "↑" not in screen_text(pilot)
        await pilot.press("J")
        await until(pilot, lambda: "↑ 1" in screen_text(pilot))
        await pilot.press("K")
        await until(pilot, lambda: "↑ 1" not in screen_text(pilot))


async def test_n_goes_through_the_faults_and_the_card_follows(tmp_path: Path) -> None:
    async with cockpit(tmp_path, Logs(run("waiting for the driver validations to be ready...\n" + SECURE_BOOT))) as (
        pilot,
        _,
    ):
        assert "3 of 3, n goes on · came first" in await open_log(pilot)
        await pilot.press("n")
        assert "waits for the driver, which is not ready on this node" in screen_text(pilot)
        await pilot.press("n")
        assert "explained by secure-boot" in screen_text(pilot)
        await pilot.press("N", "N")
        assert "UEFI Secure Boot refuses" in screen_text(pilot)


async def test_what_was_read_stands_with_the_evidence_until_the_container_runs_anew(tmp_path: Path) -> None:
    async with cockpit(tmp_path, Logs(run(SECURE_BOOT))) as (pilot, cluster):
        await open_log(pilot)
        await pilot.press("escape")
        line = "log: UEFI Secure Boot refuses the NVIDIA kernel module"
        await until(pilot, lambda: line in screen_text(pilot))
        assert "log · now" in screen_text(pilot)
        again = made(crashing(restarts=5))
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (again,))))
        await until(pilot, lambda: "5 restarts" in screen_text(pilot))
        assert line not in screen_text(pilot)


async def test_a_log_without_a_known_fault_still_shows_and_offers_its_command(tmp_path: Path) -> None:
    log = run("".join(f"line {number} [bold]x[/nope]\n" for number in range(200)))
    async with cockpit(tmp_path, Logs(log, log)) as (pilot, _):
        text = await open_log(pilot)
        assert "no text of a known fault in it" in text
        assert "line 199 [bold]x[/nope]" in text, "it begins at the end"
        await pilot.press("home")
        assert "last run: its last 200 lines" in screen_text(pilot)
        assert "line 0 [bold]x[/nope]" in screen_text(pilot)
        await pilot.press("c")
        await until(pilot, (tmp_path / "last-command").exists)
        assert "logs driver-1 -c app --previous" in (tmp_path / "last-command").read_text()
        await pilot.press("escape")
        assert "log:" not in screen_text(pilot)


async def test_what_the_log_holds_never_reaches_the_terminal_as_more_than_text(tmp_path: Path) -> None:
    async with client_log(tmp_path, b"\x1b]52;c;aGk=\x07 GPU is lost \xe2\x80\xae\x9b31m\n") as (pilot, _):
        await open_log(pilot)
        strips = pilot.app.screen._compositor.render_strips()
        assert all(segment.text.isprintable() for strip in strips for segment in strip)
        assert "a GPU has fallen off the bus" in screen_text(pilot)


@asynccontextmanager
async def client_log(folder: Path, text: bytes) -> AsyncIterator[tuple[Pilot[int], Simulator]]:
    """A cockpit whose logs come from a real server."""
    from simulator.cluster import Cluster as Simulated

    async with Simulator(Simulated()) as simulator:
        simulator.cluster.put("pods", crashing())
        simulator.cluster.logs["gpu-operator/driver-1"] = (
            text.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        )
        async with client_of(simulator, folder) as client:

            async def read(target: LogTarget) -> PodLog:
                return await read_pod_log(client, target, utc_now)

            async with cockpit(folder, read) as (pilot, _):
                yield pilot, simulator


async def test_through_a_real_server(tmp_path: Path) -> None:
    async with client_log(tmp_path, SECURE_BOOT.encode()) as (pilot, simulator):
        assert "UEFI Secure Boot refuses" in await open_log(pilot)
        assert len([request for request in simulator.requests if request.path.endswith("/log")]) == 2
        simulator.cluster.delete("pods", "gpu-operator", "driver-1")
        await pilot.press("r")
        await until(pilot, lambda: "both runs: pod driver-1 is gone" in screen_text(pilot))
        assert "there is no log to show" in screen_text(pilot)


FORBIDDEN = LogRun(state=SourceState.FORBIDDEN, said="cannot get pods/log in namespace x (RBAC: verb get, ...)")


@pytest.mark.parametrize(
    ("previous", "current", "said"),
    [
        (FORBIDDEN, FORBIDDEN, ["both runs: forbidden: cannot get pods/log in namespace x", "there is no log to show"]),
        (NONE, run("one"), ["previous run: there is no previous run", "present run: one line"]),
        (NONE, LogRun(), ["present run: it said nothing", "no text of a known fault in it"]),
        (
            LogRun(state=SourceState.UNREACHABLE, said="no answer"),
            run("GPU is lost"),
            ["previous run: unreachable: no answer", "a GPU has fallen off the bus"],
        ),
        (NONE, LogRun((LogLine("x"),), cut="after 512 KiB"), ["present run: one line, broken off after 512 KiB"]),
    ],
)
async def test_each_run_says_why_it_is_not_there(
    tmp_path: Path, previous: LogRun, current: LogRun, said: list[str]
) -> None:
    async with cockpit(tmp_path, Logs(previous, current)) as (pilot, _):
        text = await open_log(pilot)
        for wanted in said:
            assert wanted in text


async def test_while_it_is_read_nothing_is_asked_twice_and_closing_gives_up(tmp_path: Path) -> None:
    logs = Logs(run(SECURE_BOOT))
    logs.may_answer.clear()
    async with cockpit(tmp_path, logs) as (pilot, _):
        await pilot.press("L", "L")
        await until(pilot, lambda: bool(logs.asked))
        await pilot.pause()
        assert "reading the log …" in screen_text(pilot)
        await pilot.press("r", "r", "L")
        assert len(logs.asked) == 1
        await pilot.press("escape")
        await until(pilot, lambda: logs.cancelled == 1)
        assert not isinstance(pilot.app.screen, LogScreen)
        logs.may_answer.set()
        assert "UEFI Secure Boot" in await open_log(pilot)
        assert len(logs.asked) == 2
        await pilot.press("r")
        await until(pilot, lambda: len(logs.asked) == 3)


async def test_an_error_of_ours_is_told_and_does_not_end_the_cockpit(tmp_path: Path) -> None:
    async def broken(target: LogTarget) -> PodLog:
        raise RuntimeError("[/nope]")

    async with cockpit(tmp_path, broken) as (pilot, _):
        assert "internal error: RuntimeError: [/nope]" in await open_log(pilot)
        await pilot.press("escape")
        assert pilot.app.is_running


async def test_searching_marks_lines_and_escape_takes_it_back_before_it_closes(tmp_path: Path) -> None:
    log = run("".join(f"{'Needle' if number % 50 == 49 else 'hay'} {number}\n" for number in range(200)))
    async with cockpit(tmp_path, Logs(log)) as (pilot, _):
        await open_log(pilot)
        await pilot.press("home", "slash", *"needle")
        await until(pilot, lambda: "“needle” in 4 lines" in screen_text(pilot))
        assert "/ 02:40:07 Needle 49" in screen_text(pilot)
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("n", "n")
        assert "Needle 149" in screen_text(pilot)
        await pilot.press("n", "n")
        assert "Needle 49" in screen_text(pilot), "from the last to the first"
        await pilot.press("N")
        assert "Needle 199" in screen_text(pilot)
        await pilot.press("escape")
        assert "needle" not in screen_text(pilot)
        log_screen(pilot)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, LogScreen)


async def test_keys_scroll_and_help_lists_them(tmp_path: Path) -> None:
    async with cockpit(tmp_path, Logs(run("".join(f"line {number}\n" for number in range(200))))) as (pilot, _):
        await open_log(pilot)
        view = log_screen(pilot).view
        await pilot.press("home", "j", "j", "k")
        assert view.scroll_offset.y == 1
        await pilot.press("pagedown")
        assert view.scroll_offset.y > 20
        await pilot.press("pageup", "end")
        assert "line 199" in screen_text(pilot)
        await pilot.press("question_mark")
        assert "log.reload" in screen_text(pilot)
        await pilot.press("escape", "escape")
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Log of what fails, and what it tells" in screen_text(pilot)


async def test_the_selected_pod_and_the_one_under_the_cursor(tmp_path: Path) -> None:
    logs = Logs()
    async with cockpit(tmp_path, logs, crashing(), pod("web-1", node="gpu-07")) as (pilot, _):
        pods = app_of(pilot).cockpit.query_one(PodsPane)
        pods.table.focus()
        pods.table.move_to(("shop", "web-1"))
        await open_log(pilot)
        assert logs.asked == [LogTarget("shop", "web-1", "app")]
        await pilot.press("escape", "enter")
        await open_log(pilot)
        assert len(logs.asked) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [({"kiosk": True}, "A kiosk shows no logs"), ({}, "There are no logs here: what is shown is a recording")],
)
async def test_where_there_are_no_logs_the_key_says_why(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    async with cockpit(tmp_path, Logs() if options else None, **options) as (pilot, _):
        await pilot.press("L")
        await until(pilot, lambda: said in screen_text(pilot))


async def test_what_has_no_pod_has_no_log(tmp_path: Path) -> None:
    async with cockpit(tmp_path, Logs(), node("gpu-08", ready="False")) as (pilot, _):
        await pilot.press("L")
        await until(pilot, lambda: "No pod stands for this" in screen_text(pilot))


def test_the_keys_can_be_remapped() -> None:
    ids = {binding.id for binding in cockpit_bindings()}
    assert {"log", "log.close", "log.reload", "log.search", "log.down", "log.last"} <= ids


async def test_the_screen_paints_on_while_a_long_log_is_shown(tmp_path: Path) -> None:
    texts = [text for _, _, text in SAMPLES] * 3
    log = run("\n".join(texts) + "\n" + "界" * 2000)
    async with cockpit(tmp_path, Logs(log), size=(80, 24)) as (pilot, _):
        await open_log(pilot)
        await pilot.resize_terminal(120, 40)
        await pilot.press("end")
        await until(pilot, lambda: "界" in screen_text(pilot))


async def test_what_the_log_said_reaches_the_rules_until_the_container_ends_again(tmp_path: Path) -> None:
    server = pod("llm-1", owner="ReplicaSet/llm-5d8", node="gpu-07", ready=False,
                 labels={"app": "llm", "pod-template-hash": "5d8"},
                 container={"image": "vllm/vllm-openai:v0.11.0", "args": ["--model", "m/Llama-3-8B"]},
                 container_status={**LOOP, "ready": False, "restartCount": 4})  # fmt: skip
    log = run(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\nEngine core initialization failed.\n"
    )
    async with cockpit(tmp_path, Logs(log, log), server) as (pilot, cluster):
        assert "its log has not been read" in screen_text(pilot)
        await open_log(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "llm runs out of GPU memory" in screen_text(pilot))
        assert "line 1: torch.OutOfMemoryError" in screen_text(pilot)
        status = server["status"]["containerStatuses"][0]
        again = {**server, "status": {**server["status"], "containerStatuses": [{**status, "restartCount": 5}]}}
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(again),))))
        await until(pilot, lambda: "5 restarts" in screen_text(pilot))
        assert "its log has not been read" in screen_text(pilot)
