"""Reading files of this host, which may lie on a disk or a network file system that never answers."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, TypeVar

from collectors.errors import SourceError, UnreachableError
from situation.boundary import Boundary, Fault

T = TypeVar("T")

DEADLINE_S: Final = 5.0
"""For a handful of small files."""


class LocalFiles:
    """Calls what blocks, one call at a time, each in a thread that nobody waits for when it hangs.

    Not the event loop's pool: there each new try would take one more thread, until nothing in the program gets one,
    and the end of the program waits for them all. `what` names for people what is read.
    """

    def __init__(self, what: str, deadline_s: float | None = None) -> None:
        self._what = what
        self._deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        self._boundary = Boundary()
        self._hangs_since: float | None = None

    async def read(self, call: Callable[..., T], *arguments: object) -> T:
        """Return `call(*arguments)`. Raises what it raises of SourceError, and UnreachableError while it hangs."""
        if self._hangs_since is not None:
            raise UnreachableError(f"{self._what}: no answer for {monotonic() - self._hangs_since:.0f} s")
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        outcome: list[T | SourceError | Fault] = []

        def attempt() -> T | SourceError:
            try:
                return call(*arguments)
            except SourceError as error:
                return error

        def run() -> None:
            outcome.append(self._boundary.attempt(self._what, attempt))
            self._hangs_since = None
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        self._hangs_since = monotonic()
        threading.Thread(target=run, name=self._what, daemon=True).start()
        try:
            async with asyncio.timeout(self._deadline_s):
                await done.wait()
        except TimeoutError as error:
            raise UnreachableError(f"{self._what}: no answer within {self._deadline_s:g} s") from error
        match outcome[0]:
            case SourceError() as raised:
                raise raised
            case Fault(text=text):
                raise UnreachableError(text)
            case found:
                return found
