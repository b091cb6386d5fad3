"""The lines of a table as strips: laid out for a width, built once for what they show, and kept."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.segment import Segment
from textual.strip import Strip

from widgets.columns import Cell, Column, Layout, fit, lay_out, line
from widgets.row_styles import RowStyles
from widgets.wrapping import wrapped

_KEPT: Final = 1000
"""Lines that are kept for scrolling back and forth."""


class Drawn(NamedTuple):
    """What a line shows; the line is sent again only when this changes."""

    cells: tuple[Cell, ...]
    cursor: str
    """`focus` or `blur` in the row with the cursor, else empty."""


class TableLines:
    """Builds the lines of a table, all of the same columns and as wide as `width` says."""

    def __init__(self, columns: Sequence[Column], styles: RowStyles, *, airy: bool) -> None:
        """`airy` sets columns further apart where all of them fit then."""
        self._columns = columns
        self._style = styles
        self._airy = airy
        self._width = 0
        self._layout = Layout((), 1)
        self._kept: dict[Drawn, Strip] = {}

    @property
    def width(self) -> int:
        """Cells of a line; another width lays the columns out again."""
        return self._width

    @width.setter
    def width(self, cells: int) -> None:
        if cells != self._width:
            self._width, self._layout = cells, lay_out(self._columns, cells, airy=self._airy)
            self._kept.clear()

    def row(self, drawn: Drawn) -> Strip:
        """Return the line of a row, as it was built before if it showed the same."""
        strip = self._kept.get(drawn)
        if strip is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            strip = self._kept[drawn] = self._strip(drawn.cells, drawn.cursor)
        return strip

    def header(self) -> Strip:
        """Return the line of the columns' titles."""
        return self._strip([column.title for column in self._columns], "header")

    def empty(self, text: str, number: int) -> Strip:
        """Return line `number` of what is said while there are no rows."""
        lines = wrapped(text, max(1, self._width - 2))
        shown = f" {lines[number]}" if number < len(lines) else ""
        return Strip([Segment(fit(shown, self._width), self._style("empty", ""))], self._width)

    def blank(self) -> Strip:
        """Return a line below the last row."""
        return Strip.blank(self._width, self._style("", ""))

    def forget(self) -> None:
        """Build every line anew."""
        self._kept.clear()

    def _strip(self, cells: Sequence[Cell], sort: str) -> Strip:
        segments = line(cells, self._columns, self._layout, self._width, lambda role: self._style(sort, role))
        return Strip(segments, self._width)
