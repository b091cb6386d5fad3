"""The pane of model servers: models with their servers as a table, and below it one server in full."""

from collections.abc import Callable
from typing import Final

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.message import Message

from widgets.heights import set_height
from widgets.pane import Pane
from widgets.table import RowTable
from widgets.vllm_detail import ServerDetail, VllmDetail
from widgets.vllm_table import RowKey, RowKind, ServingRow, ServingTable

_LEAST_ROWS: Final = 3
"""Lines of the table, its header included, before the detail gets any."""
_TABLE_SHARE: Final = 0.6
"""Of the lines, for which the detail does not push the table below its rows: which model comes before why."""


class VllmView(msgspec.Struct, frozen=True):
    """What the pane shows."""

    rows: tuple[ServingRow, ...] = ()
    shown: RowKey | None = None
    """The line that the detail is about."""
    detail: ServerDetail | None = None
    empty: str = ""


def table_lines(room: int, rows: int, detail: int) -> int:
    """Return the lines of the table, its header included, of `room` for both; what it does not need is the detail's."""
    wanted = rows + 1
    return max(0, min(room, wanted, max(room - detail, round(room * _TABLE_SHARE), _LEAST_ROWS)))


class VllmPane(Pane):
    """Composes table and detail, and tells what was picked."""

    TITLE = "vLLM"
    DEFAULT_CSS = """
    VllmPane VllmDetail { height: 1fr; }
    """

    class RowPicked(Message):
        """A model, a server, an engine or the rest of a model's servers was picked."""

        def __init__(self, key: RowKey) -> None:
            self.key = key
            super().__init__()

    class RowLookedAt(Message):
        """Somebody moved the cursor to another line."""

        def __init__(self, key: RowKey) -> None:
            self.key = key
            super().__init__()

    def compose_body(self) -> ComposeResult:
        yield ServingTable(id="vllm-table")
        yield VllmDetail(id="vllm-detail")

    @property
    def table(self) -> ServingTable:
        return self.query_one(ServingTable)

    @property
    def detail(self) -> VllmDetail:
        return self.query_one(VllmDetail)

    @property
    def line_count(self) -> int:
        """Lines that are worth having, the title included."""
        return 2 + max(1, self.table.row_count) + self.detail.line_count

    def show(self, view: VllmView, curve_of: Callable[[RowKey], bytes]) -> None:
        """Show this; `curve_of` gives the queue of a line, and is asked for visible lines only."""
        table = self.table
        table.empty_text = view.empty
        table.show_with(view.rows, curve_of)
        if view.shown is not None and not table.has_focus:
            table.move_to(view.shown)
        self.detail.show(view.detail)
        self.fit()

    def fit(self) -> None:
        """Share the lines that the pane has between table and detail."""
        table = self.table
        lines = table_lines(self.size.height - 1, max(1, table.row_count), self.detail.line_count)
        set_height(table, lines)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.fit)

    def on_row_table_row_highlighted(self, event: RowTable.RowHighlighted) -> None:
        event.stop()
        if event.moved:
            self.post_message(self.RowLookedAt(event.key))

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        self.post_message(self.RowPicked(event.key))

    def go(self) -> None:
        """Give the keyboard to the table; again, to the next model."""
        table = self.table
        if not table.has_focus:
            table.focus()
        elif (after := next_model(table.keys, table.cursor_row)) is not None:
            table.go_to(after)


def next_model(keys: tuple[RowKey, ...], row: int) -> RowKey | None:
    """Return the line of the next model behind `row`, after the last the first; None without any."""
    heads = [number for number, key in enumerate(keys) if key.kind is RowKind.MODEL]
    if not heads:
        return None
    return keys[next((number for number in heads if number > row), heads[0])]
