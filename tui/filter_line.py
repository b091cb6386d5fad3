"""The filter line: opened with a key, read while it is typed, closed with what it says kept."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from tui.view import Filter, parse_filter
from widgets.pasted_line import PastedLine


class FilterLine(PastedLine):
    """One line of text, hidden until it is opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Keep", show=False, priority=True, id="filter.keep", tooltip="Keep the filter"),
    ]

    class FilterChanged(Message):
        """What was typed reads as another filter."""

        def __init__(self, wanted: Filter) -> None:
            self.wanted = wanted
            super().__init__()

    class FilterKept(Message):
        """Enter was pressed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(placeholder="words, ns:NAMESPACE · enter keeps, esc clears", id=id, compact=True)
        self._before: Widget | None = None

    def on_mount(self) -> None:
        self.display = False

    def open(self) -> None:
        """Show it and take the keyboard, now: the next key is text already."""
        if not self.display:
            self._before = self.screen.focused
            self.display = True
        self.screen.set_focus(self)

    def close(self) -> bool:
        """Hide it; tell whether it was open."""
        was_open, self.display = bool(self.display), False
        return was_open

    def write(self, wanted: Filter) -> None:
        """Let it say `wanted`, as if that had been typed before."""
        with self.prevent(Input.Changed):
            self.value = wanted.text

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.FilterChanged(parse_filter(event.value)))

    def action_keep(self) -> None:
        """Close the line, and give the keyboard back now: the next key is no text any more."""
        if self._before is not None and self._before.is_mounted:
            self.screen.set_focus(self._before)
        self.post_message(self.FilterKept())
