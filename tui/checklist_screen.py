"""The part of the cockpit's screen that works through playbooks: opening them, keys, and what has to be chosen."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

from textual import work

from playbooks.choices import Choice
from playbooks.context import Context
from playbooks.facts import Facts
from playbooks.loading import load_playbooks
from playbooks.model import Library, Playbook
from playbooks.progress import Mark
from situation.boundary import Boundary, Fault
from situation.meta import Ref
from tui.attention import Attention
from tui.checklist import Checklist, layers_beyond, rule_facts
from tui.choice_screen import ChoiceScreen, Choosable
from tui.feed import Feed
from tui.painter import Painter
from tui.pane_screen import PaneScreen
from tui.paths import playbooks_dir
from widgets.checklist import ChecklistPane
from widgets.evidence import CardCommand
from widgets.pane import pane_state

_PROBLEMS_SHOWN = 3
_MEMBERS = 20
"""Of so many objects that show a cause names are taken; the first that fits is used."""


class ChecklistScreen(PaneScreen):
    """Owns the checklist; a subclass says when it is painted."""

    def __init__(self, feed: Feed, clock: Callable[[], datetime], painter: Painter, attention: Attention) -> None:
        super().__init__(feed, clock, painter, attention)
        self.checklist = Checklist()
        self._has_read = False
        self._faults = Boundary()

    @work(group="playbooks")
    async def read_playbooks(self) -> None:
        """Read the playbooks once the picture is there; who opens the panel before that reads them at once."""
        library = await asyncio.to_thread(load_playbooks, playbooks_dir())
        if not self._has_read and self.is_mounted:
            self._take_playbooks(library)

    def _take_playbooks(self, library: Library) -> None:
        self._has_read = True
        self.checklist.library = library
        for problem in library.problems[:_PROBLEMS_SHOWN]:
            self.notify(problem, title="Playbook", severity="warning", markup=False, timeout=15)
        if (more := len(library.problems) - _PROBLEMS_SHOWN) > 0:
            self.notify(f"{more} more: see `midwatch doctor`", title="Playbook", severity="warning", markup=False)

    # Painting

    def paint_checklist(self, now: datetime) -> None:
        """Show the panel's present state, if it is open; an error of ours in it is told on its title."""
        pane = self.query_one(ChecklistPane)
        outcome = self._faults.attempt(f"pane {ChecklistPane.TITLE}", self._paint_panel, pane, now)
        pane.fault = outcome.text if isinstance(outcome, Fault) else ""

    def _paint_panel(self, pane: ChecklistPane, now: datetime) -> None:
        if pane.display:
            view = self.checklist.view(self._facts(now), self._names_from(now), self.painter.target)
            pane.show(view)
            pane.tell(pane_state(self._feed.situation.source("pods"), now=now), f"{view.progress} done", view.title)

    def _facts(self, now: datetime) -> Facts:
        feed = self._feed
        return Facts(
            feed.situation,
            feed.diagnosis,
            feed.order.unsettled,
            now,
            rules=rule_facts(),
            layers_beyond=layers_beyond(),
            about=self._refs(),
            chains=feed.fleet.chains,
        )

    def _names_from(self, now: datetime) -> Context:
        finding = self.attention.finding(self._feed.diagnosis)
        return Context(self._feed.situation, now, self._refs(), finding.log if finding is not None else None)

    def _refs(self) -> tuple[Ref, ...]:
        """What is attended to, the nearest first: the object selected, those that show the cause, what it is about."""
        attention = self.attention
        refs = [item for item in (attention.selection, attention.focus.ref) if isinstance(item, Ref)]
        finding = attention.finding(self._feed.diagnosis)
        if finding is not None:
            refs += [*finding.members[:_MEMBERS], finding.subject]
            refs += [Ref("Node", "", finding.node)] if finding.node else []
        return tuple(dict.fromkeys(refs))

    def step_command(self) -> tuple[CardCommand, ...]:
        """Return the command of the current step, if it may be copied."""
        step, playbook = self.query_one(ChecklistPane).step, self.checklist.playbook
        if step is None or playbook is None or not step.command:
            return ()
        subject = self.checklist.subject
        return (CardCommand(step.ask, step.command, step.effect, step.where, playbook.title, subject),)

    # Keys

    def action_checklist(self) -> None:
        """Open the checklist where it goes on after the selected cause, or close it."""
        pane = self.query_one(ChecklistPane)
        pane.display = not pane.display
        if not pane.display:
            self.watch_tab(self.tab)
            return
        if not self._has_read:
            self._take_playbooks(load_playbooks(playbooks_dir()))
        self.checklist.open_for(self.attention.finding(self._feed.diagnosis), self._facts(self._clock()))
        self._repaint()
        pane.query_one(ChecklistPane.Body).focus()

    def action_step(self, by: int) -> None:
        """Go to the next or previous step, opening the checklist if need be."""
        if not self.query_one(ChecklistPane).display:
            self.action_checklist()
            return
        self.checklist.move(by)
        self._repaint()

    def action_tick(self) -> None:
        """Tick the current step by hand, or take the tick back."""
        if self.query_one(ChecklistPane).display:
            self.checklist.toggle(Mark.TICKED, self._clock())
            self._repaint()

    def _repaint(self) -> None:
        self.paint_checklist(self._clock())

    # What the panel says

    def on_checklist_pane_step_wanted(self, event: ChecklistPane.StepWanted) -> None:
        self.action_step(event.number)

    def on_checklist_pane_not_applicable(self) -> None:
        self.checklist.toggle(Mark.NOT_APPLICABLE, self._clock())
        self._repaint()

    def on_checklist_pane_note_wanted(self) -> None:
        self.query_one(ChecklistPane).open_note()

    def on_checklist_pane_note_written(self, event: ChecklistPane.NoteWritten) -> None:
        self.checklist.note(event.text, self._clock())
        self._repaint()

    def on_checklist_pane_way_taken(self, event: ChecklistPane.WayTaken) -> None:
        if self.checklist.follow(event.number):
            self._repaint()

    def on_checklist_pane_returned(self) -> None:
        if self.checklist.go_back():
            self._repaint()

    @property
    def _is_choosing(self) -> bool:
        """A list is open already: its key was pressed again before it was there."""
        return isinstance(self.app.screen, ChoiceScreen)

    def on_checklist_pane_playbook_wanted(self) -> None:
        """Let another playbook be chosen."""
        if self._is_choosing:
            return
        found = self.checklist.offered(self._facts(self._clock()))

        def chosen(item: Choosable | None) -> None:
            if item is not None:
                self.checklist.choose(item.key)
                self._repaint()

        self.app.push_screen(ChoiceScreen("Playbook", [_entry(playbook) for playbook in found]), chosen)

    def on_checklist_pane_value_wanted(self) -> None:
        """Let the first thing that the step's command lacks be chosen."""
        if self._is_choosing:
            return
        now = self._clock()
        name = self.checklist.missing(self._names_from(now))
        if not name:
            return
        choices = self.checklist.choices(name, self._names_from(now))
        if choices is None:
            said = f"<{name}> can only be found by itself: pick what it is about (enter on its row)."
            self.notify(said, severity="warning", markup=False)
            return
        items = [Choosable(str(number), choice.label, choice.detail) for number, choice in enumerate(choices)]
        takes = not any(choice.ref is not None for choice in choices)
        screen = ChoiceScreen(f"<{name}>", items, takes_text=takes)
        self.app.push_screen(screen, partial(self._take_value, name, choices))

    def _take_value(self, name: str, choices: tuple[Choice, ...], item: Choosable | None) -> None:
        if item is not None:
            choice = choices[int(item.key)] if item.key else Choice(item.label, value=item.label)
            self.checklist.fill_in(name, choice)
            self._repaint()


def _entry(playbook: Playbook) -> Choosable:
    layer = f"layer {playbook.layer.value}" if playbook.layer is not None else ""
    return Choosable(playbook.id, playbook.title, " · ".join(filter(None, (layer, playbook.summary))))
