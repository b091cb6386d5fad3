"""How bad a model server's figures are: for the colour and glyph beside a number, and for remarks about it.

As the rules judge them: what no finding is about has no colour of its own.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from diagnosis.rules import serving_load as rules
from diagnosis.serving_facts import unless_measured
from situation.findings import Severity
from situation.readings import SourceState
from situation.serving.view import EngineFigures, ServerState, ServerView
from situation.situation import Situation
from widgets.vllm_states import RowState

_STATES: Final = {
    ServerState.HEALTHY: RowState.HEALTHY,
    ServerState.STARTING: RowState.STARTING,
    ServerState.SLEEPING: RowState.SLEEPING,
    ServerState.STALLED: RowState.STALLED,
    ServerState.DEAD: RowState.DEAD,
    ServerState.DOWN: RowState.DOWN,
    ServerState.NOT_MEASURED: RowState.NOT_MEASURED,
    ServerState.LEFT_OUT: RowState.LEFT_OUT,
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


Judged = tuple[EngineFigures, ServerView]
"""An engine with its server."""


def worst(of: Callable[[EngineFigures, ServerView], Severity | None], judged: Iterable[Judged]) -> Severity | None:
    """Return the worst that is found of several engines; of servers that hang or are silent, nothing is."""
    found = {of(engine, view) for engine, view in judged if unless_measured(view) is None}
    return next((severity for severity in _GRAVE if severity in found), None)


def queue_severity(engine: EngineFigures, view: ServerView, now: datetime) -> Severity | None:
    """Return how bad it is that requests wait: only that they are getting more is."""
    if engine.growing_since is None or not rules.queue_grows(engine, view):
        return None
    return rules.growth_severity(engine.growing_since, now)


def kv_severity(engine: EngineFigures, view: ServerView) -> Severity | None:
    """Return how bad the usage of the KV cache is: a full one is well used until somebody is short of it."""
    return rules.kv_severity(engine.kv_held_ratio or 0.0) if rules.kv_hurts(engine, view) else None


def preemptions_severity(engine: EngineFigures, view: ServerView) -> Severity | None:
    """Return how bad it is that requests are pushed out and computed again."""
    return rules.preemption_severity(engine) if rules.preempts(engine, view) else None


def saturation_severity(engine: EngineFigures, view: ServerView) -> Severity | None:
    """Return how bad it is that an engine runs as many requests as it may: only that others wait is."""
    return Severity.WARNING if rules.is_saturated(engine, view) else None


def replicas_severity(ready: int, wanted: int | None) -> Severity | None:
    """Return how bad it is that replicas are missing."""
    if wanted is None or ready >= wanted:
        return None
    return Severity.WARNING if ready else Severity.CRITICAL
