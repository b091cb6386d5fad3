"""Writes tapes."""

import gzip
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from tape.format import Frame, Header, TapeError

_encode = msgspec.json.Encoder().encode


def write_tape(path: Path, header: Header, frames: Iterable[Frame]) -> None:
    """Write a tape, compressed if the name ends in `.gz`; an older file is replaced only when all was written.

    The same frames give the same bytes. Raises TapeError naming the file.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                    _write_lines(packed, header, frames)
            else:
                _write_lines(file, header, frames)
        os.replace(part, path)
    except OSError as error:
        raise TapeError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _write_lines(file: IO[bytes] | gzip.GzipFile, header: Header, frames: Iterable[Frame]) -> None:
    file.write(_encode(header) + b"\n")
    for frame in frames:
        file.write(_encode(frame) + b"\n")
