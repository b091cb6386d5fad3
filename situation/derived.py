"""What was worked out and is asked for again before anything new is read."""

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Derived(dict[Hashable, Any]):
    """Answers by question. Its owner clears it whenever something is read that they were worked out of."""

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for `key` before, or call it."""
        if key not in self:
            self[key] = make()
        return cast(T, self[key])

    def at(self, key: Hashable, now: datetime, make: Callable[[], T]) -> T:
        """Return what `make` returned for `key` at this time, or call it; the answer of another time is dropped."""
        held = self.get(key)
        if held is None or held[0] != now:
            held = self[key] = (now, make())
        return cast(T, held[1])
