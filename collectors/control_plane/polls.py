"""What the API server says of itself: whether it lives without etcd, and its own measurements."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from collectors.control_plane.api_page import ApiPageReader, slices
from collectors.errors import BadAnswerError, ForbiddenError, SourceError, UnreachableError
from collectors.kubernetes.client import Client
from collectors.kubernetes.polls import POLL_DEADLINE_S, READYZ_FRESH_S, parse_readiness
from situation.api_server import ApiServerPage, ApiServerReading, Liveness
from situation.readings import Reading, SourceState

SCRAPE_DEADLINE_S: Final = 30.0
SCRAPE_EVERY_S: Final = 30.0
"""The page is megabytes, and not free for the server: every 15 to 30 s is what Prometheus does."""
SCRAPE_FRESH_S: Final = 100.0
HOLD_OFF: Final = timedelta(seconds=120)
"""For so long after any answer 429 nothing is scraped: requests for `/metrics` are not exempt from priorities."""
SLICE_BYTES: Final = 2**17
"""So much is parsed in one go: about 1 ms, then others have their turn."""


class LivezPoll:
    """Source `control-plane/livez`. A 500 is an answer: the API server itself is ill, whatever etcd does."""

    name = "control-plane/livez"
    pause_s = 10.0
    deadline_s = 60.0

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock

    async def collect(self) -> AsyncGenerator[Reading, None]:
        query = {"exclude": "etcd", "verbose": ""}
        status, body = await self._client.get("/livez", query, deadline_s=POLL_DEADLINE_S, accepted=(500,))
        found = parse_readiness(status, body, f"{self._client.server}/livez")
        liveness = Liveness(found.ready, found.failed_checks)
        yield Reading(self.name, SourceState.LIVE, self._clock(), liveness, fresh_for_s=READYZ_FRESH_S)


class MetricsPoll:
    """Source `control-plane/metrics`: scrapes the API server, and not while it asks anybody of us to wait."""

    name = "control-plane/metrics"
    pause_s = SCRAPE_EVERY_S / 0.95
    """The runner's jitter takes at most a twentieth of it."""
    deadline_s = 2 * SCRAPE_DEADLINE_S

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._throttled = client.meter.throttled
        self._held_until: datetime | None = None
        self._read_at: datetime | None = None

    async def collect(self) -> AsyncGenerator[Reading, None]:
        if self._is_held():
            now = self._clock()
            if self._read_at is None or (now - self._read_at).total_seconds() > SCRAPE_FRESH_S:
                state = SourceState.STARTING if self._read_at is None else SourceState.STALE
                yield Reading(self.name, state, now, error=self._held_because())
            return
        try:
            page = await self._scrape()
        except ForbiddenError as error:
            raise ForbiddenError(
                "cannot read the API server's metrics (RBAC: verb get, nonResourceURL /metrics; cluster role or group "
                f"system:monitoring grants it): {error}"
            ) from error
        except SourceError as error:
            # A page that could not be read cost the server as much as one that could.
            error.retry_after_s = max(error.retry_after_s or 0.0, SCRAPE_EVERY_S)
            raise
        now = self._read_at = self._clock()
        problem = "the page breaks off: what would follow is not known" if page.is_cut else ""
        yield Reading(
            self.name, SourceState.LIVE, now, ApiServerReading(page, now), problem, fresh_for_s=SCRAPE_FRESH_S
        )

    def _is_held(self) -> bool:
        now, throttled = self._clock(), self._client.meter.throttled
        if throttled > self._throttled:
            self._throttled, self._held_until = throttled, now + HOLD_OFF
        # Not for longer when the clock is set back meanwhile.
        return self._held_until is not None and self._held_until - HOLD_OFF <= now < self._held_until

    def _held_because(self) -> str:
        return (
            f"not scraped until {HOLD_OFF.total_seconds():.0f} s after its last 429: the API server asks to wait, and "
            "its metrics are a costly page"
        )

    async def _scrape(self) -> ApiServerPage:
        """Read the page and parse it as it comes; no more than one piece of it is held."""
        ends = monotonic() + SCRAPE_DEADLINE_S
        async with self._client.stream("/metrics", first_byte_s=SCRAPE_DEADLINE_S) as answer:
            reader = ApiPageReader(answer.url)
            try:
                while chunk := await answer.read(max(0.01, ends - monotonic())):
                    for piece in slices(chunk, SLICE_BYTES):
                        reader.feed(piece)
                        await asyncio.sleep(0)
            except TimeoutError as error:
                raise UnreachableError(
                    f"{answer.url} did not finish its answer within {SCRAPE_DEADLINE_S:g} s"
                ) from error
        page = reader.page()
        if page.started_at is None:
            why = "breaks off" if page.is_cut else "is not an API server's: process_start_time_seconds is missing"
            raise BadAnswerError(f"{answer.url} {why}; nothing of it is used")
        return page
