"""Runs collectors against the simulator and waits for what they say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from collectors.kubernetes.client import Client, connect
from collectors.kubernetes.reflector import Reflector
from collectors.runner import Collector, Runner
from simulator.server import Simulator
from situation.clock import utc_now
from situation.kinds import BY_NAME
from situation.readings import Changed, Listed, Reading, Source, SourceState
from situation.situation import Situation

DEADLINE_S = 8.0


class Heard:
    """All readings so far, folded into a Situation."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.situation = Situation()
        self._news = asyncio.Event()

    def publish(self, reading: Reading) -> None:
        self.readings.append(reading)
        self.situation.apply(reading)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds after some reading; fails after DEADLINE_S."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = "\n".join(f"{r.source} {r.state.value} {type(r.value).__name__} {r.error}" for r in self.readings)
            raise AssertionError(f"it did not come to that; heard:\n{told}") from None

    def source(self, name: str = "pods") -> Source:
        return self.situation.source(name)

    async def until_state(self, state: SourceState, name: str = "pods") -> Source:
        await self.until(lambda: self.source(name).state is state)
        return self.source(name)

    async def until_pods(self, *names: str) -> None:
        await self.until(lambda: {name for _, name in self.situation.pods} == set(names))

    def lists(self, name: str = "pods") -> int:
        """How often a whole list was published."""
        return sum(1 for r in self.readings if isinstance(r.value, Listed) and r.value.kind == name)

    def changes(self, name: str = "pods") -> list[Changed]:
        return [r.value for r in self.readings if isinstance(r.value, Changed) and r.value.kind == name]


async def quickly(seconds: float) -> None:
    """The runner's sleep, cut short; long enough to let others run."""
    await asyncio.sleep(min(seconds, 0.02))


@asynccontextmanager
async def client_of(simulator: Simulator, folder: Path) -> AsyncIterator[Client]:
    """A client for the simulator through a kubeconfig in `folder`."""
    simulator.write_kubeconfig(folder / "kubeconfig")
    async with await connect(str(folder / "kubeconfig"), environ={}) as client:
        yield client


@asynccontextmanager
async def reflecting(
    client: Client,
    *names: str,
    namespace: str | None = None,
    etcd_fails: Callable[[], bool] = lambda: False,
    silent_since: Callable[[], float | None] = lambda: None,
) -> AsyncIterator[Heard]:
    """Reflect some kinds (pods if none is named)."""
    kinds = [BY_NAME[name] for name in names or ("pods",)]
    reflectors = (Reflector(client, kind, namespace, utc_now, etcd_fails, silent_since) for kind in kinds)
    async with running(*reflectors) as heard:
        yield heard


@asynccontextmanager
async def running(*collectors: Collector) -> AsyncIterator[Heard]:
    """Run collectors with a runner that does not wait long."""
    heard = Heard()
    async with Runner(heard.publish, utc_now, sleep=quickly) as runner:
        for collector in collectors:
            runner.start(collector)
        yield heard
