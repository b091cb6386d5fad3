"""What an Xid means and what is done about it (NVIDIA's Xid catalogue for Ampere and newer).

No Xid by itself means "replace the board". The catalogue names an immediate action; support, after a reset or a repeat,
is where replacement starts.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from situation.findings import Severity
from situation.gpu.devices import GpuDevice, SeenXid

XID_FRESH: Final = timedelta(minutes=10)
"""So long after it was seen to change, an Xid counts as a present fault. The gauge itself never goes back."""


class XidClass(StrEnum):
    """What kind of trouble it is, and so whose."""

    APPLICATION = "application"
    """The program's own fault: the GPU is well."""
    CONSEQUENCE = "consequence"
    """Follows from another one."""
    WATCH = "watch"
    """To be watched; nothing is done yet."""
    HEALED = "healed"
    """The GPU repaired itself; complete with the next reset."""
    SOFTWARE = "software"
    """Driver, firmware or hypervisor."""
    CONTAINED = "contained"
    """The GPU's fault, but only the application that was hit is lost: the others run on."""
    LINK = "link"
    """NVLink or its fabric."""
    RESET = "reset"
    """The GPU must be reset; hardware if it comes again."""
    HARDWARE = "hardware"
    """The board, its power or its cabling."""
    NODE = "node"
    """The whole node: it must be restarted."""
    REPORT = "report"
    """The catalogue says to report it, or says nothing."""


class Xid(NamedTuple):
    meaning: str
    action: str
    """What is done at once."""
    kind: XidClass


SEVERITY: Final = {
    XidClass.NODE: Severity.CRITICAL,
    XidClass.HARDWARE: Severity.CRITICAL,
    XidClass.RESET: Severity.CRITICAL,
    XidClass.CONTAINED: Severity.WARNING,
    XidClass.LINK: Severity.WARNING,
    XidClass.SOFTWARE: Severity.WARNING,
    XidClass.REPORT: Severity.WARNING,
}
"""Of a fresh Xid, gravest first; all other classes are worth knowing only."""

_RESTART: Final = "restart the application"
_RESET: Final = "drain the node and reset the GPU"
_NOTHING: Final = "nothing at once"
_SUPPORT: Final = "report it to NVIDIA's support"
_CLEAN_UP: Final = "look for another Xid; if it stands alone, restart Fabric Manager"
_CONTAINED: Final = "restart the application, drain when possible"
_PEER: Final = "look at the GPU at the other end, then at the application"
_LINK5: Final = "check the NVLink fabric (switches, Fabric Manager, cables)"

XIDS: Final[dict[int, Xid]] = {
    8: Xid("channel stopped answering", _RESTART, XidClass.APPLICATION),
    11: Xid("bad command stream", _RESTART, XidClass.APPLICATION),
    13: Xid("exception in the graphics engine", _RESTART, XidClass.APPLICATION),
    31: Xid("page fault in GPU memory", _RESTART, XidClass.APPLICATION),
    32: Xid("bad command stream", _RESTART, XidClass.APPLICATION),
    38: Xid("firmware error", _NOTHING, XidClass.WATCH),
    43: Xid("GPU stopped the program for its own fault", _NOTHING, XidClass.APPLICATION),
    44: Xid("error while switching contexts", _NOTHING, XidClass.WATCH),
    45: Xid("clean-up of a program that was ended", _CLEAN_UP, XidClass.CONSEQUENCE),
    46: Xid("GPU stopped processing", _RESET, XidClass.RESET),
    48: Xid("double-bit memory error", _RESET, XidClass.RESET),
    54: Xid("auxiliary power is not connected", "check the power cables", XidClass.HARDWARE),
    61: Xid("micro-controller breakpoint", _SUPPORT, XidClass.REPORT),
    62: Xid("micro-controller halted", _RESET, XidClass.RESET),
    63: Xid("row remapping recorded", "reset the GPU at the next chance", XidClass.HEALED),
    64: Xid("row remapping failed", _RESET, XidClass.HARDWARE),
    68: Xid("error in the video decoder", _RESTART, XidClass.APPLICATION),
    69: Xid("bad command class", _RESTART, XidClass.APPLICATION),
    74: Xid("NVLink error", "check the links of this GPU", XidClass.LINK),
    78: Xid("virtual GPU could not start", "update driver and hypervisor", XidClass.SOFTWARE),
    79: Xid("GPU has fallen off the bus", "drain the node and restart it", XidClass.NODE),
    80: Xid("bad data for a command", _RESTART, XidClass.APPLICATION),
    92: Xid("many single-bit memory errors", _NOTHING, XidClass.WATCH),
    93: Xid("InfoROM is worn", _NOTHING, XidClass.WATCH),
    94: Xid("uncorrectable memory error, contained", _CONTAINED, XidClass.CONTAINED),
    95: Xid("uncorrectable memory error, not contained", _RESET, XidClass.RESET),
    109: Xid("context switch timed out", _RESET, XidClass.RESET),
    110: Xid("security fault", _RESET, XidClass.RESET),
    119: Xid("GSP firmware does not answer", _RESET, XidClass.RESET),
    120: Xid("GSP firmware error", _RESET, XidClass.RESET),
    121: Xid("error on the link to the CPU (C2C)", _NOTHING, XidClass.WATCH),
    136: Xid("link training failed", _RESET, XidClass.HARDWARE),
    137: Xid("NVLink privilege error", _PEER, XidClass.CONSEQUENCE),
    140: Xid("memory error that was not recovered", _RESET, XidClass.RESET),
    143: Xid("GPU could not be initialised", _RESET, XidClass.HARDWARE),
    **{code: Xid("NVLink 5 error", _LINK5, XidClass.LINK) for code in range(144, 151)},
    154: Xid("recovery action changed", "the kernel log names the action", XidClass.REPORT),
    155: Xid("NVLink error defined by software", _RESET, XidClass.RESET),
    156: Xid("a resource of the GPU was retired", _RESET, XidClass.RESET),
    157: Xid("a resource of the GPU could not be retired", _SUPPORT, XidClass.REPORT),
    158: Xid("NVLink timed out", _RESET, XidClass.RESET),
    160: Xid("a channel was retired", _SUPPORT, XidClass.REPORT),
    161: Xid("a channel could not be retired", _SUPPORT, XidClass.REPORT),
    **{code: Xid("listed without an explanation", _SUPPORT, XidClass.REPORT) for code in range(162, 171)},
    171: Xid("double-bit memory error, in DRAM (adds to Xid 48)", _RESET, XidClass.RESET),
    172: Xid("double-bit memory error, in SRAM (adds to Xid 48)", _RESET, XidClass.RESET),
}
_UNKNOWN: Final = Xid("not in the catalogue", _SUPPORT, XidClass.REPORT)

MEMORY: Final = frozenset({48, 63, 64, 92, 94, 95, 140, 171, 172})
"""About the GPU's memory: the counters of errors and remapped rows say more."""
LOST: Final = frozenset({79})
FOLLOWS: Final = {
    45: "comes when a program is ended: by somebody, or because of an Xid before it",
    154: "says that the action needed has changed, because of an Xid before it",
    171: "adds to an Xid 48, to say which memory",
    172: "adds to an Xid 48, to say which memory",
}
"""Why an Xid may hide another from who sees only the last one (NVIDIA, "Analyzing Xid Errors with the Xid Catalog": 45
is a clean-up due to previous errors, and also comes after Control-C, SIGKILL and with Xid 94 and 95; 154 has its action
from the Xids that the catalogue links to it; 171 and 172 are additional to 48, without an action of their own)."""
_RANKS: Final = {kind: number for number, kind in enumerate(SEVERITY)}
_ADDS_TO: Final = {171: 48, 172: 48}


def xid_of(code: int) -> Xid:
    """Return what an Xid means; one that is not in the catalogue is to be reported."""
    return XIDS.get(code, _UNKNOWN)


def severity_of(code: int) -> Severity:
    """Return how grave an Xid is while it is fresh."""
    return SEVERITY.get(xid_of(code).kind, Severity.INFO)


def fresh_xids(device: GpuDevice, now: datetime) -> tuple[SeenXid, ...]:
    """Return the Xids of a GPU that were seen to come within `XID_FRESH`, the last one last; all else is history."""
    return tuple(xid for xid in device.xids if xid.at is not None and now - xid.at <= XID_FRESH)


def gravest(device: GpuDevice, now: datetime) -> SeenXid | None:
    """Return the gravest of the fresh Xids of a GPU: one that only follows does not take its place."""
    return min(fresh_xids(device, now), key=lambda xid: rank_of(xid.code), default=None)


def rank_of(code: int) -> tuple[int, bool]:
    """Sort key of an Xid, the gravest first; of equally grave ones those that follow from another come last."""
    return (_RANKS.get(xid_of(code).kind, len(_RANKS)), code in FOLLOWS)


def may_hide(device: GpuDevice) -> bool:
    """Tell whether the last Xid of a GPU follows from another, and no such one was seen in the minutes before it."""
    if device.last_xid not in FOLLOWS:
        return False
    *before, last = device.xids
    led_by = _ADDS_TO.get(last.code)
    return not any(
        (xid.code == led_by if led_by else xid.code not in FOLLOWS)
        and xid.at is not None
        and last.at is not None
        and last.at - xid.at <= XID_FRESH
        for xid in before
    )
