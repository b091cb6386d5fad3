"""Reads recording folders: one `<resource>.jsonl` for each kind, as an API client wrote down what it got.

Each file starts with `{"t", "path", "status", "list"}`, the answer to a list request; then come `{"t", "watch"}` lines,
and `{"t", "error"}` where a stream ended. `t` is in seconds since the start of the recording.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from situation.kinds import BY_NAME, ObjectKind
from situation.readings import SourceState
from tape.format import Frame, ListBody, TapeError, WatchEvent

_STATES: Final = {401: SourceState.UNAUTHORIZED, 403: SourceState.FORBIDDEN, 404: SourceState.ABSENT}


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    creation_timestamp: datetime | None = None
    resource_version: str = ""


class _Body(msgspec.Struct, frozen=True):
    """What a server answered to a list request: a list, or a Status."""

    metadata: _Metadata = _Metadata()
    items: tuple[msgspec.Raw, ...] = ()
    message: str = ""


class _Created(msgspec.Struct):
    metadata: _Metadata = _Metadata()


class _Line(msgspec.Struct):
    t: float
    path: str = ""
    status: int = 200
    list: _Body | None = None
    watch: WatchEvent | None = None
    error: str | None = None


class Recording:
    """All of a recording folder, as frames in time order."""

    def __init__(self, folder: Path) -> None:
        """Read the folder. Raises TapeError naming file and line, also for a folder without any recording."""
        self.folder = folder
        self.notes: list[str] = []
        """What could not be used, for people."""
        found: list[Frame] = []
        try:
            files = sorted(path for path in folder.glob("*.jsonl") if not path.name.startswith("."))
        except OSError as error:
            raise TapeError(f"{folder}: cannot read: {error.strerror or error}") from error
        for path in files:
            kind = BY_NAME.get(path.stem)
            if kind is None:
                self.notes.append(f"{path}: not a kind that Midwatch reads; passed over")
                continue
            found += self._read(path, kind)
        if not found:
            raise TapeError(f"{folder}: not a recording: no <resource>.jsonl with anything in it")
        self.frames: tuple[Frame, ...] = tuple(sorted(found, key=lambda frame: frame.t))

    def started_at(self) -> datetime:
        """The time of t=0, from the creation times of objects that were created while it was recorded.

        Creation times have whole seconds and an event arrives after the creation, so each gives a lower bound: the
        greatest is right to within the time between two creations. Raises TapeError if nothing was created.
        """
        bounds = [
            created - timedelta(seconds=frame.t)
            for frame in self.frames
            if frame.watch is not None and frame.watch.type == "ADDED" and (created := _created(frame.watch.object))
        ]
        if not bounds:
            raise TapeError(f"{self.folder}: cannot tell when it was recorded: no object was created in it")
        exact = max(bounds).astimezone(UTC)
        return exact.replace(microsecond=exact.microsecond // 1000 * 1000)

    def _read(self, path: Path, kind: ObjectKind) -> Iterator[Frame]:
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise TapeError(f"{path}: cannot read: {error.strerror or error}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _frame(msgspec.json.decode(line, type=_Line), kind)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                if number == len(lines) and not line.endswith(b"\n") and not isinstance(error, msgspec.ValidationError):
                    self.notes.append(f"{path}: cut off at line {number}; what stands before is used")
                    return
                raise TapeError(f"{path}, line {number}: not a line of a recording: {error}") from error


def is_recording(path: Path) -> bool:
    """Tell whether `path` is a folder in which some `<resource>.jsonl` starts like a recording."""
    return path.is_dir() and any(_starts_like_recording(file) for file in sorted(path.glob("*.jsonl")))


def _starts_like_recording(path: Path) -> bool:
    if path.stem not in BY_NAME:
        return False
    try:
        with path.open("rb") as file:
            line = msgspec.json.decode(file.readline(), type=_Line)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return line.list is not None or line.watch is not None or line.error is not None


def _frame(line: _Line, kind: ObjectKind) -> Frame:
    if line.list is not None and line.status != 200:
        error = f"GET {line.path}: HTTP {line.status}: {line.list.message}"
        state = _STATES.get(line.status, SourceState.UNREACHABLE)
        return Frame(line.t, kind.source, error=error, state=state)
    if line.list is not None:
        return Frame(line.t, kind.source, list=ListBody(line.list.items, line.list.metadata.resource_version))
    return Frame(line.t, kind.source, watch=line.watch, error=line.error)


def _created(raw: msgspec.Raw) -> datetime | None:
    try:
        created = msgspec.json.decode(raw, type=_Created).metadata.creation_timestamp
    except msgspec.ValidationError:
        return None
    return created.replace(tzinfo=UTC) if created is not None and created.tzinfo is None else created
