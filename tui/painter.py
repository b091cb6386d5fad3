"""Paints a Feed onto the panes: after each turn what changed, after a key everything."""

from datetime import datetime

import msgspec

from playbooks.commands import Target
from situation.findings import Diagnosis, Severity
from situation.focus import Relation, related
from situation.meta import Ref
from situation.quantity import counted
from situation.readings import Source
from situation.server_clock import correction_text
from situation.serving.view import MODEL_SERVER
from situation.text import harmless
from tui.attention import Attention
from tui.cadence import AGES_EVERY_S, Due
from tui.cards import finding_card, object_card
from tui.connection_problem import connection_problem
from tui.etcd_card import member_card
from tui.etcd_painter import EtcdPainter
from tui.feed import Feed, Turn
from tui.freshness import api_pane_state
from tui.gpu_painter import GpuPainter
from tui.gpu_view import link_in_focus
from tui.log_choice import selected_log
from tui.log_store import LogStore
from tui.other_cards import family_card, layer_card, withdrawn_card
from tui.view import (
    empty_causes_text,
    empty_text,
    narrower,
    no_pod_matches,
    no_such_namespace,
    nowhere,
    visible_causes,
    visible_events,
    visible_nodes,
    visible_pods,
)
from tui.vllm_card import server_card
from tui.vllm_painter import VllmPainter
from widgets.causes import CausesPane
from widgets.displacement import Displacement
from widgets.etcd import EtcdPane
from widgets.events import EventsPane
from widgets.evidence import Card, EvidencePane
from widgets.families import FamilyKey, fold_families
from widgets.gpu import GpuPane
from widgets.header import CONNECTING, HeaderFacts
from widgets.nodes import NodesPane
from widgets.pane import pane_state
from widgets.pods import PodsPane
from widgets.vllm import VllmPane


class Painter:
    """Knows what was painted last, and paints only what may differ."""

    def __init__(self, feed: Feed, attention: Attention, target: Target) -> None:
        self._feed = feed
        self._attention = attention
        self.target = target
        self.logs = LogStore()
        self.explains = True
        """Whether the panes beside the causes say what follows from what; states and figures they always show."""
        self._selected = False
        self._gravest = ""
        self._told: set[tuple[str, Severity]] = set()
        """The causes that were painted last."""
        self.displacement = Displacement()
        """Of the cause in the evidence pane, by another one that became the gravest."""
        self._pods_shown = 0
        self._pods_reordered = False
        self._slow_at: datetime | None = None
        """When a slow pane was painted last: at most one in a turn, so that a key never waits for all of them."""
        self._pods_due = Due()
        self._ages_due = Due(AGES_EVERY_S)
        self._events_due = Due()
        self._nodes_due = Due()
        self._gpu_due = Due()
        self._etcd_due = Due()
        self._vllm_due = Due()
        self.gpus = GpuPainter(feed, attention, self.logs)
        self.control_plane = EtcdPainter(feed, attention)
        self.servers = VllmPainter(feed, attention)

    @property
    def told(self) -> Diagnosis:
        """What the panes beside the causes may use of the diagnosis."""
        return self._feed.diagnosis if self.explains else Diagnosis()

    def relation(self) -> Relation:
        """Return what relates to the focus; what a withdrawn cause was about still does, to be looked at."""
        diagnosis = self._feed.diagnosis
        if (withdrawn := self._attention.withdrawn_focus) is not None:
            diagnosis = msgspec.structs.replace(diagnosis, causes=(*diagnosis.causes, withdrawn))
        focus = self._attention.focus
        return related(focus, self._feed.situation, diagnosis, link_in_focus(focus, self._feed.fleet.chains))

    def causes(self, pane: CausesPane, relation: Relation, now: datetime) -> None:
        situation, diagnosis, attention = self._feed.situation, self._feed.diagnosis, self._attention
        self._owe_what_gainsays(diagnosis)
        shown = visible_causes(diagnosis, attention.wanted)
        withdrawn = attention.withdrawn
        if withdrawn is not None:  # stays in its place, so that no other moves under the cursor
            shown = (*shown[: withdrawn.place], withdrawn.finding, *shown[withdrawn.place :])
        empty = empty_causes_text(diagnosis, situation, now, attention.wanted)
        before = pane.table.cursor_key
        pane.show(shown, relation.causes, empty, attention.kept, withdrawn.finding.key if withdrawn else "")
        self._stay_with_gravest(pane, before)
        explained = sum(cause.explains + cause.count for cause in diagnosis.causes)
        verb = "explains" if len(diagnosis.causes) == 1 else "explain"
        note = f"{len(diagnosis.causes)} {verb} {counted(explained, 'symptom')}" if diagnosis.causes else ""
        pane.tell(pane_state(situation.source("pods"), now=now), note)

    def _owe_what_gainsays(self, diagnosis: Diagnosis) -> None:
        """Have all slow panes painted soon when other causes are told: they still show what was before."""
        told = {(cause.key, cause.severity) for cause in diagnosis.causes}
        if told != self._told:
            self._told = told
            for due in (self._pods_due, self._nodes_due, self._gpu_due, self._etcd_due, self._vllm_due):
                due.owe()

    def _stay_with_gravest(self, pane: CausesPane, before: object) -> None:
        """While nothing is selected the cursor stays with the gravest cause; `before` is the key it was on.

        Where it is on another, somebody moved it and the message that says so is still on its way.
        """
        was_selected, self._selected = self._selected, self._attention.selection is not None
        gravest = self._attention.finding(self._feed.diagnosis)
        if not self._selected and gravest is not None and (was_selected or before in (None, self._gravest)):
            if not was_selected and self._gravest not in ("", gravest.key):
                self.displacement.note()
            self._gravest = gravest.key
            pane.table.move_to(gravest.key, asked=False)

    def was_displaced(self) -> bool:
        """Tell, once, whether the evidence pane was given to another cause too short a time ago to be seen."""
        return self.displacement.take() and self._attention.selection is None

    def evidence(self, pane: EvidencePane, now: datetime) -> None:
        card, situation = self.card(now), self._feed.situation
        if not self.logs.is_empty:
            target = selected_log(self._attention, self._feed.diagnosis, situation)
            card = self.logs.added_to(card, target, situation, now)
        pane.card = card
        pane.tell(pane_state(situation.source("pods"), now=now))

    def card(self, now: datetime) -> Card:
        """Return the card of what is selected."""
        situation, diagnosis, attention = self._feed.situation, self._feed.diagnosis, self._attention
        selection = attention.selection
        if isinstance(selection, Ref) and selection.kind == "EtcdMember":
            return member_card(selection, situation, self.target, now)
        if isinstance(selection, Ref) and selection.kind == MODEL_SERVER:
            return server_card(selection, situation, self.target, now)
        if isinstance(selection, Ref):
            return object_card(selection, situation, self.target, now)
        if isinstance(selection, FamilyKey):
            families = fold_families(visible_causes(diagnosis, attention.wanted), attention.kept).families
            return family_card(selection, next((family for family in families if family.key == selection), None))
        if (withdrawn := attention.withdrawn) is not None and withdrawn.withdrawn_at is not None:
            return withdrawn_card(withdrawn.finding, withdrawn.withdrawn_at, situation, diagnosis, now)
        finding = attention.finding(diagnosis)
        if finding is None:
            layer = next((item for item in diagnosis.layers if item.layer is attention.focus.layer), None)
            return layer_card(layer) if layer else Card()
        cause = next((item for item in diagnosis.causes if finding in item.consequences), None)
        return finding_card(finding, situation, self.target, now, cause)

    def pods(self, pane: PodsPane, relation: Relation, turn: Turn | None, now: datetime) -> None:
        situation, attention = self._feed.situation, self._attention
        source = situation.source("pods")
        whole = relation.pods is None and attention.wanted.is_empty
        self._pods_reordered |= turn is None or turn.reordered
        if (
            turn is not None
            and whole
            and self._pods_shown  # why there are none may differ at any time
            and not (self._pods_reordered and self._pods_due.is_due(source.state, now, self._slow_at))
        ):
            if self._ages_due.is_due(source.state, now):
                self._ages_due.painted(source.state, now)
                pane.repaint_ages(now)
            else:
                pane.repaint(turn.pods, now)
        else:
            self._pods_reordered = False
            self._ages_due.painted(source.state, now)
            painted = self._pods_due.painted(source.state, now)
            if whole:  # under a focus or a filter pods are painted in every turn: the others must not wait for that
                self._slow_at = painted
            keys = visible_pods(situation, self._feed.order, relation, attention.wanted)
            pane.show(keys, situation.pods, now, self._empty("pods", source, now, no_pod_matches(relation.unmatched)))
            self._pods_shown = len(keys)
        pane.tell(
            api_pane_state(situation, now, source),
            self._note(self._pods_shown, len(situation.pods), situation.knows("pods")),
        )

    def _empty(self, what: str, source: Source, now: datetime, unrelated: str = "") -> str:
        focus, wanted = self._attention.focus, self._attention.wanted
        hint = no_such_namespace(wanted, self._feed.situation, now)
        said = empty_text(what, source, now, focus, wanted, hint, unrelated)
        return said + narrower(what, self._feed.situation) + nowhere(what, self._feed.situation, now)

    def nodes(self, pane: NodesPane, relation: Relation, turn: Turn | None, now: datetime) -> None:
        situation, attention = self._feed.situation, self._attention
        source = situation.source("nodes")
        if turn is not None and not self._nodes_due.is_due(source.state, now, self._slow_at):
            return
        self._slow_at = self._nodes_due.painted(source.state, now)
        rows = visible_nodes(situation, self._feed.order, relation, attention.wanted)
        pane.show(rows, now, self._empty("nodes", source, now))
        pane.tell(
            api_pane_state(situation, now, source),
            self._note(len(rows), len(situation.nodes), situation.knows("nodes")),
        )

    def events(self, pane: EventsPane, relation: Relation, turn: Turn | None, now: datetime) -> None:
        situation, attention = self._feed.situation, self._attention
        source = situation.source("events")
        if turn is not None and not self._events_due.is_due(source.state, now, self._slow_at):
            return
        self._slow_at = self._events_due.painted(source.state, now)
        events = visible_events(situation, relation, attention.wanted)
        pane.show(events, self._empty("events", source, now))
        pane.tell(
            api_pane_state(situation, now, source),
            self._note(len(events), len(situation.events), situation.knows("events")),
        )

    def gpu(self, pane: GpuPane, relation: Relation, turn: Turn | None, now: datetime) -> None:
        source = self._feed.situation.source("nodes")
        if not self.gpus.has_gpus or (turn is not None and not self._gpu_due.is_due(source.state, now, self._slow_at)):
            return
        self._slow_at = self._gpu_due.painted(source.state, now)
        self.gpus.paint(pane, relation, now, self.told, explains=self.explains)

    def etcd(self, pane: EtcdPane, relation: Relation, turn: Turn | None, now: datetime) -> None:
        plane = self.control_plane
        if not plane.has_spoken:
            return
        states = plane.states(now)
        if turn is not None and not self._etcd_due.is_due(states, now, self._slow_at):
            return
        self._slow_at = self._etcd_due.painted(states, now)
        plane.paint(pane, relation, now)

    def vllm(self, pane: VllmPane, relation: Relation, turn: Turn | None, now: datetime) -> None:
        source = self.servers.source()
        if not self.servers.has_servers:
            return
        if turn is not None and not self._vllm_due.is_due(source.state, now, self._slow_at):
            return
        self._slow_at = self._vllm_due.painted(source.state, now)
        self.servers.paint(pane, relation, now, explains=self.explains)

    def header(self, mode: str, now: datetime, log: str = "") -> HeaderFacts:
        situation = self._feed.situation
        context = harmless(self.target.context) or ("" if situation.sources else CONNECTING)
        return HeaderFacts(
            context=context + (f" · only namespace {limit}" if (limit := self.target.limited_to) else ""),
            mode=mode,
            version=situation.version.git_version if situation.version else None,
            nodes=len(situation.nodes) if situation.knows("nodes") else None,
            pods=len(situation.pods) if situation.knows("pods") else None,
            load=situation.own_load,
            problem=connection_problem(situation),
            now=now.replace(microsecond=0),
            log=log,
            clock=correction_text(situation),
        )

    def _note(self, shown: int, total: int, known: bool) -> str:
        """Say what of the whole is shown; no number before the first list: 0 would read as "none"."""
        attention = self._attention
        if not known:
            return attention.text
        if attention.focus.is_cluster and attention.wanted.is_empty:
            return f"{total:,}".replace(",", " ")
        parts = [attention.text] if attention.text else []
        if not attention.wanted.is_empty:
            parts.append(f"filter “{attention.wanted.text}”")
        return f"{' · '.join(parts)} · {shown} of {total}"
