"""Folds a tape or a recording folder into readings: what the Situation would hold at one moment of it."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from situation.decode import BadObjectError, decode_object
from situation.kinds import BY_NAME, KINDS, ObjectKind
from situation.meta import KubernetesObject, ObjectKey
from situation.readings import Listed, Readiness, Reading, ServerVersion, SourceState
from tape.etcd import ETCD_SOURCE, LIVEZ_SOURCE, METRICS_SOURCE, etcd_name
from tape.format import (
    READYZ_SOURCE,
    SERVER_SOURCE,
    VERSION_SOURCE,
    Frame,
    NotATapeError,
    PageName,
    TapeError,
    page_name,
)
from tape.reader import Tape
from tape.recording import Recording, is_recording
from tape.stamps import newest_stamp

CLOCK_SLACK: Final = timedelta(seconds=2)
"""How far stamps may lie past the end of a recording: watch events are late, clocks differ a little."""
READYZ_FRESH_S: Final = 30.0
PAGES_KEPT_S: Final = 300.0
"""Pages of so many seconds are told besides the last ones: rates need more than one."""
_HEADER_SEARCHED: Final = 2**16
"""Bytes at the start that must hold the header of a tape: a dump of a large cluster is one line of 100 MB."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


class PlayedPage(NamedTuple):
    """What a pod answered over HTTP from some moment on."""

    name: PageName
    status: int
    text: str
    error: str
    """Why nobody answered; empty if somebody did."""


class Playback(NamedTuple):
    """What was known at one moment of a tape."""

    readings: tuple[Reading, ...]
    now: datetime
    notes: tuple[str, ...]
    """What could not be used, for people."""
    pages: tuple[PlayedPage, ...] = ()
    """The last of each; none while the API server is gone, through which they are read."""
    page_history: tuple[tuple[datetime, PlayedPage], ...] = ()
    """All that came in the last PAGES_KEPT_S, in order, with the time at which it did; before them, as of the begin of
    that time, what was answered then."""
    control_plane: tuple[Frame, ...] = ()
    """All that etcd's members and the API server's own pages said until then, in order (`tape.etcd`)."""
    began: datetime | None = None
    """Time of `t=0`; None where nobody knows it."""


class _Folded(NamedTuple):
    """All frames up to some moment."""

    sources: "dict[str, _Source]"
    pages: tuple[PlayedPage, ...]
    page_history: tuple[tuple[float, PlayedPage], ...]
    """Second and page, of all pages."""
    last_t: float
    down_at: float | None
    """Second since which the API server is gone."""
    control_plane: tuple[Frame, ...]


class _Source:
    """What one source said up to now."""

    def __init__(self, kind: ObjectKind | None = None) -> None:
        self.kind = kind
        self.objects: dict[ObjectKey, KubernetesObject] = {}
        self.value: ServerVersion | Readiness | None = None
        self.skipped = 0
        self.heard_at: float | None = None
        """Second of the last frame that was no error; None before the first."""
        self.error = ""
        self.state = SourceState.LIVE

    def take(self, frame: Frame) -> None:
        """Fold a frame in. Raises msgspec.ValidationError for a body that is none of this source."""
        if frame.error is not None:
            self.error, self.state = frame.error, frame.state or SourceState.UNREACHABLE
            return
        if frame.watch is not None and frame.watch.type == "ERROR":
            self.error, self.state = _status_message(frame.watch.object), SourceState.UNREACHABLE
            return
        self.heard_at, self.error, self.state = frame.t, "", SourceState.LIVE
        if self.kind is not None:
            self._take_objects(frame, self.kind)
        elif frame.body is not None:
            self.value = ServerVersion(_git_version(frame.body))
        elif frame.text is not None:
            self.value = Readiness(frame.status == 200, _failed_checks(frame.text))

    def _take_objects(self, frame: Frame, kind: ObjectKind) -> None:
        if frame.list is not None:
            self.objects.clear()
            self.skipped = 0
            for raw in frame.list.items:
                self._put(bytes(raw), kind)
        elif frame.watch is not None and frame.watch.type in ("ADDED", "MODIFIED"):
            self._put(bytes(frame.watch.object), kind)
        elif frame.watch is not None and frame.watch.type == "DELETED":
            try:
                self.objects.pop(decode_object(bytes(frame.watch.object), kind).key, None)
            except BadObjectError:
                self.skipped += 1

    def _put(self, raw: bytes, kind: ObjectKind) -> None:
        try:
            item = decode_object(raw, kind)
        except BadObjectError:
            self.skipped += 1
        else:
            self.objects[item.key] = item

    def listed(self) -> Listed | ServerVersion | Readiness | None:
        """The value as a reading carries it."""
        if self.kind is None:
            return self.value
        return Listed(self.kind.name, tuple(self.objects.values()), self.skipped)


def is_playable(path: Path) -> bool:
    """Tell whether `path` is a tape or a recording folder, and not some other file or folder."""
    if path.is_dir():
        return is_recording(path)
    if not path.is_file():
        return False  # what is taken out of a pipe to look at it would be missing later
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_SEARCHED)
        if not head.startswith(_GZIP_MAGIC) and b'"midwatch_tape"' not in head:
            return False
        Tape(path)
    except (NotATapeError, OSError):
        return False
    except TapeError:
        return True  # a tape all the same: reading it will say what is wrong
    return True


def readings_until(path: Path, at: float | None = None) -> tuple[tuple[Reading, ...], datetime]:
    """Return the readings after `at` seconds of a tape or recording folder (None: all of it), and the time it was then.

    Raises TapeError.
    """
    played = play(path, at)
    return played.readings, played.now


def play(path: Path, at: float | datetime | None = None) -> Playback:
    """As `readings_until`, with notes about what could not be used; `at` may also be a time of day.

    A kind that is not on the tape is absent. A source whose last word is an error keeps its value in that state. "Now"
    is `started_at` plus `at` (or the last frame) for a tape, the newest time stamp in the objects for a recording.
    """
    if path.is_dir():
        recording = Recording(path)
        until = _seconds(at, recording.started_at) if isinstance(at, datetime) else at
        sources, pages, _, last_t, down_at, _ = _fold(path, recording.frames, until)
        now = at if isinstance(at, datetime) else _recorded_now(recording, sources, last_t)
        return Playback(_readings(sources, now, last_t, down_at), now, tuple(recording.notes), pages)
    tape = Tape(path)
    until = _seconds(at, lambda: tape.header.started_at) if isinstance(at, datetime) else at
    sources, pages, history, last_t, down_at, control_plane = _fold(path, tape.frames(), until)
    if tape.header.server and VERSION_SOURCE not in sources:
        version = sources[VERSION_SOURCE] = _Source()
        version.value, version.heard_at = ServerVersion(tape.header.server), 0.0
    end = last_t if until is None else until
    began = tape.header.started_at
    now = began + timedelta(seconds=end)
    readings = _readings(sources, now, end, down_at)
    earlier = tuple((began + timedelta(seconds=t), page) for t, page in _kept(history, end - PAGES_KEPT_S))
    return Playback(readings, now, tuple(tape.notes), pages, earlier, control_plane, began)


def _seconds(at: datetime, started_at: Callable[[], datetime]) -> float:
    seconds = (at - started_at()).total_seconds()
    if seconds < 0:
        raise TapeError(f"{at:%Y-%m-%dT%H:%M:%SZ} is before the recording began ({started_at():%Y-%m-%dT%H:%M:%SZ})")
    return seconds


def _kept(history: Iterable[tuple[float, PlayedPage]], since: float) -> list[tuple[float, PlayedPage]]:
    """Return the pages that were answered from `since` on: those that came, and before them those that still held."""
    held, kept = dict[PageName, PlayedPage](), list[tuple[float, PlayedPage]]()
    for t, page in history:
        if t > since:
            kept.append((t, page))
        else:
            held[page.name] = page
    return [*((since, page) for page in held.values()), *kept]


def _fold(path: Path, frames: Iterable[Frame], at: float | None) -> _Folded:
    sources: dict[str, _Source] = {}
    pages: dict[PageName, PlayedPage] = {}
    history: list[tuple[float, PlayedPage]] = []
    control_plane: list[Frame] = []
    last_t, down_at = 0.0, None
    for frame in frames:
        if at is not None and frame.t > at:
            break
        last_t = frame.t
        if frame.source == SERVER_SOURCE:
            down_at = frame.t if frame.down else None
        elif frame.source in (VERSION_SOURCE, READYZ_SOURCE):
            try:
                sources.setdefault(frame.source, _Source()).take(frame)
            except msgspec.ValidationError as error:
                raise TapeError(f"{path}: bad frame at {frame.t:g} s: {frame.source}: {error}") from error
        elif kind := _kind_of(frame.source):
            sources.setdefault(frame.source, _Source(kind)).take(frame)
        elif page := page_name(frame.source):
            pages[page] = PlayedPage(page, frame.status or 200, frame.text or "", frame.error or "")
            history.append((frame.t, pages[page]))
        elif frame.source in (METRICS_SOURCE, LIVEZ_SOURCE, ETCD_SOURCE) or etcd_name(frame.source) is not None:
            control_plane.append(frame)
    seen = tuple(pages.values()) if down_at is None else ()
    return _Folded(sources, seen, tuple(history), last_t, down_at, tuple(control_plane))


def _kind_of(source: str) -> ObjectKind | None:
    area, _, name = source.partition("/")
    return BY_NAME.get(name) if area == "kubernetes" else None


def _readings(sources: dict[str, _Source], now: datetime, end: float, down_at: float | None) -> tuple[Reading, ...]:
    found: list[Reading] = []
    for name in (VERSION_SOURCE, READYZ_SOURCE, *(kind.source for kind in KINDS)):
        source = sources.get(name)
        if source is None:
            if name not in (VERSION_SOURCE, READYZ_SOURCE):
                found.append(Reading(name, SourceState.ABSENT, now, error="not in the recording"))
            continue
        found += _readings_of(name, source, now, end, down_at)
    return tuple(found)


def _readings_of(name: str, source: _Source, now: datetime, end: float, down_at: float | None) -> Iterable[Reading]:
    fresh_for_s = READYZ_FRESH_S if name == READYZ_SOURCE else Reading.__struct_defaults__[-1]
    failed, error = source.state, source.error
    if down_at is not None and not error:
        failed, error = SourceState.UNREACHABLE, "the API server was gone"
    if source.heard_at is not None:
        # A watch that did not end was open until now: silence means that nothing changed.
        confirmed = end if not error else down_at if down_at is not None else source.heard_at
        observed_at = now - timedelta(seconds=max(0.0, end - confirmed))
        yield Reading(name, SourceState.LIVE, observed_at, source.listed(), fresh_for_s=fresh_for_s)
    if error:
        yield Reading(name, failed, now, error=error, fresh_for_s=fresh_for_s)


def _recorded_now(recording: Recording, sources: dict[str, _Source], last_t: float) -> datetime:
    objects = [item for source in sources.values() for item in source.objects.values()]
    try:
        until = recording.started_at() + timedelta(seconds=last_t) + CLOCK_SLACK
    except TapeError:
        until = None
    now = newest_stamp(objects, until)
    if now is None:
        raise TapeError(f"{recording.folder}: cannot tell when it was recorded: no object carries a time stamp")
    return now


class _VersionBody(msgspec.Struct, rename="camel"):
    git_version: str = ""


def _git_version(body: dict[str, Any]) -> str:
    return msgspec.convert(body, type=_VersionBody).git_version


def _failed_checks(text: str) -> tuple[str, ...]:
    return tuple(line[3:].split(" ", 1)[0] for line in text.splitlines() if line.startswith("[-]"))


def _status_message(raw: msgspec.Raw) -> str:
    body: Any = msgspec.json.decode(raw)
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or "the watch ended with an error")
