"""Small lists that are fetched only while somebody wants them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Final

from collectors.kubernetes.client import Client
from collectors.kubernetes.lists import list_cached
from situation.kinds import ObjectKind
from situation.readings import Listed, Reading, SourceState

EVERY_S: Final = 60.0
FRESH_S: Final = 130.0


class Wishes:
    """Which on-demand kinds are wanted now (`Diagnosis.wanted`, and what panes show)."""

    def __init__(self) -> None:
        self._events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def want(self, names: frozenset[str]) -> None:
        """Want just these kinds from now on, by `ObjectKind.name`."""
        for name in names:
            self._events[name].set()
        for name, event in self._events.items():
            if name not in names:
                event.clear()

    async def until_wanted(self, name: str) -> None:
        """Wait until a kind is wanted."""
        await self._events[name].wait()


class OnDemandList:
    """Source of one on-demand kind: a cached list at most once a minute, and none while nobody wants it."""

    pause_s = EVERY_S
    deadline_s = None

    def __init__(
        self, client: Client, kind: ObjectKind, namespace: str | None, wishes: Wishes, clock: Callable[[], datetime]
    ) -> None:
        self.name = kind.source
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._wishes = wishes
        self._clock = clock

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_wanted(self._kind.name)
        listed = await list_cached(self._client, self._kind, self._namespace)
        value = Listed(self._kind.name, listed.objects, listed.skipped, broken=listed.broken)
        yield Reading(self.name, SourceState.LIVE, self._clock(), value, fresh_for_s=FRESH_S)
