"""The devices of one node: what each GPU does, how it fares, and which pod holds it."""

from collections.abc import Sequence
from datetime import UTC
from typing import Final

import msgspec
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from situation.clock import duration_text, stepped_s
from situation.findings import Severity
from situation.gpu.devices import GpuDevice, NodeDevices
from situation.gpu.sharing import GpuSharing
from situation.quantity import counted
from situation.readings import SourceState
from widgets.blocks import bar, curve
from widgets.columns import Cell, Column
from widgets.glyphs import SEVERITY, SEVERITY_ROLE, STATE_ROLE, color
from widgets.heights import set_height
from widgets.table import RowTable

_BAR: Final = 8
_CURVE: Final = 10
_HEAD: Final = 3
"""Lines that the words about all devices may take."""
_GIB: Final = 2**30
_NONE: Final[Cell] = ("–", "dim")
"""Not measured: never to be taken for 0."""


class DevicesState(msgspec.Struct, frozen=True):
    """How far the devices of a node can be believed."""

    state: SourceState = SourceState.STARTING
    source: str = ""
    """`dcgm`."""
    age_s: float | None = None
    error: str = ""

    @property
    def text(self) -> str:
        age = "" if self.age_s is None else f" {duration_text(stepped_s(self.age_s))}"
        error = f": {self.error}" if self.error else ""
        return f"{self.source} {self.state.value}{age}{error}".lstrip()


class DeviceRow(msgspec.Struct, frozen=True):
    """A device with what it did before."""

    device: GpuDevice
    history: bytes = b""
    """Utilisation in percent, oldest first; `NOT_MEASURED` where a reading had none."""
    xid: int | None = None
    """The gravest of its fresh Xids: one that only follows from it may have come after. None if it has none, or only
    such of the past."""
    xid_severity: Severity | None = None
    """How grave that is, by its class."""
    sharers: int | None = None
    """Pods that share the node's GPUs as the API says: its source may name one of those that hold it. None: not shared,
    or not known."""

    @property
    def key(self) -> tuple[int, str, str]:
        return (self.device.index, self.device.uuid, self.device.mig_id)


class GpuDevices(Vertical):
    """One line about all devices, and a table of them."""

    DEFAULT_CSS = """
    GpuDevices { width: 1fr; height: 1; }
    GpuDevices > Static { width: 1fr; height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    GpuDevices > RowTable { min-height: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[NodeDevices | None, DevicesState, GpuSharing] = (None, DevicesState(), GpuSharing())
        self._line = Content("")
        """About all devices, as one line."""
        self._told = Content("")
        """The same as it is shown."""

    def compose(self) -> ComposeResult:
        yield Static(markup=False)
        yield RowTable[DeviceRow](
            (
                Column("GPU", 5, priority=0),
                Column("product", 22, priority=7, least=10),
                Column("GiB used/all", 12, priority=1, align="right"),
                Column("", _BAR, priority=4),
                Column("busy", 4, priority=1, align="right"),
                Column("", _CURVE, priority=4),
                Column("temp", 9, priority=3, align="right"),
                Column("power", 10, priority=5, align="right"),
                Column("clock", 8, priority=6, align="right"),
                Column("throttled", 20, priority=4, least=9),
                Column("ECC", 7, priority=2, align="right"),
                Column("remapped", 10, priority=3, align="right"),
                Column("NVLink", 6, priority=9, align="right"),
                Column("last Xid", 15, priority=2),
                Column("MIG", 8, priority=3),
                Column("held by", 0, priority=0),
            ),
            key_of=lambda row: row.key,
            cells_of=device_cells,
            id="gpu-devices-table",
        )

    @property
    def table(self) -> RowTable[DeviceRow]:
        return self.query_one(RowTable)

    @property
    def line_count(self) -> int:
        """Lines that it needs: one about all, then header and devices if there are any."""
        rows = self.table.row_count
        return 1 + (rows + 1 if rows else 0)

    @property
    def head_count(self) -> int:
        """Lines that the words about all devices take at this width, if there is room for them."""
        return len(self._head(_HEAD))

    def _head(self, most: int) -> list[Content]:
        width = max(1, (self.size.width or self.app.size.width) - 2)
        lines = self._line.wrap(width)
        if len(lines) <= most:
            return lines
        return [*lines[: most - 1], Content(" ").join(lines[most - 1 :]).truncate(width, ellipsis=True)]

    def fit(self, lines: int) -> None:
        """Take as many lines as the pane gives."""
        spare = lines - self.line_count
        self._tell(in_view=max(0, lines - 2) if spare < 0 else None)
        static, head = self.query_one(Static), self._head(max(1, min(_HEAD, 1 + spare)))
        set_height(self, lines)
        set_height(static, len(head))
        told = Content("\n").join(head)
        if told != self._told:
            self._told = told
            static.update(told, layout=False)

    def show(
        self, known: NodeDevices | None, rows: Sequence[DeviceRow], state: DevicesState, sharing: GpuSharing
    ) -> None:
        """Show the devices of a node; `known` is None where nothing ever told of them. `fit` is to follow."""
        self.table.show(rows)
        self._shown = (known, state, sharing)
        self._tell()

    def _tell(self, in_view: int | None = None) -> None:
        known, state, sharing = self._shown
        self._line = devices_line(known, self.table.row_count, state, sharing, in_view)


def devices_line(
    known: NodeDevices | None, count: int, state: DevicesState, sharing: GpuSharing, in_view: int | None = None
) -> Content:
    """Build the line about all devices of a node: how many, from where and how old, how they are shared.

    `in_view` is how many of them are to be seen where that is not all. The node stands in the pane's title.
    """
    silent = sum(not device.answers for device in known.devices) if known else 0
    devices = counted(count - silent, "device") if known and known.observed_at else "devices not read"
    if silent:
        devices += f", {silent} silent"
    if in_view is not None:
        devices += f", {in_view} in view" if in_view else ", none in view"
    driver = f" · driver {known.driver_version}" if known and known.driver_version else ""
    return Content.assemble(
        (devices, "bold"),
        (" · ", color("dim")),
        (state.text, color(STATE_ROLE[state.state])),
        *sharing_parts(sharing),
        (driver, color("dim")),
    )


def sharing_parts(sharing: GpuSharing) -> list[tuple[str, str]]:
    """Return how the GPUs are shared, and what that does not isolate."""
    parts = []
    if sharing.mig_strategy:
        parts.append((f" · MIG {sharing.mig_strategy}: memory, faults and speed are isolated", color("dim")))
    if sharing.is_shared:
        times = f" ×{sharing.replicas}" if sharing.replicas and sharing.replicas > 1 else ""
        parts.append((f" · {sharing.strategy}{times}: {sharing.not_isolated}", color("warning")))
    elif sharing.strategy == "none" and not sharing.mig_strategy:
        parts.append((" · whole GPUs, not shared", color("dim")))
    return parts


def device_cells(row: DeviceRow) -> tuple[Cell, ...]:
    """Return the cells of a device, in the order of the columns."""
    device = row.device
    index = f"{device.index}/{device.mig_id}" if device.mig_id else str(device.index)
    return (
        (index, "strong"),
        (device.product.removeprefix("NVIDIA "), "") if device.product else _NONE,
        *_memory(device),
        *_busy(row),
        _pair(device.temperature_c, device.memory_temperature_c, " °C"),
        _pair(device.power_w, device.power_limit_w, " W"),
        _NONE if device.sm_clock_mhz is None else (f"{device.sm_clock_mhz:.0f} MHz", ""),
        _throttled(device),
        _ecc(device),
        _remapped(device),
        _count(device.nvlink_errors),
        xid_cell(device, row.xid, row.xid_severity),
        (device.mig_profile, "") if device.mig_profile else ("whole", "dim"),
        _holders(device, row.sharers),
    )


def _memory(device: GpuDevice) -> tuple[Cell, Cell]:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    if used is None and total is None:
        return (_NONE, "")
    ratio = used / total if used is not None and total else None
    return ("/".join("–" if item is None else f"{item / _GIB:.1f}" for item in (used, total)), bar(ratio, _BAR))


def _busy(row: DeviceRow) -> tuple[Cell, Cell]:
    ratio = row.device.utilization_ratio
    return (_NONE if ratio is None else f"{ratio:.0%}", curve(row.history, _CURVE))


def _pair(first: float | None, second: float | None, unit: str) -> Cell:
    if first is None and second is None:
        return _NONE
    texts = ["–" if first is None else f"{first:.0f}"]
    if second is not None:
        texts.append(f"{second:.0f}")
    return ("/".join(texts) + unit, "")


def _throttled(device: GpuDevice) -> Cell:
    if device.throttle_reasons is None:
        return _NONE
    if reasons := device.held_down_by:
        return (f"● {', '.join(reasons)}", "warning")
    return ("no", "dim")


def _count(number: int | None) -> Cell:
    return _NONE if number is None else (str(number), "warning" if number else "dim")


def _ecc(device: GpuDevice) -> Cell:
    corrected, uncorrected = device.ecc_corrected, device.ecc_uncorrected
    if corrected is None and uncorrected is None:
        return _NONE
    role = "critical" if uncorrected else "warning" if corrected else "dim"
    mark = "▲ " if uncorrected else ""
    return (f"{mark}{_number(corrected)}/{_number(uncorrected)}", role)


def _remapped(device: GpuDevice) -> Cell:
    rows = (device.remapped_correctable, device.remapped_uncorrectable)
    if device.row_remap_failed:
        return ("▲ failed", "critical")
    if rows == (None, None):
        return _NONE
    return ("/".join(map(_number, rows)), "warning" if rows[1] else "dim")


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def xid_cell(device: GpuDevice, gravest: int | None, severity: Severity | None) -> Cell:
    """Return the last Xid, and before it the gravest fresh one if that is another, in its class's colour.

    With its time if it came while we watched: of history with its day, for it may be weeks old.
    """
    xid = device.last_xid
    if xid is None:
        return _NONE
    if xid == 0:
        return ("none", "dim")
    if device.xid_changed_at is None:
        return (f"{xid} history", "dim")
    at = device.xid_changed_at.astimezone(UTC)
    if gravest is None or severity is None:
        return (f"{xid} {at:%m-%d %H:%M}", "dim")
    text = f"{xid} {at:%H:%M:%S}" if gravest == xid else f"{gravest}, then {xid}"
    return (f"{SEVERITY[severity]} {text}", SEVERITY_ROLE[severity])


def _holders(device: GpuDevice, sharers: int | None) -> Cell:
    """Return who holds a device; of a shared one how many pods may, for an exporter names one of each GPU."""
    if not device.holders:
        return (f"shared, {sharers} on node" if sharers else "nobody known", "dim")
    namespace, name = device.holders[0]
    named = len(device.holders)
    share = f"shared, {sharers} on node · " if sharers and sharers > named else ""
    more = f" and {named - 1} more" if named > 1 else ""
    return (f"{share}{namespace}/{name}{more}", "")
