"""The frozen types of the log: one entry for each thing that happened, and the incident they belong to."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from situation.findings import Effect, Evidence, Layer, Severity
from situation.meta import Ref

TEXT_LIMIT: Final = 2000
"""Characters of the text of an entry: a whole command fits, a pasted log does not."""
EVIDENCE_LINES: Final = 12
"""Lines of evidence that are kept of a cause."""
EVIDENCE_CHARS: Final = 600
"""Characters of each of them."""


class Kind(StrEnum):
    """What happened."""

    FOUND = "found at start"
    """A cause that was seen first as watching began: it may be older."""
    APPEARED = "appeared"
    CHANGED = "changed"
    CLEARED = "cleared"
    COPIED = "copied"
    TICKED = "ticked"
    UNTICKED = "unticked"
    NOT_APPLICABLE = "not applicable"
    NOTE = "note"
    LOST = "source lost"
    BACK = "source back"
    OPENED = "opened"
    RESUMED = "resumed"
    CLOSED = "closed"
    FULL = "log full"

    @property
    def word(self) -> str:
        """What people read; the value is what stands in files."""
        return "found as watching began" if self is Kind.FOUND else self.value

    @property
    def begins_cause(self) -> bool:
        return self in (Kind.FOUND, Kind.APPEARED)


class Name(NamedTuple):
    """The name of something in the cluster that stands in a text."""

    sort: str
    """`namespace`, `node`, `pod`, `workload`, `image`, or another kind in small letters."""
    name: str


class Step(msgspec.Struct, frozen=True):
    """A step of a checklist, by its names: with the entry's subject enough to go on with the checklist later."""

    playbook: str
    id: str
    note: str = ""
    """What was noted at it, where that is what happened; empty also where a note was taken away."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened."""

    at: datetime
    """UTC. Of a cause or a source: when it really happened, which is before it was written."""
    kind: Kind
    text: str = ""
    """Title of the cause, the command, the step, the note, what of a source was lost."""
    who: str = ""
    """Empty for what the cluster did."""
    layer: Layer | None = None
    rule: str = ""
    subject: Ref | None = None
    severity: Severity | None = None
    key: str = ""
    """What it belongs to: `Finding.key` of a cause, the name of a source."""
    times: int = 0
    """How often it went away and came back, for moments too short to be told each."""
    evidence: tuple[Evidence, ...] = ()
    """As it was then."""
    follows: tuple[str, ...] = ()
    """Titles of what followed from the cause while it stood."""
    sources: tuple[str, ...] = ()
    """The sources that were lost or are back, all of them by name: the text tells of a few."""
    as_of: datetime | None = None
    """Set where the evidence was history already: its source was silent since then."""
    way: str = ""
    """How a command was copied."""
    effect: Effect | None = None
    """Of a command."""
    where: str = ""
    """Of a command: where it has to run."""
    step: Step | None = None
    """Of a checklist, where somebody did something with one."""
    names: tuple[Name, ...] = ()
    """Names of things in the cluster that the texts hold: what has to be replaced before others may read it."""


class Update(NamedTuple):
    """What a follower found out."""

    entry: Entry
    again: bool = False
    """It replaces the last entry that began something with this key: only how often or what follows differs."""


class Incident(msgspec.Struct, frozen=True):
    """A log as a whole."""

    id: str
    """Name of its file: `2026-11-26-0241-prod-h100`."""
    context: str
    """Kubeconfig context; empty within a cluster."""
    began: datetime
    ended: datetime | None = None
    """When the log was closed; None while it is written, and after an end without warning."""
    entries: tuple[Entry, ...] = ()
    live: bool = False
    """A cockpit writes it right now."""
    origin: str | None = ""
    """URL of the API server, empty where none was asked; of a simulated cluster the command that began it, such as
    `midwatch demo faults_a`. None in files that do not say it: earlier versions did not write it."""

    @property
    def simulated(self) -> str:
        """The command that began the simulated cluster; empty for a real one."""
        return self.origin if self.origin and "://" not in self.origin else ""

    def is_of(self, context: str, origin: str) -> bool:
        """Tell whether it is of this cluster: those of kubeadm all have the same context, so the server counts too."""
        return self.context == context and self.origin in (None, origin)

    @property
    def people(self) -> tuple[str, ...]:
        """Who did something, in the order in which they came."""
        return tuple(dict.fromkeys(entry.who for entry in self.entries if entry.who))

    @property
    def last_at(self) -> datetime:
        """Time of the last entry; of the beginning without one."""
        return max((entry.at for entry in self.entries), default=self.began)

    def until(self, now: datetime) -> datetime:
        """Return when its log ended: `now` while it is written."""
        return self.ended or (now if self.live else self.last_at)

    @property
    def standing(self) -> tuple[Entry, ...]:
        """Causes that were not cleared, each as it was told last."""
        return standing(self.entries)

    @property
    def lost(self) -> Mapping[str, Entry]:
        """Sources that were lost and not back again, each with what it was lost in."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.kind is Kind.LOST:
                found |= dict.fromkeys(entry.sources, entry)
            elif entry.kind is Kind.BACK:
                for name in entry.sources:
                    found.pop(name, None)
        return found


def standing(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return the causes that were not cleared: the entry each began with, with title and severity as they were last."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind.begins_cause:
            found[entry.key] = entry
        elif entry.kind is Kind.CLEARED:
            found.pop(entry.key, None)
        elif entry.kind is Kind.CHANGED and entry.key in found:
            before = found[entry.key]
            severity = entry.severity or before.severity
            found[entry.key] = msgspec.structs.replace(before, text=entry.text or before.text, severity=severity)
    return tuple(found.values())
