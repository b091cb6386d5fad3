"""The timeline panel: what happened in order, newest last, with the whole of the entry under the cursor below."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from situation.readings import SourceState
from widgets.columns import Cell, Column
from widgets.glyphs import color
from widgets.key_hints import named_keys, shown_keys
from widgets.pane import Pane, PaneState
from widgets.table import RowTable
from widgets.wrapping import wrapped

_KEYS: Final = (
    ("table.select", "enter", "focus"),
    ("note", "m", "note"),
    ("filter", "/", "filter"),
    ("timeline", "t", "close"),
)
_USUAL: Final[Mapping[str, str]] = {}
_DETAIL_LINES: Final = 12


class TimelineRow(msgspec.Struct, frozen=True):
    """One entry as it is shown."""

    number: int
    time: str
    """UTC."""
    glyph: str
    word: str
    role: str
    who: str
    text: str
    """The whole of it."""
    short: str
    """What of it stands in the line."""
    detail: tuple[str, ...] = ()
    """Said of it besides the whole text: its times with date and zone, what it is about."""


class TimelinePane(Pane):
    """The timeline as a side panel."""

    TITLE = "Timeline"

    DEFAULT_CSS = """
    TimelinePane { padding: 0 0 0 1; }
    TimelinePane #timeline-detail { height: auto; max-height: 50%; border-top: solid $midwatch-dim; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", show=False, id="timeline.close", tooltip="Close the timeline"),
    ]

    class EntryPicked(Message):
        """An entry was picked, by its number."""

        def __init__(self, number: int) -> None:
            self.number = number
            super().__init__()

    class CloseWanted(Message):
        """The panel has done its work."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: dict[int, TimelineRow] = {}
        self._problem = ""

    def compose_body(self) -> ComposeResult:
        yield RowTable[TimelineRow](
            (
                Column("time", 8, priority=1),
                Column("what", 13, priority=2, least=10),
                Column("who", 8, priority=3, least=5),
                Column("text", 0, priority=0),
            ),
            key_of=lambda row: row.number,
            cells_of=timeline_cells,
            header=False,
            id="timeline-table",
        )
        yield Static(id="timeline-detail", markup=False)

    @property
    def table(self) -> RowTable[TimelineRow]:
        return self.query_one(RowTable)

    def show(self, rows: Sequence[TimelineRow], empty: str, problem: str = "") -> None:
        """Show these rows, newest last; the cursor stays with the newest while it is on it."""
        table = self.table
        was_last = table.cursor_row >= table.row_count - 1
        self._rows = {row.number: row for row in rows}
        self._problem = problem
        table.empty_text = empty
        table.show(rows)
        if was_last and rows:
            table.move_to(rows[-1].number)
        self._draw_detail()

    def tell_log(self, status: str, note: str, *, is_kept: bool) -> None:
        """Say what becomes of the entries."""
        self.tell(PaneState(SourceState.LIVE if is_kept else SourceState.STALE, word=status), note)

    def on_row_table_row_highlighted(self, message: RowTable.RowHighlighted) -> None:
        message.stop()
        self._draw_detail()

    def on_row_table_row_selected(self, message: RowTable.RowSelected) -> None:
        message.stop()
        self.post_message(self.EntryPicked(message.key))

    def action_close(self) -> None:
        self.post_message(self.CloseWanted())

    def on_resize(self) -> None:
        self._draw_detail()

    def _draw_detail(self) -> None:
        detail = self.query_one("#timeline-detail", Static)
        width = max(20, self.size.width - 3)
        row = self._rows.get(self.table.cursor_key) if self.table.cursor_key is not None else None
        detail.update(detail_content(row, self._problem, width, shown_keys(self.screen)))


def timeline_cells(row: TimelineRow) -> tuple[Cell, ...]:
    """Return the cells of a row: time, what happened, who did it, text."""
    return ((row.time, "dim"), (f"{row.glyph} {row.word}", row.role), (row.who, "special"), row.short)


def detail_content(row: TimelineRow | None, problem: str, width: int, shown: Mapping[str, str] = _USUAL) -> Content:
    """Build what stands below the rows, for a width in cells: the whole entry under the cursor, and the keys.

    `shown` has the keys that are known by the ids of their bindings.
    """
    lines = [Content.styled(text, color("warning", "bold")) for text in (wrapped(problem, width) if problem else ())]
    if row is not None:
        text = wrapped(row.text, width)
        if len(text) > _DETAIL_LINES:
            text = [*text[: _DETAIL_LINES - 1], "…"]
        lines += [Content(line) for line in text]
        lines += [Content.styled(line, color("dim")) for item in row.detail for line in wrapped(item, width)]
    lines += [Content.styled(line, color("dim")) for line in wrapped(named_keys(_KEYS, shown), width)]
    return Content("\n").join(lines)
