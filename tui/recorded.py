"""Readings of frames that hold a source's own words: pages of exporters, model servers and the API server, what etcd's
members answer. Of demos, and tapes that were put together."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from situation.readings import Reading
from situation.situation import Situation
from tape.etcd import ETCD_SOURCE, LIVEZ_SOURCE, METRICS_SOURCE, etcd_name
from tape.format import Frame, PageName, TapeError, page_name
from tape.playhead import Others

if TYPE_CHECKING:
    from collectors.etcd.recorded import RecordedMembers


class RecordedSources(Others):
    """Reads on a tape what a live cockpit asks over the network: all of it is polled again and again."""

    def __init__(self) -> None:
        self._known = Situation()
        """What the tape told so far, to know whose pages these are."""
        self._pages: dict[PageName, Frame] = {}
        self._members: RecordedMembers | None = None
        self._livez: Frame | None = None
        self._has_etcd: bool | None = None
        """Whether the API server gets answers from etcd; None where the tape does not tell."""

    def know(self, reading: Reading) -> None:
        self._known.apply(reading)

    def hear(self, frame: Frame, at: datetime) -> Iterator[Reading]:
        if (page := page_name(frame.source)) is not None:
            self._pages[page] = frame
            yield from self._read({name: said for name, said in self._pages.items() if name[:3] == page[:3]}, at)
        elif frame.source == ETCD_SOURCE:
            self._has_etcd = not frame.down
            yield from self._readiness(at)
        elif frame.source in (METRICS_SOURCE, LIVEZ_SOURCE):
            self._livez = frame if frame.source == LIVEZ_SOURCE else self._livez
            yield from self._api_page(frame, at)
        elif etcd_name(frame.source) is not None:
            yield from self._member(frame, at)

    def poll(self, at: datetime) -> Iterator[Reading]:
        yield from self._read(self._pages, at)
        if self._members is not None:
            yield from self._members.round(at)
        if self._livez is not None:
            yield from self._api_page(self._livez, at)
        yield from self._readiness(at)

    def _member(self, frame: Frame, at: datetime) -> Iterator[Reading]:
        from collectors.errors import BadAnswerError
        from collectors.etcd.recorded import RecordedAnswer, RecordedMembers

        name = etcd_name(frame.source)
        if name is None:
            return
        self._members = self._members or RecordedMembers()
        try:
            self._members.take(
                RecordedAnswer(at, name.member, name.part, frame.body, frame.text or "", frame.error or "")
            )
        except BadAnswerError as error:
            raise TapeError(f"bad frame at {frame.t:g} s: {error}") from error
        if self._members.have_endpoints:
            yield from self._members.round(at)

    def _api_page(self, frame: Frame, at: datetime) -> Iterator[Reading]:
        from collectors.control_plane.recorded import ApiServerAnswer, page_on_tape

        path = f"/{frame.source.partition('/')[2]}"
        yield page_on_tape(ApiServerAnswer(at, path, frame.status, frame.text or "", frame.error or ""))

    def _readiness(self, at: datetime) -> Iterator[Reading]:
        if self._has_etcd is not None:
            from collectors.control_plane.recorded import readiness

            yield readiness(at, has_etcd=self._has_etcd)

    def _read(self, pages: dict[PageName, Frame], at: datetime) -> Iterator[Reading]:
        if not pages:
            return
        from collectors.gpu_devices.recorded import devices_on_pages
        from collectors.pod_page import PodPage
        from collectors.vllm.recorded import servers_on_pages

        recorded = [
            PodPage(*page, frame.status or 200, (frame.text or "").encode(), frame.error or "")
            for page, frame in pages.items()
        ]
        if (found := devices_on_pages(recorded, self._known, at)) is not None:
            yield found
        yield from servers_on_pages(recorded, self._known, at)
