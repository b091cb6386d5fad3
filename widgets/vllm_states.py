"""How the states of model servers look: one glyph, one word and one colour role for each."""

from enum import StrEnum
from typing import Final

from widgets.gpu_states import Look


class RowState(StrEnum):
    """What a model server is, or why that is not known."""

    HEALTHY = "answers"
    """It answers and moves; how well, its figures tell: a server that is overloaded answers too."""
    STARTING = "starting"
    SLEEPING = "sleeping"
    STALLED = "stalled"
    """Requests run, and nothing moves."""
    DEAD = "dead"
    DOWN = "down"
    """Its pod does not run."""
    NOT_MEASURED = "no stats"
    """It answers, and tells nothing of its engine."""
    ASKING = "asking"
    """Nobody has heard of it yet."""
    STALE = "stale"
    """Its figures are those of its last answer."""
    FORBIDDEN = "forbidden"
    """We may not ask."""
    UNREACHABLE = "no answer"
    LEFT_OUT = "left out"
    """Not asked, because the configuration says so."""
    UNKNOWN = "unknown"


LOOK: Final = {
    RowState.HEALTHY: Look("✓", "answers", "fine"),
    RowState.STARTING: Look("◔", "starting", "info"),
    RowState.SLEEPING: Look("‖", "sleeping", "special"),
    RowState.STALLED: Look("▲", "stalled", "critical"),
    RowState.DEAD: Look("▲", "dead", "critical"),
    RowState.DOWN: Look("▲", "down", "critical"),
    RowState.NOT_MEASURED: Look("?", "no stats", "warning"),
    RowState.ASKING: Look("◌", "asking", "waiting"),
    RowState.STALE: Look("?", "stale", "warning"),
    RowState.FORBIDDEN: Look("?", "forbidden", "warning"),
    RowState.UNREACHABLE: Look("?", "no answer", "warning"),
    RowState.LEFT_OUT: Look("·", "left out", "dim"),
    RowState.UNKNOWN: Look("?", "unknown", "warning"),
}
