"""Cockpits for tests: fed with readings made by hand or played from a tape, on a frozen clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from textual.driver import Driver
from textual.pilot import Pilot

from playbooks.commands import Target
from situation.clock import utc_now
from situation.kinds import KINDS, kind_of
from situation.meta import KubernetesObject
from situation.readings import Listed, OwnLoad, Reading, ServerVersion, SourceState
from tests.build import NOW, Manifest, made
from tui.app import Cockpit, Connection
from tui.connection import Connected, LogReader
from tui.themes import load_themes

TARGET = Target("prod-h100")


def cluster_readings(*manifests: Manifest, now: datetime = NOW) -> list[Reading]:
    """Readings of a cluster in which every kind is live and holds just `manifests`."""
    by_kind: dict[str, list[KubernetesObject]] = {kind.name: [] for kind in KINDS}
    for manifest in manifests:
        kind = kind_of(manifest["kind"], manifest.get("metadata", {}).get("namespace", ""))
        assert kind is not None
        by_kind[kind.name].append(made(manifest))
    return [
        Reading("kubernetes/version", SourceState.LIVE, now, ServerVersion("v1.36.2")),
        Reading("midwatch/load", SourceState.LIVE, now, OwnLoad(20, 0.2, 17)),
        *(Reading(kind.source, SourceState.LIVE, now, Listed(kind.name, tuple(by_kind[kind.name]))) for kind in KINDS),
    ]


class Left:
    """A connection that tells when it has been left: the application does not wait for that when it ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = asyncio.Event()
        self._left.set()

    @asynccontextmanager
    async def __call__(self, publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        self._left.clear()
        try:
            async with self._connection(publish) as connected:
                yield connected
        finally:
            self._left.set()

    async def wait(self) -> None:
        """Wait until it is left, and until what it had open is closed."""
        await self._left.wait()
        for _ in range(3):  # transports tell their protocols of their end in later turns of the loop
            await asyncio.sleep(0)


class Cluster:
    """Stands where the collectors stand: what is published here reaches the cockpit."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._first = list(readings)
        self.target = TARGET
        self.publish: Callable[[Reading], None] = self._first.append
        self.wanted: frozenset[str] = frozenset()
        self.read_log: LogReader | None = None

    @asynccontextmanager
    async def __call__(self, publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        self.publish = publish
        for reading in self._first:
            publish(reading)
        yield Connected(self.target, self._want, read_log=self.read_log)

    def _want(self, names: frozenset[str]) -> None:
        self.wanted = names


@asynccontextmanager
async def open_cockpit(
    cluster: Connection,
    state_dir: Path,
    *,
    size: tuple[int, int] = (160, 50),
    now: datetime | None = NOW,
    clock: Callable[[], datetime] | None = None,
    keymap: dict[str, str] | None = None,
    driver: type[Driver] | None = None,
    hz: float = 20,
    until_known: bool = True,
    **more: Any,
) -> AsyncIterator[Pilot[int]]:
    """Run the cockpit until its first picture is complete; `driver` gets what a terminal would.

    `now` stands still; None takes the time as it is, and `clock` any other. Without `until_known` pods need not come,
    only a first judgement.
    """
    connection = Left(cluster)
    app = Cockpit(
        connection,
        TARGET,
        load_themes(None),
        theme="midwatch-dark",
        hz=hz,
        mode="read-only",
        state_dir=state_dir,
        environ={"TERM": "xterm-256color"},
        keymap=keymap,
        clock=clock or (utc_now if now is None else lambda: now),
        **more,
    )
    if driver is not None:
        app.driver_class = driver
    async with app.run_test(headless=driver is None, size=size, notifications=True) as pilot:
        feed = app.feed
        await until(pilot, lambda: (not until_known or feed.situation.knows("pods")) and bool(feed.diagnosis.layers))
        await pilot.pause()
        yield pilot
    await connection.wait()


async def until(pilot: Pilot[int], met: Callable[[], bool], attempts: int = 200) -> None:
    """Let the application work until `met`; fail when it never is."""
    for _ in range(attempts):
        if met():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"never met; the screen:\n{screen_text(pilot)}")


def screen_text(pilot: Pilot[int]) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in pilot.app.screen._compositor.render_strips()
    )
