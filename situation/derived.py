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

    def at(self, key: Hashable, version: datetime | tuple[int, ...], make: Callable[[], T]) -> T:
        """Return what `make` returned for `key` at this time or version, or call it; another answer is dropped."""
        held = self.get(key)
        if held is None or held[0] != version:
            held = self[key] = (version, make())
        return cast(T, held[1])
