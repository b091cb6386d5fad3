"""What is known of the control plane as lines: the part it is about, glyph and words, and how fresh that is."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from widgets.columns import Cell, Column
from widgets.glyphs import STATE_ROLE
from widgets.pane import PaneState
from widgets.table import RowTable
from widgets.wrapping import wrapped

_PART: Final = 12
_LEAST_STATE: Final = 8
"""Cells for `live 55s`; longer states take what they need."""
_GAP: Final = 2
_LEAST_TEXT: Final = 20
_INDENT: Final = "  "
"""Below the glyph, where a text goes on."""


class ControlPlaneFact(msgspec.Struct, frozen=True):
    """One thing that is known, or is said not to be known."""

    part: str
    """`quorum`, `alarms`, `certificates` ..."""
    glyph: str
    text: str
    role: str = ""
    state: PaneState | None = None
    """How fresh it is; None where the line above tells that already."""


class FactLine(msgspec.Struct, frozen=True):
    """A line of the screen: a fact may take several."""

    number: int
    part: str
    text: str
    role: str
    state: PaneState | None


class ControlPlaneFacts(RowTable[FactLine]):
    """All facts, wrapped and never cut; they scroll."""

    DEFAULT_CSS = """
    ControlPlaneFacts { width: 1fr; height: 1fr; min-height: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            _columns(_LEAST_STATE),
            key_of=lambda line: line.number,
            cells_of=fact_cells,
            header=False,
            id=id,
        )
        self._facts: tuple[ControlPlaneFact, ...] = ()
        self._wrapped_at = 0
        self._state_width = _LEAST_STATE

    def show_facts(self, facts: Sequence[ControlPlaneFact]) -> None:
        """Show these facts, in this order."""
        self._fit_states(facts)
        width = self._text_width
        if tuple(facts) == self._facts and width == self._wrapped_at:
            return
        self._facts, self._wrapped_at = tuple(facts), width
        self.show(fact_lines(facts, width))

    def _fit_states(self, facts: Sequence[ControlPlaneFact]) -> None:
        needed = max((len(fact.state.text) for fact in facts if fact.state is not None), default=0)
        width = max(_LEAST_STATE, needed)
        if width != self._state_width:
            self._state_width = width
            self.show_columns(_columns(width))

    @property
    def _text_width(self) -> int:
        """Cells for the words; before the first layout as if there were many."""
        room = self.size.width or self.app.size.width
        return max(
            _LEAST_TEXT, room - _PART - self._state_width - _GAP - 1
        )  # one for the scroll bar, whether it is there or not

    def on_resize(self) -> None:
        self.show_facts(self._facts)


def _columns(state_width: int) -> tuple[Column, ...]:
    return (
        Column("", _PART, priority=0),
        Column("", 0, priority=0),
        Column("", state_width, priority=1, align="right"),
    )


def fact_lines(facts: Iterable[ControlPlaneFact], width: int) -> list[FactLine]:
    """Return the lines that the facts take when their words have `width` cells."""
    lines: list[FactLine] = []
    part = ""
    for fact in facts:
        for number, text in enumerate(wrapped(fact.text, max(1, width - len(_INDENT)))):
            first = number == 0
            lines.append(
                FactLine(
                    len(lines),
                    fact.part if first and fact.part != part else "",
                    f"{fact.glyph} {text}" if first else _INDENT + text,
                    fact.role,
                    fact.state if first else None,
                )
            )
        part = fact.part
    return lines


def fact_cells(line: FactLine) -> tuple[Cell, ...]:
    """Return the cells of a line."""
    state = line.state
    return (
        (line.part, "dim"),
        (line.text, line.role),
        (state.text, STATE_ROLE[state.state]) if state is not None else "",
    )
