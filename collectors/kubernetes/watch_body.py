"""The body of a watch, chunk by chunk."""

from time import monotonic
from typing import Final

from collectors.errors import UnreachableError
from collectors.kubernetes.client import Answer
from collectors.kubernetes.failures import web_page
from collectors.kubernetes.lists import BODY_IDLE_S

IDLE_S: Final = 150.0
"""Bookmarks come about once a minute; a watch silent for longer is a dead connection."""
LOOK_S: Final = 5.0
"""So often a quiet watch looks whether the API server answers others: bookmarks come too seldom to tell it."""
QUIET_START_S: Final = 1.0
"""A watch that stays open this long without an ERROR event is a good one, though nothing came."""


class WatchBody:
    """The chunks of a watch, each awaited as long as the moment deserves."""

    def __init__(self, answer: Answer, *, initial: bool) -> None:
        self.initial = initial
        """The objects there are at the start are still coming."""
        self.heard_at = monotonic()
        """When it brought something last, or was opened."""
        self._answer = answer
        self._begun = False
        self._probed = initial

    async def next(self) -> bytes | None:
        """Return the next chunk, empty at the end; None while a watch stays quiet but open. Raises SourceError."""
        limit_s = BODY_IDLE_S if self.initial else IDLE_S
        wait_s = BODY_IDLE_S if self.initial else LOOK_S if self._probed else QUIET_START_S
        try:
            chunk = await self._answer.read(wait_s)
        except TimeoutError as error:
            self._probed = True
            if monotonic() - self.heard_at < limit_s:
                return None
            raise UnreachableError(f"{self._answer.url}: nothing came over the watch for {limit_s:g} s") from error
        self._probed, self.heard_at = True, monotonic()
        if not self._begun and chunk.lstrip()[:1] == b"<":
            raise web_page(self._answer.url)
        self._begun = True
        return chunk
