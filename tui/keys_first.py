"""Lets keys in between the parts of a turn: what somebody asked for is on the screen before the turn goes on."""

import asyncio
from time import monotonic
from typing import Final, TypeVar

from textual import events

from situation.steps import Steps, advance

T = TypeVar("T")

_PART_S: Final = 0.008
"""A turn does not look up more often: the collectors take as long, too (`collectors.kubernetes.lists.SLICE_S`)."""
_HOPS: Final = 4
"""Rounds of the event loop that a key needs from the thread that reads the terminal to the application."""
_ANSWER_S: Final = 0.05
"""So long a key has the event loop for itself: it goes through three queues, and waits for its frame."""
_MOST_S: Final = 0.1
"""So long the keys of one turn hold it up together: one that is held down must not stop the picture."""


class KeysFirst:
    """Told of what comes from the terminal, it holds up a turn that asks between its parts."""

    def __init__(self) -> None:
        self._pressed_at = float("-inf")
        self._left_s = _MOST_S
        self._looked_at = float("-inf")

    def note(self, event: events.Event) -> None:
        """Take note of a key or a click; the mouse that only moves asks for nothing."""
        if isinstance(event, events.InputEvent) and not isinstance(event, events.MouseMove) and not event.is_forwarded:
            self._pressed_at = monotonic()

    def begin_turn(self) -> None:
        self._left_s, self._looked_at = _MOST_S, float("-inf")

    async def finish(self, steps: Steps[T]) -> T:
        """Do all steps, answer before and between them what is pressed, and return what they made."""
        while True:
            if monotonic() - self._looked_at >= _PART_S:
                await self._look_up()
            if (made := advance(steps)) is not None:
                return made[0]

    async def _look_up(self) -> None:
        """Return when what was pressed until now has been answered; soon if nothing was."""
        for _ in range(_HOPS):
            await asyncio.sleep(0)
        wait_s = min(self._pressed_at + _ANSWER_S - monotonic(), self._left_s)
        if wait_s > 0:
            self._left_s -= wait_s
            await asyncio.sleep(wait_s)
        self._looked_at = monotonic()
