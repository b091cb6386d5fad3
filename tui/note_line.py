"""The line in which a note for the log is written: opened with a key, enter keeps it, escape does not."""

from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from widgets.pasted_line import PastedLine

NOTE_CHARS: Final = 500


class NoteLine(PastedLine):
    """One line of text, hidden until it is opened."""

    BETWEEN = " / "
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Close", show=False, id="note.close", tooltip="Close the note without keeping it"),
    ]

    class NoteWritten(Message):
        """Enter was pressed on a text that is not empty."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            placeholder="a note for the log · enter keeps it, esc does not",
            id=id,
            compact=True,
            max_length=NOTE_CHARS,
            select_on_focus=False,
        )
        self._before: Widget | None = None
        self._draft = ""

    def on_mount(self) -> None:
        self.display = False

    def open(self) -> None:
        """Show it and take the keyboard, now: the next key is text already."""
        if not self.display:
            self._before = self.screen.focused
            self.value, self._draft = self._draft, ""
            self.cursor_position = len(self.value)
            self.display = True
        self.screen.set_focus(self)

    def put_away(self) -> None:
        """Hide it, as nobody is there; what was written is there when it is opened again."""
        if self.display:
            self._draft = self.value
            self.action_give_up()

    def action_give_up(self) -> None:
        """Hide it, and give the keyboard back to whoever had it."""
        self.display = False
        if self._before is not None and self._before.is_mounted:
            self._before.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        self.action_give_up()
        if text:
            self.post_message(self.NoteWritten(text))
