"""What people did with a playbook: ticks, notes, steps that do not apply, and who did it when. Nothing automatic."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from playbooks.model import Playbook, Step
from situation.meta import Ref

NOTE_CHARS = 500


class Mark(StrEnum):
    TICKED = "ticked"
    NOT_APPLICABLE = "not applicable"


class Did(StrEnum):
    """What somebody did, in the words that the incident log uses."""

    TICKED = "ticked"
    UNTICKED = "unticked"
    NOT_APPLICABLE = "not applicable"
    APPLICABLE = "applicable again"
    NOTE = "note"


_SETS: Final = {Did.TICKED: Mark.TICKED, Did.NOT_APPLICABLE: Mark.NOT_APPLICABLE}


class ChecklistEvent(msgspec.Struct, frozen=True):
    """One thing that somebody did in the checklist."""

    did: Did
    playbook: str
    """Its id; `title` for people."""
    title: str
    step: str
    ask: str
    subject: Ref | None
    """What the playbook is worked through for; None for the cluster."""
    who: str
    at: datetime
    note: str = ""
    """Of a note; empty: it was taken away."""


class Entry(msgspec.Struct, frozen=True):
    """What stands at one step."""

    mark: Mark | None = None
    who: str = ""
    at: datetime | None = None
    note: str = ""


class Key(NamedTuple):
    """Each playbook is worked through anew for each thing that is broken."""

    playbook: str
    subject: Ref | None


class Progress(msgspec.Struct, frozen=True):
    """The state of one playbook for one subject. Each act returns the new state and what is to be told of it."""

    subject: Ref | None = None
    entries: Mapping[str, Entry] = {}

    def of(self, step: str) -> Entry:
        return self.entries.get(step) or Entry()

    def toggled(
        self, mark: Mark, playbook: Playbook, step: Step, who: str, at: datetime
    ) -> tuple["Progress", ChecklistEvent]:
        """Mark a step, or take that mark back; another mark gives way."""
        did = {
            Mark.TICKED: (Did.UNTICKED, Did.TICKED),
            Mark.NOT_APPLICABLE: (Did.APPLICABLE, Did.NOT_APPLICABLE),
        }[mark][self.of(step.id).mark is not mark]
        return self.after(did, step.id, who, at), self._event(did, playbook, step, who, at)

    def noted(
        self, text: str, playbook: Playbook, step: Step, who: str, at: datetime
    ) -> tuple["Progress", ChecklistEvent]:
        """Keep a note at a step in place of the one before; an empty one takes it away."""
        note = " ".join(text.split())[:NOTE_CHARS]
        return self.after(Did.NOTE, step.id, who, at, note), self._event(Did.NOTE, playbook, step, who, at, note)

    def after(self, did: Did, step: str, who: str, at: datetime, note: str = "") -> "Progress":
        """Return the state after somebody did this with a step; `note` is that of `Did.NOTE`."""
        before = self.of(step)
        if did is Did.NOTE:
            entry = msgspec.structs.replace(before, note=note)
        elif (mark := _SETS.get(did)) is not None:
            entry = msgspec.structs.replace(before, mark=mark, who=who, at=at)
        else:
            entry = msgspec.structs.replace(before, mark=None, who="", at=None)
        return msgspec.structs.replace(self, entries={**self.entries, step: entry})

    def done(self, steps: Iterable[Step]) -> int:
        """Return how many steps are ticked or do not apply."""
        return sum(self.of(step.id).mark is not None for step in steps)

    def _event(
        self, did: Did, playbook: Playbook, step: Step, who: str, at: datetime, note: str = ""
    ) -> ChecklistEvent:
        return ChecklistEvent(did, playbook.id, playbook.title, step.id, step.ask, self.subject, who, at, note)
