"""What a log would have told of a tape up to each second of it: the timeline of a replay."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from incidents.causes import CauseFollower
from incidents.entries import Entry, Update
from incidents.sources import SourceFollower
from tui.feed import Feed
from tui.recorder import IN_RECORDING, Recorder

_NOTHING: Final = "Nothing up to here: what stands for less than a few seconds is not told."


class Chronicle:
    """Filled by the thread that looks a tape through, in order; read by the one that plays it.

    What stands in it at a second does not depend on how one got there.
    """

    def __init__(self) -> None:
        self._causes = CauseFollower()
        self._sources = SourceFollower()
        self._updates: list[Update] = []
        self._seconds: list[float] = []
        """When each was written, in order; never longer than the list of updates."""
        self._folded: tuple[int, tuple[Entry, ...]] = (0, ())

    def note(self, second: float, feed: Feed, now: datetime) -> None:
        """Follow what holds at a second of the tape, which was `now`."""
        sources = tuple(feed.situation.sources.values())
        for update in (*self._causes.take(feed.diagnosis, now), *self._sources.take(sources, now)):
            self._updates.append(update)
            self._seconds.append(second)

    def count(self, second: float) -> int:
        """How often something was written up to a second; as long as it is the same, so are the entries."""
        return bisect_right(self._seconds, second)

    def until(self, second: float) -> tuple[Entry, ...]:
        """Return the entries as they stood at a second."""
        count = self.count(second)
        if count != self._folded[0]:
            self._folded = count, _folded(self._updates[:count])
        return self._folded[1]


def _folded(updates: list[Update]) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    begun: dict[str, int] = {}
    for entry, again in updates:
        number = begun.get(entry.key) if again else None
        if number is not None:
            entries[number] = entry
            continue
        if entry.kind.begins_cause:
            begun[entry.key] = len(entries)
        entries.append(entry)
    return tuple(entries)


class TapeRecorder(Recorder):
    """Tells what happened on a tape up to where it stands; what people do while it plays is not written down."""

    not_open = IN_RECORDING
    nothing = _NOTHING

    def __init__(
        self,
        state_dir: Path,
        who: str,
        clock: Callable[[], datetime],
        chronicle: Chronicle,
        where: Callable[[], float],
    ) -> None:
        """`where` returns the second at which the tape stands."""
        super().__init__(state_dir, who, clock)
        self._chronicle = chronicle
        self._where = where

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._chronicle.until(self._where())

    @property
    def revision(self) -> int:
        return self._chronicle.count(self._where())

    @property
    def kept(self) -> tuple[str, bool]:
        return "from the tape", True
