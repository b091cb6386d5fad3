"""Layer 1: model servers that have more to do than they can take: preemption, KV cache, sequences, queue (L1-18).

One server in trouble shows all of these; which of them follows from which is told in `explaining.serving_explains`.
"""

from datetime import datetime, timedelta
from typing import Final

from diagnosis import serving_commands as commands
from diagnosis import serving_facts as facts
from diagnosis.commands import counted
from diagnosis.rule import Fired, Rule, Unknown, Verdict, rule
from situation.clock import duration_text
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.serving.view import EngineFigures, ServerView
from situation.situation import Situation

KV_NEAR: Final = 0.90
KV_FULL: Final = 0.95
"""Playbook F: above 0.90 preemption is near, above 0.95 sequences must become fewer or memory more."""
PREEMPTED_CRITICAL: Final = 1.0
"""Per minute (playbook F)."""
_MOST_SEEN: Final = "the most that was seen to run while others waited"
GROWS_CRITICAL: Final = timedelta(minutes=5)
"""Playbook F: critical when the queue grows for 5 minutes."""


_WORDS: Final = {
    "preempted": "its preemptions are",
    "kv_usage_ratio": "the usage of its KV cache is",
    "running": "how many requests run is",
    "waiting": "its queue is",
}
"""Figures of an engine, as they are told of."""


def _unless(view: ServerView, of: str) -> Verdict | None:
    """Return what is said without figures, or without this one; None if there are some to judge."""
    if (verdict := facts.unless_measured(view)) is not None:
        return verdict
    return None if facts.is_measured(view, of) else Unknown(f"{view.key}: {_WORDS[of]} not measured")


def _look(view: ServerView, situation: Situation, now: datetime, why: str) -> tuple[Command, ...]:
    """Return what shows the load: the page, the log, the pod; and at the end one replica more."""
    return (
        commands.metrics(view, why),
        *commands.log(view, situation, "what does the engine say each 10 s?"),
        *commands.described(view, situation, "which arguments, requests and limits has it?"),
        *commands.scale(view, situation, "one replica more, once it is clear that load is the cause"),
    )


def preempts(engine: EngineFigures, _: ServerView) -> bool:
    """Tell whether requests were thrown out within the window."""
    return (engine.preempted or 0.0) > 0


@rule(
    "vllm-preemption",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="the growth of `vllm:num_preemptions_total` over the last minute, and TTFT in it and before it.",
    look_alikes={
        "preemptions of an hour ago": "the counter stands high and does not grow: silent",
        "pod preemption (scheduling)": "there a pod is evicted for one of higher priority; here a request, for memory",
        "vllm-kv-pressure": "there the KV cache is full and requests only wait; here running ones are thrown out",
    },
)
def vllm_preemption(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server throws running requests out of its KV cache and computes them anew: memory is over-committed."""
    if (verdict := _unless(view, "preempted")) is not None:
        return verdict
    servers = facts.showing(view, situation, now, "vllm-preemption", preempts)
    return facts.fired(view, servers, situation, now, _preemption)


def _preemption(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    engines = facts.engines_of(servers, preempts)
    count = facts.total(engines, lambda item: item.preempted)
    worst = max(engines, key=lambda item: item.preempted or 0.0)
    per_min = facts.total(engines, lambda item: item.preemptions_per_min)
    times = f"{counted(round(count), 'preemption')} in {facts.window_text(worst)}"
    evidence = facts.lines(servers, _preemption_text)
    if text := facts.ttft_text(worst):
        evidence.append(facts.told(servers[0], f"{text}: a request that is thrown out is computed from its start"))
    evidence += commands.less_memory(servers[0])
    return Fired(
        facts.about(servers[0]),
        f"preempts running requests: {times} ({per_min:.0f} a minute)",
        tuple(evidence),
        _look(servers[0], situation, now, "does vllm:num_preemptions_total grow?"),
        severity=preemption_severity(worst),
        node=servers[0].node,
    )


def preemption_severity(engine: EngineFigures) -> Severity:
    """Return how bad the preemptions of the window are; of a short one, as if no more came within a minute."""
    minutes = max(1.0, engine.window.total_seconds() / 60)
    return Severity.CRITICAL if (engine.preempted or 0.0) / minutes > PREEMPTED_CRITICAL else Severity.WARNING


def _preemption_text(view: ServerView) -> str:
    found = [item for item in view.engines if item.preempted]
    count = facts.total(found, lambda item: item.preempted)
    span = facts.window_text(found[0]) if found else "0s"
    return f"{count:.0f} more preempted in {span}; {facts.work_text(view)}"


def kv_hurts(engine: EngineFigures, view: ServerView) -> bool:
    """A full cache alone is a well-used one: it hurts when requests are thrown out, or wait though more may run."""
    if engine.kv_held_ratio is None or engine.kv_held_ratio <= KV_NEAR or not (engine.running or engine.waiting):
        return False
    return preempts(engine, view) or (facts.has_queue(engine) and not facts.at_limit(engine, view))


@rule(
    "vllm-kv-pressure",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="`vllm:kv_cache_usage_perc` (above 0.90 in at least half of the scrapes of 30 s) with requests that "
    "wait although --max-num-seqs is not reached, or with preemptions.",
    look_alikes={
        "a well-used cache": "usage near 1.0 without a queue and without preemptions: silent",
        "vllm-saturated": "as many requests run as --max-num-seqs allows: not memory is what they wait for",
        "a peak": "full for one scrape only: silent",
        "prefix cache": "blocks that are only kept for reuse count as free: they are not in this number",
    },
)
def vllm_kv_pressure(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """The KV cache of a model server is full, and requests wait for room in it or are thrown out of it."""
    if (verdict := _unless(view, "kv_usage_ratio")) is not None:
        return verdict
    servers = facts.showing(view, situation, now, "vllm-kv-pressure", kv_hurts)
    return facts.fired(view, servers, situation, now, _kv_pressure)


def _kv_pressure(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    engines = facts.engines_of(servers, kv_hurts)
    held = max(item.kv_held_ratio or 0.0 for item in engines)
    waiting = facts.total(engines, lambda item: item.waiting)
    hurt = f"{waiting:.0f} wait for room" if waiting else "running requests are thrown out"
    return Fired(
        facts.about(servers[0]),
        f"has its KV cache full ({held:.0%}), and {hurt}",
        (*facts.lines(servers, facts.work_text), *commands.less_memory(servers[0])),
        _look(servers[0], situation, now, "how full is the KV cache, and does anybody wait for it?"),
        severity=kv_severity(held),
        node=servers[0].node,
    )


def is_saturated(engine: EngineFigures, view: ServerView) -> bool:
    """Tell whether an engine runs as many requests as it may, while others wait for room."""
    if not facts.has_queue(engine) or engine.running is None:
        return False
    if view.max_num_seqs is not None:
        return facts.at_limit(engine, view)
    # The limit is not known: what ran most while others waited stands for it, unless memory is what they wait for.
    short = preempts(engine, view) or kv_hurts(engine, view)
    return not short and bool(engine.most_running) and engine.running >= (engine.most_running or 0.0)


def kv_severity(held_ratio: float) -> Severity:
    """Return how bad it is that a cache which is short stays so full."""
    return Severity.CRITICAL if held_ratio > KV_FULL else Severity.WARNING


@rule(
    "vllm-saturated",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="`vllm:num_requests_running` at --max-num-seqs, or at what a NIM says (where neither is known: "
    "at the most that ran while others waited), with requests that wait for room on 3 scrapes in a row.",
    look_alikes={
        "full without a queue": "it runs as many as it may and nobody waits: well used, silent",
        "vllm-kv-pressure": "fewer run than are allowed: the KV cache is what is full",
        "vllm-lora-waiting": "those that wait are deferred: for an adapter or a transfer, not for room",
        "vllm-stalled": "it runs as many as it may, and not one token comes out",
    },
)
def vllm_saturated(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server runs as many requests at once as it may, and others wait."""
    if (verdict := _unless(view, "running")) is not None:
        return verdict
    servers = facts.showing(view, situation, now, "vllm-saturated", is_saturated)
    return facts.fired(view, servers, situation, now, _saturation)


def _saturation(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    engines = facts.engines_of(servers, is_saturated)
    running = facts.total(engines, lambda item: item.running)
    waiting = facts.total(engines, lambda item: item.waiting)
    worst = servers[0]
    limit = worst.max_num_seqs
    flag = commands.flag_of(worst, "sequences")
    bound = f"{flag or 'what it may run at once,'} {limit}" if limit is not None else _MOST_SEEN
    evidence = [*facts.lines(servers, facts.work_text), facts.told(worst, f"the limit: {bound}")]
    others = [item for item in facts.others(servers, situation, now) if facts.unless_measured(item) is None]
    idle = [item for item in others if not item.total("waiting")]
    if idle:
        names = ", ".join(item.ref.name for item in idle[:3])
        evidence.append(facts.told(worst, f"nobody waits at {names}: is the load spread evenly?", Mark.OPEN))
    evidence.append(commands.more_at_once(worst))
    return Fired(
        facts.about(servers[0]),
        f"is saturated: {running:.0f} run, {waiting:.0f} wait",
        tuple(evidence),
        _look(worst, situation, now, "does the queue drain?"),
        follows=facts.replicas_down(servers, situation, now),
        node=servers[0].node,
    )


def queue_grows(engine: EngineFigures, _: ServerView) -> bool:
    """Tell whether more and more requests wait for room."""
    return engine.growing_since is not None and facts.has_queue(engine)


@rule(
    "vllm-queue-growing",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="`vllm:num_requests_waiting` over the last minute: a line through it that rises, and a queue that is near "
    "its highest; how long its mean has been rising without a break.",
    look_alikes={
        "a burst": "the queue jumped once and drains: it is below its highest of the window",
        "a steady queue": "requests wait but not more of them: silent here (see vllm-saturated)",
        "gpu-throttled": "running and KV cache are low, tokens come slowly: the GPU is slow (vllm-itl-high)",
    },
)
def vllm_queue_growing(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """More requests come to a model than its servers finish: the queue grows, and first tokens come later."""
    if (verdict := _unless(view, "waiting")) is not None:
        return verdict
    servers = facts.showing(view, situation, now, "vllm-queue-growing", queue_grows)
    return facts.fired(view, servers, situation, now, _growth)


def _growth(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    engines = facts.engines_of(servers, queue_grows)
    waiting = facts.total(engines, lambda item: item.waiting)
    slope = facts.total(engines, lambda item: item.queue_slope_per_min)
    since = min(item.growing_since for item in engines if item.growing_since is not None)
    doubles = duration_text(waiting / slope * 60) if slope > 0 else "?"
    growth = f"grows since {since:%H:%M:%S} ({duration_text((now - since).total_seconds())})"
    evidence: list[Evidence] = [
        *facts.lines(servers, facts.work_text),
        facts.told(servers[0], f"the queue {growth}, {slope:+.0f} a minute; at this rate it doubles in {doubles}"),
        commands.change(servers[0], "more replicas: the length of the queue is what they are scaled by"),
    ]
    return Fired(
        facts.about(servers[0]),
        f"gets more than it finishes: {waiting:.0f} wait, {slope:+.0f} a minute",
        tuple(evidence),
        _look(servers[0], situation, now, "does the queue still grow?"),
        severity=growth_severity(since, now),
        follows=facts.replicas_down(servers, situation, now),
        node=servers[0].node,
    )


def growth_severity(since: datetime, now: datetime) -> Severity:
    """Return how bad it is that a queue has been growing since then."""
    return Severity.CRITICAL if now - since >= GROWS_CRITICAL else Severity.WARNING


RULES: Final[tuple[Rule, ...]] = (vllm_preemption, vllm_kv_pressure, vllm_saturated, vllm_queue_growing)
