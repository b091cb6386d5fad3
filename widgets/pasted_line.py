"""A line of text that takes what is pasted into it as a whole. The toolkit takes the first line of it, and nothing of
what is longer than the line may be."""

from typing import ClassVar

from textual.events import Paste
from textual.widgets import Input

from situation.quantity import counted
from situation.text import harmless


class PastedLine(Input):
    """Joins the lines of a paste; what does not fit is cut off, and said."""

    BETWEEN: ClassVar[str] = " "
    """What stands between two lines of a paste."""

    def on_paste(self, event: Paste) -> None:
        event.stop()
        event.prevent_default()
        text = one_line(event.text, self.BETWEEN)
        taken = text[: self._room]
        self.replace(taken, *self.selection)
        if (lost := len(text) - len(taken)) > 0:
            said = f"Cut: {counted(self.max_length or 0, 'character')} fit here, the last {lost} pasted did not"
            self.notify(said, severity="warning", markup=False)

    @property
    def _room(self) -> int | None:
        """So many characters may take the place of what is selected; None: as many as there are."""
        if not self.max_length:
            return None
        return max(0, self.max_length - len(self.value) + len(self.selected_text))


def one_line(text: str, between: str) -> str:
    """Return the lines of a text as one, without those that are blank; what a terminal must not get is shown."""
    lines = (line.replace("\t", " ").strip() for line in text.splitlines())
    return harmless(between.join(filter(None, lines)))
