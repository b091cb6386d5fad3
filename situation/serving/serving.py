"""All model servers, worked out of pods and readings: a pure function of the Situation and the time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from situation.meta import Ref
from situation.readings import Source
from situation.serving.arguments import EngineArguments
from situation.serving.figures import WINDOW, figures
from situation.serving.memory import KnownServer
from situation.serving.models import models_of
from situation.serving.pods import spec_of
from situation.serving.readings import Health, Software
from situation.serving.states import Subject, is_heard, state_of
from situation.serving.tracks import finite
from situation.serving.view import ServerState, ServerView, Serving, server_ref
from situation.situation import Situation

SOURCE: Final = "vllm/servers"
"""Name of the source that tells of model servers."""
_WORST_FIRST: Final = (
    ServerState.DEAD,
    ServerState.STALLED,
    ServerState.DOWN,
    ServerState.UNKNOWN,
    ServerState.STARTING,
    ServerState.NOT_MEASURED,
    ServerState.HEALTHY,
    ServerState.SLEEPING,
)
_RANK: Final = {state: rank for rank, state in enumerate(_WORST_FIRST)}


def serving_of(situation: Situation, now: datetime) -> Serving:
    """Return the model servers: those that pods tell of, asked or not, and those at URLs. Worst first."""
    held = situation.derived.get("serving")
    if held is not None and held[0] == now:
        return held[1]  # type: ignore[no-any-return]
    made = _serving(situation, now)
    situation.derived["serving"] = (now, made)
    return made


def _serving(situation: Situation, now: datetime) -> Serving:
    pairs = [(subject, _view(subject, situation, now)) for subject in _subjects(situation)]
    pairs.sort(key=lambda pair: _rank(pair[1]))
    views = tuple(view for _, view in pairs)
    by_workload: defaultdict[Ref, list[ServerView]] = defaultdict(list)
    for view in views:
        by_workload[view.workload or view.ref].append(view)
    return Serving(
        servers=views,
        models=models_of(((view, subject.known) for subject, view in pairs), situation),
        by_ref={view.ref: view for view in views},
        by_workload={ref: tuple(found) for ref, found in by_workload.items()},
    )


def _subjects(situation: Situation) -> Iterator[Subject]:
    """Yield each pod that serves a model with what it said, and what was said at URLs that no pod has."""
    source, memory = situation.source(SOURCE), situation.serving
    pods = situation.model_server_pods.get(True)
    for key, pod in pods.items():
        yield Subject(pod, spec_of(pod, memory.specs), _best(memory.by_pod.get(key, {}).values()), source)
    for known in memory.known.values():
        if known.server.pod is None:
            yield Subject(None, None, known, source)
    knows_pods = situation.knows("pods")
    for key, ways in memory.by_pod.items():
        owner = situation.pods.get(key)
        if key not in pods and (owner is not None or not knows_pods):
            yield Subject(owner, None, _best(ways.values()), source)


def _best(ways: Iterable[KnownServer]) -> KnownServer | None:
    """Return, of several ways to one server, the one that brought figures last."""
    return max(ways, key=lambda known: (known.server.answers, known.read_at, known.server.key), default=None)


def _view(subject: Subject, situation: Situation, now: datetime) -> ServerView:
    pod, spec, known = subject.pod, subject.spec, subject.known
    state, why = state_of(subject, now)
    server = known.server if known is not None else None
    key = server.key if server is not None else ""
    if pod is not None and spec is not None:
        key = key or f"{pod.namespace}/{pod.name}:{spec.port}"
    told = known.page if known is not None else None
    told_software = told.software if told is not None else Software.UNKNOWN
    engines = figures(known) if known is not None else ()
    rejections, errors, error_ratio = _answers(known)
    name = next((engine.model for engine in engines if engine.model), "") or (spec.name if spec is not None else "")
    pod_key = pod.key if pod is not None else server.pod if server is not None else None
    fallback = spec.software if spec is not None else server.software if server is not None else Software.UNKNOWN
    return ServerView(
        ref=server_ref(pod_key, key),
        key=key,
        software=told_software if told_software is not Software.UNKNOWN else fallback,
        state=state,
        why=why,
        pod=pod_key,
        workload=situation.workload_of(pod) if pod is not None else None,
        node=pod.spec.node_name if pod is not None else "",
        arguments=spec.arguments if spec is not None else EngineArguments(),
        engines=engines,
        version=known.version if known is not None else "",
        models=known.models if known is not None else (),
        origin=server.origin if server is not None else "",
        source=SOURCE,
        read_at=known.page_at if known is not None else None,
        is_fresh=_is_fresh(subject, state, now),
        rejections_per_min=rejections,
        http_errors_per_min=errors,
        http_error_ratio=error_ratio,
        error=_error(subject.source, known),
        name=name or next((model.id for model in (known.models if known else ()) if not model.parent), ""),
        recognised_by=spec.why if spec is not None else "",
        url=server.url if server is not None else "",
        metrics_path=spec.metrics_path if spec is not None else "/metrics",
        container=spec.container.name if spec is not None else "",
        started_at=known.started_at if known is not None and told is not None else None,
        died_at=known.died_at if known is not None else None,
        running_loras=told.running_loras if told is not None else (),
        waiting_loras=told.waiting_loras if told is not None else (),
        routed=told.routed if told is not None else (),
    )


def _is_fresh(subject: Subject, state: ServerState, now: datetime) -> bool:
    known = subject.known
    if known is None or state in (ServerState.DEAD, ServerState.DOWN) or known.server.health is Health.REFUSED:
        return False
    return is_heard(subject, known.page_at, now)


def _answers(known: KnownServer | None) -> tuple[float | None, float | None, float | None]:
    """Return rejections and answers 5xx per minute, and the share of those among all answers of the window."""
    return known.of_pages.once("answers", lambda: _count_answers(known)) if known is not None else (None, None, None)


def _count_answers(known: KnownServer) -> tuple[float | None, float | None, float | None]:
    kept = known.answers.within(WINDOW)
    if len(kept) < 2:
        return None, None, None
    (begin, first), (end, last) = kept[0], kept[-1]
    minutes = (end - begin).total_seconds() / 60
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
    usage = max((item.kv_usage_ratio or 0.0 for item in view.engines), default=0.0)
    return (_RANK[view.state], -(view.total("waiting") or 0.0), -usage, view.key)
