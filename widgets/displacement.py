"""Whether a key is meant for what stands there now: another row or cause may just have taken the place by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

MEANT_S: Final = 1.0
"""A key so soon after what it acts on gave way to another was meant for the one that went. Ours: the time to see it,
decide and press, and what a slow line adds."""


class Displacement:
    """When another thing came to stand where the person looked though nobody asked for it, by `time.monotonic`."""

    def __init__(self) -> None:
        self._at = -MEANT_S

    def note(self) -> None:
        """Another thing stands there now."""
        self._at = monotonic()

    def forget(self) -> None:
        """The person moved, and saw where."""
        self._at = -MEANT_S

    def take(self) -> bool:
        """Tell, once, whether it was too short a time ago to be seen."""
        at, self._at = self._at, -MEANT_S
        return monotonic() - at < MEANT_S

    @contextmanager
    def asked(self) -> Iterator[None]:
        """What takes the place meanwhile does so because of what the person did; what did before still counts."""
        before = self._at
        try:
            yield
        finally:
            self._at = before
