"""Layer 1: model servers that turn requests away or fail them, and adapters that wait for their turn (L1-18, L1-19)."""

from datetime import datetime
from typing import Final

from diagnosis import serving_commands as commands
from diagnosis import serving_facts as facts
from diagnosis.commands import counted, shorten
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from situation.findings import Layer, Mark, Severity
from situation.serving.serving import serving_of
from situation.serving.view import ServerView
from situation.situation import Situation

LEAST_PER_MIN: Final = 1.0
"""Ours: less than one failed request a minute is no incident."""
MANY_RATIO: Final = 0.1
"""Ours: when one answer in ten fails, users see it whatever they do."""


def _servers(view: ServerView, situation: Situation, now: datetime, failing: bool) -> tuple[ServerView, ...]:
    """Return the servers of the workload that fail requests, or turn them away; the same for each of them."""

    def make() -> tuple[ServerView, ...]:
        beside = serving_of(situation, now).beside(view)
        rate = _failed if failing else _rejected
        found = [item for item in beside if facts.unless_measured(item) is None and rate(item) >= LEAST_PER_MIN]
        return tuple(sorted(found, key=lambda item: (-rate(item), item.key)))

    return situation.once(("serving-errors", failing, facts.about(view), now), make)


def _rejected(view: ServerView) -> float:
    return view.rejections_per_min or 0.0


def _failed(view: ServerView) -> float:
    """Return failed requests per minute; a request turned away is a 503 too and counts there alone.

    A request that fails in the engine is counted in both places, so the larger one tells.
    """
    answers = max(0.0, (view.http_errors_per_min or 0.0) - _rejected(view))
    return max(answers, view.total("errors_per_min") or 0.0)


@rule(
    "vllm-rejecting",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="the growth of `vllm:admission_rejections_total` over the last minute (vLLM 0.32 and later).",
    look_alikes={
        "vllm-errors": "there the answer is 5xx without a rejection",
        "a sidecar's or gateway's 503": "the server itself counts no rejection: silent here",
    },
)
def vllm_rejecting(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server turns requests away because its queue is as long as it may be: clients see 503."""
    if (verdict := facts.unless_measured(view)) is not None:
        return verdict
    if view.rejections_per_min is None:
        return Unknown(f"{view.key}: rejections are not measured")
    servers = _servers(view, situation, now, failing=False)
    return facts.fired(view, servers, situation, now, _rejections)


def _rejections(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    rate = sum(map(_rejected, servers))
    evidence = [
        *facts.lines(servers, lambda item: f"{_rejected(item):.0f} a minute turned away; {facts.work_text(item)}"),
        commands.change(servers[0], "more replicas; --max-num-queued-reqs higher only makes clients wait longer"),
    ]
    return Fired(
        facts.about(servers[0]),
        f"turns requests away: {rate:.0f} a minute get 503",
        tuple(evidence),
        (
            commands.metrics(servers[0], "why (vllm:admission_rejections_total by reason)?"),
            *commands.described(servers[0], situation, "which limits of the queue are set?"),
            *commands.scale(servers[0], situation, "one replica more, once it is clear that load is the cause"),
        ),
        follows=facts.replicas_down(servers, situation, now),
        node=servers[0].node,
    )


@rule(
    "vllm-errors",
    signature="L1-19",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="ModelServer",
    looks_at="answers 5xx (`http_requests_total`) and requests finished with `error` over the last minute.",
    look_alikes={
        "vllm-rejecting": "503 because the queue is full: counted there, not here",
        "clients that hang up": "finished with `abort`: silent",
        "wrong requests": "4xx, as a prompt that is too long: silent",
        "vllm-engine-dead": "all requests fail, and /health says why",
    },
)
def vllm_errors(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server fails requests: it answers 5xx, or ends them with an error."""
    if (verdict := facts.unless_measured(view)) is not None:
        return verdict
    if view.http_errors_per_min is None and view.total("errors_per_min") is None:
        return Unknown(f"{view.key}: errors are not measured")
    servers = _servers(view, situation, now, failing=True)
    return facts.fired(view, servers, situation, now, _failures)


def _failures(servers: tuple[ServerView, ...], situation: Situation, now: datetime) -> Fired:
    rate = sum(map(_failed, servers))
    ratio = max((item.http_error_ratio or 0.0 for item in servers), default=0.0)
    evidence = [*facts.lines(servers, _error_text)]
    if aborts := sum(item.total("aborts_per_min") or 0.0 for item in servers):
        evidence.append(facts.told(servers[0], f"{aborts:.0f} a minute were aborted: clients hung up", Mark.EXCLUDES))
    return Fired(
        facts.about(servers[0]),
        f"fails {rate:.0f} requests a minute" + (f" ({ratio:.0%} of its answers)" if ratio else ""),
        tuple(evidence),
        (
            *commands.log(servers[0], situation, "what do the failed requests say?"),
            commands.metrics(servers[0], "which paths fail (http_requests_total by status)?"),
            *commands.described(servers[0], situation, "what do the events say?"),
        ),
        severity=Severity.CRITICAL if ratio >= MANY_RATIO else None,
        node=servers[0].node,
    )


def _error_text(view: ServerView) -> str:
    parts = []
    if view.http_errors_per_min:
        parts.append(f"{view.http_errors_per_min:.0f} answers 5xx a minute")
    if errors := view.total("errors_per_min"):
        parts.append(f"{errors:.0f} a minute finished with an error")
    return "; ".join(parts)


@rule(
    "vllm-lora-waiting",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.INFO,
    kind="ModelServer",
    looks_at="adapters that wait and do not run (`vllm:lora_requests_info`), with requests that are deferred where the "
    "server tells of them.",
    look_alikes={
        "vllm-saturated": "all wait for room, those of adapters too: no request is deferred",
        "an adapter that runs and waits": "it has its place, and some of its requests wait for room: silent",
    },
)
def vllm_lora_waiting(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """Requests wait for their LoRA adapter: as many adapters are in use as may be at once."""
    if (verdict := facts.unless_measured(view)) is not None:
        return verdict
    waiting = [name for name in view.waiting_loras if name and name not in view.running_loras]
    deferred = view.total("deferred")
    if not waiting or not view.running_loras or not (view.total("waiting") if deferred is None else deferred):
        return CLEAR
    kept = facts.work_text(view) if deferred is None else f"{deferred:.0f} requests are deferred"
    names = shorten(", ".join(waiting), 120)
    running = shorten(", ".join(view.running_loras), 120)
    return Fired(
        facts.about(view),
        f"has {counted(len(waiting), 'adapter')} waiting for the LoRA budget",
        (
            facts.said(view, f"wait: {names}; run: {running}"),
            facts.said(view, kept),
            commands.change(view, f"--max-loras above {len(view.running_loras)}: it costs GPU memory for each adapter"),
        ),
        (
            commands.metrics(view, "which adapters run and wait (vllm:lora_requests_info)?"),
            *commands.described(view, situation, "which --max-loras has it?"),
        ),
        node=view.node,
    )


RULES: Final[tuple[Rule, ...]] = (vllm_rejecting, vllm_errors, vllm_lora_waiting)
