"""etcd's members as lines of a table: role, how far each keeps up, how full its database is, how fast its disk is."""

from enum import StrEnum
from typing import Final

import msgspec

from situation.clock import duration_text
from situation.findings import Severity
from situation.meta import Ref
from situation.quantity import short_bytes, short_latency
from widgets.blocks import curve, stacked_bar
from widgets.columns import Cell, Column
from widgets.glyphs import SEVERITY, SEVERITY_ROLE
from widgets.table import RowTable

CURVE: Final = 10
"""Cells of a curve, which is how many values of it can be seen."""
_BAR: Final = 8
_NONE: Final[Cell] = ("–", "dim")
"""Not measured: never to be taken for 0."""


class MemberState(StrEnum):
    """What a member is, or why that is not known."""

    LEADER = "leader"
    FOLLOWER = "follower"
    LEARNER = "learner"
    NO_LEADER = "no leader"
    """It answers, and sees no leader."""
    SILENT = "silent"
    REFUSES = "refuses us"
    """It runs, and does not accept our certificate or user."""
    STALE = "stale"
    """Nobody asked it for longer than its word is good for."""
    UNREAD = "role unknown"
    """It answers, but does not tell its role."""
    NOT_ASKED = "not asked"
    """It stands in the member list, and none of its addresses is among the endpoints."""


LOOK: Final = {
    MemberState.LEADER: ("◆", "special"),
    MemberState.FOLLOWER: ("✓", "fine"),
    MemberState.LEARNER: ("◔", "info"),
    MemberState.NO_LEADER: ("▲", "critical"),
    MemberState.SILENT: ("▲", "critical"),
    MemberState.REFUSES: ("?", "warning"),
    MemberState.STALE: ("?", "warning"),
    MemberState.UNREAD: ("?", "warning"),
    MemberState.NOT_ASKED: ("?", "warning"),
}
"""Glyph and colour role of each state."""
_PAST: Final = (MemberState.SILENT, MemberState.REFUSES, MemberState.STALE)


class MemberRow(msgspec.Struct, frozen=True):
    """A member as a line. None: not measured, or not to be believed any more."""

    key: str
    """Its endpoint; its ID in hex if it was not asked."""
    ref: Ref
    """What findings about it have as their subject, and the focus."""
    state: MemberState
    since_s: float | None = None
    """For how long it has been silent, or not been heard, rounded down to a step."""
    term: int | None = None
    lag: int | None = None
    """Entries that it is behind."""
    lag_severity: Severity | None = None
    in_use_bytes: int | None = None
    size_bytes: int | None = None
    quota_bytes: int | None = None
    space_severity: Severity | None = None
    fsync_p99_s: float | None = None
    fsync_severity: Severity | None = None
    fsync_curve: bytes = b""
    """Heights, 0 to 100, oldest first; `NOT_MEASURED` where a step had no observation."""
    commit_p99_s: float | None = None
    commit_severity: Severity | None = None
    version: str = ""
    related: bool = False
    """The focus is on it, on its node or on its pod."""
    dimmed: bool = False
    """The focus is on something else."""

    @property
    def is_past(self) -> bool:
        """Its numbers are those of its last answer."""
        return self.state in _PAST


class EtcdMembers(RowTable[MemberRow]):
    """One line for each member."""

    DEFAULT_CSS = """
    EtcdMembers { width: 1fr; height: 4; min-height: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            (
                Column("member", 24, priority=0, least=10),
                Column("role", 14, priority=0),
                Column("full", 6, priority=1, align="right"),
                Column("", _BAR, priority=2),
                Column("fsync p99", 9, priority=0, align="right"),
                Column("", CURVE, priority=3),
                Column("commit", 8, priority=4, align="right"),
                Column("lag", 6, priority=1, align="right"),
                Column("in use/size/quota", 17, priority=6, align="right"),
                Column("term", 5, priority=5, align="right"),
                Column("version", 8, priority=7),
            ),
            key_of=lambda row: row.key,
            cells_of=member_cells,
            id=id,
        )


def member_cells(row: MemberRow) -> tuple[Cell, ...]:
    """Return the cells of a member, in the order of the columns; what a silent one said last is dimmed."""
    glyph, role = LOOK[row.state]
    since = "" if row.since_s is None else f" {duration_text(row.since_s)}"
    ratio, in_use = _ratio(row.size_bytes, row.quota_bytes), _ratio(row.in_use_bytes, row.quota_bytes)
    name = f"▸{row.ref.name}" if row.related else row.ref.name
    return (
        (name, "dim" if row.dimmed else "focus" if row.related else "strong"),
        (f"{glyph} {row.state.value}{since}", role),
        _NONE if ratio is None else _judged(f"{ratio:.0%}", row.space_severity, row),
        (stacked_bar(in_use, ratio, _BAR), _role(row.space_severity, row)),
        _duration(row.fsync_p99_s, row.fsync_severity, row),
        (curve(row.fsync_curve, CURVE), _role(row.fsync_severity, row)),
        _duration(row.commit_p99_s, row.commit_severity, row),
        _lag(row),
        _sizes(row),
        _NONE if row.term is None else (str(row.term), "dim" if row.is_past else ""),
        (row.version, "dim" if row.is_past else "") if row.version else _NONE,
    )


def _ratio(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _role(severity: Severity | None, row: MemberRow) -> str:
    """The colour of a bar or a curve; the number beside it has the glyph."""
    if row.is_past:
        return "dim"
    return SEVERITY_ROLE[severity] if severity else "fine"


def _judged(text: str, severity: Severity | None, row: MemberRow) -> Cell:
    """A number with the glyph and the colour of how bad it is."""
    if severity is None:
        return (text, "dim" if row.is_past else "")
    return (f"{SEVERITY[severity]} {text}", SEVERITY_ROLE[severity])


def _duration(seconds: float | None, severity: Severity | None, row: MemberRow) -> Cell:
    return _NONE if seconds is None else _judged(short_latency(seconds), severity, row)


def _lag(row: MemberRow) -> Cell:
    if row.state is MemberState.LEADER:
        return ""  # it is what the others are compared with
    return _NONE if row.lag is None else _judged(str(row.lag), row.lag_severity, row)


def _sizes(row: MemberRow) -> Cell:
    sizes = (row.in_use_bytes, row.size_bytes, row.quota_bytes)
    if sizes == (None, None, None):
        return _NONE
    return ("/".join("–" if size is None else short_bytes(size) for size in sizes), "dim" if row.is_past else "")
