"""All model servers, asked again and again. Source `vllm/servers`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from time import monotonic
from typing import Final, NamedTuple

from collectors.errors import AbsentError, ForbiddenError, SourceError, ThrottledError
from collectors.turns import Turns, as_answered
from collectors.vllm.doors import Door
from collectors.vllm.options import DEFAULT_SERVERS
from collectors.vllm.prometheus import PrometheusServers
from collectors.vllm.reader import ServerReader
from collectors.vllm.ways import Ways, address_of
from collectors.vllm.wishes import Place, VllmWishes
from situation.readings import Reading, SourceState
from situation.serving.readings import LEFT_OUT, Health, ModelServer, ServerReading, Software, triton_http_url
from situation.serving.serving import SOURCE
from situation.text import harmless

EVERY_S: Final = 5.0
FRESH_S: Final = 30.0
AT_ONCE: Final = 16
"""Servers asked directly at the same time; with more, each waits longer for our own processor than for its answer."""
AT_ONCE_THROUGH_API: Final = 16
AT_ONCE_FOR_STATIC: Final = 8
"""Servers asked at the same time for what does not change: all of them are when they are new."""
RETRY_S: Final = 15.0
_NIM_PREFIX: Final = "/v1"
"""A URL that was given as .../v1/metrics is a NIM's: all that is asked of one is below it."""
_SHORTEST_PAUSE_S: Final = 0.2
_HANGING: Final = 2
"""Rounds in a row without an answer: from then on it is asked in every third round only."""
_HANGING_EVERY: Final = 3


class _Asked(NamedTuple):
    """One server of a round."""

    reader: ServerReader
    path: str
    place: Place | None
    url: str = ""
    """Given by the user; empty: it is found by its pod."""


class VllmCollector:
    """Asks the servers that are wanted and tells of each when it has answered or failed; none delays another.

    Servers at URLs and pod IPs are all asked in each round. Through the API server at most `servers` are, in turn
    (`Turns`). A Prometheus, where there is one, tells of those that were not heard.
    """

    name = SOURCE
    deadline_s = None

    def __init__(
        self,
        wishes: VllmWishes,
        ways: Ways,
        clock: Callable[[], datetime],
        *,
        servers: int = DEFAULT_SERVERS,
        prometheus: PrometheusServers | None = None,
    ) -> None:
        self._wishes = wishes
        self._ways = ways
        self._clock = clock
        self._prometheus = prometheus
        self._readers: dict[str, ServerReader] = {}
        self._turns = Turns(servers)
        """Of those that are asked through the API server."""
        self._heard_at: dict[str, float] = {}
        """Key -> when its page was read last, directly or through the API server."""
        self._gate = asyncio.Semaphore(AT_ONCE_FOR_STATIC)
        self._state = SourceState.STARTING
        self._began = 0.0

    @property
    def pause_s(self) -> float:
        """Rounds begin every EVERY_S, also when a server hung in the last one."""
        return max(_SHORTEST_PAUSE_S, self._began + EVERY_S - monotonic())

    async def aclose(self) -> None:
        """Close all connections."""
        if self._prometheus is not None:
            await self._prometheus.aclose()
        await self._ways.aclose()

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_told()
        await self._ways.prepare()
        self._began = monotonic()
        for place in tuple(self._wishes.left_out.values()):
            pod = (place.namespace, place.pod)
            yield self._reading(ModelServer(place.key, place.software, pod, LEFT_OUT), False)
        direct, proxied = self._chosen()
        known = {*self._wishes.places, *(item.reader.key for item in direct)}
        if not known and self._prometheus is None:
            self._state = SourceState.ABSENT
            none = "no model server runs in this cluster (by image or command line); --vllm URL names one"
            skipped = "all model servers of this cluster are left out by the configuration (vllm_skipped_pods)"
            raise AbsentError(skipped if self._wishes.left_out else none, RETRY_S)
        heard: list[ModelServer] = []
        failed: list[ModelServer] = []
        async for server in self._all(direct, proxied):
            good = _is_heard(server)
            (heard if good else failed).append(server)
            yield self._reading(server, good)
        failure: SourceError | None = None
        if self._prometheus is not None:
            try:
                for found in await self._prometheus.told(self._wishes.places, self._missing(known)):
                    heard.append(found.server)
                    yield self._reading(found.server, True, found.read_at)
            except SourceError as error:
                failure = error
        yield self._summary(heard, failed, failure)

    def _missing(self, known: set[str]) -> set[str]:
        """Return the keys of servers that were not heard for some rounds: their turn did not come, or no way leads."""
        limit = self._began - 2 * EVERY_S
        return {key for key in known if self._heard_at.get(key, 0.0) < limit}

    def _chosen(self) -> tuple[list[_Asked], list[_Asked]]:
        """Return who is asked directly in this round, and who through the API server."""
        places = dict(self._wishes.places)
        self._ways.begin(places)
        direct = self._at_urls(places)
        keys = {*places, *(item.reader.key for item in direct)}
        self._readers = {key: reader for key, reader in self._readers.items() if key in keys}
        self._heard_at = {key: at for key, at in self._heard_at.items() if key in keys}
        others: dict[str, Place] = {}
        for key, place in places.items():
            if not self._is_left_out(key):
                if self._ways.is_direct(place):
                    direct.append(_Asked(self._reader(place), place.metrics_path, place))
                else:
                    others[key] = place
        direct.sort(key=lambda item: item.reader.hung)
        chosen = [others[key] for key in self._turns.chosen(others, self._wishes.first, others)]
        asked = [_Asked(self._reader(place), place.metrics_path, place) for place in chosen]
        return direct, asked

    def _at_urls(self, places: dict[str, Place]) -> list[_Asked]:
        """Take out of `places` the pods that have a URL, and return the servers at all URLs."""
        by_address = {place.address: place for place in places.values()}
        found: list[_Asked] = []
        for url in self._ways.urls:
            place = by_address.get(address_of(url))
            base = url.removesuffix(_NIM_PREFIX)
            software = Software.UNKNOWN if base == url else Software.NIM
            path = f"{url.removeprefix(base)}/metrics"
            if place is None:
                key = self._ways.url_door(base).shown
                reader = self._readers.setdefault(key, ServerReader(key, None, software, self._gate))
                found.append(_Asked(reader, path, None, base))
            elif places.pop(place.key, None) is not None:
                path = place.metrics_path if place.software is Software.NIM else path
                found.append(_Asked(self._reader(place), path, place, base))
        return found

    def _reader(self, place: Place) -> ServerReader:
        pod = (place.namespace, place.pod)
        return self._readers.setdefault(place.key, ServerReader(place.key, pod, place.software, self._gate))

    def _is_left_out(self, key: str) -> bool:
        """Tell whether a server that hangs is left out of this round: it takes a place for as long as it is waited."""
        reader = self._readers.get(key)
        return reader is not None and reader.hung >= _HANGING and self._turns.round % _HANGING_EVERY != 0

    def _all(self, direct: list[_Asked], proxied: list[_Asked]) -> AsyncGenerator[ModelServer, None]:
        """Yield what each server said, in the order in which they answer."""
        gates = (asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE_THROUGH_API))
        asked = ((item, gates[0], True) for item in direct)
        through_api = ((item, gates[1], False) for item in proxied)
        return as_answered(self._ask(item, gate, direct=is_direct) for item, gate, is_direct in (*asked, *through_api))

    async def _ask(self, item: _Asked, gate: asyncio.Semaphore, *, direct: bool) -> ModelServer:
        async with gate:
            server = await self._answer(item, direct=direct)
        if server.page is not None:
            self._heard_at[server.key] = monotonic()
        return server

    async def _answer(self, item: _Asked, *, direct: bool) -> ModelServer:
        if item.url or item.place is None:
            port = item.place.health_port if item.place is not None else None
            http_url = triton_http_url(item.url, port)
            health_door = self._ways.url_door(http_url) if http_url else None
            return await _without_way(item.reader, self._ways.url_door(item.url), item.path, health_door)
        place, errors = item.place, list[str]()
        for is_direct in (direct, not direct):
            if is_direct and errors and not self._ways.network_is_open:
                continue
            try:
                door = self._ways.door(place, direct=is_direct)
                server = await item.reader.ask(door, item.path, self._health_door(place, direct=is_direct))
            except SourceError as error:
                self._ways.note_error(place, error)
                errors.append(str(error))
                if isinstance(error, ThrottledError):
                    break
                continue
            # Silence at an IP that never answered tells of our network, and another host may refuse there.
            is_proven = not is_direct or server.page is not None or self._ways.is_proven(place)
            if is_proven and _is_heard(server):
                self._ways.note_reached(place, direct=is_direct)
                return server
            self._ways.note_failed(place, direct=is_direct)
            if is_proven:
                return server
            errors.append(f"by its pod's IP: {server.page_error}")
        return item.reader.not_asked("; ".join(dict.fromkeys(errors)), "proxy")

    def _health_door(self, place: Place, *, direct: bool) -> Door | None:
        """Return the door to where a server tells its health, None if that is where its metrics are."""
        if place.health_port is None:
            return None
        return self._ways.door(place._replace(port=place.health_port), direct=direct)

    def _reading(self, server: ModelServer, good: bool, read_at: datetime | None = None) -> Reading:
        """Return what one server said. Who waits for the first picture waits for all of it."""
        state = SourceState.LIVE if good and self._state is not SourceState.STARTING else self._state
        now = self._clock()
        return Reading(self.name, state, now, ServerReading(server, read_at or now), fresh_for_s=FRESH_S)

    def _summary(self, heard: list[ModelServer], failed: list[ModelServer], failure: SourceError | None) -> Reading:
        """Return the source's own state: it is well as long as one server is heard."""
        told = {server.key for server in heard}
        failed = [server for server in failed if server.key not in told]
        errors = [server.page_error or server.health_error for server in failed]
        error = errors[0] if len(errors) == 1 else ""
        if len(errors) > 1:
            error = f"{len(errors)} model servers cannot be read; the first: {errors[0]}"
        if failure is not None:
            error = "; ".join(filter(None, (error, harmless(str(failure)))))
        if heard or not error:
            self._state = SourceState.LIVE
        elif failed and all(isinstance(self._refusal_of(server), ForbiddenError) for server in failed):
            self._state = SourceState.FORBIDDEN
        else:
            self._state = SourceState.UNREACHABLE
        if self._ways.throttled is not None and not heard:
            raise self._ways.throttled
        return Reading(self.name, self._state, self._clock(), None, error, FRESH_S)

    def _refusal_of(self, server: ModelServer) -> ForbiddenError | None:
        namespace = server.pod[0] if server.pod is not None else ""
        return self._ways.refused[namespace][1] if namespace in self._ways.refused else None


async def _without_way(reader: ServerReader, door: Door, path: str, health_door: Door | None) -> ModelServer:
    """Ask at a URL: there is no other way, so what closes this one is the answer."""
    try:
        return await reader.ask(door, path, health_door)
    except SourceError as error:
        return reader.not_asked(str(error), door.origin, door.shown)


def _is_heard(server: ModelServer) -> bool:
    """Tell whether something definite is known of the server now: also that nobody listens, where its pod is known."""
    return server.answers or (server.health is Health.REFUSED and server.pod is not None)
