"""What the pane of the control plane says of the API server: checks, latency by verb, load, and what fills it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from diagnosis.rules.api_latency import slow_lists, slow_verbs
from diagnosis.rules.api_load import full_levels
from diagnosis.rules.scheduler_load import SLOW_S
from situation.api_load import (
    Latency,
    growths,
    largest_resources,
    latency_by_verb,
    latency_of,
    list_latencies,
    observed,
    rejects,
    resource_name,
    saturation,
)
from situation.api_memory import ApiServerMemory
from situation.api_server import LIVEZ, METRICS, ApiServerPage
from situation.clock import duration_text
from situation.findings import Severity
from situation.local_health import LocalHealth
from situation.quantity import short_latency
from situation.readings import SourceState
from situation.scheduler import SCHEDULER, WINDOW_S
from situation.situation import Situation
from widgets.control_plane_facts import ControlPlaneFact
from widgets.glyphs import FINE, SEVERITY, SEVERITY_ROLE, UNKNOWN
from widgets.pane import PaneState, pane_state

LOCAL: Final = "control-plane/local"
READYZ: Final = "kubernetes/readyz"
_VERBS: Final = ("GET", "LIST", "POST", "PUT", "PATCH", "APPLY", "DELETE")
_OBJECTS: Final = 4
_LISTS: Final = 2
_NEUTRAL: Final = "·"
_KINDS: Final = {"readOnly": "reading", "mutating": "changing"}


def api_server_facts(situation: Situation, now: datetime) -> Iterator[ControlPlaneFact]:
    """Yield what is known of the API server itself."""
    yield _checks(situation, now)
    yield from _scheduler(situation, now)
    if situation.local_health is not None:
        yield _local(situation.local_health, pane_state(situation.source(LOCAL), now=now))
    source = situation.source(METRICS)
    page, state = situation.api_server.page, pane_state(source, now=now)
    if page is None:
        why = source.error or "not read yet"
        yield ControlPlaneFact("API server", UNKNOWN, f"its metrics are not known: {why}", "warning", state)
        return
    yield from _latencies(situation.api_server, page, state)
    yield _load(page, situation, state)
    yield _rejected(situation.api_server, state)
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
        if not alive.alive:
            parts.append(f"not alive even without etcd{failed}")
        elif ready is None or not ready.ready:
            parts.append("alive apart from etcd")
        bad = bad or not alive.alive
    state = pane_state(*sources, now=now)
    if bad:
        return ControlPlaneFact("API server", *_look(Severity.CRITICAL, "; ".join(parts)), state)
    if state.state is not SourceState.LIVE:
        return ControlPlaneFact("API server", UNKNOWN, f"when it was last heard: {'; '.join(parts)}", "warning", state)
    return ControlPlaneFact("API server", FINE, "; ".join(parts), "fine", state)


def _look(severity: Severity, text: str) -> tuple[str, str, str]:
    return SEVERITY[severity], text, SEVERITY_ROLE[severity]


def _judged(text: str, is_bad: bool) -> tuple[str, str, str]:
    return _look(Severity.WARNING, text) if is_bad else (_NEUTRAL, text, "")


def _local(health: LocalHealth, state: PaneState) -> ControlPlaneFact:
    """Say what the components on this host answer on loopback; that needs no API server."""
    worst = FINE
    told = []
    for check in health.checks:
        glyph = {True: FINE, False: SEVERITY[Severity.CRITICAL], None: UNKNOWN}[check.healthy]
        worst = max(worst, glyph, key=(FINE, UNKNOWN, SEVERITY[Severity.CRITICAL]).index)
        said = "" if check.healthy else f" {check.text}" if check.text else " does not say"
        told.append(f"{glyph} {check.component} {check.check}{said}")
    role = {FINE: "fine", UNKNOWN: "warning"}.get(worst, "critical")
    return ControlPlaneFact("this host", worst, f"{health.node}: {', '.join(told)}", role, state)


def _scheduler(situation: Situation, now: datetime) -> Iterator[ControlPlaneFact]:
    """Yield how long the scheduler takes for a pod and who waits for it, where a Prometheus was asked."""
    source, load = situation.source(SCHEDULER), situation.scheduler
    state = pane_state(source, now=now)
    if load is None:
        if source.error:
            yield ControlPlaneFact("scheduler", UNKNOWN, f"its work is not known: {source.error}", "warning", state)
        return
    taken, took = latency_of(load.attempts), duration_text(WINDOW_S)
    text = f"no attempt in {took}" if taken is None else f"p99 {p99_cell(taken)} of {taken.requests} attempts in {took}"
    if waiting := ", ".join(f"{count:.0f} {queue}" for queue, count in sorted(load.pending.items()) if count):
        text += f"; waiting: {waiting}"
    yield ControlPlaneFact("scheduler", *_judged(text, taken is not None and taken.p99_s > SLOW_S), state)


def _why_not(memory: ApiServerMemory) -> str:
    return "needs a second reading" if observed(memory) is None else "not known: its metrics were read only in part"


def p99_cell(latency: Latency) -> str:
    """Return `18ms`, `≥60s`."""
    return f"{'≥' if latency.is_least else ''}{short_latency(latency.p99_s)}"


def _window(memory: ApiServerMemory) -> str:
    return duration_text((observed(memory) or timedelta(0)).total_seconds())


def _latencies(memory: ApiServerMemory, page: ApiServerPage, state: PaneState) -> Iterator[ControlPlaneFact]:
    found = latency_by_verb(memory)
    if not found:
        text = _why_not(memory) if found is None else f"no request in {_window(memory)}"
        yield ControlPlaneFact("API p99", UNKNOWN, text, "waiting", state)
        return
    order = [verb for verb in _VERBS if verb in found] + sorted(found.keys() - set(_VERBS))
    text = "  ".join(f"{verb} {p99_cell(found[verb])}" for verb in order)
    yield ControlPlaneFact("API p99", *_judged(text, bool(slow_verbs(memory))), state)
    told = [
        f"{resource_name(key)} ({key.scope}) {p99_cell(item)} ×{item.requests}"
        for key, item in list((list_latencies(memory) or {}).items())[:_LISTS]
    ]
    if told:
        text = f"{', '.join(told)} in {_window(memory)}"
        yield ControlPlaneFact("LIST p99", *_judged(text, bool(slow_lists(memory))), state)


def _load(page: ApiServerPage, situation: Situation, state: PaneState) -> ControlPlaneFact:
    kinds = [f"{page.in_flight[kind]:.0f} {_KINDS.get(kind, kind)}" for kind in sorted(page.in_flight)]
    parts = [f"in flight {', '.join(kinds)}"] if kinds else []
    taken = saturation(page) or {}
    full = sorted(full_levels(page))
    if taken:
        told = ", ".join(_seats(page, level) for level in full or [max(taken, key=lambda level: taken[level])])
        parts.append(f"{'no seat free' if full else 'seats'}: {told}")
    if page.watches is not None:
        parts.append(f"{page.watches:.0f} watches")
    if page.open_files is not None and page.max_files:
        parts.append(f"{page.open_files / page.max_files:.0%} of {page.max_files} files open")
    if situation.own_load.latency_s is not None:
        parts.append(f"our own requests {short_latency(situation.own_load.latency_s)}")
    text = " · ".join(parts) or "not on the page"
    return ControlPlaneFact("API load", *_judged(text, bool(full)), state)


def _seats(page: ApiServerPage, level: str) -> str:
    seats = page.seats[level]
    return f"{level} {seats.executing:.0f}/{seats.limit or 0:.0f}"


def _rejected(memory: ApiServerMemory, state: PaneState) -> ControlPlaneFact:
    found = rejects(memory)
    if found is None:
        return ControlPlaneFact("rejected", UNKNOWN, _why_not(memory), "waiting", state)
    told = ", ".join(f"{count} of {level}" for level, count in found.items()) or "none"
    return ControlPlaneFact("rejected", *_judged(f"{told} in {_window(memory)}", bool(found)), state)


def _objects(memory: ApiServerMemory, page: ApiServerPage, state: PaneState) -> ControlPlaneFact:
    growth = growths(memory)
    told = []
    for resource, count in largest_resources(page, _OBJECTS):
        by = round(growth[resource].per_hour) if growth and resource in growth else 0
        told.append(f"{resource} {count}" + (f" ({by:+d}/h)" if by else ""))
    text = ", ".join(told) + ("" if growth is not None else "; growth not known yet")
    return ControlPlaneFact("objects", _NEUTRAL, text, "", state)
