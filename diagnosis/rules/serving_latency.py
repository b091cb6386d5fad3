"""Layer 1: model servers that are slow without a queue: late first tokens, tokens that come slowly (L1-18)."""

from datetime import datetime
from typing import Final

from diagnosis import serving_commands as commands
from diagnosis import serving_facts as facts
from diagnosis.rule import Fired, Rule, Unknown, Verdict, rule
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.quantity import latency_text
from situation.serving.view import EngineFigures, ServerView
from situation.situation import Situation

TTFT_RISES: Final = 2.0
TTFT_FELT_S: Final = 1.0
"""Ours: a first token that takes twice as long as before, and a second at least, is felt. The playbook has no bound."""
TTFT_LEAST: Final = 20
"""First tokens, now and before, of which a 99th percentile is worth its name."""
QUEUE_FLAT: Final = 1.0
"""Requests, and requests a minute: less of a change in the queue is none."""
ITL_SLOW_S: Final = 0.1
"""Ours: ten tokens a second is about as fast as people read; the playbook gives no bound."""
ITL_LEAST: Final = 100
"""Tokens of which a median is worth its name."""
SLOW_GPU: Final = ("gpu-throttled", "gpu-hot")


def _rises(engine: EngineFigures, _: ServerView) -> bool:
    now, before = engine.ttft, engine.ttft_before
    least, most = now.p99_least, before.p99_most
    if least is None or most is None or min(now.count, before.count) < TTFT_LEAST:
        return False
    return least >= TTFT_FELT_S and least >= TTFT_RISES * most


def _behind_decode(engine: EngineFigures, view: ServerView) -> bool:
    if not _rises(engine, view) or engine.preempted or engine.waiting is None:
        return False
    grown = engine.waiting - (engine.waiting_before or 0.0)
    return grown <= QUEUE_FLAT and abs(engine.queue_slope_per_min or 0.0) <= QUEUE_FLAT


@rule(
    "vllm-prefill-behind-decode",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="p99 of the time to the first token over the last minute against the minutes before, with a queue that "
    "is as long as before.",
    look_alikes={
        "vllm-queue-growing": "there the queue grows, and its wait is inside the time to the first token",
        "vllm-preemption": "there requests are computed anew: its finding explains the spikes",
        "longer prompts": "each takes longer by itself: compare prompt tokens a second",
        "the first requests after a start": "a p99 of fewer than 20 first tokens is none: silent",
    },
)
def vllm_prefill_behind_decode(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """First tokens come later and later though no more requests wait: prompts are computed behind running answers."""
    if (verdict := facts.unless_measured(view)) is not None:
        return verdict
    if all(engine.ttft_before.p99 is None for engine in view.engines):
        return Unknown(f"{view.key}: no time to the first token from before the last minute")
    servers = facts.showing(view, situation, now, "vllm-prefill-behind-decode", _behind_decode)
    return facts.fired(view, servers, situation, now, _late_tokens)


def _late_tokens(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    worst = max(facts.engines_of(servers, _behind_decode), key=lambda item: item.ttft.p99 or 0.0)
    text = facts.ttft_text(worst)
    evidence = [
        facts.told(servers[0], text),
        facts.told(servers[0], f"{worst.waiting or 0:.0f} wait, as before: the queue is not why", Mark.EXCLUDES),
        facts.told(
            servers[0], f"{worst.prompt_tokens_per_s or 0:.0f} prompt tokens a second: longer prompts?", Mark.OPEN
        ),
        *facts.lines(servers, facts.work_text),
        commands.change(
            servers[0],
            "--max-num-batched-tokens higher gives prompts more room in each step, at the cost of running answers",
        ),
    ]
    return Fired(
        facts.about(servers[0]),
        f"is slow to the first token: p99 {facts.p99_text(worst.ttft)}, and no more requests wait than before",
        tuple(evidence),
        (
            commands.metrics(servers[0], "is the prefill long (vllm:request_prefill_time_seconds)?"),
            *commands.log(servers[0], situation, "how many prompt tokens a second?"),
            *commands.described(servers[0], situation, "which arguments has it?"),
        ),
        node=servers[0].node,
    )


def _slow_tokens(engine: EngineFigures, _: ServerView) -> bool:
    return engine.itl.count >= ITL_LEAST and engine.itl.p50 is not None and engine.itl.p50 > ITL_SLOW_S


@rule(
    "vllm-itl-high",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="the median of the time between tokens over the last minute.",
    look_alikes={
        "a few slow tokens": "only p99 is high, as beside a long prompt or after a preemption: silent",
        "gpu-throttled": "the GPU is held down: this follows from that",
        "vllm-stalled": "there no token comes at all",
    },
)
def vllm_itl_high(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """Tokens come slowly: the GPUs have too much to compute in each step, or are held down."""
    if (verdict := facts.unless_measured(view)) is not None:
        return verdict
    servers = facts.showing(view, situation, now, "vllm-itl-high", _slow_tokens)
    return facts.fired(view, servers, situation, now, _slowness)


def _slowness(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    worst = max(facts.engines_of(servers, _slow_tokens), key=lambda item: item.itl.p50 or 0.0)
    p50, p99 = worst.itl.p50 or 0.0, worst.itl.p99 or 0.0
    running = worst.running or 0.0
    evidence = [
        facts.told(
            servers[0], f"between tokens: p50 {latency_text(p50)}, p99 {latency_text(p99)} over the last minute"
        ),
        *facts.lines(servers, facts.work_text),
        commands.change(
            servers[0], f"fewer at once per server ({running:.0f} run): --max-num-seqs lower and more replicas"
        ),
    ]
    return Fired(
        facts.about(servers[0]),
        f"is slow: {latency_text(p50)} between tokens (median)",
        tuple(evidence),
        (
            commands.metrics(servers[0], "how long between tokens (vllm:inter_token_latency_seconds)?"),
            *commands.log(servers[0], situation, "how many tokens a second?"),
            *commands.scale(servers[0], situation, "one replica more, once it is clear that load is the cause"),
        ),
        follows=tuple(dict.fromkeys(Ref("Node", "", item.node) for item in servers if item.node)),
        follows_only=SLOW_GPU,
        node=servers[0].node,
    )


RULES: Final[tuple[Rule, ...]] = (vllm_prefill_behind_decode, vllm_itl_high)
