"""`midwatch replay`: the cockpit on a tape, with the keys of a player."""

from typing import Any, ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from playbooks.commands import Target
from situation.steps import Steps
from tape.format import TapeError
from tui.app import Cockpit
from tui.chronicle import TapeRecorder
from tui.cockpit_screen import CockpitScreen
from tui.feed import Turn
from tui.replay import Mark, Replay, look_through, second_of
from widgets.key_hints import shown_keys
from widgets.pasted_line import PastedLine
from widgets.scrubber import Scrubber, TapeFacts

_ADVANCE_S: Final = 0.1
MODE: Final = "a recording"


class PlaceScreen(ModalScreen[str]):
    """Asks where to go."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Stay", id="place.stay")]

    DEFAULT_CSS = """
    PlaceScreen { align: center middle; background: $background 60%; }
    PlaceScreen Container { width: 60; max-width: 96%; height: 4; background: $surface; border: round $midwatch-focus; }
    """

    def compose(self) -> ComposeResult:
        with Container():
            yield Static("Go to: 12:30 from the start, or 02:41:07 (UTC)", markup=False)
            yield PastedLine(compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class ReplayScreen(CockpitScreen):
    """The cockpit's screen with the line of the tape above it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "app.toggle_tape", "Pause", id="tape.pause", tooltip="Pause the tape, or play on"),
        Binding(
            "full_stop", "app.step_tape(1)", "Step", show=False, id="tape.step", tooltip="Stop, and go one step on"
        ),
        Binding("comma", "app.step_tape(-1)", "Step back", show=False, id="tape.step-back"),
        Binding("greater_than_sign", "app.speed_tape(1)", "Faster", show=False, id="tape.faster"),
        Binding("less_than_sign", "app.speed_tape(-1)", "Slower", show=False, id="tape.slower"),
        Binding(
            "right_square_bracket",
            "app.change_of_tape(1)",
            "Next change",
            show=False,
            id="tape.next-change",
            tooltip="Go to where the causes change next",
        ),
        Binding("left_square_bracket", "app.change_of_tape(-1)", "Last change", show=False, id="tape.last-change"),
        Binding("colon", "app.place_on_tape", "Go to", show=False, id="tape.go-to", tooltip="Go to a time"),
    ]

    def compose(self) -> ComposeResult:
        yield Scrubber()
        yield from super().compose()

    def _name_keys(self) -> None:
        super()._name_keys()
        self.query_one(Scrubber).keys = shown_keys(self)


class ReplayCockpit(Cockpit):
    """A cockpit whose clock and readings come from a tape. Nothing is asked of any cluster."""

    def __init__(self, replay: Replay, **options: Any) -> None:
        self.replay = replay
        super().__init__(replay.connection, replay.target, clock=replay.now, records=False, mode=MODE, **options)
        replay.feed = self.feed
        self._noted: set[str] = set()

    def make_recorder(self, who: str, resume: str | None) -> TapeRecorder:
        return TapeRecorder(self._state_dir, who, self._clock, self.replay.chronicle, lambda: self.replay.second)

    def make_screen(self, target: Target, mode: str) -> CockpitScreen:
        return ReplayScreen(self.feed, target, self.replay.now, mode, self.recorder)

    def on_mount(self) -> None:
        self.set_interval(_ADVANCE_S, self._advance)
        self._look_through()

    def _turning(self) -> Steps[Turn]:
        """In one piece: a key may go to another place on the tape, where what is known begins anew."""
        turn = self.feed.turn()
        yield
        return turn

    def copied_from(self) -> str:
        return "from a recording: the cluster may look different now"

    def copy_to_clipboard(self, text: str) -> None:
        """Copy text that was selected by mouse, and say where it comes from."""
        super().copy_to_clipboard(text)
        self.notify(self.copied_from(), title="Copied", markup=False, timeout=6)

    @work(thread=True, group="marks")
    def _look_through(self) -> None:
        """Find out where the causes change, while the tape plays already."""

        worker = get_current_worker()

        def told(marks: tuple[Mark, ...], second: float) -> None:
            if not worker.is_cancelled:
                self.call_from_thread(self._take_marks, marks, second)

        try:
            replay = self.replay
            look_through(replay.path, told, lambda: not worker.is_cancelled, replay.moments, replay.chronicle)
        except TapeError:
            return  # it was taken away meanwhile; what is played of it says so itself

    def _take_marks(self, marks: tuple[Mark, ...], second: float) -> None:
        self.replay.marks = marks
        self.replay.end_s = max(self.replay.end_s, second)

    def _advance(self) -> None:
        self.replay.advance()
        self._show_place()

    def _show_place(self) -> None:
        replay = self.replay
        for note in sorted({*replay.notes, *filter(None, (replay.problem,))} - self._noted):
            self._noted.add(note)
            self.notify(note, title="Tape", severity="warning", markup=False, timeout=20)
        facts = TapeFacts(
            replay.second,
            replay.start_s,
            replay.end_s,
            replay.now(),
            replay.speed,
            replay.is_playing,
            tuple((mark.second, bool(mark.appeared)) for mark in replay.marks),
            replay.problem,
        )
        for line in self.cockpit.query(Scrubber):  # none while it is put together or taken apart
            line.facts = facts

    def _moved(self) -> None:
        """Show the new place at once."""
        self.feed.turn()
        self.cockpit.paint(None)
        self._show_place()

    def on_scrubber_place_picked(self, event: Scrubber.PlacePicked) -> None:
        self.replay.seek(event.second)
        self._moved()

    def action_toggle_tape(self) -> None:
        """Pause, or play on."""
        self.replay.toggle()
        self._show_place()

    def action_step_tape(self, by: int) -> None:
        """Stop, and go a step on or back."""
        self.replay.step(by)
        self._moved()

    def action_speed_tape(self, by: int) -> None:
        """Play faster or slower."""
        self.replay.change_speed(by)
        self._show_place()

    def action_change_of_tape(self, by: int) -> None:
        """Go to where the causes change."""
        if self.replay.to_change(by):
            self._moved()
        else:
            self.notify(f"the causes do not change {'after' if by > 0 else 'before'} this", markup=False)

    def action_place_on_tape(self) -> None:
        """Ask for a time, and go there."""

        def picked(text: str | None) -> None:
            if not text:
                return
            try:
                second = second_of(text, self.replay)
            except ValueError:
                self.notify(f"{text!r} is no place on a tape", severity="warning", markup=False)
                return
            self.replay.seek(second)
            self._moved()

        self.push_screen(PlaceScreen(), picked)
