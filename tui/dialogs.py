"""Screens on top of the cockpit: help, and the choice among commands."""

from collections.abc import Iterable
from typing import ClassVar, Final

from rich.cells import set_cell_size
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from widgets.etcd_members import LOOK as LOOK_OF_MEMBER
from widgets.evidence import CardCommand
from widgets.glyphs import EFFECT, color
from widgets.gpu_states import LOOK

_KEYS: Final = 11
_TEXT: Final = 42
"""Cells of the first two columns of the help: with the longest id a line fits into 80 columns."""

HelpRow = tuple[str, str, str]
"""(keys, what they do, id for the configuration file)."""

_READING = (
    "Read from the top left: which layer is broken, which cause, what proves it, what to do next. "
    "A cause is the first broken link; what only follows from it is folded under it. "
    "▲ critical, ● warning, ○ worth knowing, ✓ fine, ? not known, "
    "◐ partly: nothing found, but not all of it could be judged. "
    "In the GPU chain: " + ", ".join(f"{look.glyph} {look.word}" for look in LOOK.values()) + "; "
    "a broken line leads to what waits. "
    "Of etcd's members: " + ", ".join(f"{glyph} {state.value}" for state, (glyph, _) in LOOK_OF_MEMBER.items()) + "; "
    "the bar is the quota (█ in use, ▒ in the file and free again after defragmentation, ░ left), "
    "the curve WAL fsync p99 over five minutes, from 1 ms to 1 s. "
    "Of model servers the curve is the queue over three minutes, the bar the KV cache; – was not measured. "
    "Midwatch only reads, and never runs a command: it copies it."
)


class HelpScreen(ModalScreen[None]):
    """Lists the bindings that are in force, made from the bindings themselves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, rows: Iterable[HelpRow]) -> None:
        super().__init__()
        self._rows = tuple(rows)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(help_content(self._rows), markup=False)


def help_content(rows: Iterable[HelpRow]) -> Content:
    """Build the help text: one line for each binding, then how to read the screen."""
    lines = [Content.styled("Keys (right: the id for the configuration file)", "bold")]
    for keys, text, binding_id in rows:
        lines.append(
            Content.assemble(
                (set_cell_size(f" {keys}", _KEYS), color("focus", "bold")),
                set_cell_size(text, _TEXT),
                (binding_id, color("dim")),
            )
        )
    lines += [Content(""), Content.styled("How to read it", "bold"), Content(_READING)]
    return Content("\n").join(lines)


class ChooseScreen(ModalScreen[CardCommand | None]):
    """Offers commands; dismissed with the chosen one, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close", id="choose.close"),
    ]

    def __init__(self, commands: tuple[CardCommand, ...]) -> None:
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        yield CommandList(*(Option(_prompt(command)) for command in self._commands), markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._commands[event.option_index])


class CommandList(OptionList):
    """An option list that also obeys j, k and c."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False, id="choose.down"),
        Binding("k", "cursor_up", "Up", show=False, id="choose.up"),
        Binding("c", "select", "Copy", id="choose.copy"),
    ]


def _prompt(command: CardCommand) -> Content:
    """Two lines, without colours of their own: on the bar of the cursor these could not be read."""
    effect = f"  {EFFECT[command.effect]}" if EFFECT[command.effect] else ""
    where = "" if command.where == "here" else f" (on {command.where})"
    return Content.assemble(
        (command.purpose, "bold"),
        where,
        (effect, "bold"),
        "\n",
        f"  {command.line}",
    )
