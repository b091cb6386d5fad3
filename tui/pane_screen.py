"""Where the panes of the cockpit stand: as rows, on a small terminal as tabs, and how the keyboard gets to each."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer

from tui.attention import Attention
from tui.feed import Feed
from tui.filter_line import FilterLine
from tui.gpu_view import why_no_gpus
from tui.painter import Painter
from tui.room import Room
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.events import EventsPane
from widgets.evidence import EvidencePane
from widgets.gpu import GpuPane
from widgets.header import HeaderBar
from widgets.layers import LayerStrip
from widgets.nodes import NodesPane
from widgets.pods import PodsPane
from widgets.table import RowTable
from widgets.tabs import PaneTabs

_TABS: Final = (("Causes", "causes"), ("Pods", "pods"), ("Nodes", "nodes"), ("Events", "events"))
_GPU_TAB: Final = ("GPU", "gpu")


class PaneScreen(Screen[None]):
    """Composes the panes and shares the room among them; what they show is for the subclass to paint."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]

    tab: reactive[int] = reactive(0, init=False)

    def __init__(self, feed: Feed, clock: Callable[[], datetime], painter: Painter, attention: Attention) -> None:
        super().__init__()
        self._feed = feed
        self._clock = clock
        self._room = Room(self)
        self.attention = attention
        self.painter = painter

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield LayerStrip()
        yield PaneTabs()
        with Horizontal(id="body"):
            with Container(id="panes"):
                with Container(id="top"):
                    yield CausesPane(id="causes")
                    yield EvidencePane(id="evidence")
                yield GpuPane(id="gpu")
                yield NodesPane(id="nodes")
                with Container(id="bottom"):
                    yield PodsPane(id="pods")
                    yield EventsPane(id="events")
            yield ChecklistPane(id="checklist")
        yield FilterLine(id="filter")
        yield Footer(compact=True, show_command_palette=False)

    def _fit(self) -> None:
        attention, lines = self.attention, None
        if self._evidence_is_below:
            shown = self._tabs[self.tab][1]
            gpu = shown == _GPU_TAB[1]
            lines = (
                self.query_one(GpuPane).line_count if gpu else self.query_one(f"#{shown}-table", RowTable).row_count + 2
            )
        self._room.fit(tabs=self._has_tabs, above=lines, since=(attention.focus, attention.selection, self.tab))

    def on_resize(self) -> None:
        if self.is_mounted:
            self.call_after_refresh(self._fit)

    def action_gpu(self) -> None:
        """Go to the GPU pane: its fleet; again, to its other parts."""
        if not self.painter.gpus.has_gpus:
            self.notify(why_no_gpus(self._feed.situation, self._clock()), markup=False)
        elif self._has_tabs and self._tabs[self.tab] is not _GPU_TAB:
            self.tab = self._tabs.index(_GPU_TAB)
        else:
            self.query_one(GpuPane).go()

    def action_scroll_evidence(self, by: int) -> None:
        """Scroll the evidence from wherever the keyboard is: with tabs it cannot be reached otherwise."""
        self.query_one(EvidencePane).scroll_facts(by)

    def action_pane(self, by: int) -> None:
        """Go to the next pane: on a narrow terminal the next tab."""
        if self._has_tabs:
            self.tab = (self.tab + by) % len(self._tabs)
        elif by > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def _note_gpus(self) -> None:
        """Show the GPU pane and its tab only while the cluster has GPU nodes."""
        self.set_class(not self.painter.gpus.has_gpus, "-no-gpu")
        self.query_one(PaneTabs).names = tuple(name for name, _ in self._tabs)
        self.tab = min(self.tab, len(self._tabs) - 1)

    @property
    def _tabs(self) -> tuple[tuple[str, str], ...]:
        return (*_TABS, _GPU_TAB) if self.painter.gpus.has_gpus else _TABS

    @property
    def _has_tabs(self) -> bool:
        return self.has_class("-narrow") or self.has_class("-short")

    @property
    def _evidence_is_below(self) -> bool:
        """Below the table of a tab, as long as something is focused: without, the table takes all."""
        return self._has_tabs and self._tabs[self.tab][1] != "causes" and not self.attention.focus.is_cluster

    @property
    def _shows_evidence(self) -> bool:
        if self.has_class("-narrow") and self.query_one(ChecklistPane).display:
            return False  # the checklist covers everything
        return not self._has_tabs or self._tabs[self.tab][1] == "causes" or self._evidence_is_below

    def watch_tab(self, number: int) -> None:
        for index, (_, pane_id) in enumerate((*_TABS, _GPU_TAB)):
            self.set_class(index == number, f"tab-{pane_id}")
        self.query_one(PaneTabs).current = number
        self._fit()
        if self.query_one(FilterLine).display:
            return
        if self._tabs[number] is _GPU_TAB:
            self.query_one(GpuPane).go()
        else:
            self.query_one(f"#{self._tabs[number][1]}-table").focus()
