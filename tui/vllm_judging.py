"""How bad a model server's figures are: for the colour and glyph beside a number, and for remarks about it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from situation.findings import Severity
from situation.readings import SourceState
from situation.serving.view import EngineFigures, ServerState, ServerView
from situation.situation import Situation
from widgets.vllm_states import RowState

GROWS_TOO_LONG: Final = timedelta(minutes=5)
"""A queue that grows for so long will not drain by itself (playbook F)."""
KV_WARN_RATIO: Final = 0.90
KV_CRITICAL_RATIO: Final = 0.95
"""Near preemption; sequences must go or memory must come (playbook F)."""
PREEMPTIONS_CRITICAL_PER_MIN: Final = 1.0
"""Above it memory is over-committed (playbook F); below, any at all is a warning."""

_STATES: Final = {
    ServerState.HEALTHY: RowState.HEALTHY,
    ServerState.STARTING: RowState.STARTING,
    ServerState.SLEEPING: RowState.SLEEPING,
    ServerState.STALLED: RowState.STALLED,
    ServerState.DEAD: RowState.DEAD,
    ServerState.DOWN: RowState.DOWN,
    ServerState.NOT_MEASURED: RowState.NOT_MEASURED,
}
_BY_SOURCE: Final = {
    SourceState.STARTING: RowState.ASKING,
    SourceState.FORBIDDEN: RowState.FORBIDDEN,
    SourceState.UNAUTHORIZED: RowState.FORBIDDEN,
    SourceState.UNREACHABLE: RowState.UNREACHABLE,
}
_GRAVE: Final = (Severity.CRITICAL, Severity.WARNING)


def row_state(server: ServerView, situation: Situation, now: datetime) -> RowState:
    """Return how a server is told to be; of one that is not known, why."""
    if server.state in _STATES:
        return _STATES[server.state]
    if server.read_at is not None and not server.is_fresh:
        return RowState.STALE
    state = situation.source(server.source).state_at(now)
    if not server.origin:  # nobody has heard of it
        return _BY_SOURCE.get(state, RowState.ASKING if not server.error else RowState.UNKNOWN)
    return _BY_SOURCE.get(state, RowState.UNKNOWN)


def gravest(severities: Iterable[Severity | None]) -> Severity | None:
    """Return the worst of several."""
    found = set(severities)
    return next((severity for severity in _GRAVE if severity in found), None)


def queue_severity(engine: EngineFigures, now: datetime) -> Severity | None:
    """Return how bad it is that requests wait: only that they are getting more is."""
    if engine.growing_since is None:
        return None
    return Severity.CRITICAL if now - engine.growing_since >= GROWS_TOO_LONG else Severity.WARNING


def kv_severity(engine: EngineFigures) -> Severity | None:
    """Return how bad the usage of the KV cache is that lasts; one full scrape is nothing yet."""
    held = engine.kv_held_ratio
    if held is None or held <= KV_WARN_RATIO:
        return None
    return Severity.CRITICAL if held > KV_CRITICAL_RATIO else Severity.WARNING


def preemptions_severity(engine: EngineFigures) -> Severity | None:
    """Return how bad it is that requests are pushed out and computed again."""
    if not engine.preemptions_per_min:
        return None
    return Severity.CRITICAL if engine.preemptions_per_min > PREEMPTIONS_CRITICAL_PER_MIN else Severity.WARNING


def is_saturated(engine: EngineFigures, max_num_seqs: int | None) -> bool:
    """Tell whether an engine runs as many requests as it may."""
    return max_num_seqs is not None and engine.running is not None and engine.running >= max_num_seqs > 0


def replicas_severity(ready: int, wanted: int | None) -> Severity | None:
    """Return how bad it is that replicas are missing."""
    if wanted is None or ready >= wanted:
        return None
    return Severity.WARNING if ready else Severity.CRITICAL
