"""All servers of one model of one workload together."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from situation.histograms import Histogram, merged
from situation.meta import Ref
from situation.selectors import is_ready
from situation.serving.figures import latencies, spread
from situation.serving.memory import KnownServer
from situation.serving.readings import Software
from situation.serving.view import EngineFigures, ModelView, ServerState, ServerView, highest, total
from situation.situation import Situation
from situation.workloads import Deployment, ReplicaSet, StatefulSet

_Pair = tuple[ServerView, KnownServer | None]


def models_of(pairs: Iterable[_Pair], situation: Situation) -> tuple[ModelView, ...]:
    """Return one entry for each workload and served name, in the order of their first servers. Routers serve none."""
    grouped: defaultdict[tuple[Ref | None, str], list[_Pair]] = defaultdict(list)
    for view, known in pairs:
        if view.software is not Software.ROUTER:
            for name in dict.fromkeys(engine.model for engine in view.engines) or (view.name,):
                grouped[view.workload, name or view.name].append((view, known))
    before = situation.serving.model_views
    kept: dict[Hashable, tuple[object, ModelView]] = {}
    for (workload, name), found in grouped.items():
        views = tuple(view for view, _ in found)
        replicas = _replicas(workload, views, situation)
        held = before.get((workload, name))
        if held is None or held[0] != (views, replicas):
            held = ((views, replicas), _model(name, workload, found, *replicas))
        kept[workload, name] = held
    situation.serving.model_views = kept
    return tuple(model for _, model in kept.values())


def _model(name: str, workload: Ref | None, pairs: Sequence[_Pair], ready: int, wanted: int | None) -> ModelView:
    fresh = [(view, known) for view, known in pairs if view.is_fresh]
    engines = [item for view, _ in fresh for item in view.engines if item.model in (name, "")]
    ttft: list[Histogram] = []
    itl: list[Histogram] = []
    for _, known in fresh:
        for model, first, between in latencies(known) if known is not None else ():
            if model in (name, ""):
                ttft.append(first)
                itl.append(between)
    return ModelView(
        name=name,
        workload=workload,
        servers=tuple(view for view, _ in pairs),
        replicas_ready=ready,
        replicas_wanted=wanted,
        running=total(engines, lambda item: item.running),
        waiting=total(engines, lambda item: item.waiting),
        kv_usage_ratio=highest(engines, lambda item: item.kv_usage_ratio),
        preemptions_per_min=total(engines, lambda item: item.preemptions_per_min),
        generation_tokens_per_s=total(engines, lambda item: item.generation_tokens_per_s),
        ttft=spread(merged(ttft)),
        itl=spread(merged(itl)),
        prefix_hit_ratio=_hit_ratio(engines),
    )


def _hit_ratio(engines: Iterable[EngineFigures]) -> float | None:
    """Return the mean of the engines' hit ratios, by how many prompt tokens each had; plain where that is not known."""
    found = [(item.prefix_hit_ratio, item.prompt_tokens_per_s or 0.0) for item in engines]
    known = [(ratio, weight) for ratio, weight in found if ratio is not None]
    if not known:
        return None
    weights = sum(weight for _, weight in known)
    if not weights:
        return sum(ratio for ratio, _ in known) / len(known)
    return sum(ratio * weight for ratio, weight in known) / weights


def _replicas(workload: Ref | None, views: Sequence[ServerView], situation: Situation) -> tuple[int, int | None]:
    """Return how many replicas are ready, and how many are wanted if something that is known says so."""
    match situation.get(workload) if workload is not None else None:
        case Deployment() | StatefulSet() | ReplicaSet() as owner:
            return owner.status.ready_replicas, owner.spec.replicas
    pods = [pod for view in views if view.pod is not None and (pod := situation.pods.get(view.pod)) is not None]
    if pods:
        return sum(map(is_ready, pods)), None
    return sum(view.state is ServerState.HEALTHY for view in views), None
