"""Paints the GPU pane from a Feed."""

from datetime import datetime

from diagnosis.gpu_facts import holders
from situation.cluster import Node
from situation.findings import Diagnosis
from situation.focus import Relation
from situation.gpu.links import Component, NodeChain
from situation.gpu.sharing import GpuSharing, gpu_sharing
from situation.situation import Situation
from tui.attention import Attention
from tui.feed import Feed
from tui.freshness import api_pane_state
from tui.gpu_view import (
    FleetOrder,
    Shown,
    device_order,
    device_row,
    devices_state,
    fleet_note,
    fleet_rows,
    shown_node,
    undiscovered_nodes,
)
from tui.log_choice import link_log
from tui.log_store import LogStore
from widgets.gpu import GpuPane, GpuView

_SOURCES = ("pods", "nodes", "daemonsets")
"""What the chains are made of."""


def sharers_of(node: Node, situation: Situation) -> int | None:
    """Return how many pods share the GPUs of a node; None where not all pods are read."""
    return len(holders(node, situation)) if situation.sees_all_pods else None


class GpuPainter:
    """Knows which node somebody looks at in the fleet."""

    def __init__(self, feed: Feed, attention: Attention, logs: LogStore) -> None:
        self._feed = feed
        self._attention = attention
        self._logs = logs
        self._order = FleetOrder()
        self.looked_at = ""
        """The node under the fleet's cursor, while that has the keyboard and somebody moved it."""

    @property
    def has_gpus(self) -> bool:
        return bool(self._feed.fleet.chains)

    def shown(self, relation: Relation) -> Shown:
        """Return which node is shown, and why."""
        feed, focus = self._feed, self._attention.focus
        chains = feed.fleet.chains
        order = self._order.order(chains)
        return shown_node(focus, self.looked_at, order, chains, relation, feed.situation, feed.diagnosis)

    def paint(
        self, pane: GpuPane, relation: Relation, now: datetime, diagnosis: Diagnosis, *, explains: bool = True
    ) -> None:
        """Show the present state; without `explains` not which link waits for which."""
        if not pane.fleet.has_focus:
            self.looked_at = ""
        feed, attention = self._feed, self._attention
        situation, chains = feed.situation, feed.fleet.chains
        shown = self.shown(relation)
        chain, known = chains.get(shown.node), situation.devices.get(shown.node)
        node = situation.nodes.get(("", shown.node))
        order = self._order.order(chains)
        sharing = gpu_sharing(node.metadata.labels) if node else GpuSharing()
        sharers = sharers_of(node, situation) if node is not None and sharing.is_shared else None
        made = (
            device_row(item, feed.devices.of(shown.node, item), sharers, now)
            for item in (known.devices if known else ())
        )
        rows = tuple(sorted(made, key=device_order))
        is_on_link = attention.focus.ref is not None and attention.focus.ref.name == shown.node
        pane.show(
            GpuView(
                chain=chain,
                said=self._said(chain, situation, now),
                picked=attention.focus.component if is_on_link else None,
                fleet=fleet_rows(order, chains, relation, attention.wanted),
                nodes=len(chains),
                components=self._order.wanted,
                devices=known,
                device_rows=rows,
                devices_state=devices_state(known, situation, now),
                sharing=sharing,
                explains=explains,
                empty=f"no GPU node matches “{attention.wanted.text}”",
            )
        )
        missed = undiscovered_nodes(diagnosis, chains)
        said = fleet_note(len(chains), self._order.broken(), missed)
        note = " · ".join(part for part in (shown.node, shown.why, said) if part)
        pane.tell(api_pane_state(situation, now, *map(situation.source, _SOURCES)), note)

    def _said(self, chain: NodeChain | None, situation: Situation, now: datetime) -> dict[Component, str]:
        """Return the last log lines of a chain's links, as far as somebody has read their logs."""
        if chain is None or self._logs.is_empty:
            return {}
        said = {}
        for link in chain.links:
            target = link_log(link, situation)
            if target is not None and (text := self._logs.last_said(target, situation, now)):
                said[link.component] = text
        return said
