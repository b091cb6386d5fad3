"""Recorded model servers replayed through the whole cockpit at 20x: what it says of queue and preemptions, and when."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from textual.pilot import Pilot

from collectors.vllm.page import parse_server_page
from simulator.scenarios import open_scenario
from simulator.scenarios.vllm_pages import SLOWER, read_pages
from situation.findings import Finding
from tests.tui.cockpits import screen_text, until
from tui.replay import Replay
from tui.replay_app import ReplayCockpit
from tui.themes import load_themes

SPEED: Final = 20.0
CLOSE_S: Final = 0.01
EVERY_S: Final = 5.0
"""As often as model servers are asked."""
WINDOW_S: Final = 60.0
"""Over which preemptions are counted."""
FIRST_WAIT_AT: Final = 3.1 * SLOWER
DRAINED_AT: Final = 31.4 * SLOWER
PREEMPTS_AT: Final = 90.0
"""A moment at which the servers are asked, and were a window before."""


class Played:
    """The cockpit that replays tapes, at 20x, on a stopwatch of ours: however slow the machine, nothing is missed."""

    def __init__(self, app: ReplayCockpit, stopwatch: list[float]) -> None:
        self._app = app
        self._stopwatch = stopwatch
        self.pilot: Pilot[int]

    async def until(self, t: float, every_s: float = EVERY_S) -> None:
        """Play up to second `t` of the tape, until that is judged; it is painted a moment later."""
        replay, feed = self._app.replay, self._app.feed
        while replay.second < t - CLOSE_S:
            before, wanted = feed.diagnosis, min(t, replay.second + every_s)
            self._stopwatch[0] += (wanted - replay.second) / SPEED
            await until(self.pilot, lambda wanted=wanted: replay.second >= wanted - CLOSE_S)  # type: ignore[misc]
            await until(self.pilot, lambda before=before: feed.diagnosis is not before)  # type: ignore[misc]

    async def shows(self, text: str) -> None:
        """Wait for the painting in which `text` stands."""
        await until(self.pilot, lambda: text in screen_text(self.pilot))

    async def hides(self, text: str) -> None:
        """Wait for the painting in which `text` does not stand."""
        await until(self.pilot, lambda: text not in screen_text(self.pilot))

    def found(self, rule: str) -> list[Finding]:
        causes = self._app.feed.diagnosis.causes
        return [item for cause in causes for item in (cause, *cause.consequences) if item.rule == rule]


@asynccontextmanager
async def replaying(scenario: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Played]:
    stopwatch = [1000.0]
    monkeypatch.setattr("tui.replay.monotonic", lambda: stopwatch[0])
    replay = Replay(open_scenario(scenario).path, speed=SPEED)
    app = ReplayCockpit(
        replay,
        themes=load_themes(None),
        theme="midwatch-dark",
        hz=20,
        state_dir=state_dir,
        environ={"PATH": ""},
        keymap={},
    )
    played = Played(app, stopwatch)
    async with app.run_test(size=(160, 50)) as played.pilot:
        await until(played.pilot, lambda: app.feed.diagnosis.judged_at is not None)
        yield played


async def test_a_queue_is_found_named_and_withdrawn_once_it_has_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replaying("vllm_queue", tmp_path, monkeypatch) as replay:
        await replay.until(FIRST_WAIT_AT - 3)
        assert replay.found("vllm-saturated") == []
        await replay.hides("is saturated")
        await replay.until(FIRST_WAIT_AT + EVERY_S)
        await replay.shows("is saturated: 8 run, 52 wait")
        await replay.until(110, 15)
        await replay.shows("is saturated: 8 run, 12 wait")
        await replay.until(DRAINED_AT + EVERY_S, 15)
        assert replay.found("vllm-saturated") == replay.found("vllm-queue-growing") == []
        await replay.hides("is saturated")


def preemptions(t: float) -> float:
    """How many had been by a second of the tape, as the recording counts them."""
    page = [page for page in read_pages()["preemption"] if SLOWER * page.t <= t][-1]
    return parse_server_page(page.text.encode(), "recorded").engines[0].preemptions or 0


async def test_preemptions_are_found_with_their_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with replaying("vllm_preemption", tmp_path, monkeypatch) as replay:
        await replay.until(PREEMPTS_AT)
        (finding,) = replay.found("vllm-preemption")
        await replay.shows("preempts running requests")
    shown = re.search(r"\((\d+) a minute\)", finding.title)
    assert shown
    assert abs(int(shown[1]) - (preemptions(PREEMPTS_AT) - preemptions(PREEMPTS_AT - WINDOW_S))) <= 1
    assert int(shown[1]) > 30
