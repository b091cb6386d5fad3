"""Recorded model servers replayed through the whole cockpit: what it says of a queue and of preemptions, and when."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from textual.pilot import Pilot

from collectors.vllm.page import parse_server_page
from simulator.scenarios import open_scenario
from simulator.scenarios.vllm_pages import SLOWER, read_pages
from situation.findings import Finding
from situation.readings import Reading
from tape.playhead import Playhead
from tape.reader import Tape
from tests.tui.cockpits import Cluster, open_cockpit, screen_text, until
from tui.app import Cockpit
from tui.recorded import RecordedSources

EVERY_S: Final = 5.0
"""As often as model servers are asked."""
WINDOW_S: Final = 60.0
"""Over which preemptions are counted."""
FIRST_WAIT_AT: Final = 3.1 * SLOWER
DRAINED_AT: Final = 31.4 * SLOWER
PREEMPTS_AT: Final = 90.0
"""A moment at which the servers are asked, and were a window before."""


class Replay:
    """A cockpit that hears a tape as fast as it takes it in; its clock is that of the tape."""

    def __init__(self, tape: Tape) -> None:
        self._head = Playhead(tape.path, RecordedSources)
        self.t = 0.0
        self.cluster = Cluster(self._readings())
        self.pilot: Pilot[int]

    def now(self) -> datetime:
        return self._head.time_at(self.t)

    def _readings(self) -> tuple[Reading, ...]:
        """What was heard since the last time, the rounds at the servers among it."""
        return tuple(self._head.until(self.t))

    async def until(self, t: float, every_s: float = EVERY_S) -> str:
        """Play up to `t`, and return what then stands on the screen."""
        while self.t < t:
            self.t = min(t, self.t + every_s)
            before = self._app.feed.diagnosis
            for reading in self._readings():
                self.cluster.publish(reading)
            await until(self.pilot, lambda before=before: self._app.feed.diagnosis is not before)  # type: ignore[misc]
        await self.pilot.pause()
        return screen_text(self.pilot)

    def found(self, rule: str) -> list[Finding]:
        causes = self._app.feed.diagnosis.causes
        return [item for cause in causes for item in (cause, *cause.consequences) if item.rule == rule]

    @property
    def _app(self) -> Cockpit:
        assert isinstance(self.pilot.app, Cockpit)
        return self.pilot.app


@asynccontextmanager
async def replaying(scenario: str, state_dir: Path) -> AsyncIterator[Replay]:
    replay = Replay(open_scenario(scenario))
    async with open_cockpit(replay.cluster, state_dir, clock=replay.now) as replay.pilot:
        yield replay


async def test_a_queue_is_found_named_and_withdrawn_once_it_has_drained(tmp_path: Path) -> None:
    async with replaying("vllm_queue", tmp_path) as replay:
        assert "is saturated" not in await replay.until(FIRST_WAIT_AT - 3)
        assert "is saturated: 8 run, 52 wait" in await replay.until(FIRST_WAIT_AT + EVERY_S)
        assert "is saturated: 8 run, 12 wait" in await replay.until(110, 15)
        assert "is saturated" not in await replay.until(DRAINED_AT + EVERY_S, 15)
        assert replay.found("vllm-saturated") == replay.found("vllm-queue-growing") == []


def preemptions(t: float) -> float:
    """How many had been by a second of the tape, as the recording counts them."""
    page = [page for page in read_pages()["preemption"] if SLOWER * page.t <= t][-1]
    return parse_server_page(page.text.encode(), "recorded").engines[0].preemptions or 0


async def test_preemptions_are_found_with_their_rate(tmp_path: Path) -> None:
    async with replaying("vllm_preemption", tmp_path) as replay:
        screen = await replay.until(PREEMPTS_AT)
        (finding,) = replay.found("vllm-preemption")
    shown = re.search(r"\((\d+) a minute\)", finding.title)
    assert shown
    assert abs(int(shown[1]) - (preemptions(PREEMPTS_AT) - preemptions(PREEMPTS_AT - WINDOW_S))) <= 1
    assert int(shown[1]) > 30
    assert "preempts running requests" in screen
