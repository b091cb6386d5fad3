"""Turns successive diagnoses into entries: a cause appears, changes, clears. Debounced, because a log is read later.

The clock is passed in. A cause that becomes a consequence of another has not gone: that is a change. One that can no
longer be judged has not gone either: its entry stays open until something is known.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from incidents.entries import EVIDENCE_CHARS, EVIDENCE_LINES, TEXT_LIMIT, Entry, Kind, Update
from situation.findings import Diagnosis, Evidence, Finding, Layer, LayerState, Severity
from situation.meta import Ref

STANDS: Final = timedelta(seconds=5)
"""So long a cause, or a change of it, must last before it is written."""
GONE: Final = timedelta(seconds=15)
"""So long a cause must be gone before it counts as cleared: one that is back sooner only flapped."""
DOUBTED: Final = timedelta(minutes=10)
"""A cause that is not found counts as gone after so long also where its layer cannot be judged in full: a list that is
forbidden stays so."""
SETTLES: Final = timedelta(seconds=20)
"""What is seen first within this time after the first judgement was there before: it is found, not new."""
FLAPS: Final = 3
"""A cause that never stood for STANDS is written all the same when it has come back this often."""
RETITLED: Final = timedelta(seconds=60)
"""Other titles of a cause are written this often at most; another severity always."""
FOLLOWS_EVERY: Final = timedelta(seconds=10)
FOLLOWS_KEPT: Final = 12
_NUMBER: Final = re.compile(r"\d+")

_Parents = Mapping[tuple[str, Ref], Finding]
"""(rule, subject) of each consequence to the cause it follows from. Not by key: what a finding follows from may be a
part of that."""


class _Told(NamedTuple):
    """What is written of a cause."""

    severity: Severity
    title: str
    parent: str = ""
    """Title of the cause that it follows from; empty while it stands on its own."""

    @property
    def shape(self) -> tuple[str, str]:
        """Two titles that differ in numbers only tell the same."""
        return _NUMBER.sub("0", self.title), _NUMBER.sub("0", self.parent)


@dataclass(slots=True)
class _Tracked:
    """A cause that is followed."""

    finding: Finding | None
    """As it was last seen as a cause; None for one of an earlier part of the log that was not seen since."""
    layer: Layer | None
    first_at: datetime
    there_since: datetime | None
    """None while it is gone."""
    told: _Told
    told_at: datetime
    entry: Entry | None = None
    """What it began with, once that is written."""
    gone_since: datetime | None = None
    differs_since: datetime | None = None
    times: int = 0
    follows_at: datetime | None = None
    doubted_since: datetime | None = None
    """Since when it has not been found while its layer was in doubt."""


class CauseFollower:
    """Follows the causes of one cluster. Of each, the entries that begin and that clear it alternate."""

    def __init__(self, standing: Iterable[Entry] = (), unwatched_since: datetime | None = None) -> None:
        """`standing` are the causes that an earlier part of the log left open, which ended at `unwatched_since`."""
        self._started_at: datetime | None = None
        self._unwatched_since = unwatched_since
        self._tracked: dict[str, _Tracked] = {}
        for entry in standing:
            told = _Told(entry.severity or Severity.INFO, entry.text)
            self._tracked[entry.key] = _Tracked(None, entry.layer, entry.at, entry.at, told, entry.at, entry)

    @property
    def standing(self) -> tuple[Entry, ...]:
        """The causes that are written and not cleared: what each began with, title and severity as told last."""
        return tuple(
            msgspec.structs.replace(tracked.entry, text=tracked.told.title, severity=tracked.told.severity)
            for tracked in self._tracked.values()
            if tracked.entry is not None
        )

    @property
    def is_grave(self) -> bool:
        """A cause that is written and not cleared is critical or a warning, as told last."""
        return any(
            item.entry is not None and item.told.severity is not Severity.INFO for item in self._tracked.values()
        )

    def take(self, diagnosis: Diagnosis, now: datetime) -> Iterator[Update]:
        """Yield what is to be written, given that `diagnosis` holds at `now`."""
        if diagnosis.judged_at is None:
            return
        if self._started_at is None:
            self._started_at = now
        self._started_at = min(self._started_at, now)  # a clock that was set back must not hold everything up
        present = {cause.key: cause for cause in diagnosis.causes}
        parents = {(item.rule, item.subject): cause for cause in diagnosis.causes for item in cause.consequences}
        doubted = frozenset(status.layer for status in diagnosis.layers if _is_doubted(status.status, status.reason))
        for key, cause in present.items():
            if key not in self._tracked:
                self._tracked[key] = _Tracked(cause, cause.layer, now, now, _told(cause), now)
        for key, tracked in list(self._tracked.items()):
            cause_now = present.get(key)
            if cause_now is not None:
                yield from self._there(tracked, cause_now, now)
            elif (parent := _parent(tracked, parents)) is not None:
                yield from self._folded(key, tracked, parent, now)
            elif tracked.layer not in doubted or self._was_doubted_long(tracked, now):
                yield from self._gone(key, tracked, now)

    def _was_doubted_long(self, tracked: _Tracked, now: datetime) -> bool:
        """Not found in a layer that is not judged in full, a cause may still stand; but not for ever."""
        tracked.doubted_since = min(tracked.doubted_since or now, now)
        return now - tracked.doubted_since >= DOUBTED

    def _there(self, tracked: _Tracked, cause: Finding, now: datetime) -> Iterator[Update]:
        tracked.finding, tracked.layer, tracked.doubted_since = cause, cause.layer, None
        came_back = tracked.there_since is None
        if came_back:
            tracked.times += 1
        tracked.there_since = now if tracked.there_since is None else min(tracked.there_since, now)
        tracked.gone_since = None
        if tracked.entry is None:
            if now - tracked.there_since >= STANDS or tracked.times >= FLAPS:
                tracked.entry = self._begun(tracked, cause)
                tracked.told, tracked.told_at = _told(cause), now
                yield Update(tracked.entry)
            return
        yield from self._changed(tracked, _told(cause), cause, now)
        follows = _follows(cause, tracked.entry.follows)
        is_due = tracked.follows_at is None or now - tracked.follows_at >= FOLLOWS_EVERY
        if came_back or (is_due and follows != tracked.entry.follows):
            tracked.follows_at = now
            tracked.entry = msgspec.structs.replace(tracked.entry, times=tracked.times, follows=follows)
            yield Update(tracked.entry, again=True)

    def _folded(self, key: str, tracked: _Tracked, parent: Finding, now: datetime) -> Iterator[Update]:
        """It follows from another cause now: one that was not written yet is told as part of that one."""
        if tracked.entry is None:
            del self._tracked[key]
            return
        tracked.there_since, tracked.gone_since = tracked.there_since or now, None
        told = tracked.told._replace(parent=parent.title)
        yield from self._changed(tracked, told, tracked.finding, now)

    def _gone(self, key: str, tracked: _Tracked, now: datetime) -> Iterator[Update]:
        started_at = self._started_at or now
        if tracked.finding is None and now - started_at < SETTLES:
            return  # of an earlier part of the log: the picture may not be complete yet
        if tracked.gone_since is None or now < tracked.gone_since:
            tracked.gone_since = started_at if tracked.finding is None else now
        tracked.there_since = tracked.differs_since = None
        if now - tracked.gone_since < GONE:
            return
        del self._tracked[key]
        if tracked.entry is not None:
            yield Update(self._cleared(tracked, tracked.gone_since))

    def _begun(self, tracked: _Tracked, cause: Finding) -> Entry:
        started_at = self._started_at or tracked.first_at
        kind = Kind.FOUND if tracked.first_at - started_at < SETTLES else Kind.APPEARED
        entry = _entry(kind, tracked.first_at, cause, cause.title)
        return msgspec.structs.replace(
            entry, times=tracked.times, evidence=_evidence(cause), follows=_follows(cause), as_of=cause.as_of
        )

    def _changed(self, tracked: _Tracked, told: _Told, cause: Finding | None, now: datetime) -> Iterator[Update]:
        before = tracked.told
        graver = told.severity is not before.severity
        if not graver and told.shape == before.shape:
            tracked.differs_since = None
            return
        tracked.differs_since = now if tracked.differs_since is None else min(tracked.differs_since, now)
        is_new_title = not graver and told.parent == before.parent
        if now - tracked.differs_since < STANDS or (is_new_title and now - tracked.told_at < RETITLED):
            return
        begun, since = tracked.entry, tracked.differs_since
        tracked.told, tracked.told_at, tracked.differs_since = told, now, None
        if begun is None:
            return
        way = " · ".join(_differences(before, told))
        entry = Entry(since, Kind.CHANGED, told.title, "", tracked.layer, begun.rule, begun.subject, told.severity)
        evidence = _evidence(cause) if cause is not None and not told.parent else ()
        yield Update(msgspec.structs.replace(entry, key=begun.key, way=way, evidence=evidence))

    def _cleared(self, tracked: _Tracked, at: datetime) -> Entry:
        begun, way = tracked.entry, ""
        if tracked.finding is None and self._unwatched_since is not None:
            way = f"gone when the log was resumed; nobody watched since {self._unwatched_since:%H:%M:%S} UTC"
        rule, subject, key = (begun.rule, begun.subject, begun.key) if begun else ("", None, "")
        told = tracked.told
        return Entry(
            at, Kind.CLEARED, told.title, "", tracked.layer, rule, subject, told.severity, key, tracked.times, way=way
        )


def _is_doubted(state: LayerState, reason: str) -> bool:
    """Tell whether a cause of this layer may be missing only because the layer, or a rule, could not be judged."""
    return state is LayerState.UNKNOWN or "internal error in" in reason


def _parent(tracked: _Tracked, parents: _Parents) -> Finding | None:
    of = tracked.finding or tracked.entry
    return parents.get((of.rule, of.subject)) if of is not None and of.subject is not None else None


def _told(cause: Finding) -> _Told:
    return _Told(cause.severity, cause.title[:TEXT_LIMIT])


def _differences(before: _Told, told: _Told) -> Iterator[str]:
    if told.severity is not before.severity:
        yield f"{told.severity.value} now, {before.severity.value} before"
    if told.parent and told.parent != before.parent:
        yield f"now follows from: {told.parent}"
    elif before.parent and not told.parent:
        yield "stands on its own again"
    if told.title != before.title:
        yield f"before: {before.title}"


def _entry(kind: Kind, at: datetime, cause: Finding, text: str) -> Entry:
    return Entry(at, kind, text[:TEXT_LIMIT], "", cause.layer, cause.rule, cause.subject, cause.severity, cause.key)


def _evidence(cause: Finding) -> tuple[Evidence, ...]:
    return tuple(
        msgspec.structs.replace(line, text=line.text[:EVIDENCE_CHARS]) for line in cause.evidence[:EVIDENCE_LINES]
    )


def _follows(cause: Finding, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What follows or followed from a cause: that it did is of interest also when it no longer does."""
    known = {_NUMBER.sub("0", title) for title in before}
    told = [_consequence(item) for item in cause.consequences]
    new = [title for title in told if _NUMBER.sub("0", title) not in known]
    return (*before, *dict.fromkeys(new))[:FOLLOWS_KEPT]


def _consequence(item: Finding) -> str:
    times = f" ×{item.count}" if item.count > 1 else ""
    return f"layer {item.layer.value}: {item.title}{times}"
