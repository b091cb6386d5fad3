"""What is kept of the API server's pages: the last one, and earlier ones of the same process for windows."""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from situation.api_server import ApiServerPage, ApiServerReading
from situation.derived import Derived
from situation.history import History

SPAN: Final = timedelta(minutes=30)
SPACING: Final = timedelta(seconds=25)
WHOLE: Final = timedelta(minutes=10)
"""For so long pages are kept whole; older ones without their histograms, which are nearly all of them in a large
cluster."""
WINDOW: Final = timedelta(minutes=5)
REPLICAS: Final = 8
"""Processes behind one address that are followed apart; more are forgotten, the longest silent first."""


class _Kept:
    """The pages of one process."""

    def __init__(self) -> None:
        self._whole = History[ApiServerPage](WHOLE, SPACING)
        self._numbers = History[ApiServerPage](SPAN, SPACING)

    def add(self, at: datetime, page: ApiServerPage) -> None:
        self._whole.add(at, page)
        self._numbers.add(at, msgspec.structs.replace(page, durations={}, lists={}, etcd_durations={}, webhooks={}))

    def within(self, window: timedelta) -> tuple[tuple[datetime, ApiServerPage], ...]:
        """Return the pages of the window, oldest first; those from before the whole ones have no histograms."""
        whole = self._whole.within(window)
        if window <= WHOLE:
            return whole
        return (*(item for item in self._numbers.within(window) if item[0] < whole[0][0]), *whole)


class ApiServerMemory:
    """A load balancer leads to one replica and then another: pages are only compared with those of the same process."""

    def __init__(self) -> None:
        self.page: ApiServerPage | None = None
        """The last one read, of whichever replica."""
        self.read_at: datetime | None = None
        self._pages: dict[float | None, _Kept] = {}
        self.derived = Derived()
        """What was worked out from the pages; empty after each new one."""

    def take(self, reading: ApiServerReading) -> None:
        """Fold a scrape in."""
        self.derived.clear()
        page = reading.page
        self.page, self.read_at = page, reading.scraped_at
        kept = self._pages.pop(page.started_at, None) or _Kept()
        kept.add(reading.scraped_at, page)
        self._pages[page.started_at] = kept
        while len(self._pages) > REPLICAS:
            del self._pages[next(iter(self._pages))]

    def pages(self, window: timedelta = SPAN) -> tuple[tuple[datetime, ApiServerPage], ...]:
        """Return the pages of the replica read last over the window, oldest first."""
        kept = self._pages.get(self.page.started_at) if self.page is not None else None
        return kept.within(window) if kept is not None else ()
