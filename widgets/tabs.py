"""On a narrow terminal the panes are tabs: one line names them."""

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from widgets.glyphs import color


class PaneTabs(Widget):
    """Names of the panes, the visible one marked; a click picks one."""

    DEFAULT_CSS = """
    PaneTabs { height: 1; width: 1fr; background: $surface; }
    """

    names: reactive[tuple[str, ...]] = reactive(())
    current: reactive[int] = reactive(0)
    next_key: reactive[str] = reactive("tab")
    """The key that goes to the next, as it is to be shown."""

    class TabPicked(Message):
        """A tab was clicked."""

        def __init__(self, number: int) -> None:
            self.number = number
            super().__init__()

    def render(self) -> Content:
        return Content.assemble(
            *(
                (f" {'▸' if number == self.current else ' '}{name} ", self._style(number))
                for number, name in enumerate(self.names)
            ),
            (f"  {self.next_key}: next", color("dim")),
        )

    def _style(self, number: int) -> str:
        return color("focus", "bold") if number == self.current else color("dim")

    def on_click(self, event: events.Click) -> None:
        start = 0
        for number, name in enumerate(self.names):
            start += cell_len(name) + 3
            if event.x < start:
                self.post_message(self.TabPicked(number))
                return
