"""Evidence and next command: the proof of what is selected, and what to do about it."""

import shlex
import textwrap
from typing import Final

import msgspec
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from situation.findings import Effect, Mark
from widgets.glyphs import MARK, MARK_ROLE, color
from widgets.pane import Pane


class CardLine(msgspec.Struct, frozen=True):
    """One fact: what it does for the finding, its text, and where and when it was seen."""

    text: str
    origin: str = ""
    """`2s · pods`."""
    mark: Mark | None = None


class CardCommand(msgspec.Struct, frozen=True):
    """A rendered command as it would be copied."""

    purpose: str
    line: str
    effect: Effect = Effect.READ
    where: str = "here"


class Card(msgspec.Struct, frozen=True):
    """All that is known of what is selected."""

    title: str = ""
    glyph: str = ""
    role: str = "info"
    about: str = ""
    lines: tuple[CardLine, ...] = ()
    follows: tuple[str, ...] = ()
    commands: tuple[CardCommand, ...] = ()
    notice: str = ""
    """For example that the state is history, or that it is read from a recording."""


_EFFECT_NOTE: Final = {
    Effect.READ: "",
    Effect.MUTATING: " CHANGES THE CLUSTER",
    Effect.DISRUPTIVE: " INTERRUPTS SERVICE",
}


class EvidencePane(Pane):
    """Shows a Card; scrolls when it does not fit."""

    TITLE = "Evidence and next command"

    DEFAULT_CSS = """
    EvidencePane VerticalScroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    EvidencePane Static { width: 1fr; height: auto; }
    """

    class Body(VerticalScroll, can_focus=True):
        """The scrolling part."""

        BINDINGS = [
            Binding("j,down", "scroll_down", "Down", show=False, id="evidence.down"),
            Binding("k,up", "scroll_up", "Up", show=False, id="evidence.up"),
        ]

    card: reactive[Card] = reactive(Card, init=False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines = 0
        """Height of what is drawn: only another height needs a new layout of the screen."""

    def compose_body(self) -> ComposeResult:
        with self.Body():
            yield Static(markup=False)

    def watch_card(self, before: Card, after: Card) -> None:
        if before.title != after.title:
            self.query_one(self.Body).scroll_home(animate=False)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        width = max(20, self.query_one(self.Body).scrollable_content_region.width or self.size.width - 3)
        content = card_content(self.card, width)
        lines = len(content.wrap(width))
        self.query_one(Static).update(content, layout=lines != self._lines)
        self._lines = lines


def card_content(card: Card, width: int) -> Content:
    """Build the text of a card for a width in cells."""
    rows: list[Content] = []
    if card.title:
        rows.append(Content.assemble((f"{card.glyph} ", color(card.role, "bold")), (card.title, "bold")))
    if card.about:
        rows.append(Content.styled(card.about, color("dim")))
    if card.notice:
        rows.append(Content.styled(card.notice, color("warning")))
    for line in card.lines:
        rows += _line(line, width)
    rows += [Content.assemble(("↳ ", color("waiting")), (text, color("dim"))) for text in card.follows]
    for number, command in enumerate(card.commands):
        rows += _command(command, number, width)
    return Content("\n").join(rows)


def _line(line: CardLine, width: int) -> list[Content]:
    """One fact: text on the left, in as many lines as it needs, where and when it was seen on the right."""
    glyph = MARK[line.mark] if line.mark else "·"
    role = MARK_ROLE[line.mark] if line.mark else "dim"
    room = max(20, width - cell_len(line.origin) - 4)
    first, *rest = textwrap.wrap(line.text, room) or [""]
    pad = " " * max(2, width - 2 - cell_len(first) - cell_len(line.origin))
    head = Content.assemble(
        (f"{glyph} ", color(role, "bold")), (first, ""), (pad + line.origin if line.origin else "", color("dim"))
    )
    return [head, *(Content(f"  {text}") for text in rest)]


def _command(command: CardCommand, number: int, width: int) -> list[Content]:
    label = "next " if number == 0 else "then "
    where = "" if command.where == "here" else f" (on {command.where})"
    head = Content.assemble(
        (label, "bold" if number == 0 else color("dim")),
        (command.purpose, ""),
        (where, color("warning")),
        (_EFFECT_NOTE[command.effect], color("critical", "bold")),
        ("   c copies it", color("focus")) if number == 0 else ("", ""),
    )
    style = color("focus", "bold") if number == 0 else color("dim")
    body = [Content.styled(text, style) for text in wrap_command(command.line, width)]
    spacer = [Content("")] if number == 0 else []
    return [*spacer, head, *body]


def wrap_command(line: str, width: int) -> list[str]:
    """Break a command line between arguments so that what is selected by mouse still pastes as the same command.

    Every line but the last ends in a backslash; an argument longer than `width` stays whole.
    """
    if cell_len(line) + 2 <= width:
        return [f"  {line}"]
    rows: list[str] = []
    row = " "
    for word in (shlex.quote(argument) for argument in shlex.split(line)):
        if row.strip() and cell_len(row) + 1 + cell_len(word) + 2 > width:
            rows.append(f"{row} \\")
            row = "   "
        row = f"{row} {word}"
    rows.append(row)
    return rows
