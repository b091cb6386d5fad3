"""Evidence and next command: the proof of what is selected, and what to do about it."""

import shlex

import msgspec
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from situation.findings import Effect, Mark
from widgets.glyphs import EFFECT, MARK, MARK_ROLE, color
from widgets.pane import Pane
from widgets.wrapping import wrapped


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


class EvidencePane(Pane):
    """Shows a Card; scrolls when it does not fit."""

    TITLE = "Evidence and next command"

    DEFAULT_CSS = """
    EvidencePane VerticalScroll {
        height: 1fr; min-height: 3; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
    }
    EvidencePane Static { width: 1fr; height: auto; }
    EvidencePane #next { padding: 0 1; max-height: 60%; }
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
        self._lines = (0, 0)
        """Heights of what is drawn: only other heights need a new layout of the screen."""

    def compose_body(self) -> ComposeResult:
        with self.Body():
            yield Static(markup=False, id="facts")
        yield Static(markup=False, id="next")  # outside of what scrolls: it must always be seen

    @property
    def line_count(self) -> int:
        """Lines that all of the card takes at this width."""
        return sum(self._lines)

    @property
    def command_lines(self) -> int:
        """Lines that the next command takes of them."""
        return self._lines[1]

    def watch_card(self, before: Card, after: Card) -> None:
        if before.title != after.title:
            self.query_one(self.Body).scroll_home(animate=False)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        # Not laid out yet: it takes the whole line when it comes (a blank on each side, and a scroll bar).
        width = max(20, self.query_one(self.Body).scrollable_content_region.width or self.app.size.width - 3)
        facts, following = card_content(self.card, width), next_content(self.card, width)
        lines = (len(facts.wrap(width)), len(following.wrap(width)) if following else 0)
        layout = lines != self._lines
        self.query_one("#facts", Static).update(facts, layout=layout)
        below = self.query_one("#next", Static)
        if below.display != bool(following):
            below.display = bool(following)
        below.update(following, layout=layout)
        self._lines = lines


def card_content(card: Card, width: int) -> Content:
    """Build the text of a card for a width in cells, all but the next command."""
    rows: list[Content] = []
    if card.title:
        rows.append(Content.assemble((f"{card.glyph} ", color(card.role, "bold")), (card.title, "bold")))
    if card.about:
        rows.append(Content.styled(card.about, color("dim")))
    if card.notice:
        rows.append(Content.styled(card.notice, color("warning")))
    for line in card.lines:
        rows += _line(line, width)
    for text in card.follows:
        first, *rest = wrapped(text, max(20, width - 2))
        rows.append(Content.assemble(("↳ ", color("waiting")), (first, color("dim"))))
        rows += [Content.styled(f"  {more}", color("dim")) for more in rest]
    for command in card.commands[1:]:
        rows += _command(command, width, first=False)
    return Content("\n").join(rows)


def next_content(card: Card, width: int) -> Content:
    """Build the text of the card's next command, empty if it has none."""
    return Content("\n").join(_command(card.commands[0], width, first=True) if card.commands else [])


def _line(line: CardLine, width: int) -> list[Content]:
    """One fact: text on the left, in as many lines as it needs, where and when it was seen on the right."""
    glyph = MARK[line.mark] if line.mark else "·"
    role = MARK_ROLE[line.mark] if line.mark else "dim"
    room = max(20, width - cell_len(line.origin) - 4)
    first, *rest = wrapped(line.text, room)
    pad = " " * max(2, width - 2 - cell_len(first) - cell_len(line.origin))
    head = Content.assemble(
        (f"{glyph} ", color(role, "bold")), (first, ""), (pad + line.origin if line.origin else "", color("dim"))
    )
    return [head, *(Content(f"  {text}") for text in rest)]


def _command(command: CardCommand, width: int, *, first: bool) -> list[Content]:
    where = "" if command.where == "here" else f" (on {command.where})"
    effect = f" {EFFECT[command.effect]}" if EFFECT[command.effect] else ""
    head = Content.assemble(
        ("next " if first else "also ", "bold" if first else color("dim")),
        (command.purpose, ""),
        (where, color("warning")),
        (effect, color("critical", "bold")),
        ("   c copies it", color("focus")) if first else ("", ""),
    )
    style = color("focus", "bold") if first else color("dim")
    return [head, *(Content.styled(text, style) for text in wrap_command(command.line, width))]


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
