"""Paints the pane of the control plane from a Feed."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from situation.api_server import METRICS
from situation.etcd.cluster import EtcdCluster, etcd_of
from situation.etcd.standing import source_name
from situation.focus import Relation
from situation.readings import Source, SourceState
from tui.api_server_view import api_server_facts
from tui.attention import Attention
from tui.certificate_view import certificate_facts
from tui.etcd_facts import etcd_facts, second_hand, title_note
from tui.etcd_history import FsyncCurves
from tui.etcd_view import member_row, related_members
from tui.feed import Feed
from widgets.control_plane_facts import ControlPlaneFact
from widgets.etcd import EtcdPane, EtcdView
from widgets.etcd_members import MemberRow
from widgets.glyphs import UNKNOWN
from widgets.pane import pane_state

NOTHING_SPOKE: Final = "Nothing is known of the control plane yet: neither etcd nor the API server's own measurements"
_PREFIXES: Final = ("etcd/", "control-plane/")
_FIRST: Final = ("quorum", "etcd")
"""Parts that always stand at the top."""
_URGENCY: Final = {"critical": 0, "warning": 1}
"""By the role of a fact; all others come after in the order in which they are told."""


class EtcdPainter:
    """Keeps the small curves of the members."""

    def __init__(self, feed: Feed, attention: Attention) -> None:
        self._feed = feed
        self._attention = attention
        self._curves = FsyncCurves()

    @property
    def has_spoken(self) -> bool:
        """Whether any source of the control plane said anything, even that it may not be read."""
        situation = self._feed.situation
        return bool(situation.etcd.known) or any(name.startswith(_PREFIXES) for name in situation.sources)

    @property
    def has_figures(self) -> bool:
        """Whether anything was measured, as opposed to said not to be known, or merely to be alive."""
        situation = self._feed.situation
        memory = situation.api_server
        told = (situation.etcd.known, situation.certificates, situation.local_health, memory.page)
        return any(map(bool, told))

    def source(self, now: datetime) -> Source:
        """Return the source that the pane's state is told of: the worst of the members', else the metrics'."""
        order = list(SourceState)
        return max(self._sources(), key=lambda source: order.index(source.state_at(now)))

    def states(self, now: datetime) -> tuple[SourceState, ...]:
        """Return the states of the sources that the pane stands on."""
        return tuple(source.state_at(now) for source in self._sources())

    def _sources(self) -> list[Source]:
        situation = self._feed.situation
        named = [source_name(known.member.endpoint) for known in situation.etcd.members()]
        return [situation.source(name) for name in named or [METRICS]]

    def paint(self, pane: EtcdPane, relation: Relation, now: datetime) -> None:
        """Show the present state."""
        situation = self._feed.situation
        cluster = etcd_of(situation, now)
        facts = [*etcd_facts(cluster, situation, now)]
        if not cluster.answering and (seen := second_hand(situation, now)) is not None:
            facts.append(seen)
        facts += certificate_facts(situation, now)
        facts += api_server_facts(situation, now)
        rows = self._rows(cluster, relation, now)
        pane.show(EtcdView(rows, ordered(facts), () if rows or self.has_figures else in_short(facts)))
        pane.tell(pane_state(*self._sources(), now=now), title_note(cluster))

    def _rows(self, cluster: EtcdCluster, relation: Relation, now: datetime) -> tuple[MemberRow, ...]:
        known = self._feed.situation.etcd.known
        self._curves.keep(known)
        related = related_members(cluster, relation, self._feed.situation)
        return tuple(
            member_row(
                view,
                self._curves.of(known[view.endpoint], now) if view.endpoint in known else b"",
                now,
                related=view.name in related,
                dimmed=bool(related) and view.name not in related,
            )
            for view in cluster.members
        )


def in_short(facts: Iterable[ControlPlaneFact]) -> tuple[ControlPlaneFact, ...]:
    """Return what is known or refused, and in one line what is not there: why takes more lines than it is worth."""
    facts = tuple(facts)
    parts: dict[SourceState, dict[str, None]] = {SourceState.STARTING: {}, SourceState.ABSENT: {}}
    kept = []
    for fact in ordered(facts):
        if fact.glyph != UNKNOWN or fact.state is None or fact.state.state not in parts:
            kept.append(fact)
        else:
            parts[fact.state.state][fact.part] = None
    told = [f"not known yet: {', '.join(starting)}"] if (starting := parts[SourceState.STARTING]) else []
    known = {fact.part for fact in kept}
    absent = [f"{part}'s metrics" if part in known else part for part in parts[SourceState.ABSENT]]
    told += [f"not read from here: {', '.join(absent)} (why: go to this pane)"] if absent else []
    return (*kept, ControlPlaneFact("", UNKNOWN, "; ".join(told), "dim")) if told else tuple(kept)


def ordered(facts: Iterable[ControlPlaneFact]) -> tuple[ControlPlaneFact, ...]:
    """Return what everything hangs on first, then the worst: where there is little room the rest is a scroll away."""
    return tuple(sorted(facts, key=lambda fact: (fact.part not in _FIRST, _URGENCY.get(fact.role, len(_URGENCY)))))
