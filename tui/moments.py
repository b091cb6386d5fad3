"""Moments of a tape that are kept while it is looked through: who goes to another place starts from the nearest."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from situation.readings import Changed, Listed, Reading
from situation.twin import twin
from tape.playhead import Place, Playhead
from tui.feed import Feed

EVERY: Final = 1000
"""Objects that come between two moments at first: on the tape of a small cluster, 0.1 s to play."""
HELD: Final = 20_000
"""Objects that all moments hold together for themselves at most: the others stand in the next moment too, or in the
picture. A pod takes about 7 KB, so 140 MB. When there are more, every second moment goes."""


class Moment:
    """All that had been heard up to a second of a tape, copied."""

    def __init__(self, place: Place, feed: Feed, came: int) -> None:
        self.second = place.position_s
        self.came = came
        """Objects that came since the moment before."""
        self._place = place
        self._situation = twin(feed.situation)
        self._devices = twin(feed.devices)
        self._objects = sum(1 for _ in self._situation.objects())

    @property
    def held(self) -> int:
        """Objects that nothing but this moment may hold."""
        return min(self.came, self._objects)

    def restore(self, head: Playhead, feed: Feed) -> Playhead:
        """Let the feed know what was known then; return a playhead of the same tape that goes on. Raises TapeError."""
        further = head.at(self._place)
        feed.resume(twin(self._situation), twin(self._devices))
        return further


class Moments:
    """Filled by the thread that looks a tape through, in order; read by the one that plays it."""

    def __init__(self, every: int = EVERY, held: int = HELD) -> None:
        self._every = every
        self._limit = held
        self._kept: tuple[Moment, ...] = ()
        self._came = 0

    @property
    def kept(self) -> tuple[Moment, ...]:
        """The moments, first to last."""
        return self._kept

    def note(self, readings: Iterable[Reading], head: Playhead, feed: Feed) -> None:
        """Keep this moment if enough came since the last one; `readings`: what `feed` took in since the last call."""
        self._came += sum(map(_objects_in, readings))
        if self._came < self._every or (place := head.place) is None:
            return
        kept = (*self._kept, Moment(place, feed, self._came))
        self._came = 0
        while len(kept) > 1 and sum(moment.held for moment in kept) > self._limit:
            for gone, further in list(pairwise(kept))[::2]:
                further.came += gone.came
            kept, self._every = kept[1::2], 2 * self._every
        self._kept = kept

    def nearest(self, second: float, position: float) -> Moment | None:
        """Return the moment to go on from to a second, for one who stands at `position`.

        None: by playing on, or from the beginning if it lies behind. Judging all anew costs as much as playing a while,
        so forwards a moment is only gone on from where playing on leads over two of them.
        """
        goes_back = second < position
        there = [moment for moment in self._kept if moment.second <= second and (goes_back or moment.second > position)]
        return there[-1] if len(there) > (0 if goes_back else 1) else None


def _objects_in(reading: Reading) -> int:
    match reading.value:
        case Listed() as listed:
            return len(listed.objects)
        case Changed() as changed:
            return len(changed.upserts)
    return 1
