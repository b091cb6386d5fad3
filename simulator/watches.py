"""GET with `watch=1`: events as JSON lines, with bookmarks, streaming lists and expiry."""

import asyncio
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from simulator.cluster import Change, Cluster, Manifest, Stored, Table
from simulator.faults import Faults
from simulator.lists import CHUNK_OBJECTS
from simulator.selection import Selection
from simulator.statuses import StatusError, bad_request, expired, status
from simulator.tables import table_of, wants_table

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
STREAMING_LIST_DISABLED: Final = (
    "a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled"
)
_CHANGES_PER_TABLE: Final = 500


class Watch:
    """One open watch: a place in the history and what is to be sent from there."""

    def __init__(self, request: web.Request, cluster: Cluster, table: Table, selection: Selection, faults: Faults):
        self._request = request
        self._query: Mapping[str, str] = request.query
        self._cluster = cluster
        self._table = table
        self._selection = selection
        self._faults = faults
        self._wake = asyncio.Event()
        self._sent_version = 0
        self._wanted_timeout_s = _seconds(self._query.get("timeoutSeconds", ""))
        self._bookmarks = self._query.get("allowWatchBookmarks") in ("true", "1")
        self._as_table = wants_table(request)

    def wake(self) -> None:
        """Have a look: something changed."""
        self._wake.set()

    async def answer(self, kind_name: str) -> web.StreamResponse:
        """Send events until the client goes away, the timeout passes or the version expires. Raises StatusError."""
        version = self._start_version()
        streaming = self._query.get("sendInitialEvents") == "true"
        if streaming:
            self._check_streaming()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(self._request)
        if streaming and self._faults.streaming_list == "error-event":
            await response.write(_error_line(status(500, "InternalError", STREAMING_LIST_DISABLED)))
        elif version and self._takes_expiry("event"):
            await response.write(_error_line(expired()))
        else:
            self._sent_version = version
            self._table.listen(self.wake)
            try:
                await self._run(response, kind_name, initial=streaming or version == 0)
            finally:
                self._table.unlisten(self.wake)
        await response.write_eof()
        return response

    def _start_version(self) -> int:
        text = self._query.get("resourceVersion") or "0"
        if not text.isascii() or not text.isdigit():
            raise bad_request(f"Invalid value for resourceVersion: {text!r}")
        version = int(text)
        if version and self._takes_expiry("status"):
            raise StatusError(410, "Expired", f"too old resource version: {version}")
        return version

    def _timeout_s(self) -> float:
        """How long the watch lives; without a wish, 30 to 60 minutes, spread so that not all come back at once."""
        return self._wanted_timeout_s or random.uniform(1800, 3600)  # noqa: S311 - no secret

    def _takes_expiry(self, form: str) -> bool:
        if self._faults.expire_watches != form:
            return False
        self._faults.expire_watches = ""
        return True

    def _check_streaming(self) -> None:
        if self._faults.streaming_list == "refused":
            why = "is forbidden for watch unless the WatchList feature gate is enabled"
        elif self._query.get("resourceVersionMatch") != "NotOlderThan":
            why = "requires setting resourceVersionMatch to NotOlderThan"
        else:
            return
        message = f'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents {why}'
        raise StatusError(422, "Invalid", message)

    async def _run(self, response: web.StreamResponse, kind_name: str, initial: bool) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s()
        if initial:
            await self._send_initial(response)
        bookmark_at = loop.time() + self._faults.bookmark_every_s
        while loop.time() < ends_at:
            self._wake.clear()
            changes = self._table.changes_after(self._sent_version)
            if changes is None:
                await response.write(_error_line(expired(f"too old resource version: {self._sent_version}")))
                return
            await self._send_changes(response, changes)
            await self._send_raw(response, kind_name)
            if self._bookmarks and loop.time() >= bookmark_at:
                bookmark_at = loop.time() + self._faults.bookmark_every_s
                await response.write(self._bookmark())
            await self._sleep(min(ends_at, bookmark_at if self._bookmarks else ends_at) - loop.time())

    async def _sleep(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, delay_s)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send_initial(self, response: web.StreamResponse) -> None:
        self._sent_version = self._cluster.resource_version
        everything = self._selection.is_everything
        found = [item for item in self._table.ordered() if everything or self._selection.takes(item)]
        if self._as_table:
            for item in found:
                await response.write(self._line("ADDED", item))
        else:
            prefix = b'{"type":"ADDED","object":' + self._table.watch_prefix
            for start in range(0, len(found), CHUNK_OBJECTS):
                tails = [item.tail for item in found[start : start + CHUNK_OBJECTS]]
                await response.write(prefix + (b"}\n" + prefix).join(tails) + b"}\n")
        if self._bookmarks and self._query.get("sendInitialEvents") == "true":
            await response.write(self._bookmark({INITIAL_EVENTS_END: "true"}))

    async def _send_changes(self, response: web.StreamResponse, changes: list[Change]) -> None:
        for start in range(0, len(changes), _CHANGES_PER_TABLE):
            batch = changes[start : start + _CHANGES_PER_TABLE]
            lines = b"".join(self._line(kind, stored) for kind, stored in self._seen(batch))
            if lines:
                await response.write(lines)
            self._sent_version = batch[-1].version

    def _seen(self, changes: list[Change]) -> Iterator[tuple[str, Stored]]:
        """What a watch with this selection sees: objects that leave the selection are deleted for it."""
        for change in changes:
            if self._selection.is_everything:
                yield change.type, change.new
                continue
            before = change.old is not None and self._selection.takes(change.old)
            after = change.type != "DELETED" and self._selection.takes(change.new)
            if after:
                yield "MODIFIED" if before else "ADDED", change.new
            elif before:
                yield "DELETED", change.new

    async def _send_raw(self, response: web.StreamResponse, kind_name: str) -> None:
        for raw in self._faults.raw_lines.pop(kind_name, ()):
            await response.write(raw)

    def _line(self, event_type: str, stored: Stored) -> bytes:
        if self._as_table:
            metadata = {"resourceVersion": str(stored.version)}
            table = table_of(self._table.kind, [stored], metadata, self._request)
            return msgspec.json.encode({"type": event_type, "object": table}) + b"\n"
        return b'{"type":"%s","object":%s%s}\n' % (event_type.encode(), self._table.watch_prefix, stored.tail)

    def _bookmark(self, annotations: Mapping[str, str] | None = None) -> bytes:
        metadata: Manifest = {"resourceVersion": str(self._sent_or_current()), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = self._table.kind
        made = {"kind": kind.kind, "apiVersion": kind.group_version, "metadata": metadata}
        return msgspec.json.encode({"type": "BOOKMARK", "object": made}) + b"\n"

    def _sent_or_current(self) -> int:
        """The version up to which nothing is left to send: the cluster's, unless changes wait for this watch."""
        waiting = self._table.changes_after(self._sent_version)
        return self._sent_version if waiting else self._cluster.resource_version


def _error_line(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": body}) + b"\n"


def _seconds(text: str) -> float:
    """Read `timeoutSeconds`; fractions are allowed here, for tests. 0 for none. Raises StatusError 400."""
    if text and not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        raise bad_request(f"Invalid value for timeoutSeconds: {text!r}")
    return float(text or 0)
