"""Evidence and next command: the proof of what is selected, and what to do about it."""

import shlex
from typing import Final, NamedTuple

import msgspec
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from situation.findings import Effect, Mark
from situation.meta import Ref
from widgets.glyphs import EFFECT, MARK, MARK_ROLE, color
from widgets.pane import Pane
from widgets.wrapping import wrapped

_FACTS_KEPT: Final = 3
"""Lines of facts that are seen however long the command is, the line that tells of more included."""
_COMMAND_KEPT: Final = 2
"""Lines of the command that are seen however low the pane is: what it is for, and that it can be copied."""


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
    playbook: str = ""
    """Title of the playbook that it is a step of; empty for a command about what is attended to."""
    subject: Ref | None = None
    """What the playbook is worked through for; None for the cluster."""


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


class CardKeys(NamedTuple):
    """Keys that the card speaks of, as they are to be shown: they can be remapped."""

    copy: str = "c"
    scroll: str = "J and K"


class CardBody(Static, can_focus=True):
    """Draws a card in a fixed area: the facts scroll, the next command stands below them and is always seen.

    Where both do not fit, the facts keep their first lines: a command without what it is for is not to be trusted.

    It is one widget of the height that it is given, so that another card is a repaint of its lines only; a container
    that scrolls would have the whole screen laid out again for each card.
    """

    DEFAULT_CSS = """
    CardBody { height: 1fr; min-height: 3; padding: 0 1; }
    """

    BINDINGS = [
        Binding("j,down", "scroll_facts(1)", "Down", show=False, id="evidence.down"),
        Binding("k,up", "scroll_facts(-1)", "Up", show=False, id="evidence.up"),
    ]

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._facts: list[Content] = []
        self._next: list[Content] = []
        self._first = 0
        """Line of the facts that is the first to be seen."""
        self._card = Card()
        self.keys = CardKeys()

    def show(self, card: Card, *, anew: bool) -> None:
        """Draw a card; `anew` starts at its first line."""
        self._card = card
        # Not laid out yet: it takes the whole line when it comes, with a blank on each side.
        width = max(20, self.size.width or self.app.size.width - 2)
        self._facts = card_content(card, width).wrap(width)
        following = next_content(card, width, self.keys.copy)
        self._next = following.wrap(width) if following else []
        if anew:
            self._first = 0
        self.refresh()

    @property
    def line_count(self) -> int:
        """Lines that all of the card takes at this width."""
        return len(self._facts) + len(self._next)

    @property
    def command_lines(self) -> int:
        """Lines that the next command takes of them."""
        return len(self._next)

    def action_scroll_facts(self, by: int) -> None:
        self._first += by
        self.refresh()

    def on_resize(self) -> None:
        self.show(self._card, anew=False)

    def on_mouse_scroll_down(self) -> None:
        self.action_scroll_facts(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_scroll_facts(-1)

    def render(self) -> Content:
        """Lay the lines out for the present height, whenever it came about: not every layout is told of."""
        height = self.size.height
        below = self._below(height)
        room = max(0, height - len(below))
        cut = len(self._facts) > room
        if cut:
            room = max(0, room - 1)
        self._first = max(0, min(self._first, len(self._facts) - room))
        lines = self._facts[self._first : self._first + room]
        if cut:
            lines = [*lines, _more(self._first, len(self._facts) - self._first - room, self.keys.scroll)]
        lines += [Content("")] * (height - len(lines) - len(below))
        return Content("\n").join([*lines, *below])

    def _below(self, height: int) -> list[Content]:
        """Return the next command, shortened where the facts would have no room left."""
        room = max(height - min(len(self._facts), _FACTS_KEPT), _COMMAND_KEPT)
        if len(self._next) <= room:
            return self._next[:height]
        return [*self._next[: room - 1], _cut(len(self._next) - room + 1, self.keys.copy)][:height]


def _cut(lines: int, key: str) -> Content:
    """Say how many lines of the command are out of sight. Which command it is stands on the screen, so it is copied."""
    return Content.styled(f"  … {lines} more line{'s'[: lines > 1]}, {key} copies it whole", color("waiting"))


def _more(above: int, below: int, keys: str) -> Content:
    """Say how many lines of facts are out of sight."""
    parts = [f"↑ {above}"] if above else []
    parts += [f"↓ {below}"] if below else []
    return Content.styled(f"  {' · '.join(parts)} more, {keys} scroll", color("waiting"))


class EvidencePane(Pane):
    """Shows a Card; scrolls when it does not fit."""

    TITLE = "Evidence and next command"

    Body = CardBody

    card: reactive[Card] = reactive(Card, init=False)

    def compose_body(self) -> ComposeResult:
        yield CardBody()

    @property
    def line_count(self) -> int:
        """Lines that all of the card takes at this width."""
        return self.query_one(CardBody).line_count

    @property
    def command_lines(self) -> int:
        """Lines that the next command takes of them."""
        return self.query_one(CardBody).command_lines

    def name_keys(self, keys: CardKeys) -> None:
        """Speak of these keys from now on."""
        body = self.query_one(CardBody)
        body.keys = keys
        body.show(self.card, anew=False)

    def scroll_facts(self, by: int) -> None:
        """Move the facts by so many lines, where they do not fit."""
        self.query_one(CardBody).action_scroll_facts(by)

    def watch_card(self, before: Card, after: Card) -> None:
        self.query_one(CardBody).show(after, anew=before.title != after.title)


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
        rows += _command(command, width)
    return Content("\n").join(rows)


def next_content(card: Card, width: int, key: str = CardKeys().copy) -> Content:
    """Build the text of the card's next command, which `key` copies; empty if it has none."""
    return Content("\n").join(_command(card.commands[0], width, key) if card.commands else [])


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


def _command(command: CardCommand, width: int, key: str = "") -> list[Content]:
    """Lay a command out; the next one has the `key` that copies it."""
    where = "" if command.where == "here" else f" (on {command.where})"
    effect = f" {EFFECT[command.effect]}" if EFFECT[command.effect] else ""
    head = Content.assemble(
        ("next " if key else "also ", "bold" if key else color("dim")),
        (command.purpose, ""),
        (where, color("warning")),
        (effect, color("critical", "bold")),
        (f"   {key} copies it", color("focus")) if key else ("", ""),
    )
    style = color("focus", "bold") if key else color("dim")
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
