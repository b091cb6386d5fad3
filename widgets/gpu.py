"""The GPU pane: the chain of one node, the fleet, and the devices of that node."""

from collections.abc import Mapping
from typing import Final

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from situation.gpu.devices import NodeDevices
from situation.gpu.links import Component, NodeChain
from situation.gpu.sharing import GpuSharing
from situation.meta import Ref
from widgets.gpu_chain import GpuChain
from widgets.gpu_devices import DeviceRow, DevicesState, GpuDevices
from widgets.gpu_fleet import FleetRow, GpuFleet
from widgets.heights import set_height
from widgets.pane import Pane
from widgets.table import RowTable

_LEAST_CHAIN: Final = 80
"""Cells that the chain must get before the fleet stands beside it."""
_CHAIN: Final = 114
"""Cells that a chain can use; what is beyond them goes to the fleet."""
_FLEET_LINES: Final = 7
"""Lines of the fleet that are worth having before the devices get theirs, its header included."""

_LEAST_FLEET: Final = 2
"""Its header and the worst node."""


class GpuView(msgspec.Struct, frozen=True):
    """What the pane shows."""

    chain: NodeChain | None = None
    picked: Component | None = None
    said: Mapping[Component, str] = {}
    """Last log lines of the chain's links, where their logs were read."""
    fleet: tuple[FleetRow, ...] = ()
    nodes: int = 0
    """GPU nodes in all, whatever the filter leaves of them."""
    components: frozenset[Component] = frozenset()
    """Those that some node wants."""
    devices: NodeDevices | None = None
    device_rows: tuple[DeviceRow, ...] = ()
    devices_state: DevicesState = DevicesState()
    sharing: GpuSharing = GpuSharing()
    empty: str = ""
    explains: bool = True
    """Whether the words about a link say which it waits for, and how many wait for it."""


class Share(msgspec.Struct, frozen=True):
    """Lines of the parts."""

    chain: int
    fleet: int
    devices: int


def share(room: int, chain: int, fleet: int, devices: int, *, beside: bool, head: int = 1) -> Share:
    """Share `room` lines among chain, fleet and devices, given what each would take; the chain comes first.

    Beside each other, chain and fleet have the same lines. The first `head` lines of the devices tell of all of them;
    they never have one more than that, which would be the header of a table without a row. They get a third from a
    fleet that keeps its header and a row, else their head is all.
    """
    if beside:
        upper = max(chain, min(fleet, _FLEET_LINES))
        lower = max(min(devices, room - upper), min(head, room - chain), 0)
        upper = max(0, room - lower)
        if lower < devices and upper > chain:
            give = min(upper - chain, devices - lower)
            upper, lower = upper - give, lower + give
        if _is_bare(lower, devices, head):
            by = 1 if upper > max(chain, min(fleet, _LEAST_FLEET)) else -1
            upper, lower = upper - by, lower + by
        return Share(upper, upper, lower)
    chain = min(chain, room)
    rest = room - chain
    least = min(fleet, 3)
    lower = max(min(devices, rest - min(fleet, _FLEET_LINES)), min(devices, (rest - least) // 2), min(head, rest), 0)
    if _is_bare(lower, devices, head):
        lower += 1 if rest - lower > min(fleet, _LEAST_FLEET) else -1
    return Share(chain, max(0, rest - lower), lower)


def _is_bare(lines: int, wanted: int, head: int) -> bool:
    return lines == head + 1 < wanted


class GpuPane(Pane):
    """Composes chain, fleet and devices, and tells what was picked in them."""

    TITLE = "GPU"
    DEFAULT_CSS = """
    GpuPane #gpu-upper { height: 1fr; layout: vertical; }
    GpuPane.-beside #gpu-upper { layout: horizontal; }
    GpuPane.-beside GpuFleet { height: 100%; }
    GpuPane #gpu-devices { dock: bottom; }
    """

    class ObjectPicked(Message):
        """A node of the fleet, or the pod that holds a device, was picked."""

        def __init__(self, ref: Ref) -> None:
            self.ref = ref
            super().__init__()

    class NodeLookedAt(Message):
        """Somebody moved the cursor of the fleet to another node."""

        def __init__(self, node: str) -> None:
            self.node = node
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._devices: dict[object, DeviceRow] = {}

    def compose_body(self) -> ComposeResult:
        with Container(id="gpu-upper"):
            yield GpuChain(id="gpu-chain")
            yield GpuFleet(id="gpu-table")
        yield GpuDevices(id="gpu-devices")

    @property
    def chain(self) -> GpuChain:
        return self.query_one(GpuChain)

    @property
    def fleet(self) -> GpuFleet:
        return self.query_one(GpuFleet)

    @property
    def devices(self) -> GpuDevices:
        return self.query_one(GpuDevices)

    @property
    def line_count(self) -> int:
        """Lines that are worth having, the title included; with the keyboard in it, those for all words in full."""
        fleet, whole = min(self._fleet_lines, _FLEET_LINES), self.has_focus_within
        chain = self.chain.whole_line_count if whole else self.chain.line_count
        upper = max(chain, fleet) if self._is_beside else chain + fleet
        return 1 + upper + self.devices.line_count + (self.devices.head_count - 1 if whole else 0)

    @property
    def _fleet_lines(self) -> int:
        return self.fleet.row_count + 1 if self.fleet.display else 0

    @property
    def _is_beside(self) -> bool:
        return self.fleet.display and self._room - self.fleet.least_width >= _LEAST_CHAIN

    @property
    def _room(self) -> int:
        return self.size.width or self.app.size.width

    def show(self, view: GpuView) -> None:
        """Show this."""
        node = view.chain.node if view.chain else ""
        self.chain.show(view.chain, view.picked, view.said, explains=view.explains)
        self.fleet.display = view.nodes != 1  # of a single node it would say what the chain says
        self.fleet.empty_text = view.empty
        self.fleet.show_components(view.components)
        self.fleet.show(view.fleet)
        if node and not self.fleet.has_focus:
            self.fleet.move_to(node)
        self._devices = {row.key: row for row in view.device_rows}
        self.devices.show(view.devices, view.device_rows, view.devices_state, view.sharing)
        self.fit()

    def fit(self) -> None:
        """Share the lines that the pane has among its parts."""
        beside = self._is_beside
        self.set_class(beside, "-beside")
        chain, devices = self.chain, self.devices
        parts = self._shared(beside)
        set_height(chain, parts.chain)
        devices.fit(parts.devices)
        width = max(self.fleet.least_width, self._room - _CHAIN) if beside else None
        before = self.fleet.styles.inline.width
        if (before.value if before else None) != width:
            self.fleet.styles.width = width

    def _shared(self, beside: bool) -> Share:
        """Return the lines of the parts; words stand whole only if that costs no row of a table."""
        room, chain, devices, fleet = self.size.height - 1, self.chain, self.devices, self._fleet_lines
        head, wanted = devices.head_count, devices.line_count
        whole = share(room, chain.whole_line_count, fleet, wanted + head - 1, beside=beside, head=head)
        if whole.devices == wanted + head - 1 and whole.fleet >= min(fleet, _FLEET_LINES):
            return whole
        return share(room, chain.line_count, fleet, wanted, beside=beside)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.fit)

    def on_row_table_row_highlighted(self, event: RowTable.RowHighlighted) -> None:
        event.stop()
        if event.table is self.fleet and event.moved:
            self.post_message(self.NodeLookedAt(str(event.key)))

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        if event.table is self.fleet:
            self.post_message(self.ObjectPicked(Ref("Node", "", str(event.key))))
        elif (row := self._devices.get(event.key)) is not None and row.device.holders:
            self.post_message(self.ObjectPicked(Ref("Pod", *row.device.holders[0])))

    def go(self) -> None:
        """Give the keyboard to the fleet, to the chain of an only node; again, to the next part."""
        parts: list[Widget] = [self.fleet, self.chain] if self.fleet.display else [self.chain]
        if self.devices.table.row_count:
            parts.append(self.devices.table)
        focused = next((place for place, part in enumerate(parts) if part.has_focus), -1)
        parts[(focused + 1) % len(parts)].focus()
