"""A place on a tape: what was said between two moments, forwards, and from the beginning again for what lies behind."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from situation.kinds import BY_NAME, KINDS, ObjectKind
from situation.readings import Reading, ServerVersion, SourceState
from tape.format import SERVER_SOURCE, VERSION_SOURCE, Frame
from tape.reader import Tape
from tape.readings import reading_of

NOT_THERE: Final = "not in the recording"
GONE: Final = "the API server was gone"

CONFIRM_S: Final = 60.0
"""API servers send a bookmark about once a minute."""
_CONFIRMS: Final = 2
"""Tapes of this version on hold the confirmations themselves."""

Others = Callable[[Frame, datetime], Iterable[Reading]]
"""Makes readings of frames that hold what was said in the source's own words: pages of exporters, answers of etcd."""


def _none(frame: Frame, started_at: datetime) -> Iterable[Reading]:
    return ()


class Playhead:
    """Reads a tape from its beginning on. One that has passed the wanted moment is wound back by `rewound`."""

    def __init__(self, path: Path, others: Others = _none) -> None:
        """Open the tape. Raises TapeError."""
        self.tape = Tape(path)
        self._others = others
        self._frames = self.tape.frames()
        self._next: Frame | None = next(self._frames, None)
        self._began = False
        self._open: dict[str, ObjectKind] = {}
        """Kinds that the tape has told of, and not that they failed, by source."""
        self._confirmed_s = 0.0
        self.position_s = 0.0
        self.last_s = 0.0
        """Second of the last frame that was read."""

    @property
    def started_at(self) -> datetime:
        return self.tape.header.started_at

    @property
    def start_s(self) -> float:
        """The first second that the tape tells of."""
        return self.tape.header.start_at

    def time_at(self, second: float) -> datetime:
        """Return what the clock showed at a second of the tape."""
        return self.started_at + timedelta(seconds=second)

    @property
    def is_at_end(self) -> bool:
        return self._next is None

    @property
    def next_s(self) -> float | None:
        """The second of the next frame, None at the end."""
        return self._next.t if self._next is not None else None

    def rewound(self) -> "Playhead":
        """Return a new one at the beginning of the same tape. Raises TapeError."""
        return Playhead(self.tape.path, self._others)

    def until(self, second: float) -> Iterator[Reading]:
        """Yield what was said up to and including a second of the tape, and go there. Raises TapeError."""
        if not self._began:
            self._began = True
            yield from self._absent()
        while self._next is not None and self._next.t <= second:
            frame, self._next = self._next, next(self._frames, None)
            self.last_s = frame.t
            yield from self._confirmed(frame.t)
            yield from self._readings(frame)
        yield from self._confirmed(second)
        self.position_s = max(self.position_s, second)

    def _confirmed(self, second: float) -> Iterator[Reading]:
        """A watch of which an older tape says nothing was open, and silent: nothing changed. Newer ones say so."""
        if self.tape.header.midwatch_tape >= _CONFIRMS or second - self._confirmed_s < CONFIRM_S:
            return
        self._confirmed_s = second
        at = self.started_at + timedelta(seconds=second)
        for source in self._open:
            yield Reading(source, SourceState.LIVE, at)

    def _absent(self) -> Iterator[Reading]:
        """Every kind is absent until the tape tells of it; the version stands in the header of older tapes."""
        at = self.started_at
        for kind in KINDS:
            yield Reading(kind.source, SourceState.ABSENT, at, error=NOT_THERE)
        if self.tape.header.server:
            yield Reading(VERSION_SOURCE, SourceState.LIVE, at, ServerVersion(self.tape.header.server))

    def _readings(self, frame: Frame) -> Iterator[Reading]:
        if frame.source == SERVER_SOURCE:
            yield from self._came_or_went(frame)
            return
        kind = _kind_of(frame.source)
        reading = reading_of(frame, self.started_at, kind)
        if reading is None:
            yield from self._others(frame, self.started_at)
            return
        if kind is not None and reading.state is SourceState.LIVE:
            self._open[frame.source] = kind
        elif kind is not None:
            self._open.pop(frame.source, None)
        yield reading

    def _came_or_went(self, frame: Frame) -> Iterator[Reading]:
        """The API server of an older tape is gone, or back: of what it served."""
        at = self.started_at + timedelta(seconds=frame.t)
        for source in self._open:
            if frame.down:
                yield Reading(source, SourceState.UNREACHABLE, at, error=GONE)
            else:
                yield Reading(source, SourceState.LIVE, at)


def _kind_of(source: str) -> ObjectKind | None:
    area, _, name = source.partition("/")
    return BY_NAME.get(name) if area == "kubernetes" else None
