"""One glyph, one word and one colour role for each state. No information by colour alone."""

from typing import Final

from situation.findings import Effect, LayerState, LayerStatus, Mark, Severity
from situation.readings import SourceState

SEVERITY: Final = {Severity.CRITICAL: "▲", Severity.WARNING: "●", Severity.INFO: "○"}
FINE: Final = "✓"
UNKNOWN: Final = "?"
PARTLY: Final = "◐"
PARTLY_WORD: Final = "partly"
"""Nothing found, but not all of it could be judged: never to be taken for wholly fine."""
EFFECT: Final = {Effect.READ: "", Effect.MUTATING: "CHANGES THE CLUSTER", Effect.DISRUPTIVE: "INTERRUPTS SERVICE"}
"""Words that stand beside a command that does more than read."""
MARK: Final = {Mark.SUPPORTS: "✗", Mark.EXCLUDES: "✓", Mark.OPEN: "?"}

SEVERITY_ROLE: Final = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "info"}
MARK_ROLE: Final = {Mark.SUPPORTS: "critical", Mark.EXCLUDES: "fine", Mark.OPEN: "waiting"}
STATE_ROLE: Final = {
    SourceState.LIVE: "fine",
    SourceState.STARTING: "waiting",
    SourceState.STALE: "warning",
    SourceState.UNREACHABLE: "critical",
    SourceState.UNAUTHORIZED: "critical",
    SourceState.FORBIDDEN: "warning",
    SourceState.ABSENT: "waiting",
}


def color(role: str, *more: str) -> str:
    """Return a style for text in the colour of a role: `critical` is `$midwatch-critical`."""
    return " ".join((*more, f"$midwatch-{role}"))


def layer_glyph(layer: LayerStatus) -> tuple[str, str]:
    """Return (glyph, role) of a layer's state."""
    if layer.status is LayerState.UNKNOWN:
        return UNKNOWN, "waiting"
    if layer.severity is not None:
        return SEVERITY[layer.severity], SEVERITY_ROLE[layer.severity]
    return (PARTLY, "waiting") if is_partly_judged(layer) else (FINE, "fine")


def is_partly_judged(layer: LayerStatus) -> bool:
    """Tell whether a layer is called fine although some of it could not be judged."""
    return layer.status is LayerState.OK and bool(layer.reason)
