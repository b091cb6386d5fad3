"""The cockpit's one screen: paints the panes and links them through one focus with a way back."""

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from textual.binding import Binding, BindingType

from playbooks.commands import Target
from situation.boundary import Boundary, Fault
from situation.findings import Layer
from situation.focus import Focus
from situation.meta import Ref
from tui.attention import Attention
from tui.checklist_screen import ChecklistScreen
from tui.copying import ChooseCommand, CopyCommand, why_no_command
from tui.feed import Feed, Turn
from tui.filter_line import FilterLine
from tui.log_choice import OpenLog
from tui.painter import Painter
from tui.view import Filter
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.etcd import EtcdPane
from widgets.events import EventsPane
from widgets.evidence import CardCommand, EvidencePane
from widgets.gpu import GpuPane
from widgets.gpu_chain import GpuChain
from widgets.header import HeaderBar
from widgets.layers import LayerStrip
from widgets.nodes import NodesPane
from widgets.pane import Pane
from widgets.pods import PodsPane
from widgets.tabs import PaneTabs


class CockpitScreen(ChecklistScreen):
    """Shows a Feed. `paint` is called after each turn; keys change what is attended to and paint at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy next", id="copy", tooltip="Copy the next command"),
        Binding("C", "choose", "Choose", id="choose", tooltip="Choose among the commands"),
        *(
            Binding(
                str(layer.value),
                f"layer({layer.value})",
                f"Layer {layer.value}: {layer.title}",
                show=False,
                id=f"layer-{layer.value}",
            )
            for layer in Layer
        ),
        Binding("escape", "back", "Back", id="back", tooltip="Back to what was shown before"),
        Binding("slash", "filter", "Filter", id="filter", tooltip="Filter by words and by ns:NAMESPACE"),
        Binding("g", "gpu", "GPU", show=False, id="gpu", tooltip="GPU fleet; again: chain, devices"),
        Binding("e", "etcd", "Control plane", show=False, id="etcd", tooltip="etcd; again: the rest of it"),
        Binding("L", "log", "Log", id="log", tooltip="Read the log of the failing container, and say what it tells"),
        Binding(
            "l",
            "checklist",
            "Checklist",
            id="checklist",
            tooltip="Open the playbook that goes on after the selected cause, or close it",
        ),
        Binding("n", "step(1)", "Next step of the checklist", show=False, id="next-step"),
        Binding("N", "step(-1)", "Previous step of the checklist", show=False, id="previous-step"),
        Binding("space", "tick", "Tick the step by hand", show=False, id="tick"),
        Binding("J", "scroll_evidence(1)", "Scroll the evidence down", show=False, id="evidence-down"),
        Binding("K", "scroll_evidence(-1)", "Scroll the evidence up", show=False, id="evidence-up"),
        Binding("tab", "pane(1)", "Next pane", show=False, priority=True, id="next-pane"),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False, priority=True, id="previous-pane"),
    ]

    def __init__(self, feed: Feed, target: Target, clock: Callable[[], datetime], mode: str) -> None:
        attention = Attention()
        super().__init__(feed, clock, Painter(feed, attention, target), attention)
        self._mode = mode
        self._boundary = Boundary()

    def on_mount(self) -> None:
        self._note_panes()
        self.query_one(ChecklistPane).display = False
        self.watch_tab(self.tab)
        self.query_one(CausesPane).table.focus()
        self.paint(None)
        self.call_after_refresh(self.read_playbooks)

    def paint(self, turn: Turn | None) -> None:
        """Show the present state; `turn` tells what changed since the last call, None repaints everything."""
        now = self._clock()
        self.attention.follow(self._feed.diagnosis, now)
        self._note_panes()
        painter, relation = self.painter, self.painter.relation()
        self.query_one(HeaderBar).facts = painter.header(self._mode, now)
        strip = self.query_one(LayerStrip)
        strip.statuses = self._feed.diagnosis.layers
        strip.picked = self.attention.focus.layer
        self._paint_pane(CausesPane, painter.causes, relation, now)
        self._paint_pane(EvidencePane, painter.evidence, now)
        self._paint_pane(PodsPane, painter.pods, relation, turn, now)
        self._paint_pane(GpuPane, painter.gpu, relation, turn, now)
        self._paint_pane(EtcdPane, painter.etcd, relation, turn, now)
        self._paint_pane(NodesPane, painter.nodes, relation, turn, now)
        self._paint_pane(EventsPane, painter.events, relation, turn, now)
        self.paint_checklist(now)
        self._fit()

    def _paint_pane(self, kind: type[Pane], paint: Callable[..., None], *arguments: object) -> None:
        """Paint one pane; an error of ours in it is told on its title, and the others are painted all the same."""
        pane = self.query_one(kind)
        outcome = self._boundary.attempt(f"pane {kind.TITLE}", paint, pane, *arguments)
        pane.fault = outcome.text if isinstance(outcome, Fault) else ""

    # What the panes say

    def on_causes_pane_cause_highlighted(self, event: CausesPane.CauseHighlighted) -> None:
        if event.moved:  # else rows came or went under the cursor: what was selected still is
            self.attention.selection = event.key
            self.attention.follow(self._feed.diagnosis, self._clock())
            self.painter.evidence(self.query_one(EvidencePane), self._clock())

    def on_causes_pane_cause_picked(self, event: CausesPane.CausePicked) -> None:
        if self._feed.diagnosis.find(event.key) is None:
            return  # withdrawn: nothing relates to it, and its card says why
        self.attention.focus_on(Focus(cause=event.key), event.key)
        self.paint(None)

    def on_pods_pane_pod_picked(self, event: PodsPane.PodPicked) -> None:
        self._focus_on_object(event.ref)

    def on_nodes_pane_node_picked(self, event: NodesPane.NodePicked) -> None:
        self._focus_on_object(event.ref)

    def on_events_pane_event_picked(self, event: EventsPane.EventPicked) -> None:
        self._focus_on_object(event.ref)

    def on_gpu_pane_object_picked(self, event: GpuPane.ObjectPicked) -> None:
        self._focus_on_object(event.ref)

    def on_etcd_pane_member_picked(self, event: EtcdPane.MemberPicked) -> None:
        self._focus_on_object(event.ref)

    def on_gpu_pane_node_looked_at(self, event: GpuPane.NodeLookedAt) -> None:
        self.painter.gpus.looked_at = event.node
        self._paint_pane(GpuPane, self.painter.gpu, self.painter.relation(), None, self._clock())

    def on_gpu_chain_link_picked(self, event: GpuChain.LinkPicked) -> None:
        chain = self._feed.fleet.chains.get(event.node)
        if chain is not None and (link := chain.link(event.component)) is not None:
            self.attention.focus_on_link(event.node, link, self._feed.diagnosis)
            self._show_attention()

    def _focus_on_object(self, ref: Ref) -> None:
        self.attention.focus_on_object(ref, self._feed.diagnosis)
        self._show_attention()

    def _show_attention(self) -> None:
        """Paint everything, with the cursor on the cause whose evidence is shown."""
        self.paint(None)
        self.query_one(CausesPane).table.move_to(self.attention.selection)

    def on_layer_strip_layer_picked(self, event: LayerStrip.LayerPicked) -> None:
        self.action_layer(event.layer.value)

    def on_pane_tabs_tab_picked(self, event: PaneTabs.TabPicked) -> None:
        self.tab = event.number

    # Keys

    def action_layer(self, number: int) -> None:
        """Focus a layer; the same key again lets go of it."""
        layer = Layer(number)
        if self.attention.focus.layer is layer:
            self.action_back()
            return
        self.attention.focus_on_layer(layer, self._feed.diagnosis)
        self.ask_for_layer(layer)
        self._show_attention()

    def action_back(self) -> None:
        """Undo one step: close the filter line, clear the filter, go back to the focus before, close the checklist."""
        line = self.query_one(FilterLine)
        if line.display or not self.attention.wanted.is_empty:
            line.value = ""
            self._set_filter(Filter())
            self._close_filter()
        elif self.attention.go_back():
            self._show_attention()
        elif self.query_one(ChecklistPane).display:
            self.action_checklist()

    def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterLine).open()

    def on_filter_line_filter_changed(self, event: FilterLine.FilterChanged) -> None:
        self._set_filter(event.wanted)

    def on_filter_line_filter_kept(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        if self.query_one(FilterLine).close():
            self.watch_tab(self.tab)

    def _set_filter(self, wanted: Filter) -> None:
        if wanted != self.attention.wanted:
            self.attention.wanted = wanted
            self.paint(None)

    def filter_namespace(self, namespace: str) -> None:
        """Show one namespace only, all if empty."""
        wanted = Filter(self.attention.wanted.words, namespace)
        self.query_one(FilterLine).write(wanted)
        self._set_filter(wanted)

    def action_copy(self) -> None:
        """Copy the next command: the checklist's while it has the keyboard, else that of the evidence pane."""
        commands = self._commands()
        if commands:
            self.post_message(CopyCommand(commands[0]))
        else:
            self._say_no_command()

    def action_choose(self) -> None:
        """Choose among all commands of the evidence pane."""
        commands = self._commands()
        if commands:
            self.post_message(ChooseCommand(commands))
        else:
            self._say_no_command()

    def action_log(self) -> None:
        """Show the log of what is attended to; it is read now, and only now."""
        self.post_message(OpenLog())

    def _say_no_command(self) -> None:
        said = why_no_command(self.attention, is_shown=self._shows_evidence)
        self.notify(said, severity="warning", markup=False)

    def _commands(self) -> tuple[CardCommand, ...]:
        pane = self.query_one(ChecklistPane)
        if pane.display and pane.has_focus_within:
            return self.step_command()
        # What is copied is what stands on the screen, also if more is known by now.
        return self.query_one(EvidencePane).card.commands if self._shows_evidence else ()
