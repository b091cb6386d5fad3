"""Which node the GPU pane shows and why, the order of the fleet, and how far its devices can be believed."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from diagnosis.rules.gpu_discovery import gpu_node_not_discovered
from diagnosis.xids import gravest, severity_of
from situation.findings import Diagnosis, Severity
from situation.focus import Focus, Relation
from situation.gpu.devices import GpuDevice, Lack, NodeDevices
from situation.gpu.links import BROKEN, Component, Link, LinkState, NodeChain
from situation.meta import Ref
from situation.quantity import counted
from situation.readings import Source, SourceState
from situation.situation import Situation
from tui.view import Filter
from widgets.gpu_devices import DeviceRow, DevicesState
from widgets.gpu_fleet import FleetRow

SOURCES: Final = ("gpu/nvml", "gpu/dcgm", "gpu/prometheus")
"""What may tell of devices."""
NOT_DISCOVERED: Final = gpu_node_not_discovered.id
_ORDER: Final = tuple(Component)
_UNEASY: Final = {
    LinkState.UNKNOWN: 1,
    LinkState.WAITING: 2,
    LinkState.STARTING: 3,
    LinkState.PAUSED: 4,
}
_FINE: Final = 5

Rank = tuple[int, int]
"""How bad a chain is, worst first: what sort of trouble, and how early in the chain."""


class Shown(NamedTuple):
    """The node whose chain is shown, and why that one."""

    node: str
    why: str


def rank(chain: NodeChain) -> Rank:
    """Return how bad a chain is: broken first, the earlier the worse, then not known, waiting, starting, paused."""
    best: Rank = (_FINE, 0)
    for link in chain.links:
        worth = 0 if link.state in BROKEN else _UNEASY.get(link.state, _FINE)
        if worth < best[0]:
            best = (worth, _ORDER.index(link.component))
    return best


class FleetOrder:
    """The nodes, worst first; only chains that changed are ranked again."""

    def __init__(self) -> None:
        self._ranked: dict[str, tuple[NodeChain, Rank]] = {}
        self._order: list[str] = []
        self.wanted: frozenset[Component] = frozenset()
        """Components that some node of those that were ordered last wants."""

    def order(self, chains: Mapping[str, NodeChain]) -> list[str]:
        """Return the names of the nodes of `chains`, worst first."""
        ranked = self._ranked
        moved = changed = False
        for node in [node for node in ranked if node not in chains]:
            del ranked[node]
            moved = changed = True
        for node, chain in chains.items():
            before = ranked.get(node)
            if before is None or before[0] is not chain:
                ranked[node] = (chain, rank(chain))
                moved |= before is None or before[1] != ranked[node][1]
                changed = True
        if changed:
            links = (link for chain in chains.values() for link in chain.links)
            self.wanted = frozenset(link.component for link in links if link.state is not LinkState.NOT_WANTED)
        if moved:
            self._order = sorted(ranked, key=lambda node: (ranked[node][1], node))
        return self._order

    def broken(self) -> int:
        """How many of the nodes that were ordered last have a broken link."""
        return sum(kept[1][0] == 0 for kept in self._ranked.values())


def shown_node(
    focus: Focus,
    looked_at: str,
    order: list[str],
    chains: Mapping[str, NodeChain],
    relation: Relation,
    situation: Situation,
    diagnosis: Diagnosis,
) -> Shown:
    """Choose the node: under the cursor of the fleet, focused, of what is focused, else the worst of all."""
    if looked_at in chains and focus.ref != Ref("Node", "", looked_at):
        return Shown(looked_at, "under the cursor")
    if focus.ref is not None:
        if focus.ref.kind == "Node" and focus.ref.name in chains:
            return Shown(focus.ref.name, "focused")
        pod = situation.pods.get((focus.ref.namespace, focus.ref.name)) if focus.ref.kind == "Pod" else None
        if pod is not None and pod.spec.node_name in chains:
            return Shown(pod.spec.node_name, f"of pod {pod.name}")
    finding = diagnosis.find(focus.cause) if focus.cause else None
    if finding is not None:
        node = finding.subject.name if finding.subject.kind == "Node" else finding.node
        if node in chains:
            return Shown(node, "of the cause")
    if not focus.is_cluster and relation.nodes:
        node = next((node for node in order if node in relation.nodes), "")
        if node:
            return Shown(node, "the worst that relates to the focus")
    if not order:
        return Shown("", "")
    worst = order[0]
    if rank(chains[worst])[0] == _FINE:
        return Shown(worst, "the first: all are fine" if len(order) > 1 else "")
    return Shown(worst, "the worst" if len(order) > 1 else "")


def fleet_rows(
    order: Iterable[str], chains: Mapping[str, NodeChain], relation: Relation, wanted: Filter
) -> tuple[FleetRow, ...]:
    """Return the lines of the fleet; what does not relate to the focus stays, dimmed, so that one can go there."""
    words = Filter(wanted.words)  # nodes stand in no namespace
    near = relation.nodes or frozenset()
    return tuple(
        FleetRow(chains[node], dimmed=bool(near) and node not in near)
        for node in order
        if words.is_empty or words.passes("", node)
    )


def fleet_note(nodes: int, broken: int, undiscovered: int) -> str:
    """Return how many nodes there are and how many are broken; those that were not discovered have no chain."""
    if nodes == 1 and not undiscovered:
        return "the only GPU node"
    if undiscovered:
        known = f"{broken} of {counted(nodes, 'node')} broken" if broken else counted(nodes, "node")
        return f"{known} · {undiscovered} not discovered"
    return f"{broken} of {counted(nodes, 'node')} broken" if broken else f"{counted(nodes, 'node')}, none broken"


def undiscovered_nodes(diagnosis: Diagnosis, chains: Mapping[str, NodeChain]) -> int:
    """Return how many nodes have a GPU by all signs, but nothing in the cluster says so: `chains` lack them."""
    findings = (finding for cause in diagnosis.causes for finding in (cause, *cause.consequences))
    return sum(
        ref.name not in chains for finding in findings if finding.rule == NOT_DISCOVERED for ref in finding.members
    )


def link_in_focus(focus: Focus, chains: Mapping[str, NodeChain]) -> Link | None:
    """Return the link that a focus is on, as it is now."""
    if focus.component is None or focus.ref is None or focus.ref.name not in chains:
        return None
    return chains[focus.ref.name].link(focus.component)


def device_row(device: GpuDevice, history: bytes, sharers: int | None, now: datetime) -> DeviceRow:
    """Return the row of a device, with the gravest of its fresh Xids."""
    xid = gravest(device, now)
    if xid is None:
        return DeviceRow(device, history, sharers=sharers)
    return DeviceRow(device, history, xid.code, severity_of(xid.code), sharers)


def device_order(row: DeviceRow) -> tuple[bool, int, str]:
    """Sort key of a device: those with trouble first, then by number."""
    device = row.device
    trouble = bool(
        not device.answers
        or device.ecc_uncorrected
        or device.row_remap_failed
        or device.remapped_uncorrectable
        or device.held_down_by
        or row.xid_severity in (Severity.CRITICAL, Severity.WARNING)
    )
    return (not trouble, device.index, device.mig_id)


def devices_state(known: NodeDevices | None, situation: Situation, now: datetime) -> DevicesState:
    """Return how far the devices of a node can be believed: from the node's own reading, else from the sources."""
    sources = [situation.source(name) for name in SOURCES]
    if known is not None:
        source = situation.source(f"gpu/{known.origin}")
        age_s = max(0.0, (now - known.observed_at).total_seconds()) if known.observed_at else None
        return DevicesState(_state(known, source, now), known.origin, age_s, known.error or source.error)
    spoken = [source for source in sources if source.state not in (SourceState.STARTING, SourceState.ABSENT)]
    failing = [source for source in spoken if source.state_at(now) is not SourceState.LIVE]
    if failing:
        source = failing[0]
        return DevicesState(source.state_at(now), source.name.removeprefix("gpu/"), None, source.error)
    if spoken:
        return DevicesState(SourceState.ABSENT, spoken[0].name.removeprefix("gpu/"), None, "says nothing of this node")
    absent = [source for source in sources if source.state is SourceState.ABSENT]
    if absent:
        return DevicesState(SourceState.ABSENT, absent[0].name.removeprefix("gpu/"), None, absent[0].error)
    return DevicesState(SourceState.STARTING, "", None, "no source has told of devices yet")


def _state(known: NodeDevices, source: Source, now: datetime) -> SourceState:
    if known.error:
        if known.observed_at is not None:
            return SourceState.STALE
        return SourceState.STARTING if known.lack is Lack.WAITS else SourceState.UNREACHABLE
    if known.observed_at is not None and (now - known.observed_at).total_seconds() > source.fresh_for_s:
        return SourceState.STALE
    return source.state_at(now)


def why_no_gpus(situation: Situation, diagnosis: Diagnosis, now: datetime) -> str:
    """Say why there is no GPU pane: no GPU nodes, or nodes that are not known."""
    source = situation.source("nodes")
    if source.has_value:
        state = source.state_at(now)
        then = "" if state is SourceState.LIVE else f" when the nodes were last read; now {state.value}"
        if missed := undiscovered_nodes(diagnosis, {}):
            seem = "seems" if missed == 1 else "seem"
            return f"No node is known to have GPUs; {counted(missed, 'node')} {seem} to have some, not discovered{then}"
        return f"No node of this cluster has GPUs{then}"
    if source.state is SourceState.STARTING:
        return "Nodes are being read: not known yet whether any has GPUs"
    return f"Not known whether any node has GPUs: nodes {source.state.value}" + (
        f": {source.error}" if source.error else ""
    )
