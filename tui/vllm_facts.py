"""One model server in full, in words: what its figures mean, its last minutes, arguments, and what it serves."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from situation.clock import duration_text, stepped_s
from situation.findings import Severity
from situation.quantity import short_count, short_latency
from situation.serving.memory import Curve
from situation.serving.readings import LEFT_OUT, WAYS
from situation.serving.view import EngineFigures, ServerState, ServerView, Spread, highest, total
from situation.situation import Situation
from tui.vllm_groups import engines_of, software_text
from tui.vllm_history import ServingCurves, heights, latency_heights, top_of
from tui.vllm_judging import kv_severity, preemptions_severity, queue_severity, row_state, saturation_severity, worst
from tui.vllm_rows import figures_severities
from widgets.glyphs import SEVERITY, SEVERITY_ROLE
from widgets.vllm_detail import CURVE, Plot, ServerDetail, Words
from widgets.vllm_states import RowState
from widgets.vllm_table import short_p99

_DRAINS_PER_MIN: Final = -1.0
"""A queue that shrinks by less than a request a minute stands."""
_NAMES_SHOWN: Final = 6


def server_detail(
    server: ServerView,
    model: str,
    curves: ServingCurves,
    situation: Situation,
    now: datetime,
    note: str,
    *,
    explains: bool = True,
) -> ServerDetail:
    """Return a server as it is told in full, as far as it serves `model`; `note` says why this one.

    Without `explains` its figures stand there, marked as ever, and not what they mean.
    """
    state = row_state(server, situation, now)
    engines = engines_of(server, model)
    is_past = bool(server.engines) and not server.is_fresh
    said = remarks(server, engines, now) if explains else failures(server, engines)
    return ServerDetail(
        title=server.ref.name,
        state=state,
        why=server.why if state is not RowState.HEALTHY else "",
        about=tuple(_about(server, now, note)),
        remarks=() if is_past else tuple(said),
        plots=tuple(_plots(server, engines, curves, situation, now)) if engines else (),
        facts=tuple(facts(server, engines)),
        is_past=is_past,
    )


def _about(server: ServerView, now: datetime, note: str) -> Iterator[str]:
    if note:
        yield note
    if server.node:
        yield f"on {server.node}"
    yield software_text(server)
    yield asked_text(server, now)


def asked_text(server: ServerView, now: datetime) -> str:
    """Return which way a server was asked, and how old its figures are."""
    if server.origin in ("", LEFT_OUT):
        return "not asked"
    way = WAYS.get(server.origin, server.origin)
    if server.read_at is None:
        return f"{way}: no figures"
    return f"{way}, {duration_text(stepped_s((now - server.read_at).total_seconds()))} ago"


def remarks(server: ServerView, engines: Sequence[EngineFigures], now: datetime) -> Iterator[Words]:
    """Yield what the figures mean: how the queue moves, and what is at its limit."""
    judged = [(engine, server) for engine in engines]
    if (queue := _queue(server, engines, now)) is not None:
        yield queue
    if severity := worst(saturation_severity, judged):
        limit = f" (max-num-seqs {server.max_num_seqs})" if server.max_num_seqs else ""
        yield _graded(f"runs as many as it may{limit}, and others wait", severity)
    if severity := worst(kv_severity, judged):
        yield _graded("KV cache stays full", severity)
    if severity := worst(preemptions_severity, judged):
        yield _graded("requests are pushed out and computed again", severity)
    yield from failures(server, engines)


def failures(server: ServerView, engines: Sequence[EngineFigures]) -> Iterator[Words]:
    """Yield how many requests a minute are refused or fail, as they are counted."""
    if server.rejections_per_min:
        yield _graded(f"refuses {short_count(server.rejections_per_min)}/min", Severity.WARNING)
    if server.http_errors_per_min:
        yield _graded(f"{short_count(server.http_errors_per_min)}/min answers 5xx", Severity.WARNING)
    if failed := total(engines, lambda engine: engine.errors_per_min):
        yield _graded(f"{short_count(failed)}/min end in an error", Severity.WARNING)


def _graded(text: str, severity: Severity) -> Words:
    return Words(f"{SEVERITY[severity]} {text}", SEVERITY_ROLE[severity])


def _queue(server: ServerView, engines: Sequence[EngineFigures], now: datetime) -> Words | None:
    """Return how the queue moves; None where nobody waits, it is not measured, or stands still with all else."""
    waiting = total(engines, lambda engine: engine.waiting)
    slope = total(engines, lambda engine: engine.queue_slope_per_min)
    severity = worst(lambda engine, view: queue_severity(engine, view, now), [(engine, server) for engine in engines])
    if severity is not None and slope is not None:
        since = min(engine.growing_since for engine in engines if engine.growing_since is not None)
        text = f"queue grows by {short_count(slope)}/min"
        if waiting and slope > 0:
            text += f", doubles in {duration_text(waiting / slope * 60)}"
        return _graded(f"{text}, for {duration_text((now - since).total_seconds() // 10 * 10)}", severity)
    if not waiting or slope is None or server.state is ServerState.STALLED:
        return None
    if slope < _DRAINS_PER_MIN:
        return Words(
            f"queue drains by {short_count(-slope)}/min, empty in {duration_text(-waiting / slope * 60)}", "fine"
        )
    return Words("queue stands still" if abs(slope) <= -_DRAINS_PER_MIN else "queue moves up and down", "dim")


def _plots(
    server: ServerView, engines: Sequence[EngineFigures], curves: ServingCurves, situation: Situation, now: datetime
) -> Iterator[Plot]:
    memory, of = situation.serving, [(server.key, engine) for engine in engines]

    def values(curve: Curve) -> list[float | None]:
        return curves.values(of, curve, memory, now, CURVE)

    most = _most_running(server, engines)
    grave = figures_severities([(engine, server) for engine in engines if server.is_fresh], now)
    queue, running, cache = values(Curve.WAITING), values(Curve.RUNNING), values(Curve.KV_USAGE)
    tokens, preempted = values(Curve.GENERATION_TOKENS), values(Curve.PREEMPTIONS)
    yield _plot("waiting", queue, Curve.WAITING, _number(total(engines, lambda item: item.waiting)),
                grave["waiting_severity"])  # fmt: skip
    yield _plot("KV cache", cache, Curve.KV_USAGE, _percent(highest(engines, lambda item: item.kv_usage_ratio)),
                grave["kv_severity"])  # fmt: skip
    limit = f" of {most}" if most is not None else ""
    yield _plot("running", running, Curve.RUNNING, _number(total(engines, lambda item: item.running)) + limit,
                grave["running_severity"], most)  # fmt: skip
    yield Plot("TTFT p99", latency_heights(curves.ttft(of, memory, now, CURVE)),
               _p99(_slowest([item.ttft for item in engines])))  # fmt: skip
    yield _plot("tokens/s", tokens, Curve.GENERATION_TOKENS,
                _number(total(engines, lambda item: item.generation_tokens_per_s)))  # fmt: skip
    yield _plot("preempt", preempted, Curve.PREEMPTIONS,
                _number(total(engines, lambda item: item.preemptions_per_min), "/min"),
                grave["preemptions_severity"])  # fmt: skip


def _plot(
    name: str,
    values: Sequence[float | None],
    of: Curve,
    text: str,
    severity: Severity | None = None,
    limit: float | None = None,
) -> Plot:
    shown = f"{SEVERITY[severity]} {text}" if severity else text
    return Plot(name, heights(values, top_of(values, of, limit)), shown, SEVERITY_ROLE[severity] if severity else "")


def _most_running(server: ServerView, engines: Sequence[EngineFigures]) -> int | None:
    """Return how many requests all engines may run at once, where that is told."""
    each = server.max_num_seqs
    return each * len(engines) if each is not None else None


def _number(value: float | None, unit: str = "") -> str:
    return "not measured" if value is None else short_count(value) + unit


def _percent(ratio: float | None) -> str:
    return "not measured" if ratio is None else f"{ratio:.0%}"


def _latency(seconds: float | None) -> str:
    return "none seen" if seconds is None else short_latency(seconds)


def facts(server: ServerView, engines: Sequence[EngineFigures]) -> Iterator[tuple[str, Words]]:
    """Yield (name, words): errors, latencies, arguments that matter, what is served."""
    if server.error and server.error not in server.why:
        yield "error", Words(server.error, "warning")
    if engines:
        yield "latency", Words(latency_text(engines))
    if text := arguments_text(server):
        yield "arguments", Words(text)
    if text := served_text(server):
        yield "serves", Words(text)
    if server.routed:
        healthy = sum(item.healthy is True for item in server.routed)
        yield "routes to", Words(f"{len(server.routed)} servers, {healthy} of them healthy as it sees them")


def latency_text(engines: Sequence[EngineFigures]) -> str:
    """Return latencies, prompt tokens and prefix hits; of several engines the slowest."""
    slowest = (_slowest([item.ttft for item in engines]), _slowest([item.itl for item in engines]))
    parts = [f"{name} {_spread(item)}" for name, item in zip(("TTFT", "ITL"), slowest, strict=True)]
    prompt = total(engines, lambda item: item.prompt_tokens_per_s)
    if prompt is not None:
        parts.append(f"{short_count(prompt)} prompt tokens/s")
    hits = [item.prefix_hit_ratio for item in engines if item.prefix_hit_ratio is not None]
    if hits:
        parts.append(f"prefix cache hits {sum(hits) / len(hits):.0%}")
    else:
        is_off = all(item.cache is not None and item.cache.prefix_caching is False for item in engines)
        parts.append(f"prefix cache {'off' if is_off else 'not measured'}")
    return " · ".join(parts)


def _spread(item: Spread) -> str:
    if item.p50 is None and item.p99 is None:
        return "none in the last minute"
    return f"p50 {_latency(item.p50)} p99 {_p99(item)}"


def _slowest(spreads: Iterable[Spread]) -> Spread:
    return max(spreads, key=lambda item: item.p99 or 0.0, default=Spread())


def _p99(item: Spread) -> str:
    return short_p99(item) or "none seen"


def arguments_text(server: ServerView) -> str:
    """Return those arguments and sizes that decide how much fits at once."""
    told = server.arguments
    cache = next((engine.cache for engine in server.engines if engine.cache is not None), None)
    parts = [
        f"{name} {value}"
        for name, value in (
            ("TP", told.tensor_parallel),
            ("PP", told.pipeline_parallel),
            ("DP", told.data_parallel),
            ("max-num-seqs", server.max_num_seqs),
            ("max-model-len", told.max_model_len),
            ("GPU memory", told.gpu_memory_utilization),
            ("quantization", told.quantization or None),
            ("KV", told.kv_cache_dtype or None),
        )
        if value is not None
    ]
    if cache is not None:
        size = cache.size_tokens or (cache.blocks * cache.block_size if cache.blocks and cache.block_size else None)
        parts += [f"KV cache of {short_count(size)} tokens"] if size else []
        if cache.max_concurrency:
            parts.append(f"{cache.max_concurrency:.1f} requests of full length")
    return " · ".join(parts)


def served_text(server: ServerView) -> str:
    """Return the models and adapters that a server lists."""
    models = [item.id for item in server.models if not item.parent]
    adapters = [item.id for item in server.models if item.parent]
    parts = [_listed(models)] if models else [server.name] if server.name else []
    if adapters:
        parts.append(f"LoRA {_listed(adapters)}")
    if server.waiting_loras:
        parts.append(f"waiting for {_listed(server.waiting_loras)}")
    return " · ".join(parts)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
