"""Mirrors one kind: a list once, then watches that resume where the last one ended.

Lists are not polled, except where RBAC allows to list a kind but not to watch it: see watchless.py.
"""

import logging
import math
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from time import monotonic
from typing import Final

from collectors.errors import (
    BadAnswerError,
    ExpiredError,
    ForbiddenError,
    RefusedError,
    SourceError,
    UnreachableError,
    WatchForbiddenError,
)
from collectors.kubernetes.client import Answer, Client
from collectors.kubernetes.failures import error_for_status, web_page
from collectors.kubernetes.lines import LineSplitter
from collectors.kubernetes.lists import BODY_IDLE_S, FIRST_BYTE_S, Slicer, list_cached, list_events, refusals_named
from collectors.kubernetes.watch_lines import WatchError, WatchLines, in_place_of_events
from collectors.kubernetes.watchless import POLL_MIN_S, Watchless
from situation.kinds import ObjectKind
from situation.readings import Changed, Listed, Reading, SourceState

PAUSE_S: Final = 0.3
WATCH_S: Final = (300, 600)
"""Asked for as `timeoutSeconds`, at random in this range, so that watches do not all end at once (as in client-go)."""
IDLE_S: Final = 150.0
"""Bookmarks come about once a minute; a watch silent for longer is a dead connection."""
CONFIRM_S: Final = 10.0
QUIET_START_S: Final = 1.0
"""A watch that stays open this long without an ERROR event is a good one, though nothing came."""
SHORT_S: Final = 5.0
"""A watch that breaks sooner counts as a failure, so that the runner backs off."""

_log = logging.getLogger(__name__)


class Reflector:
    """Source of one watched kind; each pass lists if it has to, then watches until the server ends it.

    `namespace`: read only this one, for kinds that have namespaces. `etcd_fails`: tells whether the server says so;
    then only what the watch cache can answer is asked for, which events are never part of.
    """

    deadline_s = None

    def __init__(
        self,
        client: Client,
        kind: ObjectKind,
        namespace: str | None,
        clock: Callable[[], datetime],
        etcd_fails: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = kind.source
        self.pause_s = PAUSE_S
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._clock = clock
        self._etcd_fails = etcd_fails
        self._lines = WatchLines(kind)
        self._polls = Watchless(kind)
        self._listed_at = -math.inf
        self._list_took_s = 0.0
        self._seen_at = clock()
        self._confirmed_at = 0.0
        self._try_plain = False
        """The last streaming list came to nothing: take the other way once."""

    async def collect(self) -> AsyncGenerator[Reading, None]:
        try:
            async with aclosing(self._pass()) as readings:
                async for reading in readings:
                    yield reading
        except ExpiredError as error:
            if not self._lines.version:
                raise
            _log.info("%s: listing anew: %s", self.name, error)
            self._lines.begin()
            async with aclosing(self._pass()) as readings:
                async for reading in readings:
                    yield reading

    async def _pass(self) -> AsyncGenerator[Reading, None]:
        if not self._polls.is_on:
            self.pause_s = PAUSE_S
            try:
                async with aclosing(self._mirror()) as readings:
                    async for reading in readings:
                        yield reading
                return
            except WatchForbiddenError as error:
                _log.info("%s: lists are polled: %s", self.name, error)
                self._polls.begin(error)
        yield await self._poll()

    async def _poll(self) -> Reading:
        """Return the kind as a list has it now; without a new value if the last list was made just now."""
        value = None
        if monotonic() - self._listed_at >= POLL_MIN_S:
            try:
                value = await self._list()
            except ForbiddenError as error:
                raise self._polls.end() from error
            except SourceError as error:
                self._polls.slow_down(error)
                raise
        self.pause_s = self._polls.pause_after(self._list_took_s)
        text, fresh_for_s = self._polls.text(self.pause_s), self._polls.fresh_for_s(self.pause_s)
        return Reading(self.name, SourceState.LIVE, self._seen_at, value, text, fresh_for_s)

    async def _mirror(self) -> AsyncGenerator[Reading, None]:
        if not self._lines.version and self._may_stream():
            self._try_plain = True
            self._lines.begin()
            try:
                async with aclosing(self._follow(initial=True)) as readings:
                    async for reading in readings:
                        yield reading
                return
            except RefusedError as error:
                if self._lines.version:
                    raise
                if self._client.streaming_lists:
                    _log.info("no streaming lists from this server: %s", error)
                self._client.streaming_lists = False
        if not self._lines.version:
            self._try_plain = False
            yield self._live(await self._list())
        async with aclosing(self._follow(initial=False)) as readings:
            async for reading in readings:
                yield reading

    def _may_stream(self) -> bool:
        if self._kind.name == "events" or self._try_plain or self._etcd_fails():
            return False
        return self._client.streaming_lists

    async def _list(self) -> Listed:
        began = monotonic()
        if self._kind.name == "events":
            if self._etcd_fails():
                raise UnreachableError(
                    "events are not asked for: they are read from etcd itself, which the API server reports as failing"
                )
            listed = await list_events(self._client, self._kind, self._namespace)
        else:
            listed = await list_cached(self._client, self._kind, self._namespace)
        self._lines.begin(listed.objects, listed.resource_version)
        self._seen_at, self._listed_at = self._clock(), monotonic()
        self._list_took_s = self._listed_at - began
        return Listed(self._kind.name, listed.objects, listed.skipped, listed.is_whole, listed.broken)

    async def _follow(self, *, initial: bool) -> AsyncGenerator[Reading, None]:
        """Watch until the server ends it; with `initial` the watch begins with all objects (streaming list)."""
        seconds = random.randint(*WATCH_S)  # noqa: S311  not for secrets
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            "resourceVersion": self._lines.version,
        }
        if initial:
            # Version 0: what the watch cache has. Without a version the server would ask etcd first, and wait for it.
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "0"}
        path = self._kind.path(self._namespace)
        self._confirmed_at = -math.inf
        with refusals_named(self._kind, self._namespace, "watch"):
            async with self._client.stream(path, params, first_byte_s=FIRST_BYTE_S, watch=True) as answer:
                opened = monotonic()
                try:
                    async with aclosing(self._read(answer, initial=initial)) as readings:
                        async for reading in readings:
                            yield reading
                except UnreachableError as error:
                    lived_s = monotonic() - opened
                    if type(error) is not UnreachableError or not self._lines.version or lived_s < SHORT_S:
                        raise
                    _log.debug("%s: watch broke off after %.0f s: %s", self.name, lived_s, error)
        if self._confirmed_at == -math.inf:
            raise UnreachableError(f"{self._client.server} ended the watch on {self._kind.resource} at once")

    async def _read(self, answer: Answer, *, initial: bool) -> AsyncGenerator[Reading, None]:
        splitter, slicer, body = LineSplitter(), Slicer(), _Body(answer, initial=initial)
        failed: WatchError | None = None
        while (chunk := await body.next()) != b"":
            if chunk is None:
                yield self._live(None)
                continue
            for line in splitter.feed(chunk):
                if (failed := self._lines.add(line)) is not None:
                    break
                if slicer.is_over():
                    await slicer.rest()
            self._lines.skipped += splitter.take_dropped()
            reading = self._due(body)
            # A watch that ends with an error confirms nothing, but what came before the error counts.
            if reading is not None and (failed is None or reading.value is not None):
                yield reading
            if failed is not None:
                raise self._failure(failed, initial=body.initial)
            del chunk  # else each watch that waits would hold its last one: a megabyte and more of all together
        if (failed := in_place_of_events(splitter.rest)) is not None:
            raise self._failure(failed, initial=body.initial)
        if body.initial:
            raise UnreachableError(f"{answer.url} ended before all {self._kind.resource} were sent")

    def _due(self, body: "_Body") -> Reading | None:
        """Return what is to be published after a chunk, None for nothing."""
        if not body.initial:
            changed = self._lines.take()
            return self._live(changed) if changed else self._confirmation()
        if not self._lines.synced:
            return None
        body.initial = self._try_plain = False
        changed = self._lines.take() or Changed(self._kind.name)
        return self._live(Listed(self._kind.name, changed.upserts, changed.skipped, broken=changed.broken))

    def _live(self, value: Listed | Changed | None) -> Reading:
        self._confirmed_at = monotonic()
        return Reading(self.name, SourceState.LIVE, self._clock(), value)

    def _confirmation(self) -> Reading | None:
        """Return a reading that says the last value still holds; None if that was said less than CONFIRM_S ago."""
        return self._live(None) if monotonic() - self._confirmed_at >= CONFIRM_S else None

    def _failure(self, error: WatchError, *, initial: bool) -> SourceError:
        url = f"{self._client.server}{self._kind.path(self._namespace)}"
        if error.came:
            return BadAnswerError(f"{url}: not a watch but {error.came}")
        if initial and error.code == 500:
            # Seen on 1.36 with etcd 3.5.1: the feature "RequestWatchProgress is disabled".
            return RefusedError(error.body.decode("utf-8", "replace"))
        if error.code == 0:
            return BadAnswerError(f"{url}: the watch ended with an error that says nothing")
        return error_for_status(error.code, error.body, {}, url, self._client.target)


class _Body:
    """The chunks of a watch, each awaited as long as the moment deserves."""

    def __init__(self, answer: Answer, *, initial: bool) -> None:
        self.initial = initial
        """The objects there are at the start are still coming."""
        self._answer = answer
        self._begun = False
        self._probed = initial

    async def next(self) -> bytes | None:
        """Return the next chunk, empty at the end; None once, if a watch stays quiet but open. Raises SourceError."""
        idle_s = BODY_IDLE_S if self.initial else IDLE_S if self._probed else QUIET_START_S
        try:
            chunk = await self._answer.read(idle_s)
        except TimeoutError as error:
            if not self._probed:
                self._probed = True
                return None
            raise UnreachableError(f"{self._answer.url}: nothing came over the watch for {idle_s:g} s") from error
        self._probed = True
        if not self._begun and chunk.lstrip()[:1] == b"<":
            raise web_page(self._answer.url)
        self._begun = True
        return chunk
