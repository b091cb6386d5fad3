"""What was worked out and is asked for again before anything new is read."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Derived(dict[Hashable, Any]):
    """Answers by question. Its owner clears it whenever something is read that they were worked out of."""

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for `key` before, or call it."""
        if key not in self:
            self[key] = make()
        return cast(T, self[key])
