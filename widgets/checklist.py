"""The checklist panel: questions ticked or crossed from live data, a hand tick stays a hand tick."""

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from widgets.evidence import wrap_command
from widgets.glyphs import color
from widgets.pane import Pane
from widgets.wrapping import wrapped

GLYPHS: Final = {"fine": "✓", "broken": "✗", "unknown": "?"}
_INDENT: Final = "      "
_ROLES: Final = {"fine": "fine", "broken": "critical", "unknown": "waiting"}


class Step(msgspec.Struct, frozen=True):
    """One step as it is shown."""

    text: str
    state: str
    """`fine`, `broken` or `unknown`, from the data."""
    evidence: str
    command: str = ""
    """Rendered; empty when it cannot be offered yet."""
    ticked: bool = False
    """Done by hand."""


class ChecklistPane(Pane):
    """The quick checklist as a side panel."""

    TITLE = "Quick checklist"

    DEFAULT_CSS = """
    ChecklistPane VerticalScroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    ChecklistPane Static { width: 1fr; height: auto; }
    """

    class Body(VerticalScroll, can_focus=True):
        """The scrolling part."""

        BINDINGS = [
            Binding("j,down", "move(1)", "Next step", show=False, id="checklist.down"),
            Binding("k,up", "move(-1)", "Previous step", show=False, id="checklist.up"),
        ]

        def action_move(self, by: int) -> None:
            """Move the cursor of the list this body belongs to."""
            pane = self.parent
            if isinstance(pane, ChecklistPane):
                pane.move(by)

    class StepMoved(Message):
        """The cursor came to another step."""

        def __init__(self, number: int) -> None:
            self.number = number
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._steps: tuple[Step, ...] = ()
        self.cursor = 0

    def compose_body(self) -> ComposeResult:
        with self.Body():
            yield Static(markup=False)

    def show(self, steps: Sequence[Step]) -> None:
        """Show these steps."""
        if self._steps != tuple(steps):
            self._steps = tuple(steps)
            self._draw()

    def move(self, by: int) -> None:
        """Move the cursor, stopping at both ends."""
        if self._steps:
            self.cursor = max(0, min(len(self._steps) - 1, self.cursor + by))
            self._draw()
            self.post_message(self.StepMoved(self.cursor))

    @property
    def step(self) -> Step | None:
        """The step under the cursor."""
        return self._steps[self.cursor] if self.cursor < len(self._steps) else None

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        width = self.query_one(self.Body).scrollable_content_region.width or self.size.width - 3
        self.query_one(Static).update(checklist_content(self._steps, self.cursor, width))


def checklist_content(steps: Sequence[Step], cursor: int, width: int) -> Content:
    """Build the text of the panel for a width in cells."""
    room = max(20, width - cell_len(_INDENT))
    rows: list[Content] = []
    for number, step in enumerate(steps):
        current = number == cursor
        done = "■" if step.ticked else "□"
        first, *rest = wrapped(f"{number + 1} {step.text}", room - 1)
        rows.append(
            Content.assemble(
                ("▸" if current else " ", color("focus", "bold")),
                (f"{done} ", color("special") if step.ticked else color("dim")),
                (f"{GLYPHS[step.state]} ", color(_ROLES[step.state], "bold")),
                (first, "bold" if current else ""),
            )
        )
        rows += [Content.styled(_INDENT + text, "bold" if current else "") for text in rest]
        rows += [Content.styled(_INDENT + text, color("dim")) for text in wrapped(step.evidence, room)]
        if current and step.command:
            rows += [Content.styled(f"    {text}", color("focus")) for text in wrap_command(step.command, width - 4)]
        elif current:
            rows.append(Content.styled(f"{_INDENT}no command yet: pick a pod first", color("waiting")))
        rows.append(Content(""))
    ticked = sum(step.ticked for step in steps)
    keys = "n/N step · space tick · c copy · l close"
    rows.append(Content.styled(f"{ticked} of {len(steps)} ticked · {keys}", color("dim")))
    return Content("\n").join(rows)
