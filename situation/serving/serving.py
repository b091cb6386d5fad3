"""All model servers, worked out of pods and readings: a pure function of the Situation and the time."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from situation.meta import Ref
from situation.readings import Source
from situation.serving.figures import WINDOW, figures
from situation.serving.memory import KnownServer, MadeView
from situation.serving.models import models_of
from situation.serving.pods import specs_of
from situation.serving.readings import Health, Software, software_told
from situation.serving.states import Subject, Told, holds_until, is_heard, state_of
from situation.serving.tracks import finite
from situation.serving.view import ServerState, ServerView, Serving, highest, server_ref
from situation.situation import Situation

SOURCE: Final = "vllm/servers"
"""Name of the source that tells of model servers."""
_RESTS_ON: Final = ("pods", "replicasets", "jobs", "deployments", "statefulsets")
"""Kinds that are looked at: which pods serve, whose they are, and how many replicas are wanted."""
_WORST_FIRST: Final = (
    ServerState.DEAD,
    ServerState.STALLED,
    ServerState.DOWN,
    ServerState.UNKNOWN,
    ServerState.STARTING,
    ServerState.NOT_MEASURED,
    ServerState.HEALTHY,
    ServerState.SLEEPING,
    ServerState.LEFT_OUT,
)
_RANK: Final = {state: rank for rank, state in enumerate(_WORST_FIRST)}


def serving_of(situation: Situation, now: datetime) -> Serving:
    """Return the model servers: those that pods tell of, asked or not, and those at URLs. Worst first.

    Worked out once for all that ask, until something of it is read or time alone changes a server's state.
    """
    memory, source = situation.serving, situation.source(SOURCE)
    version = (situation.revision(*_RESTS_ON), situation.knows("pods"), memory.revision, source.state, source.error)
    kept: _Kept | None = memory.derived.get(SOURCE)
    if kept is None or kept.version != version or not kept.since <= now <= kept.until:
        kept = memory.derived[SOURCE] = _serving(situation, now, version)
    return kept.serving


class _Kept(NamedTuple):
    """The answer, for as long as it holds."""

    serving: Serving
    version: object
    """Of all that was looked at."""
    since: datetime
    until: datetime


def _serving(situation: Situation, now: datetime, version: object) -> _Kept:
    made = sorted(_views(situation, now), key=lambda pair: pair[0].rank)
    pairs = [(item.view, known) for item, known in made]
    views = tuple(view for view, _ in pairs)
    by_workload: defaultdict[Ref, list[ServerView]] = defaultdict(list)
    for view in views:
        by_workload[view.workload or view.ref].append(view)
    until = min((item.until for item, _ in made), default=now)
    serving = Serving(
        servers=views,
        models=models_of(pairs, situation),
        by_ref={view.ref: view for view in views},
        by_workload={ref: tuple(found) for ref, found in by_workload.items()},
    )
    return _Kept(serving, version, now, until)


def _subjects(situation: Situation) -> Iterator[Subject]:
    """Yield each pod that serves a model with what it said, and what was said at URLs that no pod has."""
    source, memory = situation.source(SOURCE), situation.serving
    pods = situation.model_server_pods.get(True)
    for key, pod in pods.items():
        specs, ways = specs_of(pod, memory.specs), memory.by_pod.get(key, {})
        first = specs[0] if specs else None
        others = {f"{pod.namespace}/{pod.name}:{spec.port}": spec for spec in specs[1:]}
        rest = [known for name, known in ways.items() if name not in others]
        yield Subject(pod, first, _best(rest, str(first.port) if first is not None else "") if rest else None, source)
        for name, spec in others.items():
            yield Subject(pod, spec, ways.get(name), source, spec.port)
    for known in memory.known.values():
        if known.server.pod is None:
            yield Subject(None, None, known, source)
    knows_pods = situation.knows("pods")
    for key, ways in memory.by_pod.items():
        owner = situation.pods.get(key)
        if key not in pods and (owner is not None or not knows_pods):
            yield Subject(owner, None, _best(ways.values()), source)


def _best(ways: Iterable[KnownServer], port: str = "") -> KnownServer | None:
    """Return, of several ports of one pod, one that answers: that of its spec, else the one that was heard last."""
    return max(
        ways,
        key=lambda known: (
            known.server.answers,
            known.server.key.rpartition(":")[2] == port,
            known.read_at,
            known.server.key,
        ),
        default=None,
    )


def _views(situation: Situation, now: datetime) -> list[tuple[MadeView, KnownServer | None]]:
    """Return the servers; a view is made anew only where something of it has changed since it was made last."""
    owners = situation.revision("replicasets", "jobs")
    before = situation.serving.views
    kept: dict[Hashable, MadeView] = {}
    found = []
    for subject in _subjects(situation):
        pod, known, source = subject.pod, subject.known, subject.source
        name: Hashable = (*pod.key, subject.port) if pod is not None else known.server.key if known is not None else ""
        rests_on = (pod, known, known.rounds if known is not None else 0, source.state, source.error, owners)
        made = before.get(name)
        if made is None or not made.since <= now <= made.until or made.rests_on != rests_on:
            made = _made(subject, rests_on, situation, now)
        kept[name] = made
        found.append((made, known))
    situation.serving.views = kept
    return found


def _made(subject: Subject, rests_on: object, situation: Situation, now: datetime) -> MadeView:
    told = state_of(subject, now)
    workload = situation.workload_of(subject.pod) if subject.pod is not None else None
    view = _view(subject, told, _is_fresh(subject, told.state, now), workload)
    return MadeView(view, _rank(view), rests_on, now, holds_until(subject, now))


def _view(subject: Subject, told: Told, is_fresh: bool, workload: Ref | None) -> ServerView:
    pod, spec, known = subject.pod, subject.spec, subject.known
    fields: dict[str, Any] = {"state": told.state, "why": told.why, "is_fresh": is_fresh, "workload": workload}
    key, at = "", None
    software, name = Software.UNKNOWN, ""
    if pod is not None:
        at, fields["node"] = pod.key, pod.spec.node_name
    if spec is not None and pod is not None:
        key, software, name = f"{pod.namespace}/{pod.name}:{spec.port}", spec.software, spec.name
        fields |= {
            "arguments": spec.arguments,
            "recognised_by": spec.why,
            "metrics_path": spec.metrics_path,
            "container": spec.container.name,
            "health_port": spec.health_port,
        }
    if known is not None:
        key, at = known.server.key, at or known.server.pod
        software = software_told(known.server.software if software is Software.UNKNOWN else software, known.page)
        name = next((engine for engine, _ in known.engines if engine), name)
        fields |= _heard(known)
    return ServerView(
        ref=server_ref(at, key, subject.port),
        key=key,
        software=software,
        pod=at,
        source=SOURCE,
        error=_error(subject.source, known),
        name=name or next((model.id for model in fields.get("models", ()) if not model.parent), ""),
        **fields,
    )


def _heard(known: KnownServer) -> dict[str, Any]:
    """Return the fields that what a server said fills."""
    server, page = known.server, known.page
    rejections, errors, ratio = known.of_pages.once("answers", lambda: _count_answers(known))
    fields: dict[str, Any] = {
        "engines": figures(known),
        "version": known.version,
        "models": known.models,
        "origin": server.origin,
        "url": server.url,
        "read_at": known.page_at,
        "died_at": known.died_at,
        "rejections_per_min": rejections,
        "http_errors_per_min": errors,
        "http_error_ratio": ratio,
    }
    if page is not None:
        fields |= {
            "started_at": known.started_at,
            "running_loras": page.running_loras,
            "waiting_loras": page.waiting_loras,
            "routed": page.routed,
        }
    return fields


def _is_fresh(subject: Subject, state: ServerState, now: datetime) -> bool:
    known = subject.known
    if known is None or state in (ServerState.DEAD, ServerState.DOWN) or known.server.health is Health.REFUSED:
        return False
    return is_heard(subject, known.page_at, now)


def _count_answers(known: KnownServer) -> tuple[float | None, float | None, float | None]:
    """Return rejections and answers 5xx per minute, and the share of those among all answers of the window."""
    kept = known.answers.within(WINDOW)
    if len(kept) < 2:
        return None, None, None
    (begin, first), (end, last) = kept[0], kept[-1]
    if (minutes := (end - begin).total_seconds() / 60) <= 0:
        return None, None, None
    rejected, answered, failed = (finite(now - then) for now, then in zip(last, first, strict=True))
    return (
        rejected / minutes if rejected is not None else None,
        failed / minutes if failed is not None else None,
        failed / answered if failed is not None and answered else None,
    )


def _error(source: Source, known: KnownServer | None) -> str:
    if known is None:
        return source.error
    server = known.server
    return next(filter(None, (server.page_error, server.health_error, server.models_error, server.version_error)), "")


def _rank(view: ServerView) -> tuple[int, float, float, str]:
    """Worst first: by state, then the longer queue, then the fuller cache."""
    usage = highest(view.engines, lambda item: item.kv_usage_ratio) or 0.0
    return (_RANK[view.state], -(view.total("waiting") or 0.0), -usage, view.key)
