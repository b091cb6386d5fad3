"""The fleet: a line for each GPU node, a cell for each component."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from rich.cells import cell_len

from situation.gpu.links import Component, NodeChain
from widgets.columns import Cell, Column
from widgets.gpu_states import LOOK, TITLES, words
from widgets.table import RowTable

_SHORT: Final = {
    Component.NFD: "NFD",
    Component.OPERATOR: "ope",
    Component.DRIVER: "drv",
    Component.TOOLKIT: "tkt",
    Component.VALIDATOR: "val",
    Component.PLUGIN: "plg",
    Component.GFD: "GFD",
    Component.DCGM: "DCG",
    Component.EXPORTER: "exp",
    Component.MIG: "MIG",
    Component.MPS: "MPS",
    Component.DRA_DRIVER: "DRA",
    Component.CHECKS: "chk",
    Component.CAPACITY: "cap",
}
_SELDOM: Final = (Component.DRA_DRIVER, Component.MPS, Component.DCGM, Component.CHECKS, Component.MIG)
"""Columns that go first where it is narrow: most clusters do not want them."""

_NAME: Final = 32
_MEASURED: Final = 200
"""Names that are measured: those of a cluster are about as long as each other."""


class FleetRow(msgspec.Struct, frozen=True):
    """A node's chain as a line of the heat map."""

    chain: NodeChain
    dimmed: bool = False
    """Not related to the focus."""


class GpuFleet(RowTable[FleetRow]):
    """Nodes as lines, components as columns, bad nodes first."""

    DEFAULT_CSS = """
    GpuFleet { width: 1fr; height: 1fr; min-height: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        self._components: tuple[Component, ...] = tuple(_SHORT)
        super().__init__(
            fleet_columns(self._components),
            key_of=lambda row: row.chain.node,
            cells_of=lambda row: fleet_cells(row, self._components),
            id=id,
        )

    @property
    def least_width(self) -> int:
        """Cells for the longest name and all components."""
        name = max((cell_len(row.chain.node) for row in self._items[:_MEASURED]), default=0)
        return min(max(name, 9), _NAME) + 4 * len(self._components) + 2

    def show_components(self, wanted: Collection[Component]) -> None:
        """Have columns for these components only."""
        components = tuple(component for component in _SHORT if component in wanted)
        if components != self._components:
            self._components = components
            self.show_columns(fleet_columns(components))


def fleet_columns(components: Sequence[Component]) -> tuple[Column, ...]:
    """Return the columns: name, one for each component, words."""
    return (
        Column("node", _NAME, priority=0, least=9),
        *(
            Column(_SHORT[item], 3, priority=2 + (len(_SELDOM) - _SELDOM.index(item) if item in _SELDOM else 0))
            for item in components
        ),
        Column("first that is broken", 0, priority=3 + len(_SELDOM)),
    )


def fleet_cells(row: FleetRow, components: Sequence[Component]) -> tuple[Cell, ...]:
    """Return the cells of a node: its name, a glyph for each component, and the first broken link in words."""
    chain = row.chain
    states = {link.component: link.state for link in chain.links}
    looks = (LOOK[states[component]] if component in states else None for component in components)
    broken = chain.broken
    name_role = "dim" if row.dimmed else "strong" if broken else ""
    return (
        (chain.node, name_role),
        *((f" {look.glyph}", "dim" if row.dimmed else look.role) if look else "" for look in looks),
        (f"{TITLES[broken.component]}: {words(broken)}", "dim") if broken else "",
    )
