"""A list to choose one entry of: typing narrows it, enter takes the entry under the cursor."""

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from widgets.pasted_line import PastedLine

_SHOWN: Final = 200
"""So many are listed at once: who wants another types a part of its name."""
_SHORT: Final = 40
"""A longer detail stands on a line of its own."""


class Choosable(msgspec.Struct, frozen=True):
    """One entry."""

    key: str
    """For the caller; empty: the text as it was typed."""
    label: str
    detail: str = ""

    def matches(self, words: Sequence[str]) -> bool:
        text = f"{self.label} {self.detail}".lower()
        return all(word in text for word in words)


class ChoiceScreen(ModalScreen[Choosable | None]):
    """Dismissed with the chosen entry, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", id="choice.close"),
        Binding("down", "cursor(1)", "Down", show=False, id="choice.down"),
        Binding("up", "cursor(-1)", "Up", show=False, id="choice.up"),
    ]

    def __init__(self, what: str, items: Sequence[Choosable], *, takes_text: bool = False) -> None:
        """`takes_text`: what was typed may be taken where nothing in the list fits."""
        super().__init__()
        self._what = what
        self._items = tuple(items)
        self._takes_text = takes_text
        self._listed: tuple[Choosable, ...] = ()

    def compose(self) -> ComposeResult:
        with Vertical(id="choice"):
            yield PastedLine(placeholder=f"{self._what}: type to narrow, enter takes it, esc closes", compact=True)
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self._list("")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._list(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        number = self.query_one(OptionList).highlighted
        if number is not None and number < len(self._listed):
            self.dismiss(self._listed[number])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._listed[event.option_index])

    def action_cursor(self, by: int) -> None:
        """Move the cursor of the list while the keyboard is in the line."""
        listed = self.query_one(OptionList)
        listed.action_cursor_down() if by > 0 else listed.action_cursor_up()

    def _list(self, typed: str) -> None:
        words = typed.lower().split()
        found = [item for item in self._items if item.matches(words)][:_SHOWN]
        if self._takes_text and typed.strip() and not any(item.label == typed.strip() for item in found):
            found.append(Choosable("", typed.strip(), "as typed"))
        self._listed = tuple(found)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(_prompt(item)) for item in found)
        options.highlighted = 0 if found else None


def _prompt(item: Choosable) -> Content:
    """Without colours of its own: on the bar of the cursor these could not be read."""
    apart = "\n  " if len(item.detail) > _SHORT else "  "
    return Content.assemble((item.label, "bold"), f"{apart}{item.detail}" if item.detail else "")
