"""The entries of the log as rows of the timeline."""

import re
from collections.abc import Sequence
from datetime import UTC
from typing import Final

from incidents.entries import Entry, Kind
from incidents.telling import remarks, subject_text
from tui.view import Filter
from widgets.glyphs import SEVERITY, SEVERITY_ROLE
from widgets.timeline import TimelineRow

_LOOK: Final = {
    Kind.CHANGED: ("↕", "warning"),
    Kind.CLEARED: ("✓", "fine"),
    Kind.COPIED: ("»", "focus"),
    Kind.TICKED: ("■", "special"),
    Kind.UNTICKED: ("□", "special"),
    Kind.NOT_APPLICABLE: ("–", "special"),
    Kind.NOTE: ("¶", "strong"),
    Kind.LOST: ("?", "waiting"),
    Kind.BACK: ("✓", "fine"),
    Kind.OPENED: ("▸", "dim"),
    Kind.RESUMED: ("▸", "dim"),
    Kind.CLOSED: ("▪", "dim"),
    Kind.FULL: ("▪", "critical"),
}
"""Glyph and colour role of what is neither grave nor not."""
_WORDS: Final = {Kind.FOUND: "found", Kind.NOT_APPLICABLE: "not needed"}
"""Where the word is too long for a column."""
_TARGET: Final = re.compile(r" (?:--kubeconfig|--context) (?:'[^']*'|\S+)")
"""Options that all commands of a cockpit share."""


class TimelineRows:
    """Builds rows, each once: a log may hold twenty thousand."""

    def __init__(self) -> None:
        self._built: list[tuple[Entry, TimelineRow]] = []

    def of(self, entries: Sequence[Entry], wanted: Filter) -> list[TimelineRow]:
        """Return the rows of those entries in which all words of the filter stand, in the order of their times."""
        del self._built[len(entries) :]
        for number, entry in enumerate(entries):
            if number >= len(self._built):
                self._built.append((entry, timeline_row(number, entry)))
            elif self._built[number][0] is not entry:
                self._built[number] = (entry, timeline_row(number, entry))
        words = [word.casefold() for word in wanted.words]
        shown = sorted(self._built, key=lambda built: built[0].at)
        return [row for _, row in shown if not words or _holds(row, words)]


def _holds(row: TimelineRow, words: Sequence[str]) -> bool:
    text = " ".join((row.word, row.who, row.text, *row.detail)).casefold()
    return all(word in text for word in words)


def timeline_row(number: int, entry: Entry) -> TimelineRow:
    """Return the row of an entry."""
    glyph, role = _LOOK.get(entry.kind, ("·", ""))
    if entry.kind.begins_cause and entry.severity is not None:
        glyph, role = SEVERITY[entry.severity], SEVERITY_ROLE[entry.severity]
    local = entry.at.astimezone()
    zone = "" if local.utcoffset() == entry.at.astimezone(UTC).utcoffset() else f" · {local:%H:%M:%S %Z}"
    by = f" · {entry.who}" if entry.who else ""
    about = " · ".join(
        part
        for part in (
            f"layer {entry.layer.value} {entry.layer.title}" if entry.layer else "",
            entry.severity.value if entry.severity else "",
            subject_text(entry.subject),
        )
        if part
    )
    detail = (f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{zone} · {entry.kind.word}{by}", about, remarks(entry))
    return TimelineRow(
        number,
        f"{entry.at.astimezone(UTC):%H:%M:%S}",
        glyph,
        _WORDS.get(entry.kind, entry.kind.word),
        role,
        entry.who,
        entry.text,
        _TARGET.sub("", entry.text) if entry.kind is Kind.COPIED else entry.text,
        tuple(text for text in detail if text),
    )
