"""What the rules about model servers share: which servers count, how numbers are told, what follows from what."""

import math
from collections.abc import Callable, Iterable, Iterator, Set
from datetime import datetime
from typing import Final

import msgspec

from diagnosis.rule import CLEAR, Clear, Fired, Unknown, Verdict
from situation.clock import duration_text
from situation.findings import Evidence, Mark
from situation.meta import Ref
from situation.pods import Pod
from situation.quantity import latency_text
from situation.selectors import is_ready
from situation.serving.pods import server_refs, specs_of
from situation.serving.serving import serving_of
from situation.serving.view import EngineFigures, ServerState, ServerView, Spread, highest, pod_of_server
from situation.situation import Situation

SERVERS_SHOWN: Final = 4
QUEUED_SCRAPES: Final = 3
"""A request that waits on one page may only wait for the next step of the engine ..."""
LONG_QUEUE: Final = 8
"""... but not a queue of so many that is as long as what runs."""
_AT_WORK: Final = (ServerState.HEALTHY,)
_SILENT: Final = (ServerState.UNKNOWN, ServerState.NOT_MEASURED)

Holds = Callable[[EngineFigures, ServerView], bool]


def about(view: ServerView) -> Ref:
    """Return the subject: what manages the pods, so that replicas become one finding; else the server itself."""
    return view.workload or view.ref


def pod_of(view: ServerView, situation: Situation) -> Pod | None:
    """Return the pod that a server runs in, as it is known now; None at a URL that no pod has."""
    return situation.pods.get(view.pod) if view.pod is not None else None


def explains_pod(sick: Set[Ref], pod: Ref, situation: Situation) -> bool:
    """Tell whether servers that are sick explain what ails their pod: each container that is not ready runs one."""
    own = {ref for ref in sick if pod_of_server(ref) == pod}
    found = situation.pods.get((pod.namespace, pod.name))
    if not own or found is None:
        return bool(own)
    specs = specs_of(found, situation.serving.specs)
    serving = {spec.container.name for ref, spec in zip(server_refs(found, specs), specs, strict=False) if ref in own}
    unready = {status.name for status in found.status.container_statuses if not status.ready}
    return not specs or unready <= serving


def unless_measured(view: ServerView) -> Clear | Unknown | None:
    """Return what a rule about figures says of a server without figures of the present, None if it has them.

    One that starts, sleeps, stalls or is gone has other findings, or none: nothing can be said of its load.
    """
    if view.state in _SILENT:
        return Unknown(f"{view.key}: {view.why}")
    if view.state not in _AT_WORK:
        return CLEAR
    if not view.is_fresh:
        return Unknown(f"{view.key}: its figures are old" if view.read_at else f"{view.key}: not measured yet")
    return None


def showing(view: ServerView, situation: Situation, now: datetime, name: str, holds: Holds) -> tuple[ServerView, ...]:
    """Return all servers of the workload of which an engine shows a fault, worst first; the same for each of them.

    Worked out once a round for each fault `name`, as every replica asks.
    """

    def make() -> tuple[ServerView, ...]:
        found = [item for item in serving_of(situation, now).beside(view) if _shows(item, holds)]
        return tuple(sorted(found, key=lambda item: (-(item.total("waiting") or 0.0), item.key)))

    return situation.once((name, about(view), now), make)


def fired(
    view: ServerView,
    servers: tuple[ServerView, ...],
    situation: Situation,
    now: datetime,
    make: Callable[[tuple[ServerView, ...], Situation, datetime], Fired],
) -> Verdict:
    """Return clear if the server is none of those that show a fault, else the verdict about all of them.

    That is made once a round: it is the same for each of them but for its node.
    """
    if all(view is not item for item in servers):
        return CLEAR
    made = situation.once((make, about(view), now), lambda: make(servers, situation, now))
    return made if made.node == view.node else msgspec.structs.replace(made, node=view.node)


def _shows(view: ServerView, holds: Holds) -> bool:
    return unless_measured(view) is None and any(holds(engine, view) for engine in view.engines)


def others(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> tuple[ServerView, ...]:
    """Return the servers of the same workload that are none of these."""
    shown = {item.ref for item in servers}
    return tuple(item for item in serving_of(situation, now).beside(servers[0]) if item.ref not in shown)


def engines_of(servers: Iterable[ServerView], holds: Holds) -> tuple[EngineFigures, ...]:
    """Return the engines that show the fault."""
    return tuple(engine for view in servers for engine in view.engines if holds(engine, view))


def is_measured(view: ServerView, of: str) -> bool:
    """Tell whether a figure is known of any engine."""
    return any(getattr(engine, of) is not None for engine in view.engines)


def said(view: ServerView, text: str, mark: Mark = Mark.SUPPORTS) -> Evidence:
    """Return what a server's page says as evidence, as old as the page."""
    return Evidence(f"{view.ref.name}: {text}", view.source, view.read_at, mark)


def told(view: ServerView, text: str, mark: Mark = Mark.SUPPORTS) -> Evidence:
    """Return what follows for the model as a whole."""
    return Evidence(text, view.source, view.read_at, mark)


def lines(servers: tuple[ServerView, ...], text: Callable[[ServerView], str]) -> list[Evidence]:
    """Return a line for each server, some of them if there are many."""
    shown = [said(view, text(view)) for view in servers[:SERVERS_SHOWN]]
    if len(servers) > SERVERS_SHOWN:
        shown.append(told(servers[0], f"and {len(servers) - SERVERS_SHOWN} more like these"))
    return shown


def total(engines: Iterable[EngineFigures], of: Callable[[EngineFigures], float | None]) -> float:
    """Return the sum of what was measured."""
    return sum(of(engine) or 0.0 for engine in engines)


def by_capacity(engine: EngineFigures) -> float:
    """Return how many requests wait because the engine is full; deferred ones wait for something else."""
    return max(0.0, (engine.waiting or 0.0) - (engine.deferred or 0.0))


def has_queue(engine: EngineFigures) -> bool:
    """Tell whether requests wait for room: on several pages in a row, or so many that it is no matter of a moment."""
    waiting = by_capacity(engine)
    return waiting >= max(LONG_QUEUE, engine.running or 0.0) or (
        waiting > 0 and engine.queued_scrapes >= QUEUED_SCRAPES
    )


def at_limit(engine: EngineFigures, view: ServerView) -> bool:
    """Tell whether the engine runs as many requests at once as it is told to."""
    limit = view.max_num_seqs
    return limit is not None and engine.running is not None and engine.running >= limit > 0


def ttft_text(engine: EngineFigures) -> str:
    """Return `TTFT p99 19 s over the last 60s, 0.3 s before`; empty if nothing was observed."""
    if not (now := p99_text(engine.ttft)):
        return ""
    text = f"TTFT p99 {now} over the last {window_text(engine)}"
    return f"{text}, {before} before" if (before := p99_text(engine.ttft_before)) else text


def p99_text(spread: Spread) -> str:
    """Return `19 s`; of a wide bucket its bounds: `between 160 s and 640 s`. Empty if nothing was observed."""
    if spread.p99_between is not None:
        low, high = spread.p99_between
        if math.isinf(high):
            return f"above {latency_text(low)}"
        return f"between {latency_text(low)} and {latency_text(high)}"
    return "" if spread.p99 is None else latency_text(spread.p99)


def window_text(engine: EngineFigures) -> str:
    """Return what the rates of an engine span: `60s`."""
    return duration_text(engine.window.total_seconds())


def work_text(view: ServerView) -> str:
    """Return `8 run, 52 wait, KV cache 38 %`; what is not measured is left out."""
    usage = highest(view.engines, lambda item: item.kv_usage_ratio)
    parts = []
    if (running := view.total("running")) is not None:
        parts.append(f"{running:.0f} run")
    if (waiting := view.total("waiting")) is not None:
        parts.append(f"{waiting:.0f} wait")
    if usage is not None:
        parts.append(f"KV cache {usage:.0%}")
    return ", ".join(parts)


def replicas_down(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> tuple[Ref, ...]:
    """Return what shows why other replicas do not take their share: their pods, servers that are dead or hang, and
    the ReplicaSets that lack pods. Findings about these explain a queue here."""
    found = list(_others_down(servers, situation, now))
    if (workload := servers[0].workload) is not None:
        replicasets = situation.replicasets_by_owner.get(workload).values()
        found += [Ref("ReplicaSet", *item.key) for item in replicasets if item.status.replicas < item.spec.replicas]
    return tuple(dict.fromkeys(found))


def _others_down(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Iterator[Ref]:
    for other in others(servers, situation, now):
        pod = pod_of(other, situation)
        if other.state in (ServerState.DEAD, ServerState.STALLED):
            yield other.ref
        if pod is not None and not is_ready(pod):
            yield Ref("Pod", *pod.key)
