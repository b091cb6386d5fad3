"""The causes: what is broken, gravest first, with what only follows from it folded below."""

from collections.abc import Sequence
from typing import Final

import msgspec
from textual.app import ComposeResult
from textual.message import Message

from situation.findings import Finding
from widgets.columns import Cell, Column
from widgets.families import Family, FamilyKey, fold_families
from widgets.glyphs import SEVERITY, SEVERITY_ROLE
from widgets.pane import Pane
from widgets.table import RowTable

_SHOWN: Final = 3
"""Consequences listed under a cause; the rest is a number."""


class CauseRow(msgspec.Struct, frozen=True):
    """One line: a cause, one of its consequences, how many more there are, or the rest of a family."""

    key: str | FamilyKey
    """`Finding.key`; the line for further consequences carries the cause's key and a suffix."""
    finding: Finding
    cause: Finding | None = None
    """The cause it follows from."""
    last: bool = False
    more: tuple[Finding, ...] = ()
    """Stands for these further consequences."""
    family: Family | None = None
    """Stands for these causes; `finding` is the first of them."""
    is_open: bool = False
    """They are listed below it."""
    is_withdrawn: bool = False
    """It was proven when it was selected, and no longer is."""
    dimmed: bool = False


class CausesPane(Pane):
    """A table of causes. Moving the cursor shows a finding's evidence; enter focuses everything on it.

    Big families are folded to three and a line for the rest; enter on that line opens and closes them.
    """

    TITLE = "Causes"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._opened: set[FamilyKey] = set()
        self._shown: tuple[Sequence[Finding], frozenset[str] | None, frozenset[str], str] = ((), None, frozenset(), "")

    class CauseHighlighted(Message):
        """The cursor came to a finding, or to the line of a family."""

        def __init__(self, key: str | FamilyKey, *, moved: bool) -> None:
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

    def show(
        self,
        causes: Sequence[Finding],
        related: frozenset[str] | None,
        empty: str,
        kept: frozenset[str] = frozenset(),
        withdrawn: str = "",
    ) -> None:
        """Show these causes; those not `related` to the focus are dimmed.

        `empty` says why there is none; what has its key in `kept` is listed whatever is folded; `withdrawn` is the key
        of the one among them that is history.
        """
        self.table.empty_text = empty
        self._shown = (causes, related, kept, withdrawn)
        self._list()

    def _list(self) -> None:
        causes, related, kept, withdrawn = self._shown
        self.table.show(cause_rows(causes, related, kept, frozenset(self._opened), withdrawn))

    def on_row_table_row_highlighted(self, event: RowTable.RowHighlighted) -> None:
        event.stop()
        self.post_message(self.CauseHighlighted(_finding_key(event.key), moved=event.moved))

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        key = _finding_key(event.key)
        if isinstance(key, FamilyKey):
            self._opened ^= {key}
            self._list()
        else:
            self.post_message(self.CausePicked(key))


_MORE: Final = "\x00more"
"""Suffix of the key of a line that stands for several findings; no key holds this character."""


def _finding_key(key: str | FamilyKey) -> str | FamilyKey:
    return key if isinstance(key, FamilyKey) else key.removesuffix(_MORE)


def cause_rows(
    causes: Sequence[Finding],
    related: frozenset[str] | None,
    kept: frozenset[str] = frozenset(),
    opened: frozenset[FamilyKey] = frozenset(),
    withdrawn: str = "",
) -> list[CauseRow]:
    """Return the lines for `causes`: consequences right below their cause, the rest of big families at the end."""
    folded = fold_families(causes, kept, opened)
    rows: list[CauseRow] = []
    for cause in folded.listed:
        rows += _rows_of(cause, related, kept, withdrawn)
    for family in folded.families:
        is_open = family.key in opened
        dimmed = related is not None and not any(cause.key in related for cause in family.rest)
        rows.append(CauseRow(family.key, family.rest[0], family=family, is_open=is_open, dimmed=dimmed))
        for cause in family.rest if is_open else ():
            rows += _rows_of(cause, related, kept, withdrawn)
    return rows


def _rows_of(cause: Finding, related: frozenset[str] | None, kept: frozenset[str], withdrawn: str) -> list[CauseRow]:
    dimmed = related is not None and cause.key not in related
    rows = [CauseRow(cause.key, cause, is_withdrawn=cause.key == withdrawn, dimmed=dimmed)]
    beyond = cause.consequences[_SHOWN:]
    shown = (*cause.consequences[:_SHOWN], *(item for item in beyond if item.key in kept))
    more = tuple(item for item in beyond if item.key not in kept)
    for number, consequence in enumerate(shown):
        last = not more and number == len(shown) - 1
        rows.append(CauseRow(consequence.key, consequence, cause, last, dimmed=dimmed))
    if more:
        rows.append(CauseRow(cause.key + _MORE, cause, cause, True, more, dimmed=dimmed))
    return rows


def cause_cells(row: CauseRow) -> tuple[Cell, ...]:
    """Return the cells: glyph, layer, title, how many it explains or shows it."""
    finding = row.finding
    if row.more:
        objects = sum(item.count for item in row.more)
        return ("", "", (f"└ and {len(row.more)} more that follow", "dim"), (f"×{objects}", "dim"))
    times = f"×{finding.count}" if finding.count > 1 else ""
    if row.cause is not None:
        return ("", "", (f"{'└' if row.last else '├'} {finding.title}", "dim"), (times, "dim"))
    layer = str(finding.layer.value)
    if row.is_withdrawn:
        return (("·", "dim"), (layer, "dim"), (f"withdrawn: {finding.title}", "dim"), "")
    role = "dim" if row.dimmed else SEVERITY_ROLE[finding.severity]
    title_role = "dim" if row.dimmed else "strong"
    if row.family is not None:
        title, sign = row.family.text, "−" if row.is_open else "+"
        count = _following(row.family.explains) if row.family.explains else f"×{row.family.count}"
        return ((SEVERITY[finding.severity], role), (layer, role), (f"{sign} {title}", title_role), (count, "dim"))
    count = _following(finding.explains) if finding.explains else times
    return ((SEVERITY[finding.severity], role), (layer, role), (finding.title, title_role), (count, "dim"))


def _following(count: int) -> str:
    return f"{count} follow{'s' if count == 1 else ''}"
