"""Ends in order when told so from outside: the terminal is given back, and what was made for a demo is removed."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tui.exits import EXIT_TERMINATED

if TYPE_CHECKING:
    from textual.app import App


@contextmanager
def ended_by_sigterm(app: "App[int]") -> Iterator[None]:
    """While inside, SIGTERM ends `app` as its own key does, with EXIT_TERMINATED; a second one ends the process."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise SystemExit(EXIT_TERMINATED) from None  # not yet, or no longer, on the terminal
        loop.call_soon_threadsafe(partial(app.exit, return_code=EXIT_TERMINATED))

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def removed_when_killed(folder: Path) -> Iterator[None]:
    """While inside, SIGHUP and SIGTERM remove `folder` and then end the process, as they would have done.

    Nothing else is done: after a hang-up there is no terminal, and who writes to it may wait for ever.
    """

    def remove(number: int, frame: FrameType | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {number: signal.signal(number, remove) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
