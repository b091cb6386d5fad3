"""The causes: what is broken, gravest first, with what only follows from it folded below."""

from collections.abc import Sequence
from typing import Final

import msgspec
from textual.app import ComposeResult
from textual.message import Message

from situation.findings import Finding
from widgets.columns import Cell, Column
from widgets.glyphs import SEVERITY, SEVERITY_ROLE
from widgets.pane import Pane
from widgets.table import RowTable

_SHOWN: Final = 3
"""Consequences listed under a cause; the rest is a number."""


class CauseRow(msgspec.Struct, frozen=True):
    """One line: a cause, one of its consequences, or how many more there are."""

    key: str
    """`Finding.key`; lines that stand for several carry the cause's key and a suffix."""
    finding: Finding
    cause: Finding | None = None
    """The cause it follows from."""
    last: bool = False
    more: int = 0
    """Stands for so many further consequences."""
    dimmed: bool = False


class CausesPane(Pane):
    """A table of causes. Moving the cursor shows a finding's evidence; enter focuses everything on it."""

    TITLE = "Causes"

    class CauseHighlighted(Message):
        """The cursor came to a finding."""

        def __init__(self, key: str, *, moved: bool) -> None:
            self.key = key
            self.moved = moved
            """By the user; False when rows came or went under the cursor."""
            super().__init__()

    class CausePicked(Message):
        """A finding was picked with enter or a click."""

        def __init__(self, key: str) -> None:
            self.key = key
            super().__init__()

    def compose_body(self) -> ComposeResult:
        yield RowTable[CauseRow](
            (
                Column("", 1, priority=0),
                Column("L", 1, priority=0),
                Column("cause", 0, priority=0),
                Column("", 10, priority=1, align="right"),
            ),
            key_of=lambda row: row.key,
            cells_of=cause_cells,
            header=False,
            id="causes-table",
        )

    @property
    def table(self) -> RowTable[CauseRow]:
        return self.query_one(RowTable)

    def show(self, causes: Sequence[Finding], related: frozenset[str] | None, empty: str) -> None:
        """Show these causes; those not `related` to the focus are dimmed. `empty` says why there is none."""
        self.table.empty_text = empty
        self.table.show(cause_rows(causes, related))

    def on_row_table_row_highlighted(self, event: RowTable.RowHighlighted) -> None:
        event.stop()
        self.post_message(self.CauseHighlighted(_finding_key(event.key), moved=event.moved))

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        self.post_message(self.CausePicked(_finding_key(event.key)))


_MORE: Final = "\x00more"
"""Suffix of the key of a line that stands for several findings; no key holds this character."""


def _finding_key(key: object) -> str:
    return str(key).removesuffix(_MORE)


def cause_rows(causes: Sequence[Finding], related: frozenset[str] | None) -> list[CauseRow]:
    """Return the lines for `causes`, consequences right below their cause."""
    rows: list[CauseRow] = []
    for cause in causes:
        dimmed = related is not None and cause.key not in related
        rows.append(CauseRow(cause.key, cause, dimmed=dimmed))
        shown = cause.consequences[:_SHOWN]
        more = cause.consequences[_SHOWN:]
        for number, consequence in enumerate(shown):
            last = not more and number == len(shown) - 1
            rows.append(CauseRow(consequence.key, consequence, cause, last, dimmed=dimmed))
        if more:
            rows.append(CauseRow(cause.key + _MORE, cause, cause, True, len(more), dimmed))
    return rows


def cause_cells(row: CauseRow) -> tuple[Cell, ...]:
    """Return the cells: glyph, layer, title, how many it explains or shows it."""
    finding = row.finding
    if row.more:
        objects = sum(item.count for item in finding.consequences[_SHOWN:])
        return ("", "", (f"└ and {row.more} more that follow", "dim"), (f"×{objects}", "dim"))
    times = f"×{finding.count}" if finding.count > 1 else ""
    if row.cause is not None:
        return ("", "", (f"{'└' if row.last else '├'} {finding.title}", "dim"), (times, "dim"))
    role = "dim" if row.dimmed else SEVERITY_ROLE[finding.severity]
    title_role = "dim" if row.dimmed else "strong"
    count = _following(finding.explains) if finding.explains else times
    layer = str(finding.layer.value)
    return ((SEVERITY[finding.severity], role), (layer, role), (finding.title, title_role), (count, "dim"))


def _following(count: int) -> str:
    return f"{count} follow{'s' if count == 1 else ''}"
