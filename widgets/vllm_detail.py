"""One model server in full: how its queue moves, its last minutes as small plots, figures, arguments, models."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from widgets.blocks import tall_curve
from widgets.columns import fit
from widgets.glyphs import color
from widgets.vllm_states import LOOK, RowState
from widgets.wrapping import wrapped

CURVE: Final = 30
"""Cells of a plot at most, which is how many values of it can be seen."""
_LEAST_CURVE: Final = 8
_NAME: Final = 8
_VALUE: Final = 12
"""Cells for the value of now, and its limit."""
_PLOT: Final = _NAME + 1 + 10 + 1 + _VALUE
"""Cells that a plot takes at least where several stand side by side."""
_BETWEEN: Final = 3
_TALLEST: Final = 3
"""Lines that a plot may have where there is room."""
_FACT: Final = 11
"""Cells for the name of a fact."""


class Words(NamedTuple):
    """A stretch of a line."""

    text: str
    role: str = ""


class Plot(msgspec.Struct, frozen=True):
    """A figure over the last minutes."""

    name: str
    heights: bytes
    """0 to 100, oldest first; `NOT_MEASURED` where a step had no observation."""
    text: str
    """What it is now, and what it can be at most."""
    role: str = ""


class ServerDetail(msgspec.Struct, frozen=True):
    """All that is told of one server."""

    title: str
    state: RowState
    why: str = ""
    """What the state rests on, where that tells more than the state."""
    about: tuple[str, ...] = ()
    """Where it runs, what it is, who told and how long ago."""
    remarks: tuple[Words, ...] = ()
    """What its figures mean, the gravest first."""
    plots: tuple[Plot, ...] = ()
    """The most telling first; empty where nothing was ever measured."""
    facts: tuple[tuple[str, Words], ...] = ()
    """(name, words): latencies, arguments, models."""
    is_past: bool = False


class VllmDetail(Widget):
    """Draws a ServerDetail in the lines that it is given: first what matters most."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    VllmDetail { width: 1fr; height: 4; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._detail: ServerDetail | None = None

    @property
    def line_count(self) -> int:
        """Lines that all of it takes at this width, plots of one line each."""
        return len(detail_lines(self._detail, self._width, 0)) if self._detail else 0

    @property
    def _width(self) -> int:
        return max(1, self.content_size.width or self.app.size.width - 2)

    def show(self, detail: ServerDetail | None) -> None:
        """Show this."""
        if detail != self._detail:
            self._detail = detail
            self.refresh()

    def render(self) -> Content:
        height = self.content_size.height
        if self._detail is None or not height:
            return Content("")
        return Content("\n").join(detail_lines(self._detail, self._width, height)[:height])


def detail_lines(detail: ServerDetail, width: int, height: int) -> list[Content]:
    """Return the lines of a detail; where `height` leaves some free, the plots get taller."""
    above = [_line(_head(detail), width)]
    if detail.why:
        above.append(_line((Words(detail.why, LOOK[detail.state].role),), width))
    if detail.remarks:
        above.append(_line(_between(detail.remarks), width))
    below = [line for name, words in detail.facts for line in _fact(name, words, width)]
    across = _across(width, len(detail.plots))
    rows = -(-len(detail.plots) // across)
    lines = 1
    if rows:
        lines = max(1, min(_TALLEST, (height - len(above) - len(below)) // rows))
    return [*above, *_plots(detail, width, across, lines), *below]


def _head(detail: ServerDetail) -> Iterator[Words]:
    look = LOOK[detail.state]
    yield Words(detail.title, "strong")
    yield Words(" · ", "dim")
    yield Words(f"{look.glyph} {look.word}", look.role)
    if detail.about:
        yield Words(f" · {' · '.join(detail.about)}", "dim")


def _between(remarks: Iterable[Words]) -> Iterator[Words]:
    for number, words in enumerate(remarks):
        if number:
            yield Words(" · ", "dim")
        yield words


def _fact(name: str, words: Words, width: int) -> Iterator[Content]:
    """Yield a fact, in two lines where it needs them."""
    first, *rest = wrapped(words.text, max(1, width - _FACT))
    for number, text in enumerate((first, " ".join(rest)) if rest else (first,)):
        lead = fit("" if number else name, _FACT)
        yield _line((Words(lead, "dim"), words._replace(text=text)), width)


def _across(width: int, plots: int) -> int:
    """Return how many plots stand side by side: evenly filled rows."""
    most = max(1, min(plots, (width + _BETWEEN) // (_PLOT + _BETWEEN)))
    rows = -(-plots // most) if plots else 1
    return -(-plots // rows) if plots else 1


def _plots(detail: ServerDetail, width: int, across: int, lines: int) -> Iterator[Content]:
    room = (width + _BETWEEN) // across - _BETWEEN
    curve = max(_LEAST_CURVE, min(CURVE, room - _NAME - _VALUE - 2))
    for first in range(0, len(detail.plots), across):
        drawn = [_plot(plot, curve, lines, is_past=detail.is_past) for plot in detail.plots[first : first + across]]
        for line in range(lines):
            pieces: list[Words] = []
            for number, plot in enumerate(drawn):
                if number:
                    pieces.append(Words(" " * _BETWEEN))
                pieces += plot[line]
            yield _line(pieces, width)


def _plot(plot: Plot, width: int, lines: int, *, is_past: bool) -> list[list[Words]]:
    """Return the lines of a plot: its name before the topmost, its value behind the undermost."""
    curves = tall_curve(plot.heights, width, lines)
    role = "dim" if is_past else plot.role
    return [
        [
            Words(fit(plot.name if number == len(curves) - 1 else "", _NAME) + " ", "dim"),
            Words(curve + " ", "dim" if is_past else plot.role or "fine"),
            Words(fit(plot.text if number == len(curves) - 1 else "", _VALUE), role),
        ]
        for number, curve in enumerate(curves)
    ]


def _line(words: Iterable[Words], width: int) -> Content:
    """Return one line, cut where it is too wide."""
    parts: list[tuple[str, str]] = []
    room = width
    for text, role in words:
        if room <= 0:
            break
        shown = fit(text, min(room, cell_len(text)))
        room -= cell_len(shown)
        parts.append((shown, _style(role)))
    return Content.assemble(*parts)


def _style(role: str) -> str:
    if role == "strong":
        return "bold $foreground"
    return color(role) if role else "$foreground"
