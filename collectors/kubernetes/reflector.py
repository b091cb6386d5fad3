"""Mirrors one kind: a list once, then watches that resume where the last one ended.

Lists are not polled, except where RBAC allows to list a kind but not to watch it: see watchless.py.
"""

import logging
import math
import random
from collections.abc import AsyncGenerator, Callable, Iterable
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
from collectors.kubernetes import watch_body
from collectors.kubernetes.client import Answer, Client
from collectors.kubernetes.failures import error_for_status
from collectors.kubernetes.lines import LineSplitter
from collectors.kubernetes.lists import FIRST_BYTE_S, Slicer, list_cached, list_events, refusals_named
from collectors.kubernetes.watch_body import WatchBody
from collectors.kubernetes.watch_lines import WatchError, WatchLines, in_place_of_events
from collectors.kubernetes.watchless import POLL_MIN_S, Watchless
from situation.kinds import ObjectKind
from situation.readings import Changed, Listed, Reading, SourceState
from situation.text import harmless

PAUSE_S: Final = 0.3
WATCH_S: Final = (300, 600)
"""Asked for as `timeoutSeconds`, at random in this range, so that watches do not all end at once (as in client-go)."""
CONFIRM_S: Final = 10.0
SHORT_S: Final = 5.0
"""A watch that breaks sooner counts as a failure, so that the runner backs off."""

_log = logging.getLogger(__name__)


class Reflector:
    """Source of one watched kind; each pass lists if it has to, then watches until the server ends it.

    `namespace`: read only this one, for kinds that have namespaces. `etcd_fails`: tells whether the server says so;
    then only what the watch cache can answer is asked for, which events are never part of. `silent_since`: tells since
    when it has not answered at all (`time.monotonic`), None while it does; a quiet watch proves nothing then.
    """

    deadline_s = None

    def __init__(
        self,
        client: Client,
        kind: ObjectKind,
        namespace: str | None,
        clock: Callable[[], datetime],
        etcd_fails: Callable[[], bool] = lambda: False,
        silent_since: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.name = kind.source
        self.pause_s = PAUSE_S
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._clock = clock
        self._etcd_fails = etcd_fails
        self._silent_since = silent_since
        self._lines = WatchLines(kind)
        self._polls = Watchless(kind)
        self._listed_at = -math.inf
        self._list_took_s = 0.0
        self._seen_at = clock()
        self._confirmed_at = 0.0
        self._is_doubted = False
        """Nothing came over the watch since the API server fell silent, and that was said."""
        self._sound_at = 0.0
        """When the last line came that made sense, or the watch was opened."""
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
        self._confirmed_at, self._is_doubted = -math.inf, False
        self._lines.open()
        with refusals_named(self._kind, self._namespace, "watch"):
            async with self._client.stream(path, params, first_byte_s=FIRST_BYTE_S, watch=True) as answer:
                self._sound_at = opened = monotonic()
                try:
                    async with aclosing(self._read(answer, initial=initial)) as readings:
                        async for reading in readings:
                            yield reading
                except UnreachableError as error:
                    lived_s = monotonic() - opened
                    if type(error) is not UnreachableError or not self._lines.version or lived_s < SHORT_S:
                        raise
                    _log.debug("%s: watch broke off after %.0f s: %s", self.name, lived_s, error)
                if self._lines.broken and not self._lines.sound:
                    raise self._nonsense(answer)
        if self._confirmed_at == -math.inf:
            raise UnreachableError(f"{self._client.server} ended the watch on {self._kind.resource} at once")

    async def _read(self, answer: Answer, *, initial: bool) -> AsyncGenerator[Reading, None]:
        splitter, slicer, body = LineSplitter(), Slicer(), WatchBody(answer, initial=initial)
        while (chunk := await body.next()) != b"":
            if chunk is None:
                if (reading := self._quiet(answer, body)) is not None:
                    yield reading
                continue
            sound = self._lines.sound
            failed = await self._add(splitter.feed(chunk), slicer)
            self._lines.drop(splitter.take_dropped())
            if self._lines.sound > sound:
                self._sound_at, self._is_doubted = monotonic(), False
                reading = self._due(body)
            else:
                reading = self._doubtful(answer) if failed is None else None
            # A watch that ends with an error confirms nothing, but what came before the error counts.
            if reading is not None and (failed is None or reading.value is not None):
                yield reading
            if failed is not None:
                raise self._failure(failed, initial=body.initial)
            del chunk  # else each watch that waits would hold its last one: a megabyte and more of all together
        if (failed := in_place_of_events(splitter.rest)) is not None:
            raise self._failure(failed, initial=body.initial)
        if body.initial:
            if self._lines.broken and not self._lines.sound:
                raise self._nonsense(answer)
            raise UnreachableError(f"{answer.url} ended before all {self._kind.resource} were sent")

    async def _add(self, lines: Iterable[bytes], slicer: Slicer) -> WatchError | None:
        """Take lines in, up to the first that is an error, which is returned."""
        for line in lines:
            if (failed := self._lines.add(line)) is not None:
                return failed
            if slicer.is_over():
                await slicer.rest()
        return None

    def _quiet(self, answer: Answer, body: WatchBody) -> Reading | None:
        """Return what is to be published while nothing comes, None for nothing.

        Raises UnreachableError once the API server answers again and the watch still brings nothing: a new one tells.
        """
        if self._confirmed_at == -math.inf:
            return self._live(None)
        since = self._silent_since()
        if since is None:
            if self._is_doubted:
                raise UnreachableError(f"{answer.url}: nothing came over the watch since the API server was silent")
            return None
        if self._is_doubted or body.heard_at >= since:
            return None
        self._is_doubted, self._confirmed_at = True, 0.0
        error = f"{self._client.server} does not answer, and nothing came over the watch on {self._kind.resource} since"
        return Reading(self.name, SourceState.UNREACHABLE, self._clock(), None, error)

    def _due(self, body: WatchBody) -> Reading | None:
        """Return what is to be published after a chunk with lines that make sense, None for nothing."""
        if not body.initial:
            changed = self._lines.take()
            return self._live(changed) if changed else self._confirmation()
        if not self._lines.synced:
            return None
        body.initial = self._try_plain = False
        changed = self._lines.take() or Changed(self._kind.name)
        return self._live(Listed(self._kind.name, changed.upserts, changed.skipped, broken=changed.broken))

    def _doubtful(self, answer: Answer) -> Reading | None:
        """Return what is to be published after a chunk without any, None for nothing: it confirms nothing.

        Raises BadAnswerError where nothing else has come for so long that the watch is as good as dead.
        """
        if self._lines.broken and monotonic() - self._sound_at >= watch_body.IDLE_S:
            raise self._nonsense(answer, f" for {watch_body.IDLE_S:g} s")
        if self._confirmed_at == -math.inf or (changed := self._lines.take()) is None:
            return None
        return Reading(self.name, SourceState.LIVE, self._seen_at, changed)

    def _nonsense(self, answer: Answer, so_long: str = "") -> BadAnswerError:
        """Return the error of a watch that brings nothing but lines that make no sense, all the time or `so_long`."""
        count, self._lines.skipped = self._lines.broken, 0
        first = harmless(self._lines.nonsense.decode("utf-8", "replace"))
        what = f"broken lines{so_long} ({count}{f'; the first: {first}' if first else ''})"
        return BadAnswerError(f"{answer.url}: the watch brought nothing but {what}")

    def _live(self, value: Listed | Changed | None) -> Reading:
        self._confirmed_at, self._seen_at = monotonic(), self._clock()
        return Reading(self.name, SourceState.LIVE, self._seen_at, value)

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
