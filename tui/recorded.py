"""Readings of frames that hold a source's own words: pages of exporters. Of demos, and tapes that were put together."""

from collections.abc import Iterator
from datetime import datetime

from situation.readings import Reading
from situation.situation import Situation
from tape.format import Frame, PageName, page_name
from tape.playhead import Others


class RecordedPages(Others):
    """Reads on a tape what a live cockpit asks over the network: exporters among the pods are polled."""

    def __init__(self) -> None:
        self._known = Situation()
        """What the tape told so far, to know whose pages these are."""
        self._pages: dict[PageName, Frame] = {}

    def know(self, reading: Reading) -> None:
        self._known.apply(reading)

    def hear(self, frame: Frame, at: datetime) -> Iterator[Reading]:
        page = page_name(frame.source)
        if page is not None:
            self._pages[page] = frame
            yield from self._read({page: frame}, at)

    def poll(self, at: datetime) -> Iterator[Reading]:
        yield from self._read(self._pages, at)

    def _read(self, pages: dict[PageName, Frame], at: datetime) -> Iterator[Reading]:
        if not pages:
            return
        from collectors.gpu_devices.recorded import RecordedPage, devices_on_pages

        recorded = (
            RecordedPage(*page, frame.status or 200, (frame.text or "").encode(), frame.error or "")
            for page, frame in pages.items()
        )
        if (found := devices_on_pages(recorded, self._known, at)) is not None:
            yield found
