"""Writes readings to a file as they come: a tape that is whole up to the last flush, whatever ends the program."""

import gzip
import os
import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from situation.readings import Reading
from tape.format import TAPE_VERSION, Header, TapeError
from tape.readings import frames_of

_encode = msgspec.json.Encoder().encode


class Scribe:
    """A tape that is being written. The file is new, and readable by its owner only."""

    def __init__(self, path: Path, started_at: datetime, *, title: str, context: str, only_namespace: str = "") -> None:
        """Begin the tape. Raises TapeError naming the file, also where there is one already."""
        self.path = path
        self.started_at = started_at
        self._last_t = 0.0
        name = path.name.partition(".")[0]
        header = Header(
            TAPE_VERSION,
            name,
            title,
            started_at,
            context=context,
            recorded_live=True,
            only_namespace=only_namespace,
        )
        try:
            self._file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            self._packed = gzip.GzipFile(filename="", fileobj=self._file, mode="wb")
        except FileExistsError as error:
            raise TapeError(f"{path}: there is a file of that name; nothing is overwritten") from error
        except OSError as error:
            raise TapeError(f"{path}: cannot write: {error.strerror or error}") from error
        self._put(_encode(header) + b"\n")

    def write(self, readings: Iterable[Reading], at: datetime) -> None:
        """Write what came at a moment, so that it stays if the program is ended now. Raises TapeError."""
        self._last_t = max(self._last_t, round((at - self.started_at).total_seconds(), 3))
        frames = (frame for reading in readings for frame in frames_of(reading, self._last_t, self.started_at))
        try:
            self._put(b"".join(_encode(frame) + b"\n" for frame in frames))
        except TapeError as error:
            raise TapeError(f"{error}; what was written before stays, and plays") from error

    def _put(self, lines: bytes) -> None:
        if not lines:
            return
        try:
            self._packed.write(lines)
            self._packed.flush(zlib.Z_SYNC_FLUSH)
            self._file.flush()
        except OSError as error:
            raise TapeError(f"{self.path}: cannot write: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._packed.close()
            self._file.close()
        except OSError as failure:
            if error is None:
                raise TapeError(f"{self.path}: cannot write: {failure.strerror or failure}") from failure
