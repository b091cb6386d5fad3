"""Answers one key after the other. The toolkit looks at a key as soon as it comes, and hands it on from queue to queue
until somebody answers it: of keys that come at once, as a slow terminal or a paste sends them, a later one may find the
screen as it was before an earlier one was answered, and be lost or taken for something else. Only a key that moves
something may go behind itself, as it does where it is held down."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from textual import events
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widgets import Input

from tui.redraw import RedrawnApp

_HELD_DOWN: Final = frozenset(("up", "down", "left", "right", "pageup", "pagedown", "j", "k", "J", "K"))
"""Keys that move something: a second one goes the same way. Others may open a line, where a second one is text."""
_MOST_S: Final = 3.0
"""So long the next key waits for the one before: who should have passed it on may be gone."""
_ROUNDS: Final = 2
"""The first follows the key itself to where its action is run, the second what that action then sent the same way."""
_MOST_ROUNDS: Final = 5
"""An action may open a screen, whose first focus is part of the answer."""


class InOrderApp(RedrawnApp):
    """Holds a key back until the one before was answered: its action was run, and what that asked for was done."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._keys_held: deque[events.Key | events.Paste] = deque()
        self._key_now = 0
        """Number of the key that is being answered; 0: none."""
        self._key_before = 0
        """Number of the last key that had one."""
        self._key = ""
        """Name of that key."""
        self._key_patience: asyncio.TimerHandle | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._key_now and not self._is_repeated(event):
            self._keys_held.append(event)
        else:
            await self._answer_key(event)

    def _is_repeated(self, event: events.Key | events.Paste) -> bool:
        """Tell whether this is the key that is being answered, held down: it goes the same way, behind itself."""
        if self._keys_held or not isinstance(event, events.Key):
            return False
        return event.key == self._key and event.key in _HELD_DOWN

    def _is_text(self, event: events.Key | events.Paste) -> bool:
        """Tell whether a line takes this as text, which changes nothing for the next key."""
        focused = self.focused
        if isinstance(event, events.Paste):
            return isinstance(focused, Input)
        return focused is not None and focused.check_consume_key(event.key, event.character)

    async def _answer_key(self, event: events.Key | events.Paste) -> None:
        if self._is_text(event):
            await super().on_event(event)
            return
        self._forget_patience()
        self._key_now = number = self._key_before = self._key_before + 1
        self._key = event.key if isinstance(event, events.Key) else ""
        self._key_patience = asyncio.get_running_loop().call_later(_MOST_S, self.call_later, self._next_key, number)
        target, screen = self.focused or self.screen, self.screen
        await super().on_event(event)
        self._follow_key(target, partial(self._key_passed, number, 1, screen))

    async def _key_passed(self, number: int, rounds: int, screen: Screen[object]) -> None:
        """Send one more round the way of the key, or let the next key come."""
        if number != self._key_now:
            return
        if (self.screen is screen and rounds >= _ROUNDS) or rounds >= _MOST_ROUNDS:
            await self._next_key(number)
        else:
            self._follow_key(self.focused or self.screen, partial(self._key_passed, number, rounds + 1, self.screen))

    async def _next_key(self, number: int) -> None:
        if number != self._key_now:
            return
        self._forget_patience()
        self._key_now = 0
        while self._keys_held and not self._key_now:
            await self._answer_key(self._keys_held.popleft())

    def _forget_patience(self) -> None:
        if self._key_patience is not None:
            self._key_patience.cancel()

    def _follow_key(self, target: MessagePump, then: Callable[[], Awaitable[None]]) -> None:
        """Call `then` here once all that waits now at `target` and on its way up to here was looked at."""
        above: MessagePump | None = target
        while above is not None and above is not self:
            if above.call_later(self._follow_key, above._parent or self, then):
                return
            above = above._parent  # this one is closing
        self.call_later(then)
