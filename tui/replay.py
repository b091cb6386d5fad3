"""Plays a tape to a feed: what time it is on it, how fast it runs, and how to get to another place."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from playbooks.commands import Target
from situation.readings import Reading
from situation.text import harmless
from tape.format import TapeError
from tape.playhead import Playhead
from tui.chronicle import Chronicle
from tui.connection import Connected
from tui.feed import Feed
from tui.moments import Moments
from tui.recorded import RecordedSources

SPEEDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
STEP_S: Final = 1.0
"""A step goes to the next second in which something is said, or so far back."""
_OWN_LOAD: Final = "midwatch/load"
"""What the cockpit that was recorded cost its API server; this one asks nobody."""
SCAN_S: Final = 1.0
"""While a tape is looked through for changes of its causes, it is judged once for so many seconds of it."""


_SILENT_STEPS: Final = 50
"""Where nothing is said for long, so small a part of what is left of the silence is passed over at once."""


class Mark(msgspec.Struct, frozen=True):
    """The causes changed."""

    second: float
    appeared: tuple[str, ...] = ()
    """Titles of causes that came."""
    cleared: int = 0


class Replay:
    """A tape and the place on it. The feed's clock is `now`; readings reach it through `publish`."""

    def __init__(self, path: Path, *, speed: float = 1.0) -> None:
        """Open the tape. Raises TapeError."""
        self.path = path
        self.feed: Feed | None = None
        """Set by the cockpit that shows it."""
        self.speed = speed
        self.is_playing = True
        self.marks: tuple[Mark, ...] = ()
        self.end_s = 0.0
        """Last second of the tape; known when it was looked through."""
        self.moments = Moments()
        """Places to go on from, known as far as it was looked through."""
        self.chronicle = Chronicle()
        """What happened, known as far as it was looked through."""
        self._gone = ""
        """Why it cannot be wound back."""
        self._head = Playhead(path, RecordedSources)
        self._second = self._head.start_s
        self._turned_at: float | None = None
        self._publish: Callable[[Reading], None] | None = None
        """Where readings go, once somebody listens."""

    @property
    def second(self) -> float:
        """The place, in seconds of the tape."""
        return self._second

    @property
    def start_s(self) -> float:
        return self._head.start_s

    @property
    def target(self) -> Target:
        return target_of(self._head)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing of the tape, as far as it was read."""
        return self._head.notes

    @property
    def problem(self) -> str:
        """Why it cannot be played on from here; empty if it can, or is at its end."""
        return self._gone or (self._head.damage if self._head.is_at_end and self._second >= self._head.last_s else "")

    def time_at(self, second: float) -> datetime:
        """Return what the clock showed at a second of the tape."""
        return self._head.time_at(second)

    def now(self) -> datetime:
        """What the clock shows at the place where the tape is."""
        return self.time_at(self._second)

    @asynccontextmanager
    async def connection(self, publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        """Stand for a connection: nothing is asked of anybody."""
        self._publish = publish
        self.advance()
        yield Connected(self.target, lambda names: None)

    def advance(self) -> None:
        """Go on by the time that passed since the last call, if it plays, and publish what was said meanwhile."""
        if self._publish is None:
            return
        now = monotonic()
        passed, self._turned_at = now - (self._turned_at or now), now
        if self.is_playing:
            self._second += passed * self.speed
        self._say()

    def toggle(self) -> None:
        """Pause, or play on; at the end it begins anew."""
        self.is_playing = not self.is_playing
        if self.is_playing and self._head.is_at_end:
            self.seek(self.start_s)

    def change_speed(self, by: int) -> None:
        """Take the next higher (1) or lower (-1) speed."""
        nearest = min(range(len(SPEEDS)), key=lambda number: abs(SPEEDS[number] - self.speed))
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, nearest + by))]

    def step(self, by: int) -> None:
        """Stop, and go to where something is said next (1), or one second back (-1)."""
        self.is_playing = False
        if by < 0:
            self.seek(self._second - STEP_S)
        elif self._head.next_s is not None:
            self.seek(max(self._head.next_s, self._second + STEP_S))

    def to_change(self, by: int) -> bool:
        """Go to the next (1) or last (-1) change of the causes. Returns whether there is one."""
        if by > 0:
            found = next((mark.second for mark in self.marks if mark.second > self._second + 0.5), None)
        else:
            found = next((mark.second for mark in reversed(self.marks) if mark.second < self._second - 1.5), None)
        if found is not None:
            self.seek(found)
        return found is not None

    def seek(self, second: float) -> None:
        """Go to a second of the tape: it is played from the nearest moment that is kept, or from its beginning."""
        self._second = max(self.start_s, min(second, self.end_s or second))
        if self.feed is not None:
            try:
                self._jump(self.feed)
            except TapeError as error:  # the file was taken away, or is another one now
                self._gone, self._second, self.is_playing = str(error), self._head.position_s, False
                return
        self._say()

    def _jump(self, feed: Feed) -> None:
        """Leave the playhead where it can go on to the wanted second. Raises TapeError."""
        position = self._head.position_s
        if (moment := self.moments.nearest(self._second, position)) is not None:
            self._head = moment.restore(self._head, feed)
        elif self._second < position:
            self._head = self._head.rewound()
            feed.forget()

    def _say(self) -> None:
        if self._publish is None:
            return  # nobody would hear it
        for reading in _heard(self._head, self._second):
            self._publish(reading)
        if self._head.is_at_end and self._second >= self._head.last_s:
            self._second = max(self._head.last_s, self.start_s)
            self.is_playing = False


def _heard(head: Playhead, second: float) -> Iterator[Reading]:
    return (reading for reading in head.until(second) if reading.source != _OWN_LOAD)


def look_through(
    path: Path,
    told: Callable[[tuple[Mark, ...], float], None],
    is_wanted: Callable[[], bool],
    moments: Moments | None = None,
    chronicle: Chronicle | None = None,
) -> None:
    """Judge a whole tape and tell of its marks as they become known, of its end (else 0) when it was reached.

    `moments` and `chronicle` are filled on the way. For a thread of its own; `is_wanted` turns false when nobody waits
    any more. Raises TapeError.
    """
    head = Playhead(path, RecordedSources)
    clock = head.started_at
    feed = Feed(lambda: clock)
    marks: list[Mark] = []
    causes: dict[str, str] = {}
    second = head.start_s
    while is_wanted():
        clock = head.started_at + timedelta(seconds=second)
        readings = list(_heard(head, second))
        for reading in readings:
            feed.publish(reading)
        found = {cause.key: cause.title for cause in feed.turn().diagnosis.causes}
        if moments is not None:
            moments.note(readings, head, feed)
        if chronicle is not None:
            chronicle.note(second, feed, clock)
        if found.keys() != causes.keys():
            appeared = tuple(title for key, title in found.items() if key not in causes)
            marks.append(Mark(second, appeared, len(causes.keys() - found.keys())))
            causes = found
            told(tuple(marks), 0.0)
        if head.next_s is None:
            break
        # Waits of rules end between frames too, so a silent stretch is judged as well, in larger steps.
        silent_s = max(10 * SCAN_S, (head.next_s - second) / _SILENT_STEPS)
        second = max(second + SCAN_S, min(head.next_s, second + silent_s))
    told(tuple(marks), max(head.last_s, head.start_s))


def target_of(head: Playhead) -> Target:
    """Return what commands on a tape speak to: the context that it was recorded in."""
    header = head.tape.header
    return Target(harmless(header.context), limited_to=harmless(header.only_namespace))


def second_of(text: str, tape: "Replay | Playhead") -> float:
    """Read a place on a tape: `12:30` or `+12:30` from its start, `02:41:07` as a time of day (UTC), or a whole moment.

    Raises ValueError.
    """
    began = tape.time_at(tape.start_s)
    text = text.strip().removesuffix("Z") if "T" not in text else text
    if "T" in text:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return tape.start_s + (moment - began).total_seconds()
    numbers = [float(part) for part in text.strip().lstrip("+").split(":")]
    if not 1 <= len(numbers) <= 3 or not all(0 <= number < 86_400 for number in numbers):
        raise ValueError(text)
    if any(number >= 60 for number in numbers[1:]):
        raise ValueError(text)
    if len(numbers) == 3 and not text.strip().startswith("+"):
        midnight = began.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        moment = midnight + timedelta(hours=numbers[0], minutes=numbers[1], seconds=numbers[2])
        if moment < began - timedelta(seconds=1):
            moment += timedelta(days=1)
        return tape.start_s + (moment - began).total_seconds()
    seconds = 0.0
    for number in numbers:
        seconds = seconds * 60 + number
    return tape.start_s + seconds
