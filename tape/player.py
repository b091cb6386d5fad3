"""All readings of a tape or a recording folder up to one moment of it: what the Situation would have been told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from situation.readings import Reading
from situation.situation import Situation
from tape.format import NotATapeError, TapeError
from tape.playhead import Listener, Others, Playhead
from tape.reader import Tape
from tape.recording import Recording, is_recording
from tape.stamps import newest_stamp

CLOCK_SLACK: Final = timedelta(seconds=2)
"""How far stamps may lie past the end of a recording: watch events are late, clocks differ a little."""
_HEADER_SEARCHED: Final = 2**16
"""Bytes at the start that must hold the header of a tape: a dump of a large cluster is one line of 100 MB."""
_GZIP_MAGIC: Final = b"\x1f\x8b"
_SOME_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Stands for the start of a recording until it is known when that was."""


class Playback(NamedTuple):
    """What was said up to one moment of a tape."""

    readings: tuple[Reading, ...]
    """In order."""
    now: datetime
    notes: tuple[str, ...]
    """What could not be used, for people."""


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


def play(path: Path, at: float | datetime | None = None, others: Callable[[], Others] = Others) -> Playback:
    """As `readings_until`, with notes about what could not be used; `at` may also be a time of day.

    A kind that is not on the tape is absent. A source whose last word is an error keeps its value in that state. "Now"
    is `started_at` plus `at` (or the last frame) for a tape, the newest time stamp in the objects for a recording.
    Raises TapeError, also for a tape that is damaged before `at`.
    """
    if path.is_dir():
        return _play_recording(Recording(path), at)
    readings: list[Reading] = []
    now, notes = play_to(readings.append, path, at, others)
    return Playback(tuple(readings), now, notes)


def play_to(
    take: Callable[[Reading], object], path: Path, at: float | datetime | None, others: Callable[[], Others] = Others
) -> tuple[datetime, tuple[str, ...]]:
    """As `play`, for what is too large to be held at once: hand each reading to `take`, and return `now` and notes."""
    if path.is_dir():
        played = _play_recording(Recording(path), at)
        for reading in played.readings:
            take(reading)
        return played.now, played.notes
    head = Playhead(path, others)
    for reading in head.to(_seconds(at, lambda: head.started_at)):
        take(reading)
    if head.damage:
        raise TapeError(head.damage)
    head.read_rest()
    return head.time_at(head.position_s), head.notes


def _play_recording(recording: Recording, at: float | datetime | None) -> Playback:
    until = _seconds(at, recording.started_at)
    listener = Listener(_SOME_DAY, Others())
    readings = list(listener.absent())
    end = until or 0.0
    for frame in recording.frames:
        if until is not None and frame.t > until:
            break
        end = max(end, frame.t)
        readings += listener.hear(frame)
    readings += listener.confirmed(end)
    now = at if isinstance(at, datetime) else _recorded_now(recording, readings, end)
    later = now - _SOME_DAY - timedelta(seconds=end)
    moved = (msgspec.structs.replace(item, observed_at=item.observed_at + later) for item in readings)
    return Playback(tuple(moved), now, tuple(recording.notes))


def _seconds(at: float | datetime | None, started_at: Callable[[], datetime]) -> float | None:
    if not isinstance(at, datetime):
        return at
    began = started_at()
    seconds = (at - began).total_seconds()
    if seconds < 0:
        raise TapeError(f"{at:%Y-%m-%dT%H:%M:%SZ} is before the recording began ({began:%Y-%m-%dT%H:%M:%SZ})")
    return seconds


def _recorded_now(recording: Recording, readings: list[Reading], last_t: float) -> datetime:
    known = Situation()
    for reading in readings:
        known.apply(reading)
    try:
        until = recording.started_at() + timedelta(seconds=last_t) + CLOCK_SLACK
    except TapeError:
        until = None
    now = newest_stamp(known.objects(), until)
    if now is None:
        raise TapeError(f"{recording.folder}: cannot tell when it was recorded: no object carries a time stamp")
    return now
