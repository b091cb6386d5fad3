"""What the API server says of itself, as a tape has it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from collectors.control_plane.api_page import ApiPageReader
from collectors.control_plane.polls import SCRAPE_FRESH_S
from collectors.errors import BadAnswerError
from collectors.kubernetes.polls import READYZ_FRESH_S, parse_readiness
from situation.api_server import LIVEZ, METRICS, ApiServerReading, Liveness
from situation.leases import READYZ
from situation.readings import Readiness, Reading, SourceState
from situation.text import harmless

_ETCD_CHECKS: Final = ("etcd", "etcd-readiness")


class RecordedPage(NamedTuple):
    """What the API server answered at some time."""

    at: datetime
    path: str
    """`/metrics` or `/livez`."""
    status: int
    text: str
    error: str = ""


def pages_on_tape(pages: Iterable[RecordedPage], now: datetime) -> Iterator[Reading]:
    """Yield a reading for each page; `/livez` holds until it says something else, so its last one is of now."""
    last: Reading | None = None
    for page in pages:
        source = METRICS if page.path == "/metrics" else LIVEZ
        try:
            found = _read(page, source)
        except BadAnswerError as error:
            found = Reading(source, SourceState.UNREACHABLE, page.at, error=harmless(str(error)))
        yield found
        last = found if source == LIVEZ else last
    if last is not None and last.state is SourceState.LIVE:
        yield Reading(LIVEZ, SourceState.LIVE, now, last.value, fresh_for_s=READYZ_FRESH_S)


def unready(now: datetime) -> Reading:
    """Return the checks of an API server that gets no answers from etcd."""
    return Reading(READYZ, SourceState.LIVE, now, Readiness(False, _ETCD_CHECKS), fresh_for_s=READYZ_FRESH_S)


def _read(page: RecordedPage, source: str) -> Reading:
    """Raises BadAnswerError for what is no such page."""
    if page.error:
        return Reading(source, SourceState.UNREACHABLE, page.at, error=harmless(page.error))
    if source == LIVEZ:
        said = parse_readiness(page.status or 200, page.text.encode(), page.path)
        liveness = Liveness(said.ready, said.failed_checks)
        return Reading(source, SourceState.LIVE, page.at, liveness, fresh_for_s=READYZ_FRESH_S)
    reader = ApiPageReader(page.path)
    reader.feed(page.text.encode())
    reading = ApiServerReading(reader.page(), page.at)
    return Reading(source, SourceState.LIVE, page.at, reading, fresh_for_s=SCRAPE_FRESH_S)
