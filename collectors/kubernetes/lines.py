"""Splits a stream of bytes into lines of bounded length."""

from typing import Final

LINE_LIMIT_BYTES: Final = 16 * 2**20
"""An object is at most about 1.5 MiB in etcd (its request limit); JSON of it may be several times that."""


class LineSplitter:
    """Chunks in, complete lines out. A line over the limit is dropped and counted."""

    def __init__(self, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._dropped = 0
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._dropping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes, without empty ones."""
        first, *rest = chunk.split(b"\n")
        self._hold(first)
        if not rest:
            return []
        lines = [self._take(), *rest[:-1]]
        self._hold(rest[-1])
        return [line for line in lines if line and not line.isspace()]

    def take_dropped(self) -> int:
        """Return how many lines were dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    @property
    def rest(self) -> bytes:
        """What came after the last line feed."""
        return b"".join(self._parts)

    def _hold(self, part: bytes) -> None:
        if self._dropping or not part:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._limit:
            self._parts.clear()
            self._dropping = True
            self._dropped += 1

    def _take(self) -> bytes:
        line = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._dropping = False
        return line
