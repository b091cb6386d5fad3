"""A place on a tape: what was said between two moments, forwards, and from the beginning again for what lies behind."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from situation.kinds import BY_NAME, KINDS, ObjectKind
from situation.readings import CONFIGURED, Configured, Reading, ServerVersion, SourceState
from situation.text import harmless
from situation.twin import twin
from tape.format import LONGEST_S, READYZ_SOURCE, SERVER_SOURCE, VERSION_SOURCE, Frame, TapeError
from tape.reader import Tape
from tape.readings import READYZ_FRESH_S, reading_of

NOT_THERE: Final = "not in the recording"
GONE: Final = "the API server was gone"

CONFIRM_S: Final = 10.0
"""What is polled is polled about so often; watches get a bookmark about once a minute."""
_BEFORE_S: Final = 1.0
"""What a frame says may replace what was confirmed so long before it."""


class Others:
    """Makes readings of frames that hold what a source said in its own words. This one passes them over."""

    def know(self, reading: Reading) -> None:
        """Take in what the tape says besides."""

    def hear(self, frame: Frame, at: datetime) -> Iterable[Reading]:
        """Take in a frame, and return what it says."""
        return ()

    def poll(self, at: datetime) -> Iterable[Reading]:
        """Return what all of these sources say now."""
        return ()


class Listener:
    """Turns frames into readings, in order, as somebody who was there would have heard them."""

    def __init__(self, started_at: datetime, others: Others, *, confirms: bool = True) -> None:
        """`confirms`: what the tape does not tell to have failed was read all the time, and did not change."""
        self.started_at = started_at
        self._others = others
        self._confirms = confirms
        self._live: set[str] = set()
        """Sources that the API server serves, of which the tape has told, and not that they failed."""
        self._is_down = False
        self._confirmed_s = 0.0

    def absent(self, server: str = "", only_namespace: str = "") -> Iterator[Reading]:
        """Every kind is absent until the tape tells of it.

        The version of `server`, and that one namespace alone was read, stand in headers, if anywhere.
        """
        if only_namespace:
            part = Configured(only_namespace=harmless(only_namespace))
            yield Reading(CONFIGURED, SourceState.LIVE, self.started_at, part, fresh_for_s=LONGEST_S)
        for kind in KINDS:
            yield Reading(kind.source, SourceState.ABSENT, self.started_at, error=NOT_THERE)
        if server:
            self._live.add(VERSION_SOURCE)
            yield Reading(VERSION_SOURCE, SourceState.LIVE, self.started_at, ServerVersion(harmless(server)))

    def hear(self, frame: Frame) -> Iterator[Reading]:
        """Yield what a frame says, after what its second confirms. Raises TapeError for one that cannot be read."""
        yield from self.confirmed(frame.t - _BEFORE_S, after_s=CONFIRM_S)
        for reading in self._said(frame):
            if self._confirms:
                self._others.know(reading)
            yield reading

    def _said(self, frame: Frame) -> Iterator[Reading]:
        if frame.source == SERVER_SOURCE:
            yield from self._came_or_went(frame)
            return
        kind = _kind_of(frame.source)
        reading = reading_of(frame, self.started_at, kind)
        if reading is None:
            yield from self._others.hear(frame, self._at(frame.t))
            return
        if kind is not None or frame.source in (VERSION_SOURCE, READYZ_SOURCE):
            if reading.state is SourceState.LIVE:
                self._live.add(frame.source)
            else:
                self._live.discard(frame.source)
        yield reading

    def confirmed(self, second: float, after_s: float = 0.0) -> Iterator[Reading]:
        """A watch of which the tape says nothing was open, and silent: say so if it was said longer ago than that."""
        if self._confirms and not self._is_down and second - self._confirmed_s >= after_s:
            self._confirmed_s = second
            yield from self._each(SourceState.LIVE, second)
            yield from self._others.poll(self._at(second))

    def _came_or_went(self, frame: Frame) -> Iterator[Reading]:
        """The API server is gone, or back: of all that it served."""
        if frame.down:
            yield from self.confirmed(frame.t)
            yield from self._each(SourceState.UNREACHABLE, frame.t, GONE)
        elif self._is_down:
            yield from self._each(SourceState.LIVE, frame.t)
        self._is_down = bool(frame.down)

    def _each(self, state: SourceState, second: float, error: str = "") -> Iterator[Reading]:
        at = self._at(second)
        for source in sorted(self._live):
            fresh_for_s = READYZ_FRESH_S if source == READYZ_SOURCE else Reading.__struct_defaults__[-1]
            yield Reading(source, state, at, error=error, fresh_for_s=fresh_for_s)

    def _at(self, second: float) -> datetime:
        return self.started_at + timedelta(seconds=second)


class Place(NamedTuple):
    """Where a playhead stood, and what it had heard: another can go on from there. Nothing of it changes any more."""

    position_s: float
    last_s: float
    line: int
    """Number of the line of the next frame."""
    next: Frame
    listener: Listener


class Playhead:
    """Reads a tape from its beginning on. One that has passed the wanted moment is wound back by `rewound`."""

    def __init__(self, path: Path, others: Callable[[], Others] = Others) -> None:
        """Open the tape; `others` makes what is told of frames with sources' own words. Raises TapeError."""
        self.tape = Tape(path)
        self._others = others
        header = self.tape.header
        self._listener = Listener(header.started_at, others(), confirms=not header.recorded_live)
        self._frames = self.tape.frames()
        self._began = False
        self.damage = ""
        """What is wrong with the tape where it ends; empty if it is whole, or not read so far."""
        self.position_s = 0.0
        self.last_s = 0.0
        """Second of the last frame that was read."""
        self._next = self._read()

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

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing of the tape, for people, as far as it was read."""
        return (*self.tape.notes, *([f"{self.damage}; what stands before is used"] if self.damage else ()))

    def rewound(self) -> "Playhead":
        """Return a new one at the beginning of the same tape. Raises TapeError."""
        return Playhead(self.tape.path, self._others)

    @property
    def place(self) -> Place | None:
        """Where it stands; None before it began, and at the end."""
        if not self._began or self._next is None:
            return None
        return Place(self.position_s, self.last_s, self.tape.line, self._next, twin(self._listener))

    def at(self, place: Place) -> "Playhead":
        """Return a new one that goes on from a place on the same tape. Raises TapeError."""
        head = self.rewound()
        if head.tape.header != self.tape.header:
            raise TapeError(f"{self.tape.path}: is another tape now")
        head._began, head.position_s, head.last_s = True, place.position_s, place.last_s
        head._next, head._listener = place.next, twin(place.listener)
        head._frames = head.tape.frames(place.line, place.next.t)
        return head

    def to(self, second: float | None) -> Iterator[Reading]:
        """As `until`, or to the end for None; what is silent there is confirmed at that very moment."""
        if second is None:
            while (further := self.next_s) is not None:
                yield from self.until(further)
            second = self.last_s
        yield from self.until(second)
        yield from self._listener.confirmed(second)

    def until(self, second: float) -> Iterator[Reading]:
        """Yield what was said up to and including a second of the tape, and go there. Damage ends the tape."""
        if not self._began:
            self._began = True
            yield from self._listener.absent(self.tape.header.server, self.tape.header.only_namespace)
        while self._next is not None and self._next.t <= second:
            frame = self._next
            try:
                yield from self._listener.hear(frame)
            except TapeError as error:
                self.damage, self._next = f"{self.tape.path}: {error}", None
                break
            self.last_s = frame.t
            self._next = self._read()
        yield from self._listener.confirmed(min(second, self.last_s) if self.is_at_end else second, after_s=CONFIRM_S)
        self.position_s = max(self.position_s, second)

    def read_rest(self) -> None:
        """Read what is left without playing it: `notes` and `damage` then tell of the whole tape, which is at its end.

        What frames say is not looked at, so damage in that alone is not found.
        """
        while self._next is not None:
            self._next = self._read()

    def _read(self) -> Frame | None:
        try:
            return next(self._frames, None)
        except TapeError as error:
            self.damage = str(error)
            return None


def _kind_of(source: str) -> ObjectKind | None:
    area, _, name = source.partition("/")
    return BY_NAME.get(name) if area == "kubernetes" else None
