"""The runner: cadence, back-off, deadlines, cancellation, and the one broad except."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

import pytest

from collectors import runner as runner_module
from collectors.errors import (
    AbsentError,
    ForbiddenError,
    SourceError,
    ThrottledError,
    UnauthorizedError,
    UnreachableError,
)
from collectors.runner import Runner
from situation.readings import Reading, SourceState

NOW = datetime(2026, 11, 23, 2, 41, 7, tzinfo=UTC)
LIVE = Reading("it", SourceState.LIVE, NOW)

Step = Exception | Callable[[], None] | None


class Scripted:
    """Each pass takes the next step: raises it, calls it, or (None) yields a live reading. Then it waits for ever."""

    name = "it"
    pause_s = 5.0

    def __init__(self, *steps: Step, deadline_s: float | None = None) -> None:
        self.deadline_s = deadline_s
        self._steps = list(steps)
        self.closed = 0

    async def collect(self) -> AsyncGenerator[Reading, None]:
        try:
            step = self._steps.pop(0) if self._steps else asyncio.Event().wait()
            if isinstance(step, Exception):
                raise step
            if callable(step):
                step()
            elif step is not None:
                await step
            yield LIVE
        finally:
            self.closed += 1


class Watched:
    """Runs a collector through its steps; notes delays and readings."""

    def __init__(self, jitter: float = 1.0) -> None:
        self.delays: list[float] = []
        self.readings: list[Reading] = []
        self._jitter = jitter

    async def run(self, collector: Scripted, passes: int) -> None:
        enough = asyncio.Event()

        async def sleep(seconds: float) -> None:
            self.delays.append(round(seconds, 3))
            if len(self.delays) >= passes:
                enough.set()
                await asyncio.Event().wait()

        async with Runner(self.readings.append, lambda: NOW, sleep=sleep, jitter=lambda: self._jitter) as runner:
            runner.start(collector)
            async with asyncio.timeout(5):
                await enough.wait()

    @property
    def states(self) -> list[SourceState]:
        return [reading.state for reading in self.readings]


async def test_pauses_between_passes() -> None:
    watched = Watched(jitter=0.5)
    await watched.run(Scripted(None, None, None), 3)
    assert watched.delays == [5.0, 5.0, 5.0]
    assert watched.states == [SourceState.LIVE] * 3


@pytest.mark.parametrize("step", [None, UnreachableError("no")])
async def test_a_collector_is_unheard_until_it_has_ended_a_pass_or_failed(step: Step) -> None:
    paused = asyncio.Event()

    async def sleep(_: float) -> None:
        paused.set()
        await asyncio.Event().wait()

    async with Runner(lambda _: None, lambda: NOW, sleep=sleep) as runner:
        runner.start(Scripted(step))
        assert runner.unheard == {"it"}
        async with asyncio.timeout(5):
            await paused.wait()
        assert runner.unheard == set()


async def test_backs_off_to_the_limit_and_never_gives_up() -> None:
    watched = Watched()
    await watched.run(Scripted(*[UnreachableError("no")] * 40), 40)
    assert watched.delays[:8] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert watched.delays[-1] == 30


async def test_jitter_is_full() -> None:
    watched = Watched(jitter=0.0)
    await watched.run(Scripted(*[UnreachableError("no")] * 5), 5)
    assert watched.delays == [0.0] * 5


async def test_success_resets_the_back_off() -> None:
    watched = Watched()
    bad = UnreachableError("no")
    await watched.run(Scripted(bad, bad, None, bad), 4)
    assert watched.delays == [0.5, 1, 5.25, 0.5]


async def test_a_watch_that_breaks_soon_does_not_reset_it_a_long_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(runner_module, "monotonic", lambda: now)

    def lives(seconds: float) -> Callable[[], None]:
        def step() -> None:
            nonlocal now
            now += seconds

        return step

    class Breaking(Scripted):
        async def collect(self) -> AsyncGenerator[Reading, None]:
            async for reading in super().collect():
                yield reading
            raise UnreachableError("broke off")

    watched = Watched()
    await watched.run(Breaking(lives(1), lives(1), lives(1), lives(60), lives(1)), 5)
    assert watched.delays == [0.5, 1, 2, 0.5, 1]


@pytest.mark.parametrize(
    ("error", "state", "at_least"),
    [
        (UnreachableError("a"), SourceState.UNREACHABLE, 0.5),
        (UnreachableError("a", 20), SourceState.UNREACHABLE, 20.5),
        (UnauthorizedError("a"), SourceState.UNAUTHORIZED, 0.5),
        (ForbiddenError("a"), SourceState.FORBIDDEN, 60.5),
        (AbsentError("a"), SourceState.ABSENT, 300.5),
        (ThrottledError("a", 7), SourceState.UNREACHABLE, 7.5),
        (ThrottledError("a", 10**6), SourceState.UNREACHABLE, 300.5),
    ],
)
async def test_each_error_has_its_state_and_delay(error: SourceError, state: SourceState, at_least: float) -> None:
    watched = Watched()
    await watched.run(Scripted(error), 1)
    assert watched.readings == [Reading("it", state, NOW, None, "a")]
    assert watched.delays == [at_least]


async def test_being_throttled_does_not_cast_doubt_on_live_data() -> None:
    watched = Watched()
    await watched.run(Scripted(None, ThrottledError("wait", 3)), 2)
    assert watched.states == [SourceState.LIVE]
    assert watched.delays[1] == 3.5


async def test_internal_error_is_published_and_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    await watched.run(Scripted(KeyError("oops"), None), 2)
    assert watched.readings[0].error == "internal error in it: KeyError: 'oops'"
    assert watched.states == [SourceState.UNREACHABLE, SourceState.LIVE]
    assert any(record.exc_info for record in caplog.records)


async def test_a_pass_over_its_deadline_is_cut() -> None:
    watched = Watched()
    collector = Scripted(deadline_s=0.05)
    await watched.run(collector, 1)
    assert watched.readings[0].error == "it: no answer within 0.05 s"
    assert collector.closed == 1


async def test_a_state_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watched = Watched()
    await watched.run(Scripted(*[UnreachableError("no route")] * 5, None, None), 7)
    assert [record.getMessage() for record in caplog.records] == ["it: unreachable: no route", "it: live"]


async def test_error_text_from_outside_is_harmless() -> None:
    watched = Watched()
    await watched.run(Scripted(UnreachableError("\x1b[31mred")), 1)
    assert "\x1b" not in watched.readings[0].error


async def test_one_recovery_wakes_the_others_but_not_those_that_wait_for_people() -> None:
    async def never(seconds: float) -> None:
        if seconds > 0:
            await asyncio.Event().wait()

    class Named(Scripted):
        def __init__(self, name: str, *steps: Step) -> None:
            super().__init__(*steps)
            self.name = name
            self.passes = 0

        async def collect(self) -> AsyncGenerator[Reading, None]:
            self.passes += 1
            async for _ in super().collect():
                yield Reading(self.name, SourceState.LIVE, NOW)

    gone = UnreachableError("gone")
    waiting, told_to_wait, forbidden = (
        Named("a", gone, None),
        Named("b", ThrottledError("w", 9)),
        Named("c", ForbiddenError("no")),
    )
    back = asyncio.Event()
    seen: set[str] = set()

    def publish(reading: Reading) -> None:
        if reading.state is SourceState.LIVE:
            seen.add(reading.source)
        if seen >= {"a", "first"}:
            back.set()

    async with Runner(publish, lambda: NOW, sleep=never) as runner:
        for collector in (waiting, told_to_wait, forbidden):
            runner.start(collector)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        runner._jitter = lambda: 0.0  # the next one does not wait
        runner.start(Named("first", gone, None))
        async with asyncio.timeout(5):
            await back.wait()
    assert waiting.passes == 2
    assert told_to_wait.passes == forbidden.passes == 1


async def test_leaving_cancels_and_awaits_all() -> None:
    collectors = [Scripted(), Scripted(None), Scripted(UnreachableError("no"))]
    before = asyncio.all_tasks()
    async with Runner(lambda reading: None, lambda: NOW) as runner:
        for collector in collectors:
            runner.start(collector)
        await asyncio.sleep(0)
        assert sum(1 for task in asyncio.all_tasks() - before if task.get_name() == "it") == 3
    assert asyncio.all_tasks() == before
    assert all(collector.closed >= 1 for collector in collectors)


async def test_what_a_collector_keeps_open_is_closed_on_leaving() -> None:
    class Keeping(Scripted):
        is_open = True

        async def aclose(self) -> None:
            self.is_open = False

    kept = Keeping(None)
    async with Runner(lambda reading: None, lambda: NOW) as runner:
        runner.start(kept)
        await asyncio.sleep(0)
        assert kept.is_open
    assert not kept.is_open
