"""DCGM exporters, asked one by one through the API server's pod proxy, or at URLs. Source `gpu/dcgm`."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from time import monotonic
from typing import Final, NamedTuple

from msgspec.structs import replace

from collectors.errors import (
    FORBIDDEN_RETRY_S,
    AbsentError,
    BadAnswerError,
    ForbiddenError,
    SourceError,
    ThrottledError,
)
from collectors.gpu_devices.dcgm import parse_dcgm
from collectors.gpu_devices.options import DEFAULT_NODES
from collectors.gpu_devices.wishes import DeviceWishes, Exporter
from collectors.turns import Turns, as_answered
from collectors.urls import without_password
from situation.gpu.devices import GpuReading, Lack, NodeDevices
from situation.readings import Reading, SourceState
from situation.text import harmless

EVERY_S: Final = 15.0
FRESH_S: Final = 60.0
DEADLINE_S: Final = 3.0
"""For one exporter."""
AT_ONCE: Final = 8
RETRY_S: Final = 15.0

Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches the page at a path on the API server, or at a URL. Raises SourceError."""


class _Door(NamedTuple):
    """One exporter to be asked."""

    place: str
    """Path or URL, for `fetch`."""
    name: str
    """For messages."""
    node: str
    """Empty if only the page tells."""
    namespace: str
    """Of its pod: rights may differ from one to the next. Empty at a URL."""
    fetch: Fetch


class DcgmCollector:
    """Asks the exporters that are wanted, some at once, and tells of each when it has answered or failed.

    `through_api` and `from_url` bound their own time: one that hangs must not delay the others. Through the API server
    at most `nodes` are asked in a round, in turn (`Turns`).
    """

    name = "gpu/dcgm"
    pause_s = EVERY_S
    deadline_s = None

    def __init__(
        self,
        wishes: DeviceWishes,
        clock: Callable[[], datetime],
        *,
        through_api: Fetch,
        from_url: Fetch,
        urls: tuple[str, ...] = (),
        nodes: int = DEFAULT_NODES,
    ) -> None:
        self._wishes = wishes
        self._clock = clock
        self._through_api = through_api
        self._nodes = nodes
        self._given = tuple(_Door(url, f"exporter at {without_password(url)}", "", "", from_url) for url in urls)
        self._told_by_url: dict[str, frozenset[str]] = {}
        """Nodes that the pages at the given URLs told of."""
        self._turns = Turns(nodes)
        self._refused: dict[str, tuple[float, ForbiddenError]] = {}
        """Namespace -> until when nothing is asked there, and why."""
        self._throttled: ThrottledError | None = None

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_told()
        self._throttled = None
        self._refused = {name: item for name, item in self._refused.items() if monotonic() < item[0]}
        through_api = (
            _Door(item.path, f"exporter {item.namespace}/{item.pod}", item.node, item.namespace, self._through_api)
            for item in self._chosen()
        )
        doors = [*self._given, *through_api]
        waiting = self._waiting()
        if not doors and not waiting:
            raise AbsentError(_nothing_to_ask(self._wishes, self._nodes), RETRY_S)
        failed: list[NodeDevices] = []
        answered: set[str] = set()
        gate = asyncio.Semaphore(AT_ONCE)
        async for found in as_answered(self._ask(door, gate) for door in doors):
            good = tuple(item for item in found if item.observed_at is not None)
            failed += [item for item in found if item.observed_at is None]
            if good:
                answered |= {item.node for item in good}
                # Who waits for the first picture waits for all of it.
                state = SourceState.LIVE if self._turns.round > 1 else SourceState.STARTING
                yield Reading(self.name, state, self._clock(), GpuReading(good), fresh_for_s=FRESH_S)
        failed = [item for item in failed if item.node not in answered]
        waiting = tuple(item for item in waiting if item.node not in answered)
        if waiting:
            state = SourceState.LIVE if answered else SourceState.STARTING if doors else SourceState.ABSENT
            error = "" if doors else waiting[0].error
            yield Reading(self.name, state, self._clock(), GpuReading(waiting), error, FRESH_S)
        if not doors:
            return
        if failed:
            yield self._failures(tuple(failed), bool(answered))
        else:
            yield Reading(self.name, SourceState.LIVE, self._clock(), fresh_for_s=FRESH_S)
        if self._throttled is not None:
            raise self._throttled

    def _failures(self, failed: tuple[NodeDevices, ...], answered: bool) -> Reading:
        """Return what is said of the exporters that failed: the source itself is well as long as one answers."""
        value = GpuReading(tuple(item for item in failed if item.node))
        first = failed[0]
        error = first.error if len(failed) == 1 else f"{len(failed)} exporters cannot be read; the first: {first.error}"
        refusals = [error for _, error in self._refused.values()]
        if answered:
            state = SourceState.LIVE
        elif refusals and not self._given:
            state, error = SourceState.FORBIDDEN, str(refusals[0])
        else:
            state = SourceState.UNREACHABLE
        return Reading(self.name, state, self._clock(), value, error, FRESH_S)

    def _waiting(self) -> tuple[NodeDevices, ...]:
        """Return the nodes whose exporter is not asked because its pod is not Ready."""
        if not self._nodes:
            return ()
        return tuple(
            NodeDevices(
                item.node,
                origin="dcgm",
                error=f"not asked until its exporter is Ready: {item.waits} ({item.namespace}/{item.pod})",
                lack=Lack.WAITS,
            )
            for item in self._wishes.exporters.values()
            if item.waits
        )

    def _chosen(self) -> list[Exporter]:
        exporters = {node: item for node, item in self._wishes.exporters.items() if not item.waits}
        served = frozenset[str]().union(*self._told_by_url.values())
        open_ = exporters.keys() - served
        return [exporters[node] for node in self._turns.chosen(open_, self._wishes.first, exporters)]

    async def _ask(self, door: _Door, gate: asyncio.Semaphore) -> tuple[NodeDevices, ...]:
        async with gate:
            try:
                if door.namespace and self._throttled is not None:
                    raise self._throttled
                if door.namespace in self._refused:
                    raise self._refused[door.namespace][1]
                body = await door.fetch(door.place)
            except SourceError as error:
                self._note(door, error)
                return self._no_answer(door, str(error))
        return self._read(door, body)

    def _note(self, door: _Door, error: SourceError) -> None:
        if not door.namespace:
            return
        if isinstance(error, ForbiddenError) and door.namespace not in self._refused:
            self._refused[door.namespace] = (monotonic() + FORBIDDEN_RETRY_S, error)
        if isinstance(error, ThrottledError):
            self._throttled = error

    def _read(self, door: _Door, body: bytes) -> tuple[NodeDevices, ...]:
        try:
            found = parse_dcgm(body, door.node, "dcgm", self._clock(), door.name)
        except BadAnswerError as error:
            return self._no_answer(door, str(error))
        if door.node:
            return found
        named = tuple(replace(item, node=self._wishes.node_of(item.node)) for item in found if item.observed_at)
        if not named:
            return self._no_answer(door, f"{door.name}: {found[0].error}")
        self._told_by_url[door.place] = frozenset(item.node for item in named)
        return named

    def _no_answer(self, door: _Door, why: str) -> tuple[NodeDevices, ...]:
        """Return the error for each node that this exporter stands for."""
        nodes = sorted(self._told_by_url.pop(door.place, ())) or [door.node]
        error = harmless(_reason_first(why, door.name))
        return tuple(NodeDevices(node, origin="dcgm", error=error) for node in nodes)


def _reason_first(said: str, name: str) -> str:
    """Return an error with what went wrong before who was asked: a URL would fill the line that shows it."""
    place, _, reason = said.partition(" ")
    if not reason or not place.startswith(("http://", "https://")):
        return said
    return f"{reason} ({name})"


def _nothing_to_ask(wishes: DeviceWishes, nodes: int) -> str:
    if wishes.exporters and not nodes:
        return "no exporter is asked through the API server: gpu_nodes = 0 in the configuration"
    return "no DCGM exporter runs in this cluster (pods with the label app=nvidia-dcgm-exporter)"
