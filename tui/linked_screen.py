"""The panes of the cockpit linked: what is picked in one is what all others show, and the way back."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import partial

from playbooks.commands import Target
from situation.boundary import Boundary, Fault
from situation.focus import Focus, Relation
from situation.meta import Ref
from situation.steps import Steps, finish
from tui.attention import Attention
from tui.feed import Feed, Turn
from tui.middle_row import VLLM, Tab, tab_of_cause
from tui.painter import Painter
from tui.recorder import Recorder
from tui.timeline_screen import TimelineScreen
from widgets.causes import CausesPane
from widgets.etcd import EtcdPane
from widgets.events import EventsPane
from widgets.evidence import EvidencePane
from widgets.gpu import GpuPane
from widgets.gpu_chain import GpuChain
from widgets.header import HeaderBar
from widgets.layers import NOTHING_READ, LayerStrip
from widgets.nodes import NodesPane
from widgets.pane import Pane
from widgets.pods import PodsPane
from widgets.table import RowTable
from widgets.vllm import VllmPane
from widgets.vllm_table import RowKey, RowKind


class LinkedScreen(TimelineScreen):
    """Paints the panes of a Feed, and paints all of them for what somebody picked in one."""

    def __init__(
        self, feed: Feed, target: Target, clock: Callable[[], datetime], mode: str, recorder: Recorder
    ) -> None:
        attention = Attention()
        super().__init__(feed, clock, Painter(feed, attention, target), attention, recorder)
        self._mode = mode
        self._boundary = Boundary()
        self._paintings = 0
        """How often it was begun to paint everything."""

    def paint(self, turn: Turn | None) -> None:
        """Show the present state; `turn` tells what changed since the last call, None repaints all for somebody."""
        with self._asked() if turn is None else nullcontext():
            finish(self.painting(turn))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """What is painted meanwhile is what somebody asked for: no row or cause takes another's place unseen."""
        with ExitStack() as stack:
            stack.enter_context(self.painter.displacement.asked())
            if isinstance(self.focused, RowTable):
                stack.enter_context(self.focused.displacement.asked())
            yield

    def painting(self, turn: Turn | None) -> Steps[None]:
        """Do what `paint` does, pane by pane. Where somebody has all painted meanwhile, there is nothing left to do."""
        if not self.app.is_running:
            return  # shutting down: the panes may be gone already
        self._paintings += 1
        number, now = self._paintings, self._clock()
        self.attention.follow(self._feed.diagnosis, now)
        self._note_panes()
        painter, relation = self.painter, self.painter.relation()
        self.query_one(HeaderBar).facts = painter.header(self._mode, now, self.recorder.status)
        strip = self.query_one(LayerStrip)
        strip.statuses = self._feed.diagnosis.layers or NOTHING_READ
        strip.picked = self.attention.focus.layer
        parts: tuple[Callable[[], None], ...] = (
            partial(self._paint_pane, CausesPane, painter.causes, relation, now),
            partial(self._paint_pane, EvidencePane, painter.evidence, now),
            partial(self._paint_pane, PodsPane, painter.pods, relation, turn, now),
            partial(self._paint_pane, GpuPane, painter.gpu, relation, turn, now),
            partial(self._paint_pane, EtcdPane, painter.etcd, relation, turn, now),
            partial(self._paint_servers, relation, turn, now),
            partial(self._paint_pane, NodesPane, painter.nodes, relation, turn, now),
            partial(self._paint_pane, EventsPane, painter.events, relation, turn, now),
            partial(self.paint_checklist, now),
            self.paint_timeline,
            self._fit,
        )
        for part in parts:
            yield
            if number != self._paintings or not self.app.is_running:
                return
            part()

    def _paint_servers(self, relation: Relation, turn: Turn | None, now: datetime) -> None:
        if VLLM in self.middle.shown:  # else it is painted when it comes
            self._paint_pane(VllmPane, self.painter.vllm, relation, turn, now)

    def panes_came(self, tabs: Collection[Tab]) -> None:
        if VLLM in tabs:
            self._repaint_servers()

    def _repaint_servers(self) -> None:
        self._repaint_pane(VllmPane, self.painter.vllm)

    def _repaint_pane(self, kind: type[Pane], paint: Callable[..., None]) -> None:
        """Paint one pane anew, for what somebody did in it."""
        with self._asked():
            self._paint_pane(kind, paint, self.painter.relation(), None, self._clock())

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
        if (cause := self._feed.diagnosis.find(event.key)) is None:
            return  # withdrawn: nothing relates to it, and its card says why
        self.attention.focus_on(Focus(cause=event.key), event.key)
        self.bring_up(tab_of_cause(cause))
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

    def on_vllm_pane_row_picked(self, event: VllmPane.RowPicked) -> None:
        """Focus a server, of a model of several what manages their pods; list the servers that are not."""
        key = event.key
        if key.kind is RowKind.REST:
            self.painter.servers.unfold(key)
            self._repaint_servers()
        elif (ref := self._server_ref(key)) is not None:
            self._focus_on_object(ref)

    def _server_ref(self, key: RowKey) -> Ref | None:
        server = self.painter.servers.server_of(key, self._clock())
        return server.ref if server is not None else key.workload

    def on_vllm_pane_row_looked_at(self, event: VllmPane.RowLookedAt) -> None:
        self.painter.servers.looked_at = event.key
        self._repaint_servers()

    def on_gpu_pane_node_looked_at(self, event: GpuPane.NodeLookedAt) -> None:
        self.painter.gpus.looked_at = event.node
        self._repaint_pane(GpuPane, self.painter.gpu)

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
