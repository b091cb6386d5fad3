"""One model server, asked again and again: its page each time, the rest when it is due."""

import asyncio
from collections.abc import Callable
from operator import ne
from time import monotonic
from typing import Final, NamedTuple, TypeVar

from collectors.errors import SourceError, UnreachableError
from collectors.vllm.answers import MODELS, VERSION, health_of, parse_models, parse_version
from collectors.vllm.doors import Door, NoAnswerError, NobodyListensError, leads_nowhere
from collectors.vllm.page import parse_server_page
from situation.meta import ObjectKey
from situation.serving.readings import (
    HEALTH_PATH,
    EnginePage,
    Health,
    ModelServer,
    ServedModel,
    ServerPage,
    Software,
    software_told,
)
from situation.text import harmless

T = TypeVar("T")

DEADLINE_S: Final = 3.0
"""For the page."""
AFTER_PAGE_S: Final = 1.5
"""For all that is asked after the page: a round must end before the next one."""
HEALTH_EVERY: Final = 3
"""Rounds, while all is well; an engine that makes progress lives, and is not asked about."""
RETRY_S: Final = 60.0
"""For what is asked once and failed."""
_IN_THREAD_BYTES: Final = 2**19
"""A page of so many bytes takes longer to read than a key press may wait."""
_WANTS_KEY: Final = "wants an API key (401), which is normal with --api-key; all else is read without one"


class _Static(NamedTuple):
    """What a process does not change while it lives, as the last fields of `ModelServer`."""

    version: str = ""
    version_error: str = ""
    models: tuple[ServedModel, ...] = ()
    models_error: str = ""


class ServerReader:
    """Keeps what is asked once, and knows when to ask again."""

    def __init__(
        self,
        key: str,
        pod: ObjectKey | None,
        software: Software = Software.UNKNOWN,
        gate: asyncio.Semaphore | None = None,
    ) -> None:
        self.key = key
        self.pod = pod
        self.hung = 0
        """Rounds in a row in which its page did not come in time."""
        self._gate = gate or asyncio.Semaphore(1)
        """Shared by all servers: what is asked once must not crowd out what is asked in each round."""
        self._software = software
        self._rounds = 0
        self._health: Health | None = Health.OK
        self._engines: tuple[EnginePage, ...] = ()
        """Of its last page."""
        self._static = _Static()
        self._static_due = 0.0
        self._process: float | None = None

    async def ask(self, door: Door, path: str, health_door: Door | None = None) -> ModelServer:
        """Ask for everything that is due; `path` is where its metrics are, `health_door` leads to its health if it is
        a Triton, which has that at another port.

        Raises SourceError where this way does not lead to the server (`leads_nowhere`).
        """
        self._rounds += 1
        page, error = await self._page(door, path)
        self.hung = self.hung + 1 if isinstance(error, NoAnswerError) else 0
        self._software = software_told(self._software, page)
        health_door = health_door if self._software is Software.TRITON else None
        is_there = not isinstance(error, NobodyListensError | NoAnswerError)
        self._note_process(page, is_there)
        health, health_error = None, ""
        if isinstance(error, NobodyListensError) and health_door is None:
            health, health_error = Health.REFUSED, str(error)
            self._health = health
        else:
            async with asyncio.TaskGroup() as besides:
                if is_there:
                    besides.create_task(self._ask_static(door))
                if page is None or self._health is not Health.OK or self._is_health_due(page):
                    health, health_error = await self._ask_health(door, health_door)
                    if health is Health.REFUSED and page is not None and health_door is not None:
                        self._health = health = None  # that port is closed, and it lives
        self._engines = page.engines if page is not None else ()
        return self._server(door, page, str(error or ""), health, health_error)

    def not_asked(self, why: str, origin: str = "", shown: str = "") -> ModelServer:
        """Return what is said of a server to which no way leads."""
        return ModelServer(
            self.key, self._software, self.pod, origin, shown, None, harmless(why), None, "", *self._static
        )

    def _server(
        self, door: Door, page: ServerPage | None, error: str, health: Health | None, health_error: str
    ) -> ModelServer:
        return ModelServer(
            self.key,
            self._software,
            self.pod,
            door.origin,
            door.shown,
            page,
            harmless(error),
            health,
            harmless(health_error),
            *self._static,
        )

    async def _page(self, door: Door, path: str) -> tuple[ServerPage | None, SourceError | None]:
        try:
            answer = await door.get(path, DEADLINE_S)
            if answer.status != 200:
                return None, UnreachableError(answer.said)
            what = f"{door.shown}{path}"
            if len(answer.body) > _IN_THREAD_BYTES:
                return await asyncio.to_thread(parse_server_page, answer.body, what), None
            return parse_server_page(answer.body, what), None
        except SourceError as error:
            if leads_nowhere(error):
                raise
            return None, error

    def _note_process(self, page: ServerPage | None, is_there: bool) -> None:
        """Another process, or one that was gone meanwhile, is asked anew for what does not change."""
        if not is_there:
            self._static_due = 0.0
        elif page is not None and page.started_at != self._process:
            self._process, self._static_due = page.started_at, 0.0

    def _is_health_due(self, page: ServerPage) -> bool:
        """Tell whether it is time to ask about an engine that was well: not of one all of whose ranks moved."""
        if self._rounds % HEALTH_EVERY != 1:
            return False
        before, now = self._engines, page.engines
        have_moved = bool(now) and len(before) == len(now) and all(map(ne, before, now))
        return not have_moved

    async def _ask_health(self, door: Door, health_door: Door | None) -> tuple[Health | None, str]:
        if self._software is Software.TRITON and health_door is None:
            return None, ""  # at a URL: of its two ports only that of the metrics is known
        try:
            answer = await (health_door or door).get(HEALTH_PATH[self._software], AFTER_PAGE_S)
        except NobodyListensError as error:
            self._health = Health.REFUSED
            return self._health, str(error)
        except NoAnswerError as error:
            self._health = Health.NO_ANSWER
            return self._health, str(error)
        except SourceError as error:
            self._health = None
            return None, str(error)
        self._health = health_of(answer.status, self._software, answer.body)
        return self._health, "" if answer.status == 200 else answer.said

    async def _ask_static(self, door: Door) -> None:
        if monotonic() < self._static_due:
            return
        async with self._gate:
            version, version_error = await self._once(door, VERSION.get(self._software), parse_version)
            models, models_error = await self._once(door, MODELS.get(self._software), parse_models)
        self._static = _Static(version or "", version_error, models or (), models_error)
        self._static_due = monotonic() + RETRY_S if version_error or models_error else float("inf")

    async def _once(self, door: Door, path: str | None, parse: Callable[[bytes, str], T]) -> tuple[T | None, str]:
        """Return what an answer says, and why it says nothing; neither where this kind of server has no such thing."""
        if path is None:
            return None, ""
        try:
            answer = await door.get(path, AFTER_PAGE_S)
            if answer.status == 200:
                return parse(answer.body, f"{door.shown}{path}"), ""
        except SourceError as error:
            return None, harmless(str(error))
        return None, f"{path} {_WANTS_KEY}" if answer.status == 401 else harmless(answer.said)
