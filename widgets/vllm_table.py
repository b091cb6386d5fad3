"""Models as lines of a table, their servers and engines below them: queue, KV cache, latency, tokens."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from rich.cells import cell_len

from situation.clock import duration_text
from situation.findings import Severity
from situation.meta import Ref
from situation.quantity import short_count, short_latency
from situation.serving.view import Spread
from widgets.blocks import bar, curve
from widgets.columns import Cell, Column
from widgets.glyphs import SEVERITY, SEVERITY_ROLE
from widgets.table import RowTable
from widgets.vllm_states import LOOK, RowState

CURVE: Final = 6
"""Cells of a curve, which is how many values of it can be seen."""
_BAR: Final = 5
_NAME: Final = 10
_LONGEST_NAME: Final = 36
"""Cells for names, at least and at most."""
_NARROW: Final = 79
_NAMES_SHARE: Final = 4
"""Of the cells that a table has above so many, names get one in so many before columns go."""
_NONE: Final[Cell] = ("–", "dim")
"""Not measured: never to be taken for 0. The word for why stands in the column of the state."""
_LEADS: Final = {False: "├ ", True: "└ "}


class RowKind(StrEnum):
    """What a line stands for."""

    MODEL = "model"
    """All servers of a model of one workload."""
    SERVER = "server"
    ENGINE = "engine"
    REST = "rest"
    """The servers of a model that are not listed."""


class RowKey(NamedTuple):
    """Names a line."""

    kind: RowKind
    model: str
    workload: Ref | None
    server: str = ""
    """Key of the server; empty for a model of several."""
    engine: str = ""


class ServingRow(msgspec.Struct, frozen=True):
    """A model, a server or an engine as a line. None: not measured."""

    key: RowKey
    label: str
    state: RowState
    depth: int = 0
    """0: not below another."""
    is_last: bool = False
    """The last of those below the same line."""
    count: int = 0
    """How many of several servers are in this state; 0: it is the state of all that the line stands for."""
    since_s: float | None = None
    """For how long nothing was heard, rounded down to a step."""
    ready: int | None = None
    wanted: int | None = None
    ready_severity: Severity | None = None
    running: float | None = None
    running_severity: Severity | None = None
    waiting: float | None = None
    waiting_severity: Severity | None = None
    kv_usage_ratio: float | None = None
    kv_severity: Severity | None = None
    preemptions_per_min: float | None = None
    preemptions_severity: Severity | None = None
    ttft: Spread = Spread()
    itl: Spread = Spread()
    generation_tokens_per_s: float | None = None
    prefix_hit_ratio: float | None = None
    software: str = ""
    place: str = ""
    """The node of a server, the workload of a model."""
    is_past: bool = False
    """Its figures are those of its last answer."""
    related: bool = False
    """The focus is on it, or on what it runs on."""
    dimmed: bool = False
    """The focus is on something else."""


class ServingTable(RowTable[ServingRow]):
    """One line for each model, server and engine."""

    DEFAULT_CSS = """
    ServingTable { width: 1fr; height: 1fr; min-height: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        self._curve_of: Callable[[RowKey], bytes] = lambda _: b""
        self._labels = 0
        """Cells of the longest name."""
        self._least_name = _NAME
        super().__init__(
            serving_columns(_NAME),
            key_of=lambda row: row.key,
            cells_of=lambda row: serving_cells(row, self._curve_of(row.key)),
            id=id,
        )

    def show_with(self, rows: tuple[ServingRow, ...], curve_of: Callable[[RowKey], bytes]) -> None:
        """Show these lines; `curve_of` gives the queue of one, and is asked for visible lines only."""
        self._curve_of = curve_of
        self._labels = max((cell_len(_label(row)) for row in rows), default=0)
        self._fit_names()
        self.show(rows)

    def _fit_names(self) -> None:
        """Let names be whole where there is room: of what a narrow table lacks, figures come first."""
        spare = (self.size.width or self.app.size.width) - _NARROW
        least = max(_NAME, min(self._labels, _LONGEST_NAME, _NAME + spare // _NAMES_SHARE))
        if least != self._least_name:
            self._least_name = least
            self.show_columns(serving_columns(least))

    def on_resize(self) -> None:
        self._fit_names()

    @property
    def keys(self) -> tuple[RowKey, ...]:
        """The keys of all lines, from the top."""
        return tuple(row.key for row in self._items)

    def go_to(self, key: RowKey) -> None:
        """Put the cursor on a line as if somebody had moved it there."""
        row = self._position(key)
        if row is not None:
            self._move(row, moved=True)


def serving_columns(name: int) -> tuple[Column, ...]:
    """Return the columns; names have `name` cells at least."""
    return (
        Column("model", _LONGEST_NAME, priority=0, least=name),
        Column("state", 13, priority=0, least=11),
        Column("ready", 6, priority=1, align="right"),
        Column("run", 5, priority=1, align="right"),
        Column("wait", 6, priority=0, align="right"),
        Column("", CURVE, priority=3),
        Column("KV", 6, priority=0, align="right"),
        Column("", _BAR, priority=4),
        Column("pre/m", 6, priority=2, align="right"),
        Column("TTFT p99", 8, priority=1, align="right"),
        Column("p50", 5, priority=7, align="right"),
        Column("ITL p99", 7, priority=6, align="right"),
        Column("p50", 5, priority=8, align="right"),
        Column("tok/s", 5, priority=5, align="right"),
        Column("hits", 4, priority=9, align="right"),
        Column("software", 13, priority=10),
        Column("on", 24, priority=11, least=16),
    )


def serving_cells(row: ServingRow, queue: bytes) -> tuple[Cell, ...]:
    """Return the cells of a line, in the order of the columns. `queue`: heights of its curve, 0 to 100."""
    return (
        (_label(row), "dim" if row.dimmed else "focus" if row.related else "" if row.depth else "strong"),
        _state(row),
        _ready(row),
        _judged(_whole(row.running), row.running_severity, row),
        _judged(_whole(row.waiting), row.waiting_severity, row),
        (curve(queue, CURVE), _role(row.waiting_severity, row)),
        _judged(_percent(row.kv_usage_ratio), row.kv_severity, row),
        ("" if row.kv_usage_ratio is None else bar(row.kv_usage_ratio, _BAR), _role(row.kv_severity, row)),
        _judged(_count(row.preemptions_per_min), row.preemptions_severity, row),
        _judged(short_p99(row.ttft), None, row),
        _judged(_latency(row.ttft.p50), None, row),
        _judged(short_p99(row.itl), None, row),
        _judged(_latency(row.itl.p50), None, row),
        _judged(_count(row.generation_tokens_per_s), None, row),
        _judged(_percent(row.prefix_hit_ratio), None, row),
        (row.software, "dim"),
        (row.place, "dim"),
    )


def _label(row: ServingRow) -> str:
    mark = "▸" if row.related else ""
    if not row.depth:
        return mark + row.label
    return " " * (2 * row.depth - 2) + _LEADS[row.is_last] + mark + row.label


def _state(row: ServingRow) -> Cell:
    if row.key.kind is RowKind.ENGINE:
        return ""  # that of its server
    glyph, word, role = LOOK[row.state]
    count = f"{row.count} " if row.count else ""
    since = "" if row.since_s is None else f" {duration_text(row.since_s)}"
    return (f"{glyph} {count}{word}{since}", role)


def _ready(row: ServingRow) -> Cell:
    if row.ready is None:
        return ""  # told of a model as a whole
    text = str(row.ready) if row.wanted is None else f"{row.ready}/{row.wanted}"
    severity = row.ready_severity
    return (f"{SEVERITY[severity]} {text}", SEVERITY_ROLE[severity]) if severity else (text, "")


def _role(severity: Severity | None, row: ServingRow) -> str:
    """The colour of a bar or a curve; the number beside it has the glyph."""
    if row.is_past:
        return "dim"
    return SEVERITY_ROLE[severity] if severity else "fine"


def _judged(text: str, severity: Severity | None, row: ServingRow) -> Cell:
    """A number with the glyph and the colour of how bad it is."""
    if not text:
        return "" if row.key.kind is RowKind.REST else _NONE
    if severity is None:
        return (text, "dim" if row.is_past else "")
    return (f"{SEVERITY[severity]} {text}", SEVERITY_ROLE[severity])


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _count(value: float | None) -> str:
    return "" if value is None else short_count(value)


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.0%}"


def short_p99(spread: Spread) -> str:
    """Return `4.1s`, empty if nothing was seen; of a bucket too wide for a figure in it `>160s`, where it begins."""
    least = _latency(spread.p99_least)
    return f">{least}" if spread.p99_between else least


def _latency(seconds: float | None) -> str:
    return "" if seconds is None else short_latency(seconds)
