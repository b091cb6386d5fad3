"""The filter line: opened with a key, read while it is typed, closed with what it says kept."""

from textual.message import Message
from textual.widgets import Input

from tui.view import Filter, parse_filter


class FilterLine(Input):
    """One line of text, hidden until it is opened."""

    class FilterChanged(Message):
        """What was typed reads as another filter."""

        def __init__(self, wanted: Filter) -> None:
            self.wanted = wanted
            super().__init__()

    class FilterKept(Message):
        """Enter was pressed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(placeholder="words, ns:NAMESPACE · enter keeps, esc clears", id=id, compact=True)

    def on_mount(self) -> None:
        self.display = False

    def open(self) -> None:
        """Show it and take the keyboard, now: the next key is text already."""
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

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.FilterKept())
