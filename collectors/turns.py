"""Many of one kind, asked some at a time: whose turn it is, and what they answer in the order in which they do."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """Says whom to ask in each round, at most `limit` of them.

    Those wanted first come first, then those not asked for longest, which get a quarter of each round however many are
    wanted first, one at least (with a limit of one every other round): what is ill where nobody looks is to be found.
    """

    def __init__(self, limit: int) -> None:
        self.round = 0
        """Number of the present round, from 1 on."""
        self._limit = limit
        self._asked_in: dict[str, int] = {}
        """Key -> number of the round in which it was asked last."""

    def chosen(self, keys: Collection[str], first: Iterable[str], known: Collection[str]) -> list[str]:
        """Begin a round and return whom of `keys` to ask in it; whoever is not `known` any more is forgotten."""
        self.round += 1
        kept_free = max(1, self._limit // 4) if self._limit > 1 else self.round % 2
        wanted = [key for key in first if key in keys][: self._limit - kept_free]
        others = sorted(set(keys).difference(wanted), key=lambda key: (self._asked_in.get(key, 0), key))
        chosen = [*wanted, *others][: self._limit]
        self._asked_in = {key: asked for key, asked in self._asked_in.items() if key in known}
        self._asked_in |= dict.fromkeys(chosen, self.round)
        return chosen


async def as_answered(questions: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Ask all at once and yield the answers as they come; whoever stops listening ends the questions still open."""
    tasks = [asyncio.create_task(question) for question in questions]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
