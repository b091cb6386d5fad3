"""Keeps the log of this cockpit: follows what the feed says, takes what people do, and says what became of it."""

import asyncio
import getpass
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from incidents.causes import CauseFollower
from incidents.entries import Entry, Incident, Kind, Step, Update
from incidents.log import Log
from incidents.names import names_in
from incidents.shelf import Kept, left_open, path_of
from incidents.sources import SourceFollower
from incidents.store import BusyError, DamagedError, StoreError, check, read
from situation.focus import refs_of
from situation.meta import Ref
from situation.steps import Steps
from situation.text import harmless
from tui.attention import Attention
from tui.feed import Feed
from widgets.evidence import CardCommand

FOLDER: Final = "incidents"
"""In the state directory."""
LOOKS_EVERY: Final = timedelta(seconds=0.5)
"""Causes and sources are followed this often: nothing shorter is written down anyway."""
NOT_OPEN: Final = "not written down: the log opens with the connection"
IN_RECORDING: Final = "not written down: a recording has no log of its own"
NOTHING: Final = "Nothing yet: an incident begins with the first critical cause or warning that stands, or with a note."
IS_FULL: Final = "not written down: the log is full"
_WHO_CHARS: Final = 40


def login_name(environ: Mapping[str, str]) -> str:
    """Return who sits here: who called `sudo`, else the login name; empty where there is none."""
    try:
        return environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return ""


def to_resume(folder: Path, wanted: str, context: str, origin: str = "") -> Kept | None:
    """Return the incident to go on with: `wanted`, or without it the last that was left open; None without one.

    `context` and `origin` are those of `Incident`. Raises StoreError for one that is not there, of another cluster,
    being written, or of a newer version. A damaged one comes with its problem: it is left as it is.
    """
    if not wanted:
        return left_open(folder, context, origin)
    path = path_of(folder, wanted)
    try:
        check(path)
        incident = read(path)
    except DamagedError as error:
        return Kept(path, None, str(error))
    if incident.live:
        raise BusyError(f"{wanted}: another cockpit is writing it")
    if incident.simulated:
        raise StoreError(
            f"{wanted} is the log of a simulated incident ({incident.simulated}): no other goes on with it"
        )
    if incident.context != context:
        of, here = incident.context or "no context", context or "no context"
        raise StoreError(f"{wanted} is the log of {of}, this is {here}: give --context")
    if not incident.is_of(context, origin):
        of, here = incident.origin or "no API server", origin or "no API server"
        raise StoreError(f"{wanted} is the log of {of}, this is {here}: give --kubeconfig")
    return Kept(path, incident)


class Recorder:
    """The log, and those who follow causes and sources. Until it is opened nothing is written down."""

    not_open = NOT_OPEN
    """What is said to who wants something written down while there is no log."""
    nothing = NOTHING
    """What the timeline says while there are no entries."""

    def __init__(self, state_dir: Path, who: str, clock: Callable[[], datetime], wanted: str | None = None) -> None:
        """`wanted` is the incident to go on with: empty the last that was left open, None for a new one."""
        self._folder = state_dir / FOLDER
        self._clock = clock
        self._wanted = wanted
        self.who = harmless(who)[:_WHO_CHARS].strip() or "unknown"
        self._log: Log | None = None
        self._causes = CauseFollower()
        self._sources = SourceFollower()
        self._looked_at: datetime | None = None
        self._is_closed = False

    async def connect(self, context: str, origin: str = "") -> tuple[str, ...]:
        """Open the log of this cluster, or go on with the one that is wanted; return what people should know of that.

        `context` and `origin` are those of `Incident`. Raises StoreError where the one that is wanted must not be gone
        on with.
        """
        resumed, notes = None, []
        if self._wanted is not None:
            resumed = await asyncio.to_thread(to_resume, self._folder, self._wanted, context, origin)
            if resumed is None:
                notes.append("no log of this context was left open: a new one begins")
            elif resumed.incident is None:
                notes.append(f"{resumed.problem}; it is left as it is, a new log begins")
        before = resumed.incident if resumed else None
        path = resumed.path if resumed and before else None
        self._log = Log(self._folder, context, origin=origin, resumed=before, path=path)
        if before is not None:
            self._causes = CauseFollower(before.standing, before.last_at)
            self._sources = SourceFollower(before.lost)
        self._log.add(self._opening(before, self._clock()))
        return tuple(notes)

    def _opening(self, before: Incident | None, now: datetime) -> Entry:
        if before is None:
            return Entry(now, Kind.OPENED, "the cockpit was opened", self.who)
        how = "closed" if before.ended else "not closed"
        text = f"the cockpit was opened again; the log had ended at {before.last_at:%Y-%m-%d %H:%M:%S} UTC, {how}"
        return Entry(now, Kind.RESUMED, text, self.who)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._log.entries if self._log else ()

    @property
    def revision(self) -> int:
        """Another number after each change of the entries."""
        return self._log.revision if self._log else -1

    @property
    def status(self) -> str:
        """For the header; empty while there is no incident."""
        return self._log.status if self._log else ""

    @property
    def problem(self) -> str:
        """Why the log, or the end of it, is in memory only."""
        return self._log.problem if self._log else ""

    @property
    def id(self) -> str:
        return self._log.id if self._log else ""

    @property
    def kept(self) -> tuple[str, bool]:
        """What becomes of the entries, in words, and whether that is as it should be."""
        if self.problem:
            return "in memory only", False
        return "on disk" if self.status else "no incident yet", True

    def news(self) -> Iterable[str]:
        """What people should know of the log now, each sentence once."""
        return self._log.news() if self._log else ()

    # What the cluster does

    def take(self, feed: Feed) -> Steps[None]:
        """Follow the feed after a turn, entry by entry."""
        log, now = self._log, self._clock()
        if log is None or (self._looked_at is not None and timedelta() <= now - self._looked_at < LOOKS_EVERY):
            return
        self._looked_at = now
        for entry, again in self._found(feed, now):
            log.add(entry, again=again)
            yield
        log.look(now, self._stands, is_grave=self._causes.is_grave)

    def _stands(self) -> tuple[Entry, ...]:
        return (*self._causes.standing, *self._sources.lost)

    def _found(self, feed: Feed, now: datetime) -> Iterator[Update]:
        situation = feed.situation
        for entry, again in self._causes.take(feed.diagnosis, now):
            cause = feed.diagnosis.find(entry.key)
            names = names_in(entry, refs_of(cause) if cause else (), situation)
            yield Update(msgspec.structs.replace(entry, names=names), again)
        for entry, again in self._sources.take(tuple(situation.sources.values()), now):
            yield Update(msgspec.structs.replace(entry, names=names_in(entry, (), situation)), again)

    # What people do

    def copied(self, command: CardCommand, way: str, feed: Feed, attention: Attention) -> None:
        """Write down that a command was copied, and for which cause."""
        entry = Entry(self._clock(), Kind.COPIED, command.line, self.who)
        if command.playbook:  # of what that is worked through for, whatever the cockpit has turned to meanwhile
            about = msgspec.structs.replace(entry, subject=command.subject)
        else:
            about = self._about(entry, feed, attention)
        purpose = " · ".join(filter(None, (command.purpose, command.playbook, f"by way of {way}")))
        self._add(msgspec.structs.replace(about, way=purpose, effect=command.effect, where=command.where), feed)

    def note(self, text: str, feed: Feed, attention: Attention) -> str:
        """Write down what a person says; return why that was not done, if it was not."""
        entry = Entry(self._clock(), Kind.NOTE, text, self.who)
        about = entry if attention.focus.is_cluster else self._about(entry, feed, attention)
        return self._add(about, feed)

    def step(self, kind: Kind, text: str, step: Step, subject: Ref | None, feed: Feed, *, way: str) -> str:
        """Write down what became of a step of a checklist (`TICKED`, `UNTICKED`, `NOT_APPLICABLE`), or a note to it.

        Return why that was not done, if it was not.
        """
        return self._add(Entry(self._clock(), kind, text, self.who, subject=subject, way=way, step=step), feed)

    def _about(self, entry: Entry, feed: Feed, attention: Attention) -> Entry:
        finding = attention.finding(feed.diagnosis)
        if finding is None:
            ref = attention.focus.ref or (attention.selection if isinstance(attention.selection, Ref) else None)
            return msgspec.structs.replace(entry, subject=ref)
        return msgspec.structs.replace(
            entry, layer=finding.layer, rule=finding.rule, subject=finding.subject, key=finding.key
        )

    def _add(self, entry: Entry, feed: Feed) -> str:
        if self._log is None:
            return self.not_open
        named = msgspec.structs.replace(entry, names=names_in(entry, (), feed.situation))
        return "" if self._log.add(named) else IS_FULL

    def close(self) -> None:
        """Close the log; a second time does nothing."""
        if self._log is not None and not self._is_closed:
            self._is_closed = True
            self._log.close(Entry(self._clock(), Kind.CLOSED, "the cockpit was closed", self.who))
