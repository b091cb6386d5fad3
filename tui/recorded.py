"""Readings of frames that hold a source's own words: pages of exporters, answers of members. Of tapes and demos."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from situation.readings import Reading
from situation.situation import Situation
from tape.format import Frame, page_name
from tape.playhead import Others


def recorded_sources(situation: Callable[[], Situation | None]) -> Others:
    """Return what makes readings of such frames; `situation` gives what is known at the moment, to know whose they are.

    What asks over the network in a live cockpit reads the same text here.
    """

    def read(frame: Frame, started_at: datetime) -> Iterable[Reading]:
        from collectors.gpu_devices.recorded import RecordedPage, devices_on_pages

        known, page = situation(), page_name(frame.source)
        if known is None or page is None:
            return
        recorded = RecordedPage(*page, frame.status or 200, (frame.text or "").encode(), frame.error or "")
        at = started_at + timedelta(seconds=frame.t)
        if (found := devices_on_pages((recorded,), known, at)) is not None:
            yield found

    return read
