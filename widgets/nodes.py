"""The nodes: state, what runs there, what they offer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from textual.app import ComposeResult
from textual.message import Message

from situation.clock import age_text
from situation.cluster import Node
from situation.gpu.offer import Offer, gpu_offer
from situation.gpu.requests import is_gpu
from situation.meta import Quantities, Ref
from situation.quantity import parse_quantity
from situation.selectors import is_node_ready, node_roles, node_status_text
from widgets.columns import Cell, Column
from widgets.pane import Pane
from widgets.table import RowTable

_LEAST_LINES: Final = 4


class NodeRow(msgspec.Struct, frozen=True):
    """A node with the numbers that stand in other objects."""

    node: Node
    pods: int | None
    """None while not all of its pods are read."""
    unsettled: int
    """Pods on it that need a look."""
    gpus_by_claim: bool = False
    """A DRA driver gives out its GPUs, so it offers none as a resource."""


class NodesPane(Pane):
    """A table of nodes."""

    TITLE = "Nodes"

    class NodePicked(Message):
        """A node was picked."""

        def __init__(self, ref: Ref) -> None:
            self.ref = ref
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now: datetime | None = None
        self._lines = 0

    def compose_body(self) -> ComposeResult:
        yield RowTable[NodeRow](
            (
                Column("node", 0, priority=0, keeps_end=True),
                Column("status", 12, priority=0),
                Column("conditions", 22, priority=2),
                Column("roles", 14, priority=5),
                Column("pods", 9, priority=1, align="right"),
                Column("GPUs", 6, priority=3, align="right"),
                Column("age", 6, priority=4, align="right"),
                Column("version", 10, priority=6),
            ),
            key_of=lambda row: row.node.name,
            cells_of=lambda row: node_cells(row, self._now),
            id="nodes-table",
        )

    @property
    def table(self) -> RowTable[NodeRow]:
        return self.query_one(RowTable)

    def show(self, rows: Sequence[NodeRow], now: datetime, empty: str) -> None:
        """Show these nodes."""
        self._now = now
        lines = max(_LEAST_LINES, len(rows) + 2)
        if lines != self._lines:
            self._lines = lines
            self.styles.max_height = lines  # a small cluster leaves the room to the pods
        self.table.empty_text = empty
        self.table.show(rows)

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        self.post_message(self.NodePicked(Ref("Node", "", str(event.key))))


def node_cells(row: NodeRow, now: datetime | None) -> tuple[Cell, ...]:
    """Return the cells of a node: name, status, conditions, roles, pods, GPUs, age, version."""
    node = row.node
    status = node_status_text(node)
    ready = is_node_ready(node)
    role = "fine" if status == "Ready" else "warning" if ready else "critical"
    troubles = [
        condition.type
        for condition in node.status.conditions
        if condition.type != "Ready" and condition.status == "True"
    ]
    count = "?" if row.pods is None else str(row.pods)
    pods = f"{row.unsettled}!/{count}" if row.unsettled else count
    return (
        (node.name, "" if ready else "strong"),
        (status, role),
        (" ".join(troubles) or "–", "warning" if troubles else "dim"),
        (",".join(node_roles(node)) or "–", "dim"),
        (pods, "warning" if row.unsettled else "dim"),
        _gpu_cell(row),
        (age_text(node.metadata.creation_timestamp, now) if now else "", "dim"),
        (node.status.node_info.kubelet_version, "dim"),
    )


def _gpu_cell(row: NodeRow) -> Cell:
    """Return the GPUs that a node offers of those it has: of any vendor, whole, shared or MIG devices."""
    node = row.node
    there, offered = _gpus(node.status.capacity), _gpus(node.status.allocatable)
    if not there:
        return ("none", "warning") if gpu_offer(node) is Offer.NEVER and not row.gpus_by_claim else ("–", "dim")
    if None in there or None in offered:
        return ("?", "warning")
    have, usable = sum(filter(None, there)), sum(filter(None, offered))
    if usable < have:
        return (f"{usable:.10g}/{have:.10g}", "warning")
    role = "fine" if have else "warning" if gpu_offer(node) is Offer.GONE else "dim"
    return (f"{have:.10g}", role)


def _gpus(quantities: Quantities) -> list[float | None]:
    return [parse_quantity(amount) for name, amount in quantities.items() if is_gpu(name)]
