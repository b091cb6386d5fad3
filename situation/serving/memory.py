"""What is kept of each model server: its last answers, and numbers of earlier pages for windows and curves.

Bounded in time and number. Kept in the Situation and not in a collector, so that a tape leads to the same picture.
"""

import math
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from situation.clock import earlier
from situation.derived import Derived
from situation.history import History
from situation.meta import ObjectKey
from situation.pods import Pod
from situation.serving.readings import EnginePage, Health, ModelServer, ServedModel, ServerPage, ServerReading
from situation.serving.recognise import ServerSpec
from situation.serving.tracks import EngineTrack, Totals
from situation.serving.view import ModelView, ServerView
from situation.serving.windows import SPACING, Column

GONE: Final = timedelta(minutes=30)
"""A server that nobody has told of for so long is forgotten; one whose pod is gone at once."""
ANSWERS_SPAN: Final = timedelta(minutes=2)
SECOND_HAND: Final = "prometheus"
"""`ModelServer.origin` of what somebody else scraped, at a time of his."""
SAME_START_S: Final = 1.0
"""Two pages of one process may tell its start by so much differently."""

EngineKey = tuple[str, str]
"""(model, engine)."""


class Curve(StrEnum):
    """What a curve shows."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_USAGE = "kv usage"
    """0 to 1."""
    PREEMPTIONS = "preemptions"
    """Per minute."""
    PROMPT_TOKENS = "prompt tokens"
    """Per second."""
    GENERATION_TOKENS = "generation tokens"
    """Per second."""


_COLUMN: Final = {
    Curve.RUNNING: (Column.RUNNING, 0.0),
    Curve.WAITING: (Column.WAITING, 0.0),
    Curve.KV_USAGE: (Column.KV_USAGE, 0.0),
    Curve.PREEMPTIONS: (Column.PREEMPTIONS, 60.0),
    Curve.PROMPT_TOKENS: (Column.PROMPT_TOKENS, 1.0),
    Curve.GENERATION_TOKENS: (Column.GENERATION_TOKENS, 1.0),
}
"""Column, and seconds of the unit of its rate; 0 for a gauge."""


class KnownServer:
    """One server: its last round, the last answer of each part, and its engines."""

    def __init__(self, reading: ServerReading) -> None:
        self.server = reading.server
        """The last round, errors included."""
        self.read_at = reading.read_at
        self.rounds = 0
        self.pace = timedelta(0)
        """How far its last two rounds were apart: of many servers each is asked in turn."""
        self.first_at = reading.read_at
        """When the present process was first heard of, as far as restarts are seen."""
        self.page: ServerPage | None = None
        self.page_at: datetime | None = None
        self.health: Health | None = None
        """The last one that was heard: while all is well it is not asked for in each round."""
        self.health_at: datetime | None = None
        self.up_at: datetime | None = None
        """When it last answered as a server that works: a page, or `/health` with 200."""
        self.died_at: datetime | None = None
        """When it was first found dead, or gone after it had been up; None once it works again."""
        self.version = ""
        self.models: tuple[ServedModel, ...] = ()
        self.engines: dict[EngineKey, EngineTrack] = {}
        self.answers: History[tuple[float, ...]] = History(ANSWERS_SPAN, SPACING)
        """Totals of rejections, HTTP answers, and those of 5xx among them."""
        self._totals = Totals()
        self.of_pages = Derived()
        """What was worked out from the pages alone; empty after each new one."""
        self.take(reading)

    def take(self, reading: ServerReading) -> None:
        """Fold the next round in."""
        server, at = reading.server, reading.read_at
        if at < self.read_at:
            if server.origin == SECOND_HAND:
                return  # what a Prometheus scraped before we asked ourselves
            self._set_clock_back(at)
        self.pace = at - self.read_at
        self.rounds += 1
        self.server, self.read_at = server, at
        self.version = server.version or self.version
        self.models = server.models or self.models
        if server.page is not None:
            self._take_page(server.page, at)
        if server.health is not None:
            self.health, self.health_at = server.health, at
        elif server.page is not None and self.health is not Health.ENGINE_DEAD and self.health is not Health.OK:
            self.health = None  # somebody listens
        self._note_life(server, at)

    def _note_life(self, server: ModelServer, at: datetime) -> None:
        was_up = self.up_at is not None
        if server.health is Health.ENGINE_DEAD or (server.health is Health.REFUSED and was_up):
            self.died_at = self.died_at or at
        elif server.health is Health.OK or (server.page is not None and self.health in (None, Health.OK)):
            self.up_at, self.died_at = at, None

    def _take_page(self, page: ServerPage, at: datetime) -> None:
        restarted = self.page is not None and _is_restart(self.page, page)
        if restarted:
            self.first_at = at
        for engine in page.engines:
            track = self.engines.setdefault((engine.model, engine.engine), EngineTrack())
            track.take(at, engine, restarted=restarted)
        told = {(engine.model, engine.engine) for engine in page.engines}
        for key in [key for key in self.engines if key not in told]:
            del self.engines[key]
        counters = (page.rejections, page.http_requests, page.http_errors)
        self.answers.add(at, self._totals.add(counters, restarted=restarted))
        self.page, self.page_at = page, at
        self.of_pages.clear()

    def _set_clock_back(self, at: datetime) -> None:
        self.first_at, self.read_at = min(self.first_at, at), at
        self.page_at, self.health_at = earlier(self.page_at, at), earlier(self.health_at, at)
        self.up_at, self.died_at = earlier(self.up_at, at), earlier(self.died_at, at)
        self.answers.clear()
        for track in self.engines.values():
            track.set_clock_back(at)

    @property
    def started_at(self) -> datetime:
        """When its process started, as it tells, else when it was first heard of."""
        told = self.page.started_at if self.page is not None else None
        if told is None or not 0 < told < 4e9:
            return self.first_at
        return datetime.fromtimestamp(told, UTC)


class MadeView(NamedTuple):
    """A server as it is shown, and for how long."""

    view: ServerView
    rank: tuple[int, float, float, str]
    """Those that sort first need a look first."""
    rests_on: object
    """As long as this is the same ..."""
    since: datetime
    until: datetime
    """... and it is not before or after these, the view holds."""


class ServingMemory:
    """All model servers that were asked, by key."""

    def __init__(self) -> None:
        self.known: dict[str, KnownServer] = {}
        self.by_pod: dict[ObjectKey, dict[str, KnownServer]] = {}
        """The same by the pod that they run in."""
        self.specs: dict[ObjectKey, tuple[Pod, tuple[ServerSpec, ...]]] = {}
        """How pods serve, read once for each version of a pod."""
        self.views: dict[Hashable, MadeView] = {}
        """The servers as shown last."""
        self.revision = 0
        """Another one after each round of a server, and after one was forgotten."""
        self.derived = Derived()
        """What was worked out of all servers, with the revision that it is of."""
        self.model_views: dict[Hashable, tuple[object, ModelView]] = {}
        """The same of the models."""

    def take(self, reading: ServerReading) -> None:
        """Fold one server's round in."""
        self.revision += 1
        key = reading.server.key
        held = self.known.get(key)
        if held is None or held.server.pod != reading.server.pod:
            self._forget(key)
            self.known[key] = held = KnownServer(reading)
            if reading.server.pod is not None:
                self.by_pod.setdefault(reading.server.pod, {})[key] = held
        else:
            held.take(reading)
        for gone in [name for name, item in self.known.items() if reading.read_at - item.read_at > GONE]:
            self._forget(gone)

    def forget_pod(self, pod: ObjectKey) -> None:
        """Forget the servers of a pod that is gone: one of the same name is another."""
        self.specs.pop(pod, None)
        for key in list(self.by_pod.get(pod, ())):
            self._forget(key)

    def _forget(self, key: str) -> None:
        held = self.known.pop(key, None)
        self.revision += 1
        if held is None or held.server.pod is None:
            return
        of_pod = self.by_pod.get(held.server.pod, {})
        of_pod.pop(key, None)
        if not of_pod:
            self.by_pod.pop(held.server.pod, None)

    def curve(self, key: str, engine: EngineKey, of: Curve) -> tuple[tuple[datetime, float], ...]:
        """Return the values of the last 15 minutes, oldest first; what was not measured is left out.

        `key` is the server's (`ServerView.key`), `engine` its model and rank (`EngineFigures.key`).
        """
        known = self.known.get(key)
        track = known.engines.get(engine) if known is not None else None
        if track is None:
            return ()
        column, unit_s = _COLUMN[of]
        points = [
            (at, value)
            for at, value in zip(track.rows.column(Column.AT), track.rows.column(column), strict=True)
            if math.isfinite(value)
        ]
        if unit_s:
            points = [
                (at, (value - before) / (at - earlier) * unit_s)
                for (earlier, before), (at, value) in pairwise(points)
                if at > earlier
            ]
        return tuple((datetime.fromtimestamp(at, UTC), value) for at, value in points)

    def ttft_curve(self, key: str, engine: EngineKey, step_s: float) -> tuple[tuple[datetime, float], ...]:
        """Return the p99 of TTFT in each step of the last minutes, seconds, oldest first; as far as it is kept."""
        known = self.known.get(key)
        track = known.engines.get(engine) if known is not None else None
        steps = track.ttft.steps(step_s) if track is not None else ()
        quantiles = ((at, observed.quantile(0.99)) for at, observed in steps)
        return tuple((datetime.fromtimestamp(at, UTC), value) for at, value in quantiles if value is not None)


def _is_restart(before: ServerPage, now: ServerPage) -> bool:
    """Tell whether two pages are of different processes: by their start, else by a counter that fell."""
    if before.started_at is not None and now.started_at is not None:
        return abs(now.started_at - before.started_at) > SAME_START_S
    earlier = {(engine.model, engine.engine): _counted(engine) for engine in before.engines}
    return any(
        then is not None and value is not None and value < then
        for engine in now.engines
        for then, value in zip(earlier.get((engine.model, engine.engine), ()), _counted(engine), strict=False)
    )


def _counted(page: EnginePage) -> tuple[float | None, ...]:
    return page.prompt_tokens, page.generation_tokens, page.preemptions
