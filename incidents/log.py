"""The log of this cockpit: in memory from the start, on disk from the first thing that makes it an incident."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from incidents.entries import TEXT_LIMIT, Entry, Incident, Kind, Name
from incidents.secrets import kept_text
from incidents.writer import Writer
from situation.clock import duration_text
from situation.findings import Severity

ENTRY_LIMIT: Final = 20_000
"""Entries of one incident at most; with the limit of bytes it bounds a kiosk that nobody looks after."""
_BEFORE_LIMIT: Final = 200
"""Entries that are kept while there is no incident."""


QUIET: Final = timedelta(hours=1)
"""An incident is over when no critical cause or warning has stood, and nobody has done anything, for so long: enough
for a fault that comes back and for the last notes, and a kiosk keeps one file for each incident."""


class Log:
    """All entries in order, and whether they are on disk."""

    def __init__(
        self,
        folder: Path,
        context: str = "",
        *,
        origin: str = "",
        resumed: Incident | None = None,
        path: Path | None = None,
        entry_limit: int = ENTRY_LIMIT,
    ) -> None:
        """Keep new incidents in `folder`, or go on with the one `resumed`, which is the file `path`.

        `context` and `origin` are those of `Incident`.
        """
        self.context = context
        self.origin = origin
        self.revision = 0
        """Another number after each change."""
        self._folder = folder
        self._limit = entry_limit
        self._entries: list[Entry] = list(resumed.entries) if resumed else []
        self._begun: dict[str, int] = {}
        """Key to the number of the last entry that began something."""
        self._writer: Writer | None = None
        self._is_full = False
        self._said = ""
        self._noted = ""
        self._over = ""
        """Name of an incident that ended, until that is told."""
        self._active_at: datetime | None = None
        """When a grave cause stood, or somebody did something, last."""
        if resumed is not None:
            self._begun = self._index()
            self._writer = Writer(folder, context, resumed.began, origin=origin, resumed=path, on_disk=resumed.entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(self._entries)

    @property
    def id(self) -> str:
        """The incident's name; empty while there is none on disk."""
        return self._writer.written.id if self._writer else ""

    @property
    def is_full(self) -> bool:
        """Nothing is written any more."""
        return self._is_full

    def add(self, entry: Entry, *, again: bool = False) -> bool:
        """Write an entry; `again` lets it replace the one its key began with. Tells whether it was taken."""
        entry = _clean(entry)
        if entry.who or _is_grave(entry):
            self._active_at = entry.at if self._active_at is None else max(self._active_at, entry.at)
        number = self._begun.get(entry.key) if again else None
        if number is not None:
            self._entries[number] = entry
            self._put(number)
            return True
        if self._is_full:
            return False
        if len(self._entries) >= self._limit - 1:
            self._stop(entry.at, f"the log holds {self._limit} entries")
            return False
        self._append(entry)
        return True

    def _append(self, entry: Entry) -> None:
        self._entries.append(entry)
        if self._writer is None and _makes_incident(entry):
            self._begin(entry)
            return
        if self._writer is None:
            if len(self._entries) > _BEFORE_LIMIT:
                del self._entries[1]  # the first tells since when this cockpit watches
            self._begun = self._index()
        elif entry.kind.begins_cause:
            self._begun[entry.key] = len(self._entries) - 1
        self._put(len(self._entries) - 1)

    def _index(self) -> dict[str, int]:
        """Return for each key the number of the last entry that began something."""
        return {entry.key: number for number, entry in enumerate(self._entries) if entry.kind.begins_cause}

    def _begin(self, entry: Entry) -> None:
        self._writer = Writer(self._folder, self.context, entry.at, origin=self.origin)
        self._begun = self._index()
        for number in range(len(self._entries)):
            self._put(number)

    def _put(self, number: int) -> None:
        self.revision += 1
        if self._writer is not None:
            self._writer.put(number, self._entries[number])

    def _stop(self, at: datetime, why: str) -> None:
        self._append(Entry(at, Kind.FULL, f"{why}: nothing more is written"))
        self._is_full = True

    def close(self, entry: Entry) -> None:
        """Write the last entry and close the file; waits a moment for the disk."""
        self.add(entry)
        if self._writer is not None:
            self._writer.end(entry.at)

    def look(self, now: datetime, stands: Callable[[], Sequence[Entry]], *, is_grave: bool) -> None:
        """Notice how far the disk has come, and when the incident is over.

        `stands` returns the causes not cleared and the sources not back, and is asked only at the end of an incident;
        `is_grave` tells whether a critical cause or warning is among them.
        """
        if self._writer is None:
            return
        if self._writer.written.is_full and not self._is_full:
            self._stop(now, "the file has grown to its limit")
        if self._active_at is None or is_grave:
            self._active_at = now
        self._active_at = min(self._active_at, now)  # a clock that was set back must not keep it open
        if now - self._active_at >= QUIET and not self.problem:
            self._end(self._writer, now, stands())

    def _end(self, writer: Writer, now: datetime, stands: Sequence[Entry]) -> None:
        """Close the incident's file; what still stands is told again in that of the next one."""
        said = f"quiet for {duration_text(QUIET.total_seconds())}: the incident is over"
        writer.put(len(self._entries), Entry(now, Kind.CLOSED, said))
        writer.end(now, waits=False)
        self._over = writer.written.id
        self._writer, self._is_full, self._said, self._noted = None, False, "", ""
        opened = Entry(now, Kind.OPENED, f"the cockpit watched on after the end of {self._over}")
        self._entries = [opened, *self._named(stands)]
        self._begun = self._index()
        self.revision += 1

    def _named(self, stands: Sequence[Entry]) -> Iterator[Entry]:
        """Yield entries with the names that were noted of what they belong to: the next file is redacted by them."""
        noted: dict[str, dict[Name, None]] = {}
        for entry in self._entries:
            noted.setdefault(entry.key, {}).update(dict.fromkeys(entry.names))
        for entry in stands:
            yield msgspec.structs.replace(_clean(entry), names=tuple(noted.get(entry.key, entry.names)))

    # What people are told

    @property
    def problem(self) -> str:
        """Why some entries are in memory only; empty when all are on disk."""
        return self._writer.written.problem if self._writer else ""

    @property
    def status(self) -> str:
        """For the header: `log 12`; empty while there is no incident."""
        if self._writer is None:
            return ""
        if self.problem:
            return "log in memory only"
        return "log full" if self._is_full else f"log {len(self._entries)}"

    def news(self) -> Iterator[str]:
        """Yield each problem once, and its end; and that an incident is over."""
        if self._over:
            yield f"{self._over} was quiet for {duration_text(QUIET.total_seconds())}: its log is closed."
            self._over = ""
        if self._writer is None:
            return
        written = self._writer.written
        if written.note and written.note != self._noted:
            self._noted = written.note
            yield f"A new log was begun: {written.note}"
        if bool(written.problem) == bool(self._said):
            return
        self._said = written.problem
        if written.problem:
            yield f"The log is in memory only: {written.problem}"
        else:
            yield "The log is on disk again, with all that was in memory."


def _makes_incident(entry: Entry) -> bool:
    """A quiet cluster leaves no file; what a person wrote is kept in any case."""
    return entry.kind is Kind.NOTE or (entry.kind.begins_cause and _is_grave(entry))


def _is_grave(entry: Entry) -> bool:
    return entry.severity in (Severity.CRITICAL, Severity.WARNING)


def _clean(entry: Entry) -> Entry:
    """Return the entry as it may be kept."""
    changed = {name: kept_text(getattr(entry, name), TEXT_LIMIT) for name in ("text", "way", "who", "where")}
    evidence = tuple(msgspec.structs.replace(e, text=kept_text(e.text, TEXT_LIMIT)) for e in entry.evidence)
    follows = tuple(kept_text(text, TEXT_LIMIT) for text in entry.follows)
    sources = tuple(kept_text(name, TEXT_LIMIT) for name in entry.sources)
    step = entry.step
    if step is not None:
        step = msgspec.structs.replace(step, note=kept_text(step.note, TEXT_LIMIT))
    return msgspec.structs.replace(entry, **changed, evidence=evidence, follows=follows, sources=sources, step=step)
