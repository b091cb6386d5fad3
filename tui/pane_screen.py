"""Where the panes of the cockpit stand: as rows, on a small terminal as tabs, and how the keyboard gets to each."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer

from situation.findings import Layer
from tui.attention import Attention
from tui.etcd_painter import NOTHING_SPOKE
from tui.feed import Feed
from tui.filter_line import FilterLine
from tui.gpu_view import why_no_gpus
from tui.painter import Painter
from tui.room import Room
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.etcd import EtcdPane
from widgets.events import EventsPane
from widgets.evidence import EvidencePane
from widgets.gpu import GpuPane
from widgets.header import HeaderBar
from widgets.layers import LayerStrip
from widgets.nodes import NodesPane
from widgets.pods import PodsPane
from widgets.table import RowTable
from widgets.tabs import PaneTabs

TABS: Final[tuple[tuple[str, str], ...]] = (
    ("Causes", "causes"),
    ("Pods", "pods"),
    ("Nodes", "nodes"),
    ("Events", "events"),
)
_GPU_TAB: Final = ("GPU", "gpu")
_ETCD_TAB: Final = ("Control plane", "etcd")
_SIDE_BY_SIDE: Final = 158
"""Cells from which GPU and control plane stand side by side; below, that of the two which was asked for last."""


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
        self._always: tuple[tuple[str, str], ...] = TABS
        """Tabs that do not depend on what is known."""
        self._tabs: tuple[tuple[str, str], ...] = self._always
        self._asked = _GPU_TAB
        """Which of the panes in the middle was asked for last."""
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
                with Container(id="middle"):
                    yield GpuPane(id="gpu")
                    yield EtcdPane(id="etcd")
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
            tab = self._tabs[self.tab]
            if (pane := self._optional(tab)) is not None:
                lines = pane.line_count
            else:
                lines = self.query_one(f"#{tab[1]}-table", RowTable).row_count + 2
        self._choose_middle()
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
            self._go_to(_GPU_TAB)

    def action_etcd(self) -> None:
        """Go to etcd and the control plane: its members; again, to what is known besides."""
        if not self.painter.control_plane.has_spoken:
            self.notify(NOTHING_SPOKE, markup=False)
        else:
            self._go_to(_ETCD_TAB)

    def _go_to(self, tab: tuple[str, str]) -> None:
        """Show an optional pane and give it the keyboard; if it has that already, its next part."""
        self._ask_for(tab)
        if self._has_tabs and self._tabs[self.tab] is not tab:
            self.tab = self._tabs.index(tab)
        elif (pane := self._optional(tab)) is not None:
            pane.go()

    def _ask_for(self, tab: tuple[str, str]) -> None:
        self._asked = tab
        self._fit()

    def ask_for_layer(self, layer: Layer) -> None:
        """Show the pane that is all about a layer, if there is one and it has something to show."""
        tab = {Layer.CONTROL_PLANE: _ETCD_TAB, Layer.NODE: _GPU_TAB}.get(layer)
        if tab is None or self._has_tabs or tab not in self._tabs:
            return
        self._ask_for(tab)
        hidden = self._optional(_GPU_TAB if tab is _ETCD_TAB else _ETCD_TAB)
        if hidden is not None and hidden.has_focus_within and not self._is_side_by_side:
            self.query_one(CausesPane).table.focus()

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

    def _note_panes(self) -> None:
        """Show the optional panes and their tabs only while there is something in them; the tab in front stays."""
        painter, before = self.painter, self._tabs[self.tab]
        shown = ((_GPU_TAB, painter.gpus.has_gpus), (_ETCD_TAB, painter.control_plane.has_spoken))
        self._tabs = (*self._always, *(tab for tab, is_shown in shown if is_shown))
        for tab, is_shown in shown:
            self.set_class(not is_shown, f"-no-{tab[1]}")
        self.query_one(PaneTabs).names = tuple(name for name, _ in self._tabs)
        number = self._tabs.index(before) if before in self._tabs else min(self.tab, len(self._tabs) - 1)
        if number != self.tab:
            self.tab = number
        elif self._tabs[number] is not before:
            self.watch_tab(number)

    def _optional(self, tab: tuple[str, str]) -> GpuPane | EtcdPane | None:
        """Return the pane of a tab that is not always there; None for any other."""
        if tab is _GPU_TAB:
            return self.query_one(GpuPane)
        return self.query_one(EtcdPane) if tab is _ETCD_TAB else None

    def _choose_middle(self) -> None:
        """Let GPU and control plane stand side by side where both fit, else only that which was asked for last."""
        both = _GPU_TAB in self._tabs and _ETCD_TAB in self._tabs
        self.set_class(both and self._is_side_by_side, "-side-by-side")
        for tab in (_GPU_TAB, _ETCD_TAB):
            self.set_class(both and not self._is_side_by_side and tab is not self._asked, f"-away-{tab[1]}")

    @property
    def _is_side_by_side(self) -> bool:
        return (self.query_one("#panes").size.width or self.size.width) >= _SIDE_BY_SIDE

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
        shown = self._tabs[number]
        for tab in (*TABS, _GPU_TAB, _ETCD_TAB):
            self.set_class(tab is shown, f"tab-{tab[1]}")
        self.query_one(PaneTabs).current = number
        self._fit()
        if self.query_one(FilterLine).display:
            return
        pane = self._optional(shown)
        if pane is None:
            self.query_one(f"#{shown[1]}-table").focus()
        elif not pane.has_focus_within:
            pane.go()
