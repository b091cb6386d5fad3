"""Where the panes of the cockpit stand: as rows, on a small terminal as tabs, and how the keyboard gets to each."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.events import ScreenResume
from textual.reactive import reactive
from textual.screen import Screen

from situation.findings import Layer
from tui.attention import Attention
from tui.etcd_painter import NOTHING_SPOKE
from tui.feed import Feed
from tui.filter_line import FilterLine
from tui.gpu_view import why_no_gpus
from tui.middle_row import ETCD, GPU, MIDDLE, VLLM, MiddleRow, Tab, middle_panes, tab_of_layer
from tui.note_line import NoteLine
from tui.painter import Painter
from tui.room import Room
from tui.vllm_view import why_no_servers
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.events import EventsPane
from widgets.evidence import EvidencePane
from widgets.header import HeaderBar
from widgets.key_hints import KeyHints
from widgets.layers import LayerStrip
from widgets.nodes import NodesPane
from widgets.pods import PodsPane
from widgets.table import RowTable
from widgets.tabs import PaneTabs
from widgets.timeline import TimelinePane

TABS: Final = (Tab("Causes", "causes"), Tab("Pods", "pods"), Tab("Nodes", "nodes"), Tab("Events", "events"))


class PaneScreen(Screen[None]):
    """Composes the panes and shares the room among them; what they show is for the subclass to paint."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]

    tab: reactive[int] = reactive(0, init=False)

    def __init__(self, feed: Feed, clock: Callable[[], datetime], painter: Painter, attention: Attention) -> None:
        # Each class that comes later has all widgets styled anew, which takes a good part of the first paint.
        super().__init__(classes=f"tab-{TABS[0].id}")
        self._was_shown = False
        self._feed = feed
        self._clock = clock
        self._room = Room(self)
        self._always: tuple[Tab, ...] = TABS
        """Tabs that do not depend on what is known."""
        self._tabs: tuple[Tab, ...] = self._always
        self.middle = MiddleRow(self)
        self.attention = attention
        self.painter = painter

    def on_screen_resume(self, event: ScreenResume) -> None:
        # The first time, all widgets were styled a moment ago, as they were composed.
        event.refresh_styles = event.refresh_styles and self._was_shown
        self._was_shown = True

    def compose(self) -> ComposeResult:
        sizes = zip(self.app.size, (self.HORIZONTAL_BREAKPOINTS, self.VERTICAL_BREAKPOINTS), strict=True)
        self.add_class(*([name for least, name in steps if size >= least][-1] for size, steps in sizes))
        yield HeaderBar()
        yield LayerStrip()
        yield PaneTabs()
        with Horizontal(id="body"):
            with Container(id="panes"):
                with Container(id="top"):
                    yield CausesPane(id="causes")
                    yield EvidencePane(id="evidence")
                with Container(id="middle", classes="-nothing"):
                    yield from middle_panes()
                yield NodesPane(id="nodes")
                with Container(id="bottom"):
                    yield PodsPane(id="pods")
                    yield EventsPane(id="events")
            yield ChecklistPane(id="checklist")
            yield TimelinePane(id="timeline")
        yield FilterLine(id="filter")
        yield NoteLine(id="note")
        yield KeyHints()

    def _fit(self) -> None:
        attention, lines, tab = self.attention, None, self._tabs[self.tab]
        if came := self.middle.choose(self._panes_width, tab if self._has_tabs else None):
            self.panes_came(came)
        if self._evidence_is_below:
            if (pane := self.middle.pane(tab)) is not None:
                lines = pane.line_count
            else:
                lines = self.query_one(f"#{tab.id}-table", RowTable).row_count + 2
        since = (attention.focus, attention.selection, self.tab)
        self._room.fit(tabs=self._has_tabs, above=lines, since=since, middle=self.middle.panes)

    def panes_came(self, tabs: Collection[Tab]) -> None:
        """Paint panes of the middle row that were away until now: for the subclass."""

    def on_resize(self) -> None:
        if self.is_mounted:
            self.call_after_refresh(self._fit)

    def action_gpu(self) -> None:
        """Go to the GPU pane: its fleet; again, to its other parts."""
        feed, has_gpus = self._feed, self.painter.gpus.has_gpus
        self._go_to(GPU, "" if has_gpus else why_no_gpus(feed.situation, self.painter.told, self._clock()))

    def action_etcd(self) -> None:
        """Go to etcd and the control plane: its members; again, to what is known besides."""
        self._go_to(ETCD, "" if self.painter.control_plane.has_spoken else NOTHING_SPOKE)

    def action_vllm(self) -> None:
        """Go to the model servers; again, to the next model."""
        self._go_to(
            VLLM, "" if self.painter.servers.has_servers else why_no_servers(self._feed.situation, self._clock())
        )

    def _go_to(self, tab: Tab, why_not: str) -> None:
        """Show a pane of the middle row and give it the keyboard; if it has that already, its next part."""
        if why_not:
            self.notify(why_not, markup=False)
            return
        self._note_panes()
        self._ask_for(tab)
        if self._has_tabs and self._tabs[self.tab] is not tab:
            self.tab = self._tabs.index(tab)
        elif (pane := self.middle.pane(tab)) is not None:
            pane.go()

    def _ask_for(self, tab: Tab) -> None:
        self.middle.ask_for(tab)
        self._fit()

    def ask_for_layer(self, layer: Layer) -> None:
        """Show the pane that is all about a layer, if there is one and it has something to show."""
        self.bring_up(tab_of_layer(layer))

    def bring_up(self, tab: Tab | None) -> None:
        """Show a pane of the middle row that has something to show; the keyboard stays where it is, if that stays."""
        if tab is None or self._has_tabs or tab not in self._tabs:
            return
        self._ask_for(tab)
        if self.middle.lost_the_keyboard():
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
        present = {
            GPU: painter.gpus.has_gpus,
            ETCD: painter.control_plane.has_spoken,
            VLLM: painter.servers.has_servers,
        }
        there = tuple(tab for tab in MIDDLE if present[tab])
        slight = () if painter.control_plane.has_figures else (ETCD,)
        self.middle.note(there, slight, next(iter(painter.told.causes), None))
        self._tabs = (*self._always, *there)
        self.query_one(PaneTabs).names = tuple(tab.title for tab in self._tabs)
        number = self._tabs.index(before) if before in self._tabs else min(self.tab, len(self._tabs) - 1)
        if number != self.tab:
            self.tab = number
        elif self._tabs[number] is not before:
            self.watch_tab(number)

    @property
    def _panes_width(self) -> int:
        return self.query_one("#panes").size.width or self.size.width

    @property
    def _has_tabs(self) -> bool:
        return self.has_class("-narrow") or self.has_class("-short")

    @property
    def _evidence_is_below(self) -> bool:
        """Below the table of a tab, as long as something is focused: without, the table takes all."""
        return self._has_tabs and self._tabs[self.tab].id != "causes" and not self.attention.focus.is_cluster

    @property
    def _shows_evidence(self) -> bool:
        if self.has_class("-narrow") and any(self.query_one(panel).display for panel in (ChecklistPane, TimelinePane)):
            return False  # the panel covers everything
        return not self._has_tabs or self._tabs[self.tab].id == "causes" or self._evidence_is_below

    def watch_tab(self, number: int) -> None:
        shown = self._tabs[number]
        self.update_classes({f"tab-{tab.id}": tab is shown for tab in (*TABS, *MIDDLE)})
        self.query_one(PaneTabs).current = number
        self._fit()
        if self.query_one(FilterLine).display or self.query_one(NoteLine).display:
            return
        pane = self.middle.pane(shown)
        if pane is None:
            self.query_one(f"#{shown.id}-table").focus()
        elif not pane.has_focus_within:
            pane.go()
