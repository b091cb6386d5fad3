"""All members asked at once, again and again. Sources `etcd/access` and `etcd/<host>:<port>`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import msgspec

from collectors.errors import UnreachableError
from collectors.etcd.credentials import Credentials
from collectors.etcd.discovery import Discovery, Found
from collectors.etcd.doors import Doors
from collectors.etcd.member import PAGE_EVERY_S, MemberReader, Round
from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from collectors.local_files import LocalFiles
from situation.etcd.members import EtcdAccess, EtcdMember, EtcdReading
from situation.readings import Reading, SourceState
from situation.text import harmless

EVERY_S: Final = 2.0
FRESH_S: Final = 10.0
SEARCH_EVERY_S: Final = 30.0
SEARCH_FRESH_S: Final = 4 * SEARCH_EVERY_S
TOLD_LIMIT_S: Final = 3.0
"""So long the first search waits to hear of pods where nothing else tells of etcd."""
_SHORTEST_PAUSE_S: Final = 0.2


class EtcdCollector:
    """One round over all members; now and then it looks for them first. Yields each member's reading when it is there.

    Connections are kept from round to round, until `aclose`.
    """

    name = "etcd/access"
    deadline_s = None

    def __init__(
        self,
        http: HttpReader,
        discovery: Discovery,
        wishes: EtcdWishes,
        doors: Doors,
        clock: Callable[[], datetime],
        page_every_s: float = PAGE_EVERY_S,
    ) -> None:
        self._http = http
        self._discovery = discovery
        self._wishes = wishes
        self._doors = doors
        self._files = LocalFiles(f"files of etcd on this host ({discovery.folder})")
        self._clock = clock
        self._page_every_s = page_every_s
        self._readers: dict[str, MemberReader] = {}
        self._search_due = 0.0
        self._searched_with: object = None
        self._began = 0.0

    @property
    def pause_s(self) -> float:
        """Rounds begin every EVERY_S, also when a member hung in the last one."""
        return max(_SHORTEST_PAUSE_S, self._began + EVERY_S - monotonic())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._doors.aclose()
        if self._doors.credentials is not None:
            await self._http.forget(self._doors.credentials.tls)

    async def collect(self) -> AsyncGenerator[Reading, None]:
        self._began = monotonic()
        if not self._search_due:
            begun = EtcdAccess(asked=self._discovery.given)
            yield Reading(self.name, SourceState.STARTING, self._clock(), begun)
        known = (self._wishes.pods, self._doors.listed)
        if self._began >= self._search_due or known != self._searched_with:
            async with aclosing(self._search()) as readings:
                async for reading in readings:
                    yield reading
        tasks = [asyncio.create_task(reader.ask()) for reader in self._readers.values()]
        answering: set[str] = set()
        try:
            for done in asyncio.as_completed(tasks):
                answer = await done
                if answer.member.status is not None:
                    answering.add(answer.member.endpoint)
                yield self._reading(answer)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._doors.answering = frozenset(answering)

    async def _search(self) -> AsyncGenerator[Reading, None]:
        found = await self._find()
        if not found.targets and not self._doors.targets and not self._searched_with:
            await self._wishes.until_told(TOLD_LIMIT_S)
            found = await self._find()
        now = self._clock()
        yield self._access(found, now)  # before the first connection: its libraries take their time to load
        credentials_before, gone = self._doors.credentials, set(self._readers)
        await self._doors.take(found)
        await self._forget(credentials_before)
        for target in self._doors.targets:
            gone.discard(target.endpoint)
            reader = self._readers.get(target.endpoint)
            if reader is None or reader.target != target:
                self._readers[target.endpoint] = MemberReader(target, self._http, self._doors, self._page_every_s)
        for endpoint in gone:
            del self._readers[endpoint]
        self._search_due = monotonic() + SEARCH_EVERY_S
        self._searched_with = (self._wishes.pods, self._doors.listed)
        error = "no member of etcd (any more)"
        for endpoint in sorted(gone):
            yield Reading(_source(endpoint), SourceState.ABSENT, now, error=error)

    def _access(self, found: Found, now: datetime) -> Reading:
        state, error, access = found.state, found.error, found.access
        if not found.targets and self._doors.targets:
            state, error = SourceState.LIVE, f"the members known before are asked on; meanwhile {error}"
        if access is not None:
            access = msgspec.structs.replace(access, asked=len(found.targets or self._doors.targets))
        return Reading(self.name, state, now, access, error, SEARCH_FRESH_S)

    async def _find(self) -> Found:
        """Search. A file system that does not answer is told; who was found before is asked on."""
        try:
            return await self._files.read(self._discovery.find, self._doors.listed)
        except UnreachableError as error:
            return Found((), None, None, error.state, harmless(str(error)))

    async def _forget(self, before: Credentials | None) -> None:
        if before is not None and before is not self._doors.credentials:
            await self._http.forget(before.tls)

    def _reading(self, answer: Round) -> Reading:
        member, error, now = answer.member, answer.error, self._clock()
        state = SourceState.LIVE if member.answers or error is None else error.state
        text = harmless(str(error)) if error is not None else ""
        return Reading(
            _source(member.endpoint), state, now, EtcdReading(member, now), _first_error(member, text), FRESH_S
        )


def _first_error(member: EtcdMember, most_telling: str) -> str:
    """Without a status most is missing, so its error is told first where the member answers in part."""
    return (member.status_error if member.answers else "") or most_telling


def _source(endpoint: str) -> str:
    return f"etcd/{harmless(urlsplit(endpoint).netloc)}"
