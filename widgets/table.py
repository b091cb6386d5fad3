"""A table for tens of thousands of rows: only visible lines are ever built, and only changed ones are sent."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from situation.boundary import Boundary, Fault
from widgets.columns import Cell, Column
from widgets.displacement import Displacement
from widgets.row_styles import CLASSES, CSS, RowStyles
from widgets.table_lines import Drawn, TableLines

__all__ = ["Cell", "Column", "RowTable"]

T = TypeVar("T")

_UNKNOWN: Final = object()


class _RowMessage(Message):
    """Something happened to the row with this key."""

    def __init__(self, table: "RowTable[Any]", key: Any) -> None:
        super().__init__()
        self.table = table
        self.key = key

    @property
    def control(self) -> "RowTable[Any]":
        return self.table


class RowTable(ScrollView, Generic[T], can_focus=True, inherit_bindings=False):
    """Items as rows with a cursor, under a fixed header. `cells_of` is asked for visible items only."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = CLASSES
    DEFAULT_CSS = CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, tooltip="Next row", id="table.down"),
        Binding("k,up", "move(-1)", "Up", show=False, tooltip="Previous row", id="table.up"),
        Binding("pagedown", "page(1)", "Page down", show=False, tooltip="A screenful down", id="table.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, tooltip="A screenful up", id="table.page_up"),
        Binding("home", "first", "First row", show=False, tooltip="First row", id="table.first"),
        Binding("end", "last", "Last row", show=False, tooltip="Last row", id="table.last"),
        Binding("enter", "select", "Focus", show=False, tooltip="Relate everything to this row", id="table.select"),
    ]

    empty_text: reactive[str] = reactive("")
    """Shown while there are no rows: `no pods`, `reading pods ...`, `forbidden: ...`."""

    class RowHighlighted(_RowMessage):
        """The cursor is on another row now."""

        def __init__(self, table: "RowTable[Any]", key: Any, *, moved: bool) -> None:
            super().__init__(table, key)
            self.moved = moved
            """By the person; False when the row that had it went, the first rows came, or the program moved it."""

    class RowSelected(_RowMessage):
        """A row was chosen with enter or the mouse."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        key_of: Callable[[T], Hashable],
        cells_of: Callable[[T], tuple[Cell, ...]],
        header: bool = True,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._columns = tuple(columns)
        self._key_of = key_of
        self._cells_of = cells_of
        self._top = 1 if header else 0
        self._items: Sequence[T] = ()
        self._boundary = Boundary()
        self._position: Callable[[Any], int | None] = {}.get
        self._cursor = 0
        self.displacement = Displacement()
        """Of the row under the cursor, while the table has the keyboard."""
        self._style = RowStyles(self)
        self._lines = TableLines(self._columns, self._style, airy=header)
        self._drawn: dict[int, Drawn | None] = {}
        """What lines show, None those below the last row; of others it is not known what stands there."""

    # Rows

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self._items)

    @property
    def cursor_row(self) -> int:
        """Number of the row with the cursor, from 0."""
        return self._cursor

    @property
    def cursor_key(self) -> Any:
        """Key of the row with the cursor; None while there are no rows."""
        return self._key_of(self._items[self._cursor]) if self._items else None

    @property
    def visible_keys(self) -> tuple[Any, ...]:
        """Keys of the rows that can be seen, from the top; none while the table is hidden."""
        if not self.is_on_screen:
            return ()
        first = self.scroll_offset.y
        return tuple(map(self._key_of, self._items[first : first + self._room]))

    def show(
        self,
        items: Sequence[T],
        changed: Collection[Hashable] | None = None,
        position: Callable[[Any], int | None] | None = None,
    ) -> None:
        """Show these items; the cursor stays on its key, the scroll position stays, equal lines are not sent again.

        `changed` promises that keys and their order are as before, and names those of which the cells may differ.
        `position` finds the row of a key where the items can tell it themselves; without it they are all gone through.
        `items` must not be changed afterwards. Raises ValueError when two items have one key.
        """
        if changed is not None and len(items) == len(self._items):
            self._items = items
            self._refresh_changed(self._lines_of(changed))
            return
        if position is None:
            index = {self._key_of(item): number for number, item in enumerate(items)}
            if len(index) != len(items):
                raise ValueError("two rows have one key")
            position = index.get
        before, was_empty = self.cursor_key, not self._items
        self._items, self._position = items, position
        row = position(before) if before is not None else None
        self._cursor = max(0, min(self._cursor, len(items) - 1)) if row is None else row
        self._fit_scrolling()
        if was_empty or not items:
            self.refresh()
        else:
            self._refresh_changed(range(self._top, self.size.height))
        if items and self.cursor_key != before:
            if before is not None:
                self._displaced()
            self.post_message(self.RowHighlighted(self, self.cursor_key, moved=False))

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Have these columns from now on; `cells_of` gives the cells of them."""
        self._columns = tuple(columns)
        self._lines = TableLines(self._columns, self._style, airy=self._top > 0)
        self._drawn.clear()
        self.refresh()

    def repaint(self) -> None:
        """Ask for the cells of every visible row again: the ages in them pass without any change of an item."""
        self._refresh_changed(range(self._top, self.size.height))

    def _lines_of(self, keys: Collection[Hashable]) -> Iterable[int]:
        """Lines of the widget in which rows with these keys are visible."""
        first, height = self.scroll_offset.y, self.size.height
        if len(keys) > height:
            return range(self._top, height)
        rows = map(self._position, keys)
        lines = (row - first + self._top for row in rows if row is not None)
        return [y for y in lines if self._top <= y < height]

    def _fit_scrolling(self) -> None:
        """Follow the number of rows; the screen is laid out again only when the scroll bar comes or goes."""
        size = Size(self._width, len(self._items) + self._top)
        if size == self.virtual_size:
            return
        if (size.height > self.container_size.height) != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(Widget.virtual_size, size)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = size.height
        if self.scroll_y > self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    # The cursor

    def move_to(self, key: Hashable, *, asked: bool = True) -> bool:
        """Put the cursor on the row with this key and show it; tell whether there is one.

        `asked`: because of what the person did, not because the rows changed.
        """
        row = self._position(key)
        if row is None:
            return False
        if row != self._cursor and not asked:
            self._displaced()
        self._move(row, moved=False)
        return True

    def _displaced(self) -> None:
        """Note that another row took the place of the one that the person saw under the cursor."""
        if self.has_focus:
            self.displacement.note()

    def action_move(self, rows: int) -> None:
        self._move(self._cursor + rows, moved=True)

    def action_page(self, pages: int) -> None:
        self._move(self._cursor + pages * self._room, moved=True)

    def action_first(self) -> None:
        self._move(0, moved=True)

    def action_last(self) -> None:
        self._move(len(self._items) - 1, moved=True)

    def action_select(self) -> None:
        if not self._items:
            return
        if self.displacement.take():
            self.notify("Another row took this place just now: once more, if it is meant", markup=False)
        else:
            self.post_message(self.RowSelected(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < self._top:
            return
        row = self.scroll_offset.y + offset.y - self._top
        if row < len(self._items):
            self._move(row, moved=True)
            self.post_message(self.RowSelected(self, self.cursor_key))

    def _move(self, row: int, *, moved: bool) -> None:
        if not self._items:
            return
        row = max(0, min(row, len(self._items) - 1))
        if moved:
            self.displacement.forget()
        before, self._cursor = self._cursor, row
        self._bring_into_view(row)
        if row != before:
            keys = [self._key_of(self._items[number]) for number in (before, row)]
            self._refresh_changed(self._lines_of(keys))
            self.post_message(self.RowHighlighted(self, keys[1], moved=moved))

    def _bring_into_view(self, row: int) -> None:
        first = self.scroll_offset.y
        wanted = min(first, row) if row < first + self._room else row - self._room + 1
        if wanted != first:
            self.scroll_to(y=wanted, animate=False, immediate=True)

    @property
    def _room(self) -> int:
        """How many rows are visible at once."""
        return max(1, self.size.height - self._top)

    # Drawing

    def watch_empty_text(self) -> None:
        if not self._items:
            self.refresh()

    def notify_style_update(self) -> None:
        self._style.forget()
        self._forget_lines()
        super().notify_style_update()

    def on_resize(self) -> None:
        self._forget_lines()
        self._fit_scrolling()

    def _forget_lines(self) -> None:
        self._lines.forget()
        self._drawn.clear()

    def _refresh_changed(self, lines: Iterable[int]) -> None:
        """Send those of the lines (counted from the top of the widget) that look different now."""
        width = self.size.width
        regions = [Region(0, y, width, 1) for y in lines if self._wanted(y) != self._drawn.get(y, _UNKNOWN)]
        if regions:
            self.refresh(*regions)

    def _wanted(self, y: int) -> Drawn | None:
        """What line `y` should show; None below the last row."""
        row = self.scroll_offset.y + y - self._top
        if row >= len(self._items):
            return None
        cursor = "" if row != self._cursor else "focus" if self.has_focus else "blur"
        cells = self._boundary.attempt("table", self._cells_of, self._items[row])
        return Drawn((cells.text,) * len(self._columns) if isinstance(cells, Fault) else cells, cursor)

    def render_line(self, y: int) -> Strip:
        """Build line `y` of the widget, or take it from those that are kept."""
        lines = self._lines
        lines.width = self._width
        if y < self._top:
            return lines.header()
        if not self._items:
            return lines.empty(self.empty_text, y - self._top)
        wanted = self._wanted(y)
        self._drawn[y] = wanted
        return lines.blank() if wanted is None else lines.row(wanted)

    @property
    def _width(self) -> int:
        """Cells of a line: the scroll bar stands beside it, not on it."""
        return self.scrollable_content_region.width
