"""The checklist panel: a playbook's steps, answered from live data as far as it reaches, ticked by hand."""

from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Region, Spacing
from textual.message import Message
from textual.widgets import Input, Static

from situation.findings import Effect
from widgets.checklist_text import drawn, keys_line
from widgets.key_hints import shown_keys
from widgets.pane import Pane
from widgets.pasted_line import PastedLine

WAY_KEYS: Final = "asdf"
"""Keys of the answers that lead somewhere, in their order."""


class Way(msgspec.Struct, frozen=True):
    """An answer that leads somewhere."""

    answer: str
    say: str
    leads_to: str
    """Title of the playbook, or number of the step."""
    is_told: bool = False
    """The data gives this answer now."""


class StepView(msgspec.Struct, frozen=True):
    """One step as it is shown."""

    id: str
    ask: str
    state: str = ""
    """`fine`, `broken` or `unknown`, from the data; empty: only a person can tell."""
    evidence: str = ""
    mark: str = ""
    """`ticked` or `not applicable`, by hand."""
    by: str = ""
    """Who marked it, and when."""
    note: str = ""
    command: str = ""
    """Rendered; empty when it must not be copied."""
    template: str = ""
    """The same with what is missing as `<placeholder>`, where it must not be copied."""
    missing: tuple[str, ...] = ()
    refused: str = ""
    caution: str = ""
    """Said beside a command that may be copied all the same."""
    effect: Effect = Effect.READ
    where: str = "here"
    look_for: str = ""
    notes: str = ""
    ways: tuple[Way, ...] = ()


class ChecklistView(msgspec.Struct, frozen=True):
    """All that the panel shows."""

    title: str = ""
    summary: str = ""
    subject: str = ""
    """What it is worked through for; empty for the cluster."""
    steps: tuple[StepView, ...] = ()
    current: int = 0
    done: int = 0
    can_return: bool = False

    @property
    def step(self) -> StepView | None:
        return self.steps[self.current] if self.current < len(self.steps) else None

    @property
    def progress(self) -> str:
        return f"{self.done} of {len(self.steps)}"


class NoteInput(PastedLine):
    """The line in which a note on a step is written; hidden until it is opened."""

    BETWEEN = " / "
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Close", show=False, id="checklist.note-close", tooltip="Leave the note as it was")
    ]

    class GivenUp(Message):
        """Escape was pressed."""

    def __init__(self) -> None:
        super().__init__(placeholder="note on this step · enter keeps it, esc does not", compact=True, max_length=500)

    def on_mount(self) -> None:
        self.display = False

    def action_give_up(self) -> None:
        """Close it; the note stays as it was."""
        self.post_message(self.GivenUp())

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()  # nothing is done with it until enter; the filter line has a handler of its own


class ChecklistPane(Pane):
    """A playbook as a side panel."""

    TITLE = "Checklist"

    DEFAULT_CSS = """
    ChecklistPane VerticalScroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    ChecklistPane VerticalScroll Static { width: 1fr; height: auto; }
    ChecklistPane #checklist-keys { height: auto; padding: 0 1; color: $midwatch-dim; }
    ChecklistPane NoteInput { height: 1; border: none; padding: 0 1; background: $surface; }
    """

    class Body(VerticalScroll, can_focus=True):
        """The scrolling part, with the keys that only count while it has the keyboard."""

        BINDINGS: ClassVar[list[BindingType]] = [
            Binding("j,down", "say('StepWanted', 1)", "Next step", show=False, id="checklist.down"),
            Binding("k,up", "say('StepWanted', -1)", "Previous step", show=False, id="checklist.up"),
            Binding("x", "say('NotApplicable')", "This step does not apply", show=False, id="checklist.skip"),
            Binding("m", "say('NoteWanted')", "Note on this step", show=False, id="checklist.note"),
            Binding("enter", "say('ValueWanted')", "Choose what the command lacks", show=False, id="checklist.fill"),
            Binding("p", "say('PlaybookWanted')", "Another playbook", show=False, id="checklist.playbook"),
            Binding("b,backspace", "say('Returned')", "Back to where one came from", show=False, id="checklist.return"),
            *(
                Binding(key, f"say('WayTaken', {number})", f"Follow answer {number + 1}", show=False,
                        id=f"checklist.way-{number + 1}")
                for number, key in enumerate(WAY_KEYS)
            ),
        ]  # fmt: skip

        def action_say(self, wish: str, number: int = 0) -> None:
            """Tell what was wished for; the screen does it."""
            kind = getattr(ChecklistPane, wish)
            self.post_message(kind(number) if issubclass(kind, ChecklistPane.Numbered) else kind())

    class Numbered(Message):
        """A wish with a number."""

        def __init__(self, number: int) -> None:
            self.number = number
            super().__init__()

    class StepWanted(Numbered):
        """Go so many steps on."""

    class WayTaken(Numbered):
        """Follow the answer of this number, from 0."""

    class NotApplicable(Message):
        """The step does not apply, or does after all."""

    class NoteWanted(Message):
        """Write a note on the step."""

    class ValueWanted(Message):
        """Choose what the step's command lacks."""

    class PlaybookWanted(Message):
        """Choose another playbook."""

    class Returned(Message):
        """Go back to where an answer was followed."""

    class NoteWritten(Message):
        """A note was written on the current step; empty: taken away."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = ChecklistView()
        self._shown: tuple[str, int] = ("", -1)
        self._drafts: dict[tuple[str, str, str], str] = {}
        """Notes that nobody kept yet, by where they were written."""
        self._mapped: dict[str, str] = {}
        """Keys by the name of their binding, as they were seen last: some are there only with the keyboard."""

    def compose_body(self) -> ComposeResult:
        with self.Body():
            yield Static(markup=False)
        yield NoteInput()
        yield Static(id="checklist-keys", markup=False)

    @property
    def step(self) -> StepView | None:
        """The step under the cursor."""
        return self._view.step

    def show(self, view: ChecklistView) -> None:
        """Show this."""
        if self._view != view:
            self._view = view
            self._draw()

    def open_note(self) -> None:
        """Let a note on the current step be written, beginning with the one that is there."""
        if (step := self.step) is None:
            return
        line = self.query_one(NoteInput)
        line.value = self._drafts.pop(self._place, step.note)
        line.display = True
        line.focus()

    def put_note_away(self) -> None:
        """Close the note, as nobody is there; what was written is there when it is opened again."""
        line = self.query_one(NoteInput)
        if line.display:
            self._drafts[self._place] = line.value
            self._close_note()

    @property
    def _place(self) -> tuple[str, str, str]:
        step = self.step
        return (self._view.title, self._view.subject, step.id if step is not None else "")

    def on_note_input_given_up(self) -> None:
        self._close_note()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_note()
        self.post_message(self.NoteWritten(event.value))

    def _close_note(self) -> None:
        self.query_one(NoteInput).display = False
        self.query_one(self.Body).focus()

    def on_descendant_focus(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._shown = ("", -1)  # lines have other numbers at another width
        self._draw()

    def _draw(self) -> None:
        body, view = self.query_one(self.Body), self._view
        self._mapped |= shown_keys(self.screen)
        width = body.scrollable_content_region.width or self.size.width - 3
        rows, first, last = drawn(view, width, WAY_KEYS)
        body.query_one(Static).update(Content("\n").join(rows))
        self.query_one("#checklist-keys", Static).update(keys_line(view, max(20, self.size.width - 2), self._mapped))
        place = (view.title, view.current)
        if place != self._shown:
            self._shown = place
            whole = first == 0 or view.current == 0
            top = 0 if whole else first
            self.call_after_refresh(self._show_rows, top, last)

    def _show_rows(self, first: int, last: int) -> None:
        """Scroll so that the current step is seen, its question before the rest of it."""
        body = self.query_one(self.Body)
        height = max(1, min(last - first, body.scrollable_content_region.height))
        body.scroll_to_region(Region(0, first, 1, height), spacing=Spacing(0, 0, 0, 0), animate=False, force=True)
