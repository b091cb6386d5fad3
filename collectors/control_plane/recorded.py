"""What the API server says of itself, as a tape has it."""

from datetime import datetime
from typing import Final, NamedTuple

from collectors.control_plane.api_page import ApiPageReader
from collectors.control_plane.polls import SCRAPE_FRESH_S
from collectors.errors import BadAnswerError
from collectors.kubernetes.polls import READYZ_FRESH_S, parse_readiness
from situation.api_server import LIVEZ, METRICS, READYZ, ApiServerReading, Liveness
from situation.readings import Readiness, Reading, SourceState
from situation.text import harmless

_ETCD_CHECKS: Final = ("etcd", "etcd-readiness")


class ApiServerAnswer(NamedTuple):
    """What the API server answered at some time."""

    at: datetime
    path: str
    """`/metrics` or `/livez`."""
    status: int
    text: str
    error: str = ""


def page_on_tape(page: ApiServerAnswer) -> Reading:
    """Return what a page says."""
    source = METRICS if page.path == "/metrics" else LIVEZ
    try:
        return _read(page, source)
    except BadAnswerError as error:
        return Reading(source, SourceState.UNREACHABLE, page.at, error=harmless(str(error)))


def readiness(at: datetime, *, has_etcd: bool) -> Reading:
    """Return the checks of an API server that gets, or does not get, answers from etcd."""
    checks = Readiness(True) if has_etcd else Readiness(False, _ETCD_CHECKS)
    return Reading(READYZ, SourceState.LIVE, at, checks, fresh_for_s=READYZ_FRESH_S)


def _read(page: ApiServerAnswer, source: str) -> Reading:
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
