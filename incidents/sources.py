"""Turns the states of sources into entries: lost, back. Debounced as causes are, and told together where they fell
together: an API server that goes takes twenty sources with it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from incidents.causes import GONE, STANDS
from incidents.entries import Entry, Kind, Update
from situation.readings import Source, SourceState

GATHERS: Final = timedelta(seconds=15)
"""So much longer the first of several waits for the others of its family at most."""
_NAMES: Final = 4
"""Names that are told of several."""
_THERE: Final = (SourceState.LIVE, SourceState.ABSENT)
"""A kind that the server does not have (any more) is not lost."""


@dataclass(slots=True)
class _Followed:
    is_lost: bool = False
    """As it is written."""
    differs_since: datetime | None = None
    differs: bool = False
    """It is the other way round now."""
    state: SourceState | None = None
    """As it was lost; None for one that an earlier part of the log left lost and that was not read since."""
    error: str = ""
    told: Entry | None = None
    """What it is written as lost in, as long as it is."""


class SourceFollower:
    """Follows the sources that were live once. Of each, lost and back alternate."""

    def __init__(self, lost: Mapping[str, Entry] | None = None) -> None:
        """`lost` are the sources that an earlier part of the log left lost (`Incident.lost`)."""
        self._followed = {name: _Followed(is_lost=True, told=entry) for name, entry in (lost or {}).items()}

    def take(self, sources: Iterable[Source], now: datetime) -> Iterator[Update]:
        """Yield what is to be written, given the sources as they are at `now`."""
        for source in sources:
            if source.has_value and not source.is_own:
                self._look(source, now)
        families: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
        for name, followed in self._followed.items():
            if followed.differs:
                families[(name.partition("/")[0], followed.is_lost)].append(name)
        for (_, is_lost), names in families.items():
            wait = GONE if is_lost else STANDS
            waited = [now - (self._followed[name].differs_since or now) for name in names]
            if max(waited) >= wait and (min(waited) >= wait or max(waited) >= wait + GATHERS):
                ripe = [name for name, time in zip(names, waited, strict=True) if time >= wait]
                yield Update(self._back(ripe, now) if is_lost else self._lost(ripe, now))

    @property
    def lost(self) -> tuple[Entry, ...]:
        """The sources that are written as lost and not as back: what each was told in, less those that are back."""
        told: dict[tuple[datetime, str], tuple[Entry, list[str]]] = {}
        for name, followed in self._followed.items():
            if (entry := followed.told) is not None:
                told.setdefault((entry.at, entry.key), (entry, []))[1].append(name)
        return tuple(
            entry
            if tuple(names) == entry.sources
            else msgspec.structs.replace(entry, text=self._lost_text(names), sources=tuple(names))
            for entry, names in told.values()
        )

    def _look(self, source: Source, now: datetime) -> None:
        state = source.state_at(now)
        is_lost = state not in _THERE
        followed = self._followed.get(source.name)
        if followed is None:
            if is_lost:
                return  # it was lost before anybody looked, or never there
            followed = self._followed[source.name] = _Followed()
        followed.differs = is_lost != followed.is_lost
        if not followed.differs:
            followed.differs_since = None
        elif followed.differs_since is None or now < followed.differs_since:
            followed.differs_since = now
        if is_lost:
            followed.state, followed.error = state, source.error

    def _turned(self, names: list[str], now: datetime) -> datetime:
        """Note that these are written as they are now; return since when the first of them is."""
        since = [self._followed[name].differs_since or now for name in names]
        for name in names:
            followed = self._followed[name]
            followed.is_lost, followed.differs, followed.differs_since = not followed.is_lost, False, None
        return min(since)

    def _lost(self, names: list[str], now: datetime) -> Entry:
        entry = Entry(self._turned(names, now), Kind.LOST, self._lost_text(names), key=names[0], sources=tuple(names))
        for name in names:
            self._followed[name].told = entry
        return entry

    def _lost_text(self, names: list[str]) -> str:
        first = self._followed[names[0]]
        states = dict.fromkeys(state.value for name in names if (state := self._followed[name].state) is not None)
        reason = f" ({first.error})" if first.error else ""
        return f"{_told(names)}: {', '.join(states) or 'not read since the log was resumed'}{reason}"

    def _back(self, names: list[str], now: datetime) -> Entry:
        for name in names:
            self._followed[name].told = None
        return Entry(self._turned(names, now), Kind.BACK, _told(names), key=names[0], sources=tuple(names))


def _told(names: list[str]) -> str:
    short = [name.removeprefix("kubernetes/") for name in names]
    more = f" and {len(short) - _NAMES} more" if len(short) > _NAMES else ""
    return ", ".join(short[:_NAMES]) + more
