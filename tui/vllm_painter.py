"""Paints the pane of model servers from a Feed."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from situation.focus import Relation
from situation.quantity import counted
from situation.readings import Source, SourceState
from situation.serving.serving import SOURCE, serving_of
from situation.serving.view import ServerView, Serving
from tui.attention import Attention
from tui.feed import Feed
from tui.freshness import api_pane_state
from tui.vllm_facts import server_detail
from tui.vllm_groups import Group, engines_of, groups_of
from tui.vllm_history import EngineOf, ServingCurves
from tui.vllm_judging import row_state
from tui.vllm_rows import Rows
from tui.vllm_view import Shown, passes, related_servers, shown_server
from widgets.pane import PaneState, pane_state
from widgets.vllm import VllmPane, VllmView
from widgets.vllm_detail import ServerDetail
from widgets.vllm_states import LOOK, RowState
from widgets.vllm_table import CURVE, RowKey, RowKind, ServingRow

_QUIET: Final = (RowState.HEALTHY, RowState.SLEEPING, RowState.LEFT_OUT)


class VllmPainter:
    """Knows which line somebody looks at, which models are unfolded, and the curves that were drawn."""

    def __init__(self, feed: Feed, attention: Attention) -> None:
        self._feed = feed
        self._attention = attention
        self._curves = ServingCurves()
        self._unfolded: set[RowKey] = set()
        self.looked_at: RowKey | None = None
        """The line under the cursor, while the table has the keyboard and somebody moved it."""

    @property
    def has_servers(self) -> bool:
        """Whether there is any model server, asked or not. Nothing is worked out for this."""
        situation = self._feed.situation
        return bool(situation.serving.known) or bool(len(situation.model_server_pods.get(True)))

    def source(self) -> Source:
        """Return the source that tells of the servers."""
        return self._feed.situation.source(SOURCE)

    def serving(self, now: datetime) -> Serving:
        """Return the model servers now."""
        return serving_of(self._feed.situation, now)

    def unfold(self, key: RowKey) -> None:
        """List all servers of a model from now on."""
        self._unfolded.add(key)

    def server_of(self, key: RowKey, now: datetime) -> ServerView | None:
        """Return the server that a line stands for alone; None for a model of several."""
        return next((server for server in self.serving(now).servers if server.key == key.server), None)

    def paint(self, pane: VllmPane, relation: Relation, now: datetime, *, explains: bool = True) -> None:
        """Show the present state; without `explains` not what the figures mean."""
        if not pane.table.has_focus:
            self.looked_at = None
        feed, attention = self._feed, self._attention
        situation, serving = feed.situation, self.serving(now)
        related = related_servers(serving, relation)
        groups = [group for group in groups_of(serving) if passes(group, attention.wanted)]
        if attention.wanted.is_empty:
            present = {(group.model.name, group.model.workload) for group in groups}
            self._unfolded = {key for key in self._unfolded if (key.model, key.workload) in present}
        make = Rows(situation, now, related, self._unfolded)
        rows = tuple(row for group in groups for row in make.of(group))
        shown = shown_server(groups, serving, self.looked_at, attention.focus, related, feed.diagnosis)
        self._curves.keep(row.key for row in rows)
        pane.show(
            VllmView(
                rows,
                _listed(shown.key, rows),
                self._detail(shown, now, explains=explains),
                f"no model server matches “{attention.wanted.text}”",
            ),
            self._queue_of(groups, now),
        )
        pane.tell(self._state(now), self._note(groups, serving, now))

    def _detail(self, shown: Shown, now: datetime, *, explains: bool) -> ServerDetail | None:
        if shown.server is None or shown.key is None:
            return None
        situation, model = self._feed.situation, shown.key.model
        return server_detail(shown.server, model, self._curves, situation, now, shown.why, explains=explains)

    def _queue_of(self, groups: Sequence[Group], now: datetime) -> Callable[[RowKey], bytes]:
        """Return what gives the queue of a line."""
        by_model = {(group.model.name, group.model.workload): group for group in groups}
        memory = self._feed.situation.serving

        def queue(key: RowKey) -> bytes:
            group = by_model.get((key.model, key.workload))
            if group is None or key.kind is RowKind.REST:
                return b""
            return self._curves.queue(key, _engines(group, key), memory, now, CURVE)

        return queue

    def _state(self, now: datetime) -> PaneState:
        """Return how fresh the pane is: as its servers and its pods are; nothing is fresh before any was asked."""
        situation, source = self._feed.situation, self.source()
        if source.state is SourceState.STARTING:
            return pane_state(source, now=now)
        return api_pane_state(situation, now, source, situation.source("pods"))

    def _note(self, groups: Sequence[Group], serving: Serving, now: datetime) -> str:
        """Say how many there are, and how many of them are not well."""
        servers = serving.servers
        states = Counter(row_state(server, self._feed.situation, now) for server in servers)
        unwell = [f"{states[state]} {LOOK[state].word}" for state in RowState if states[state] and state not in _QUIET]
        count = f"{counted(len(groups), 'model')}, {counted(len(servers), 'server')}"
        return count + (f" · {', '.join(unwell)}" if unwell else "")


def _engines(group: Group, key: RowKey) -> list[EngineOf]:
    return [
        (server.key, engine)
        for server in group.servers
        if key.server in ("", server.key)
        for engine in engines_of(server, group.model.name)
        if key.kind is not RowKind.ENGINE or engine.engine == key.engine
    ]


def _listed(key: RowKey | None, rows: Sequence[ServingRow]) -> RowKey | None:
    """Return the line for a key that may be folded away: then that of its model."""
    if key is None or any(row.key == key for row in rows):
        return key
    return next((row.key for row in rows if (row.key.model, row.key.workload) == (key.model, key.workload)), None)
