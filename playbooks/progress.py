"""What people did with a playbook: ticks, notes, steps that do not apply, and who did it when. Nothing automatic."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from playbooks.model import Playbook, Step

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


class ChecklistEvent(msgspec.Struct, frozen=True):
    """One thing that somebody did in the checklist."""

    did: Did
    playbook: str
    """Its id; `title` for people."""
    title: str
    step: str
    ask: str
    subject: str
    """What the playbook is worked through for: an object, or empty for the cluster."""
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
    subject: str


class Progress(msgspec.Struct, frozen=True):
    """The state of one playbook for one subject. Each act returns the new state and what is to be told of it."""

    subject: str = ""
    entries: Mapping[str, Entry] = {}

    def of(self, step: str) -> Entry:
        return self.entries.get(step) or Entry()

    def toggled(
        self, mark: Mark, playbook: Playbook, step: Step, who: str, at: datetime
    ) -> tuple["Progress", ChecklistEvent]:
        """Mark a step, or take that mark back; another mark gives way."""
        before = self.of(step.id)
        is_set = before.mark is not mark
        entry = msgspec.structs.replace(
            before, mark=mark if is_set else None, who=who if is_set else "", at=at if is_set else None
        )
        did = {
            Mark.TICKED: (Did.UNTICKED, Did.TICKED),
            Mark.NOT_APPLICABLE: (Did.APPLICABLE, Did.NOT_APPLICABLE),
        }[mark][is_set]
        return self._with(step, entry), self._event(did, playbook, step, who, at)

    def noted(
        self, text: str, playbook: Playbook, step: Step, who: str, at: datetime
    ) -> tuple["Progress", ChecklistEvent]:
        """Keep a note at a step in place of the one before; an empty one takes it away."""
        note = " ".join(text.split())[:NOTE_CHARS]
        entry = msgspec.structs.replace(self.of(step.id), note=note)
        return self._with(step, entry), self._event(Did.NOTE, playbook, step, who, at, note)

    def done(self, steps: Iterable[Step]) -> int:
        """Return how many steps are ticked or do not apply."""
        return sum(self.of(step.id).mark is not None for step in steps)

    def _with(self, step: Step, entry: Entry) -> "Progress":
        return msgspec.structs.replace(self, entries={**self.entries, step.id: entry})

    def _event(
        self, did: Did, playbook: Playbook, step: Step, who: str, at: datetime, note: str = ""
    ) -> ChecklistEvent:
        return ChecklistEvent(did, playbook.id, playbook.title, step.id, step.ask, self.subject, who, at, note)
