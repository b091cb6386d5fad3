"""Columns of a table and the lines made of them: pure functions from text to segments. Text is never markup."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from situation.text import halved, harmless

ELLIPSIS: Final = "…"
LEAST_FLEXIBLE: Final = 20
"""Cells that a flexible column must get before other columns may be shown."""

LEAST_HALVED: Final = 16
"""Cells in which both ends of a name say something: a pod's own part of it is ten characters long and a dash."""

Cell = str | tuple[str, str]
"""Text, or (text, role): `critical`, `warning`, `info`, `fine`, `waiting`, `special`, `dim`, `focus` or `strong`."""


class Column(NamedTuple):
    """How a column is drawn."""

    title: str
    width: int
    """Cells; 0: takes what the others leave, at most one column of a table."""
    priority: int = 0
    """0 is kept longest; when the table is too narrow, the column with the highest number goes first."""
    align: Literal["left", "right"] = "left"
    least: int = 0
    """Cells to which it may shrink before other columns go; 0: it does not shrink."""
    keeps_end: bool = False
    """Names that are too long are cut in the middle: what tells pods of one workload apart stands at the end."""


class Layout(NamedTuple):
    """Which columns are shown in a given width, and how wide."""

    shown: tuple[tuple[int, int], ...]
    """(index of the column, width in cells) from left to right."""
    gap: int


def lay_out(columns: Sequence[Column], width: int, *, airy: bool = False) -> Layout:
    """Choose the columns that fit into `width` cells; the last one left is cut to fit.

    Columns are one cell apart, with `airy` two if they all fit then.
    """
    if not columns or width <= 0:
        return Layout((), 1)
    shown = list(range(len(columns)))
    if airy and _needed(columns, shown, 2) <= width:
        return _widened(columns, shown, 2, width)
    while len(shown) > 1 and _needed(columns, shown, 1) > width:
        shown.remove(max(shown, key=lambda index: (columns[index].priority, index)))
    return _widened(columns, shown, 1, width)


def _needed(columns: Sequence[Column], shown: Sequence[int], gap: int) -> int:
    return sum(_least(columns[index]) for index in shown) + gap * (len(shown) - 1)


def _least(column: Column) -> int:
    return column.least or column.width or LEAST_FLEXIBLE


def _widened(columns: Sequence[Column], shown: Sequence[int], gap: int, width: int) -> Layout:
    """Give what is to spare to the columns that shrank, from the left, and the rest to the flexible one."""
    spare = max(0, width - _needed(columns, shown, gap))
    widths: list[tuple[int, int]] = []
    for index in shown:
        column = columns[index]
        grown = min(spare, column.width - _least(column)) if column.width else 0
        spare -= grown
        widths.append((index, min(_least(column) + grown, width)))
    return Layout(tuple((index, room if columns[index].width else room + spare) for index, room in widths), gap)


def fit(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Return `text` in exactly `width` cells: padded, or cut with an ellipsis; a wide character is never halved."""
    if not text.isprintable():
        text = harmless(text)
    if text.isascii():
        length = len(text)
        if length > width:
            return text[: width - 1] + ELLIPSIS if width > 0 else ""
    else:
        length = cell_len(text)
        if length > width:
            return set_cell_size(text, width - 1) + ELLIPSIS if width > 0 else ""
    padding = " " * (width - length)
    return padding + text if align == "right" else text + padding


def fit_name(name: str, width: int) -> str:
    """Return a name in exactly `width` cells, cut in the middle; of what is no name of Kubernetes' only the start."""
    if not name.isascii() or " " in name or width < LEAST_HALVED:
        return fit(name, width)
    return fit(halved(name, width), width)


def folded(text: str, width: int, most: int) -> list[str]:
    """Return `text` as at most `most` lines of `width` cells, broken between words; what is left over is cut."""
    if cell_len(text) <= width or most <= 1:
        return [fit(text, min(cell_len(text), width))]
    words = text.split(" ")
    taken = next((count for count in range(len(words), 0, -1) if cell_len(" ".join(words[:count])) <= width), 0)
    if not taken:
        return [fit(text, width)]
    return [" ".join(words[:taken]), *folded(" ".join(words[taken:]), width, most - 1)]


def line(
    cells: Sequence[Cell], columns: Sequence[Column], layout: Layout, width: int, style_of: Callable[[str], Style]
) -> list[Segment]:
    """Return the segments of a row, `width` cells in all. `style_of` gives the style of a role, "" for none."""
    pieces: list[tuple[str, str]] = []
    used = 0
    for number, (index, room) in enumerate(layout.shown):
        cell = cells[index]
        text, role = (cell, "") if isinstance(cell, str) else cell
        column = columns[index]
        fitted = fit_name(text, room) if column.keeps_end else fit(text, room, column.align)
        if number:
            fitted = " " * layout.gap + fitted
        used += room + (layout.gap if number else 0)
        if pieces and (pieces[-1][1] == role or fitted.isspace()):
            pieces[-1] = (pieces[-1][0] + fitted, pieces[-1][1])
        else:
            pieces.append((fitted, role))
    if used < width:
        text, role = pieces.pop() if pieces else ("", "")
        pieces.append((text + " " * (width - used), role))
    return [Segment(text, style_of(role)) for text, role in pieces]
