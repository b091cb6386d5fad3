"""One round at one member: its status by gRPC, its health and its metrics by HTTP, side by side."""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Final, Generic, NamedTuple, TypeVar

from collectors.errors import AbsentError, BadAnswerError, SourceError
from collectors.etcd.credentials import PLAIN
from collectors.etcd.discovery import Target
from collectors.etcd.doors import Doors, most_telling
from collectors.etcd.health import parse_health, parse_readyz
from collectors.etcd.metrics import parse_member_page
from collectors.http import HttpReader
from collectors.prometheus_text import PAGE_LIMIT_BYTES
from situation.etcd.members import EtcdMember, MemberHealth, MemberPage, MemberStatus
from situation.text import harmless

T = TypeVar("T")

DEADLINE_S: Final = 1.5
"""For each part. etcd answers its status in milliseconds, without quorum too."""
PAGE_EVERY_S: Final = 5.0
"""A page is 160 KB and costs the member 6 ms of CPU time, many times what its status does."""
READYZ_AGAIN_S: Final = 300.0
"""So long a member without `/readyz` (before 3.4.29 and 3.5.11) is not asked for it again."""
_HEALTH_LIMIT_BYTES: Final = 64 * 2**10
_ANSWERS: Final = (200, 503)
"""With 503 a member says that it is not healthy, and why."""
_NO_LEADER: Final = "NO LEADER"


class Round(NamedTuple):
    """What a round brought."""

    member: EtcdMember
    error: SourceError | None
    """The most telling one of those parts that failed."""


class _Part(NamedTuple, Generic[T]):
    """What one question brought; neither value nor error if it was not asked."""

    value: T | None = None
    error: SourceError | None = None

    @property
    def text(self) -> str:
        return harmless(str(self.error)) if self.error is not None else ""


async def _part(question: Awaitable[T]) -> _Part[T]:
    try:
        return _Part(await question)
    except SourceError as error:
        return _Part(None, error)


class MemberReader:
    """Asks one member; remembers when it has to be asked again for what is not wanted each time."""

    def __init__(self, target: Target, http: HttpReader, doors: Doors, page_every_s: float = PAGE_EVERY_S) -> None:
        self.target = target
        self._page_every_s = page_every_s
        self._http = http
        self._doors = doors
        self._base = target.metrics_url or target.endpoint
        self._is_plain = self._base.startswith("http://")
        self._page_due = 0.0
        self._readyz_due = 0.0

    async def ask(self) -> Round:
        """Return what the member says; errors are part of it. Takes DEADLINE_S at most, and a little."""
        status, page, (health, checks) = await asyncio.gather(
            _part(self._status()), self._page_if_due(), self._health_and_checks()
        )
        answer, round_trip_s = status.value or (None, None)
        member = EtcdMember(
            self.target.endpoint,
            self.target.metrics_url,
            self._name(answer),
            self.target.node,
            status=answer,
            status_error=status.text,
            page=page.value,
            page_error=page.text,
            health=MemberHealth(*health.value, failed_checks=checks.value or ()) if health.value else None,
            health_error=health.text or checks.text,
            round_trip_s=round_trip_s,
            is_asked=self._doors.credentials is not None or self._is_plain,
        )
        errors = [part.error for part in (status, page, health, checks) if part.error is not None]
        return Round(member, most_telling(errors) if errors else None)

    def _name(self, status: MemberStatus | None) -> str:
        """Its own name if the member list was read, else what the search found."""
        listed = (item.name for item in self._doors.listed if status is not None and item.member_id == status.member_id)
        return next(listed, "") or self.target.name

    async def _status(self) -> tuple[MemberStatus, float]:
        maintenance = self._doors.maintenance(self.target)
        if maintenance is None:
            raise self._doors.no_credentials()
        return await maintenance.status(DEADLINE_S)

    async def _health_and_checks(self) -> tuple[_Part[tuple[bool, str]], _Part[tuple[str, ...]]]:
        began = monotonic()
        health = await _part(self._health())
        if health.value is None or _NO_LEADER in health.value[1] or began < self._readyz_due:
            return health, _Part()  # without a leader its check by a linearizable read would hang
        return health, await _part(self._failed_checks(max(DEADLINE_S / 5, began + DEADLINE_S - monotonic())))

    async def _health(self) -> tuple[bool, str]:
        body = await self._get("/health", DEADLINE_S, _HEALTH_LIMIT_BYTES, _ANSWERS)
        return parse_health(body, f"{self._base}/health")

    async def _failed_checks(self, deadline_s: float) -> tuple[str, ...]:
        try:
            return parse_readyz(await self._get("/readyz?verbose", deadline_s, _HEALTH_LIMIT_BYTES, _ANSWERS))
        except AbsentError:
            self._readyz_due = monotonic() + READYZ_AGAIN_S
            return ()

    async def _page_if_due(self) -> _Part[MemberPage]:
        """A page that could not be read is asked for again in the next round."""
        return _Part() if monotonic() < self._page_due else await _part(self._page())

    async def _page(self) -> MemberPage:
        page = parse_member_page(await self._get("/metrics", DEADLINE_S, PAGE_LIMIT_BYTES), f"{self._base}/metrics")
        self._page_due = monotonic() + self._page_every_s
        return page

    async def _get(self, path: str, deadline_s: float, limit_bytes: int, answers: tuple[int, ...] = (200,)) -> bytes:
        if self._is_plain:
            tls = PLAIN
        elif self._doors.credentials is not None:
            tls = self._doors.credentials.tls
        else:
            raise self._doors.no_credentials()
        try:
            return await self._http.get(
                self._base + path, deadline_s=deadline_s, limit_bytes=limit_bytes, tls=tls, answers=answers
            )
        except BadAnswerError as error:
            if self._is_plain:
                raise BadAnswerError(f"{error}; if it speaks TLS, its URL begins with https://") from error
            raise
