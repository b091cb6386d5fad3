"""Reads tapes, one frame at a time."""

import errno
import gzip
import zlib
from collections.abc import Generator, Iterator
from datetime import UTC, timedelta
from io import BufferedReader
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from tape.format import TAPE_VERSION, Frame, Header, ListBody, NotATapeError, TapeError

LINE_LIMIT: Final = 256 * 2**20
"""Bytes. The list of 10,000 pods of a real cluster, slimmed, takes about 30 MB."""
_GZIP_MAGIC: Final = b"\x1f\x8b"
_decode_header: Final = msgspec.json.Decoder(Header).decode
_decode_frame: Final = msgspec.json.Decoder(Frame).decode


class _Version(msgspec.Struct):
    midwatch_tape: int


class Tape:
    """A tape on disk: its header, and its frames read anew each time."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises TapeError for anything but a tape of a version that is known."""
        self.path = path
        self.notes: list[str] = []
        """What is missing of it, for people; known once the frames were read."""
        self.line = 0
        """Number of the line that was read last, with the frame that was yielded last."""
        lines = self._lines()
        try:
            number, line, _ = next(lines)
        except StopIteration:
            raise NotATapeError(f"{path}: not a tape: the file is empty") from None
        finally:
            lines.close()
        self.header = self._read_header(line, number)

    def frames(self, after: int = 1, last_t: float = 0.0) -> Iterator[Frame]:
        """Yield all frames in order, lists whole. Raises TapeError, naming the line, for a bad one.

        `after` is the line that was read last, and `last_t` the second of its frame, where reading goes on; those up to
        there are not looked at. A last line that was cut off ends the tape there; `notes` then says so.
        """
        pages: list[ListBody] = []
        for frame in self._single_frames(after, last_t):
            if frame.list is None:
                pages.clear()
                yield frame
                continue
            pages.append(frame.list)
            if not frame.list.remaining_item_count:
                yield _whole(frame, pages) if len(pages) > 1 else frame
                pages.clear()

    def _single_frames(self, after: int, last_t: float) -> Iterator[Frame]:
        self.notes.clear()
        for number, line, complete in self._lines():
            if number <= after:
                continue
            try:
                frame = _decode_frame(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if not complete and not isinstance(error, msgspec.ValidationError):
                    self._note_cut(number, last_t)
                    return
                raise TapeError(f"{self.path}, line {number}: bad frame: {error}") from error
            if frame.t < last_t:
                raise TapeError(f"{self.path}, line {number}: bad frame: t falls from {last_t:g} to {frame.t:g}")
            last_t, self.line = frame.t, number
            yield frame

    def _read_header(self, line: bytes, number: int) -> Header:
        try:
            version = msgspec.json.decode(line, type=_Version).midwatch_tape
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotATapeError(f"{self.path}, line {number}: not a tape: the first line is no tape header") from error
        if version > TAPE_VERSION:
            message = f"this tape has format version {version}; this program reads up to {TAPE_VERSION}: update it"
            raise TapeError(f"{self.path}: {message}")
        try:
            header = _decode_header(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TapeError(f"{self.path}, line {number}: bad tape header: {error}") from error
        if header.started_at.tzinfo is None:
            raise TapeError(f"{self.path}, line {number}: bad tape header: started_at has no time zone")
        return header

    def _note_cut(self, line: int, last_t: float) -> None:
        until = self.header.started_at.astimezone(UTC) + timedelta(seconds=last_t)
        self.notes.append(
            f"{self.path}: the tape is cut off at line {line}, {until:%Y-%m-%dT%H:%M:%SZ}; what stands before is used"
        )

    def _lines(self) -> Generator[tuple[int, bytes, bool], None, None]:
        """Yield line number from 1, line, and whether the line ended with a line feed; an empty one for what is lost
        where a compressed file is cut off."""
        number = 0
        try:
            with _open(self.path) as file:
                while line := file.readline(LINE_LIMIT):
                    number += 1
                    complete = line.endswith(b"\n")
                    if not complete and len(line) == LINE_LIMIT:
                        raise TapeError(f"{self.path}, line {number}: longer than {LINE_LIMIT >> 20} MiB")
                    if line.strip():
                        yield number, line, complete
        except EOFError:
            if number == 0:
                raise NotATapeError(f"{self.path}: not a tape: a compressed file, cut off in its first line") from None
            yield number + 1, b"", False
        except (OSError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise TapeError(f"{self.path}: cannot read: {reason}") from error


def _whole(last: Frame, pages: list[ListBody]) -> Frame:
    items = tuple(item for page in pages for item in page.items)
    return msgspec.structs.replace(last, list=msgspec.structs.replace(pages[0], items=items, remaining_item_count=0))


def _open(path: Path) -> IO[bytes]:
    if path.is_fifo():  # would be waited for, and could be read only once
        raise OSError(errno.ESPIPE, "a pipe; a tape is read several times, so it has to be a file")
    file = path.open("rb")
    if file.peek(2)[:2] != _GZIP_MAGIC:
        return file
    return cast(IO[bytes], _OwningGzip(file))


class _OwningGzip(gzip.GzipFile):
    """Closes the file below it as well."""

    def __init__(self, file: BufferedReader) -> None:
        self._below = file
        super().__init__(fileobj=file, mode="rb")

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._below.close()
