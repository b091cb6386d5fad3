"""The runner: one task per collector; owns cadence, deadlines, back-off and cancellation for all of them."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Final, Protocol, Self, runtime_checkable

from collectors.errors import SourceError, ThrottledError, UnreachableError
from situation.readings import Reading, SourceState
from situation.text import harmless

BACKOFF_START_S: Final = 0.5
BACKOFF_LIMIT_S: Final = 30.0
RETRY_AFTER_LIMIT_S: Final = 300.0
"""A server that asks for more (or a wrong header) must not silence a source for good."""
RECOVERY_GAP_S: Final = 10.0
"""One source's recovery shortens the back-off of the others at most this often: a flapping server is not pestered."""
SETTLED_S: Final = 10.0
"""A watch that lived this long before it broke was a success: the next try starts without back-off."""

_log = logging.getLogger(__name__)


class Collector(Protocol):
    """Reads one source. Has no loop for cadence of its own; what it keeps open after a pass it closes as `Closing`."""

    @property
    def name(self) -> str:
        """Name of the source, for example `kubernetes/pods`."""
        ...

    @property
    def pause_s(self) -> float:
        """Seconds between a pass that ended normally and the next."""
        ...

    @property
    def deadline_s(self) -> float | None:
        """Seconds that a pass may take; None for a pass that bounds its own waits, as a watch does."""
        ...

    def collect(self) -> AsyncGenerator[Reading, None]:
        """Yield readings: a poll one, a watch as long as it lives. Raises SourceError."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A collector that keeps connections from pass to pass."""

    async def aclose(self) -> None:
        """Close them. The runner calls it when it is left."""
        ...


class Runner:
    """Runs collectors until it is left; never gives up on one.

    `publish` takes each reading, on the event loop, and must not block. `clock` gives the time of failed readings.
    `sleep` waits, in seconds; `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        publish: Callable[[Reading], None],
        clock: Callable[[], datetime],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._tasks: set[asyncio.Task[None]] = set()
        self._states: dict[str, SourceState] = {}
        self._unheard: set[str] = set()
        self._recovery = asyncio.Event()
        self._recovered_at = -RECOVERY_GAP_S

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def unheard(self) -> frozenset[str]:
        """Names of the collectors that have neither ended a pass nor failed yet; a watch that lives is one of them."""
        return frozenset(self._unheard)

    def start(self, collector: Collector) -> None:
        """Run a collector from now on."""
        self._unheard.add(collector.name)
        self._tasks.add(asyncio.create_task(self._run(collector), name=collector.name))

    async def _run(self, collector: Collector) -> None:
        try:
            await self._run_on(collector)
        finally:
            if isinstance(collector, Closing):
                await collector.aclose()

    async def _run_on(self, collector: Collector) -> None:
        failures = 0
        while True:
            began = monotonic()
            try:
                await self._pass(collector)
            except SourceError as error:
                failure = error
            except TimeoutError:
                within = f" within {collector.deadline_s:g} s" if collector.deadline_s is not None else ""
                failure = UnreachableError(f"{collector.name}: no answer{within}")
            except Exception as error:  # noqa: BLE001  the outer boundary: one source must not end the program
                _log.exception("internal error in %s", collector.name)
                failure = SourceError(f"internal error in {collector.name}: {type(error).__name__}: {error}")
            else:
                failures = 0
                self._unheard.discard(collector.name)
                # A tenth of jitter keeps polls that started together apart.
                await self._sleep(collector.pause_s * (0.95 + 0.1 * self._jitter()))
                continue
            if monotonic() - began >= SETTLED_S and self._states.get(collector.name) is SourceState.LIVE:
                failures = 0
            self._fail(collector.name, failure)
            self._unheard.discard(collector.name)
            await self._wait(self._delay_s(failures, failure), failure)
            failures += 1

    async def _pass(self, collector: Collector) -> None:
        async with asyncio.timeout(collector.deadline_s), aclosing(collector.collect()) as readings:
            async for reading in readings:
                self._note(reading)
                self._publish(reading)

    def _fail(self, name: str, error: SourceError) -> None:
        if isinstance(error, ThrottledError) and self._states.get(name) is SourceState.LIVE:
            # What is shown stays true until it is stale; being asked to wait says nothing about it.
            _log.info("%s: %s", name, error)
            return
        reading = Reading(name, error.state, self._clock(), None, harmless(str(error)))
        self._note(reading)
        self._publish(reading)

    async def _wait(self, delay_s: float, error: SourceError) -> None:
        """Wait before the next try; cut short when another source that was unreachable is back."""
        if error.state is not SourceState.UNREACHABLE or error.retry_after_s is not None:
            await self._sleep(delay_s)
            return
        waits = {asyncio.ensure_future(self._sleep(delay_s)), asyncio.ensure_future(self._recovery.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _note(self, reading: Reading) -> None:
        before = self._states.get(reading.source)
        if before is reading.state:
            return
        if before is SourceState.UNREACHABLE and reading.state is SourceState.LIVE:
            self._tell_recovery()
        self._states[reading.source] = reading.state
        if reading.state in (SourceState.LIVE, SourceState.STARTING):
            _log.info("%s: %s", reading.source, reading.state.value)
        else:
            _log.warning("%s: %s: %s", reading.source, reading.state.value, reading.error)

    def _tell_recovery(self) -> None:
        if monotonic() - self._recovered_at >= RECOVERY_GAP_S:
            self._recovered_at = monotonic()
            self._recovery.set()
            self._recovery = asyncio.Event()

    def _delay_s(self, failures: int, error: SourceError) -> float:
        """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"), after what the error asks for."""
        ceiling = min(BACKOFF_LIMIT_S, BACKOFF_START_S * 2.0 ** min(failures, 10))
        asked = min(error.retry_after_s or 0.0, RETRY_AFTER_LIMIT_S)
        return asked + ceiling * self._jitter()
