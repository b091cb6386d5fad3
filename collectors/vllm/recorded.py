"""Model servers as the pages on a tape tell of them. Source `vllm/servers`, as if they were asked then."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, TypeVar

from collectors.errors import SourceError
from collectors.pod_page import PodPage
from collectors.vllm.answers import MODELS, VERSION, health_of, parse_models, parse_version
from collectors.vllm.page import parse_server_page
from collectors.vllm.rounds import FRESH_S
from collectors.vllm.wishes import Place, VllmWishes
from situation.readings import Reading, SourceState
from situation.serving.readings import HEALTH_PATH, Health, ModelServer, ServerReading, Software, software_told
from situation.serving.serving import SOURCE
from situation.situation import Situation
from situation.text import harmless

T = TypeVar("T")

_REFUSED: Final = "connection refused"

Pages = Mapping[str, PodPage]
"""By path, of one server."""


def servers_on_pages(pages: Iterable[PodPage], situation: Situation, now: datetime) -> Iterator[Reading]:
    """Yield what the model servers among the pods of `pages` said at `now`, and the source's state last.

    Nothing if none of these pods is a model server.
    """
    wishes = VllmWishes()
    wishes.tell(situation)
    by_key: dict[str, dict[str, PodPage]] = {}
    for page in pages:
        by_key.setdefault(f"{page.namespace}/{page.pod}:{page.port}", {})[page.path] = page
    servers = [_server(wishes.places[key], found) for key, found in by_key.items() if key in wishes.places]
    for server in servers:
        yield Reading(SOURCE, SourceState.LIVE, now, ServerReading(server, now), fresh_for_s=FRESH_S)
    if servers:
        failed = [server for server in servers if not server.answers]
        is_silent = len(failed) == len(servers) and all(server.health is not Health.REFUSED for server in failed)
        state = SourceState.UNREACHABLE if is_silent else SourceState.LIVE
        error = next((server.page_error or server.health_error for server in failed), "")
        yield Reading(SOURCE, state, now, None, error, FRESH_S)


def _server(place: Place, pages: Pages) -> ModelServer:
    page, page_error = _read(place, pages.get(place.metrics_path), parse_server_page)
    software = software_told(place.software, page)
    health, health_error = _health(place, pages, software)
    version, version_error = _read(place, pages.get(VERSION.get(software, "")), parse_version)
    models, models_error = _read(place, pages.get(MODELS.get(software, "")), parse_models)
    return ModelServer(
        place.key,
        software,
        (place.namespace, place.pod),
        "proxy",
        place.key,
        page,
        page_error,
        health,
        health_error,
        version or "",
        version_error,
        models or (),
        models_error,
    )


def _read(place: Place, page: PodPage | None, parse: Callable[[bytes, str], T]) -> tuple[T | None, str]:
    """Return what a page says, and why it says nothing."""
    if page is None:
        return None, ""
    if error := _error(place, page):
        return None, harmless(error)
    try:
        return parse(page.body, f"{place.key}{page.path}"), ""
    except SourceError as refused:
        return None, harmless(str(refused))


def _error(place: Place, page: PodPage) -> str:
    if page.error:
        return f"{place.key}: {page.error}"
    return f"{place.key}{page.path} answered {page.status}" if page.status != 200 else ""


def _health(place: Place, pages: Pages, software: Software) -> tuple[Health | None, str]:
    """Return what `/health` said; where nobody listened for the metrics, nobody did for it."""
    metrics, page = pages.get(place.metrics_path), pages.get(HEALTH_PATH[software])
    silent = next((item for item in (page, metrics) if item is not None and item.error), None)
    if silent is not None:
        return (Health.REFUSED if _REFUSED in silent.error else Health.NO_ANSWER), harmless(_error(place, silent))
    if page is None:
        return None, ""
    return health_of(page.status, software, page.body), harmless(_error(place, page))
