"""What the pane of the control plane says of the API server: checks, latency by verb, load, and what fills it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from situation.api_memory import WINDOW, ApiServerMemory
from situation.api_server import ApiServerPage
from situation.clock import duration_text
from situation.findings import Severity
from situation.readings import SourceState
from situation.situation import Situation
from widgets.control_plane_facts import ControlPlaneFact
from widgets.etcd_members import latency_text
from widgets.glyphs import FINE, SEVERITY, SEVERITY_ROLE, UNKNOWN
from widgets.pane import PaneState, pane_state

METRICS: Final = "control-plane/metrics"
LIVEZ: Final = "control-plane/livez"
READYZ: Final = "kubernetes/readyz"
_VERBS: Final = ("GET", "LIST", "POST", "PUT", "PATCH", "APPLY", "DELETE")
_SLOW_S: Final = 1.0
"""A read of one object or a write that takes longer is slow by the Kubernetes SLO (kubernetes-mixin)."""
_SLOW_LIST_S: Final = 30.0
"""So long a LIST of the whole cluster may take by the SLO."""
_P99: Final = 0.99
_OBJECTS: Final = 4
_NEUTRAL: Final = "·"
_KINDS: Final = {"readOnly": "reading", "mutating": "changing"}


def api_server_facts(situation: Situation, now: datetime) -> Iterator[ControlPlaneFact]:
    """Yield what is known of the API server itself."""
    yield _checks(situation, now)
    source = situation.source(METRICS)
    page, state = situation.api_server.page, pane_state(source, now=now)
    if page is None:
        why = source.error or "not read yet"
        yield ControlPlaneFact("API server", UNKNOWN, f"its metrics are not known: {why}", "warning", state)
        return
    yield from _latencies(situation.api_server, page, state)
    yield _load(page, state)
    yield _rejected(situation.api_server, page, state)
    if page.objects:
        yield _objects(situation.api_server, page, state)


def _checks(situation: Situation, now: datetime) -> ControlPlaneFact:
    """Say what /readyz and /livez told; `/livez?exclude=etcd` splits the blame between API server and etcd."""
    sources = [source for name in (READYZ, LIVEZ) if (source := situation.source(name)).has_value]
    if not sources:
        errors = [error for name in (READYZ, LIVEZ) if (error := situation.source(name).error)]
        text = f"not known: {errors[0] if errors else 'not read yet'}"
        return ControlPlaneFact("API server", UNKNOWN, text, "warning", pane_state(situation.source(READYZ), now=now))
    ready, alive = situation.readiness, situation.liveness
    parts, bad = [], False
    if ready is not None:
        failed = f": {', '.join(ready.failed_checks)}" if ready.failed_checks else ""
        parts.append("ready" if ready.ready else f"not ready{failed}")
        bad = not ready.ready
    if alive is not None:
        failed = f": {', '.join(alive.failed_checks)}" if alive.failed_checks else ""
        parts.append("alive apart from etcd" if alive.alive else f"not alive even without etcd{failed}")
        bad = bad or not alive.alive
    state = pane_state(*sources, now=now)
    if bad:
        return ControlPlaneFact("API server", *_look(Severity.CRITICAL, "; ".join(parts)), state)
    if state.state is not SourceState.LIVE:
        return ControlPlaneFact("API server", UNKNOWN, f"when it was last heard: {'; '.join(parts)}", "warning", state)
    return ControlPlaneFact("API server", FINE, "; ".join(parts), "fine", state)


def _look(severity: Severity, text: str) -> tuple[str, str, str]:
    return SEVERITY[severity], text, SEVERITY_ROLE[severity]


def _latencies(memory: ApiServerMemory, page: ApiServerPage, state: PaneState) -> Iterator[ControlPlaneFact]:
    known: dict[str, float] = {}
    for verb in [*_VERBS, *sorted(page.durations.keys() - set(_VERBS))]:
        seen = memory.over(lambda page: page.durations.get(verb)).quantile(_P99)  # noqa: B023
        if seen is not None:
            known[verb] = seen
    if not known:
        text = "needs a second reading" if len(memory.pages()) < 2 else "no request was measured"
        yield ControlPlaneFact("API p99", UNKNOWN, text, "waiting", state)
        return
    text = "  ".join(f"{verb} {latency_text(value)}" for verb, value in known.items())
    slow = any(value > (_SLOW_LIST_S if verb == "LIST" else _SLOW_S) for verb, value in known.items())
    yield ControlPlaneFact("API p99", *(_look(Severity.WARNING, text) if slow else (_NEUTRAL, text, "")), state)


def _load(page: ApiServerPage, state: PaneState) -> ControlPlaneFact:
    kinds = [f"{page.in_flight[kind]:.0f} {_KINDS.get(kind, kind)}" for kind in sorted(page.in_flight)]
    parts = [f"in flight {', '.join(kinds)}"] if kinds else []
    levels = {name: (seats.executing, seats.limit) for name, seats in page.seats.items() if seats.limit}
    fullest = sorted(levels, key=lambda name: (-levels[name][0] / levels[name][1], name))
    full = [name for name in fullest if levels[name][0] >= levels[name][1]]
    if fullest:
        told = ", ".join(f"{name} {levels[name][0]:.0f}/{levels[name][1]:.0f}" for name in full or fullest[:1])
        parts.append(f"{'no seat free' if full else 'seats'}: {told}")
    if page.watches is not None:
        parts.append(f"{page.watches:.0f} watches")
    text = " · ".join(parts) or "–"
    return ControlPlaneFact("API load", *(_look(Severity.WARNING, text) if full else (_NEUTRAL, text, "")), state)


def _rejected(memory: ApiServerMemory, page: ApiServerPage, state: PaneState) -> ControlPlaneFact:
    window = duration_text(WINDOW.total_seconds())
    grown = {name: memory.increase(lambda page: page.rejected.get(name)) for name in sorted(page.rejected)}  # noqa: B023
    told = {name: count for name, count in grown.items() if count}
    if told:
        text = ", ".join(f"{count:.0f} of {name}" for name, count in told.items())
        return ControlPlaneFact("rejected", *_look(Severity.WARNING, f"{text} in {window}"), state)
    if not page.rejected or any(count is not None for count in grown.values()):
        return ControlPlaneFact("rejected", _NEUTRAL, f"none in {window}", "", state)
    return ControlPlaneFact("rejected", UNKNOWN, "needs a second reading", "waiting", state)


def _objects(memory: ApiServerMemory, page: ApiServerPage, state: PaneState) -> ControlPlaneFact:
    largest = sorted(page.objects.items(), key=lambda item: -item[1])[:_OBJECTS]
    pages = memory.pages()
    before = pages[0][1].objects if len(pages) > 1 else {}
    span = duration_text((pages[-1][0] - pages[0][0]).total_seconds()) if len(pages) > 1 else ""
    told = []
    for resource, count in largest:
        growth = count - before[resource] if resource in before else None
        told.append(f"{resource} {count}" + (f" ({growth:+d})" if growth else ""))
    return ControlPlaneFact("objects", _NEUTRAL, ", ".join(told) + (f" in {span}" if span else ""), "", state)
