"""The timeline beside the panes: opened and closed, painted from the log, and the notes that people write into it."""

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from incidents.entries import Kind, Step
from playbooks.progress import ChecklistEvent, Did, Key
from situation.focus import Focus
from situation.meta import CLUSTER, Ref
from tui.attention import Attention
from tui.checklist_screen import ChecklistScreen
from tui.feed import Feed
from tui.note_line import NoteLine
from tui.notices import NOTED, AnswersRead
from tui.painter import Painter
from tui.recorder import IN_RECORDING, Recorder
from tui.timeline_rows import TimelineRows
from tui.view import Filter
from widgets.checklist import ChecklistPane
from widgets.timeline import TimelinePane

_KINDS: Final = {
    Did.TICKED: Kind.TICKED,
    Did.UNTICKED: Kind.UNTICKED,
    Did.NOT_APPLICABLE: Kind.NOT_APPLICABLE,
    Did.APPLICABLE: Kind.UNTICKED,
    Did.NOTE: Kind.NOTE,
}
_DID: Final = {kind: did for did, kind in _KINDS.items() if did is not Did.APPLICABLE}
_OPEN: Final = "-timeline"
_NO_MATCH: Final = "No entry holds these words."
_NOTHING: Final = "This entry is about nothing that could be looked at."


class TimelineScreen(ChecklistScreen):
    """Adds the timeline to the panes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "timeline", "Timeline", show=False, id="timeline", tooltip="Open or close the timeline"),
        Binding("m", "note", "Note", show=False, id="note", tooltip="Write a note into the timeline"),
    ]

    DEFAULT_CSS = """
    TimelineScreen.-narrow.-timeline ToastRack { dock: top; align: right top; margin: 3 0 0 0; }
    """
    """There the timeline covers all, and what happened last stands at the bottom: notices come below its title."""

    def __init__(
        self, feed: Feed, clock: Callable[[], datetime], painter: Painter, attention: Attention, recorder: Recorder
    ) -> None:
        super().__init__(feed, clock, painter, attention)
        self.recorder = recorder
        self._timeline_rows = TimelineRows()
        self._timeline_seen: tuple[int, Filter, str, str] | None = None
        self.checklist.who = recorder.who
        self.checklist.listeners.append(self._write_step)

    def _write_step(self, event: ChecklistEvent) -> None:
        """Write down what somebody did in the checklist."""
        about = f" ({event.subject})" if event.subject else ""
        said = event.ask
        if event.did is Did.NOTE:
            said = f"{event.note or 'note taken away'}: {event.ask}"
        step = Step(event.playbook, event.step, event.note)
        failed = self.recorder.step(
            _KINDS[event.did], said, step, event.subject, self._feed, way=f"{event.title}{about}"
        )
        if failed and failed != IN_RECORDING:  # there it is for practice, and a word at each tick would be too much
            self.notify(failed, severity="warning", markup=False)

    def resume_checklist(self) -> None:
        """Mark again what an earlier part of the log tells to have been done."""
        for entry in self.recorder.entries:
            if entry.step is not None and (did := _DID.get(entry.kind)) is not None:
                key = Key(entry.step.playbook, entry.subject)
                self.checklist.resume(did, key, entry.step.id, entry.who, entry.at, entry.step.note)

    def paint_timeline(self) -> None:
        """Show the log as it is now, if the panel is open."""
        pane, recorder, wanted = self.query_one(TimelinePane), self.recorder, self.attention.wanted
        seen = (recorder.revision, wanted, recorder.problem, recorder.id)
        if not pane.display or seen == self._timeline_seen:
            return
        self._timeline_seen = seen
        rows = self._timeline_rows.of(recorder.entries, wanted)
        pane.show(rows, _NO_MATCH if recorder.entries and not rows else recorder.nothing, recorder.problem)
        total = len(recorder.entries)
        note = f"{len(rows)} of {total}" if len(rows) != total else f"{total}"
        word, is_kept = recorder.kept
        pane.tell_log(word, f"{note} · {recorder.id}" if recorder.id and is_kept else note, is_kept=is_kept)

    def action_timeline(self) -> None:
        """Open the timeline beside the panes, or close it."""
        pane = self.query_one(TimelinePane)
        if pane.display:
            self.close_timeline()
            return
        self.query_one(ChecklistPane).display = False  # one panel at a time: panes need the room
        pane.display = True
        self.add_class(_OPEN)
        self.post_message(AnswersRead())  # a copy is its last entry, which the notice would cover on a small terminal
        self._timeline_seen = None
        self.paint_timeline()
        pane.table.focus()

    def action_checklist(self) -> None:
        if not self.query_one(ChecklistPane).display:
            self.close_timeline()
        super().action_checklist()

    def close_timeline(self) -> None:
        """Close it, and give the keyboard to the panes if it had it."""
        pane = self.query_one(TimelinePane)
        had_keyboard = pane.has_focus_within
        pane.display = False
        self.remove_class(_OPEN)
        if had_keyboard:
            self.watch_tab(self.tab)

    def on_timeline_pane_close_wanted(self) -> None:
        self.close_timeline()

    def on_timeline_pane_entry_picked(self, event: TimelinePane.EntryPicked) -> None:
        """Focus what the entry is about: the cause while it stands, else the object."""
        entries = self.recorder.entries
        if event.number >= len(entries):
            return  # of an incident that ended just now
        entry = entries[event.number]
        if entry.key and self._feed.diagnosis.find(entry.key) is not None:
            self.attention.focus_on(Focus(cause=entry.key), entry.key)
            self._show_attention()
        elif entry.subject is not None and entry.subject != CLUSTER:
            self._focus_on_object(entry.subject)
        else:
            self.notify(_NOTHING, markup=False)
            return
        if self.has_class("-narrow"):
            self.close_timeline()  # it covers everything

    def _focus_on_object(self, ref: Ref) -> None:
        raise NotImplementedError

    def _show_attention(self) -> None:
        raise NotImplementedError

    # Notes

    def action_note(self) -> None:
        """Open the line for a note."""
        self.query_one(NoteLine).open()

    def on_note_line_note_written(self, event: NoteLine.NoteWritten) -> None:
        failed = self.recorder.note(event.text, self._feed, self.attention)
        if failed:
            self.notify(failed, severity="warning", markup=False)
        elif not self.query_one(TimelinePane).display:  # else it is seen there
            self.notify(event.text, title=NOTED, markup=False, timeout=3)
        self.paint_timeline()
