"""The lines of a log: as wide as the screen, scrolled by keys, the telling lines and what is searched for marked."""

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from rich.cells import chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

_MARGIN: Final = "▸ "
_HIT: Final = "/ "
_PARTS: Final = ("title", "note", "time", "mark", "mild", "hit")
_STAMP_CELLS: Final = 9
"""`02:31:11 `."""
_NARROW_CELLS: Final = 60
"""On a narrower screen the times give way."""


class LogRow(msgspec.Struct, frozen=True):
    """One line of a log, or what is said between the lines."""

    text: str
    time: str = ""
    """`02:31:11`; empty where it is not known."""
    part: str = ""
    """`title` of a run, `note` for what is said instead of lines; else empty."""
    mark: str = ""
    """`mark` where a known fault is told, `mild` where something known is told that is not the fault; else empty."""


class _Piece(msgspec.Struct, frozen=True):
    """What of a row stands on one line of the screen."""

    row: int
    text: str
    first: bool


class LogView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows rows; those too long are broken, none is ever read as markup."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"logview--{part}" for part in _PARTS}
    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        width: 1fr;
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        & > .logview--title { color: $midwatch-focus; text-style: bold; }
        & > .logview--note { color: $midwatch-warning; }
        & > .logview--time { color: $midwatch-dim; }
        & > .logview--mark { color: $midwatch-critical; text-style: bold; }
        & > .logview--mild { color: $midwatch-warning; }
        & > .logview--hit { color: $midwatch-special; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, tooltip="Next line", id="log.down"),
        Binding("k,up", "move(-1)", "Up", show=False, tooltip="Previous line", id="log.up"),
        Binding("pagedown,space", "page(1)", "Page down", show=False, tooltip="A screenful down", id="log.page_down"),
        Binding("pageup,b", "page(-1)", "Page up", show=False, tooltip="A screenful up", id="log.page_up"),
        Binding("home,g", "first", "Start", show=False, tooltip="First line", id="log.first"),
        Binding("end,G", "last", "End", show=False, tooltip="Last line", id="log.last"),
    ]

    class WentTo(Message):
        """A key brought this row into view."""

        def __init__(self, row: int) -> None:
            self.row = row
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[LogRow, ...] = ()
        self._pieces: list[_Piece] = []
        self._starts: list[int] = []
        """Of each row, its first line on the screen."""
        self._hits: frozenset[int] = frozenset()
        self._words = ""
        self._at: int | None = None
        """Row that was gone to last; None once somebody scrolled away from it."""
        self._laid_out_at = 0
        self._stamp = 0
        """Cells that the times take."""
        self._styles: dict[str, Style] = {}

    # Rows

    def show(self, rows: Sequence[LogRow]) -> None:
        """Show these rows, from the first; a search goes on in them."""
        self._rows = tuple(rows)
        self._at = None
        self._find()
        self._lay_out()
        self.scroll_to(y=0, animate=False, immediate=True)

    @property
    def words(self) -> str:
        """What is searched for."""
        return self._words

    @property
    def hits(self) -> int:
        """How many rows hold it."""
        return len(self._hits)

    def search(self, words: str) -> None:
        """Mark the rows that hold these words, in small or capital letters; go to the next of them."""
        if words == self._words:
            return
        self._words = words
        self._find()
        self.refresh()
        if self._hits:
            self.go_on(0)

    def _find(self) -> None:
        wanted = self._words.casefold()
        rows = enumerate(self._rows) if wanted else ()
        self._hits = frozenset(number for number, row in rows if not row.part and wanted in row.text.casefold())

    def go_on(self, by: int) -> bool:
        """Go to the next (1) or previous (-1) row with the search in it, or that is marked; 0 stays if it can.

        From the last it goes to the first. Tells whether there is any.
        """
        places = sorted(self._hits) if self._words else [n for n, row in enumerate(self._rows) if row.mark]
        if not places:
            return False
        top = self._pieces[self.scroll_offset.y].row if self.scroll_offset.y < len(self._pieces) else 0
        at = self._at if self._at is not None else top - (by > 0)
        if by == 0:
            ahead = [place for place in places if place >= top]
        elif by > 0:
            ahead = [place for place in places if place > at]
        else:
            ahead = [place for place in reversed(places) if place < at]
        row = ahead[0] if ahead else places[0] if by >= 0 else places[-1]
        self.go_to(row)
        self.post_message(self.WentTo(row))
        return True

    def go_to(self, row: int) -> None:
        """Bring a row into view, with what led to it above."""
        self._at = row
        if row < len(self._starts):
            self.scroll_to(y=max(0, self._starts[row] - self.size.height // 3), animate=False, immediate=True)

    # Keys

    def action_move(self, lines: int) -> None:
        self._at = None
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False, immediate=True)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.size.height - 1))

    def action_first(self) -> None:
        self._at = None
        self.scroll_to(y=0, animate=False, immediate=True)

    def action_last(self) -> None:
        self._at = None
        self.scroll_to(y=self.virtual_size.height, animate=False, immediate=True)

    # Drawing

    def on_resize(self) -> None:
        if self.scrollable_content_region.width != self._laid_out_at:
            self._lay_out()

    def _lay_out(self) -> None:
        width = self._laid_out_at = self.scrollable_content_region.width
        top = self._pieces[self.scroll_offset.y].row if self.scroll_offset.y < len(self._pieces) else 0
        self._pieces, self._starts = [], []
        if width <= 0:
            return
        self._stamp = _STAMP_CELLS if width >= _NARROW_CELLS and any(row.time for row in self._rows) else 0
        for number, row in enumerate(self._rows):
            self._starts.append(len(self._pieces))
            pieces = _broken(row.text, max(8, width - len(_MARGIN) - self._stamp))
            self._pieces += [_Piece(number, text, first=place == 0) for place, text in enumerate(pieces)]
        self.virtual_size = Size(width, len(self._pieces))
        if self._starts:
            self.scroll_to(y=self._starts[min(top, len(self._starts) - 1)], animate=False, immediate=True)
        self.refresh()

    def notify_style_update(self) -> None:
        self._styles.clear()
        super().notify_style_update()

    def _style(self, part: str) -> Style:
        if not part:
            return self.rich_style
        style = self._styles.get(part)
        if style is None:
            style = self._styles[part] = self.get_component_rich_style(f"logview--{part}")
        return style

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        place = self.scroll_offset.y + y
        if place >= len(self._pieces):
            return Strip.blank(width, self.rich_style)
        piece = self._pieces[place]
        row = self._rows[piece.row]
        hit = piece.row in self._hits
        part = row.part or row.mark or ("hit" if hit else "")
        margin = "  " if not piece.first or row.part else _MARGIN if row.mark else _HIT if hit else "  "
        segments = [Segment(margin, self._style("hit" if margin == _HIT else part))]
        if self._stamp and not row.part:
            segments.append(Segment(f"{row.time if piece.first else '':<{self._stamp}}", self._style("time")))
        segments.append(Segment(piece.text, self._style("hit" if hit else part)))
        return Strip(segments).adjust_cell_length(width, self.rich_style)


def _broken(text: str, width: int) -> list[str]:
    """Break a line into pieces of at most `width` cells: at a blank in their last third, else anywhere."""
    if not text.isascii():
        return chop_cells(text, width) or [""]
    pieces, start = [], 0
    while len(text) - start > width:
        blank = text.rfind(" ", start + width * 2 // 3, start + width)
        end = blank + 1 if blank >= 0 else start + width
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]
