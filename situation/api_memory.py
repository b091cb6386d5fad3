"""What is kept of the API server's pages: the last one, and earlier ones of the same process for windows."""

from datetime import datetime, timedelta
from typing import Final

from situation.api_server import ApiServerPage, ApiServerReading
from situation.derived import Derived
from situation.history import History

SPAN: Final = timedelta(minutes=30)
SPACING: Final = timedelta(seconds=25)
WINDOW: Final = timedelta(minutes=5)
REPLICAS: Final = 8
"""Processes behind one address that are followed apart; more are forgotten, the longest silent first."""


class ApiServerMemory:
    """A load balancer leads to one replica and then another: pages are only compared with those of the same process."""

    def __init__(self) -> None:
        self.page: ApiServerPage | None = None
        """The last one read, of whichever replica."""
        self.read_at: datetime | None = None
        self._pages: dict[float | None, History[ApiServerPage]] = {}
        self.derived = Derived()
        """What was worked out from the pages; empty after each new one."""

    def take(self, reading: ApiServerReading) -> None:
        """Fold a scrape in."""
        self.derived.clear()
        page = reading.page
        self.page, self.read_at = page, reading.scraped_at
        pages = self._pages.pop(page.started_at, None) or History[ApiServerPage](SPAN, SPACING)
        pages.add(reading.scraped_at, page)
        self._pages[page.started_at] = pages
        while len(self._pages) > REPLICAS:
            del self._pages[next(iter(self._pages))]

    def pages(self, window: timedelta = SPAN) -> tuple[tuple[datetime, ApiServerPage], ...]:
        """Return the pages of the replica read last over the window, oldest first."""
        pages = self._pages.get(self.page.started_at) if self.page is not None else None
        return pages.within(window) if pages is not None else ()
