"""Layer 1: model servers whose engine is dead or hangs, and those that tell nothing of it (L1-19)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis import serving_commands as commands
from diagnosis import serving_facts as facts
from diagnosis.commands import counted, fact
from diagnosis.container_facts import exit_text
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import ContainerStatus
from situation.selectors import container_pairs, is_finished, last_end, unhealthy_devices
from situation.serving.states import STILL_LEAST
from situation.serving.view import EngineFigures, ServerState, ServerView
from situation.situation import Situation

GPU_FAULTS: Final = ("gpu-off-bus", "gpu-memory-errors", "gpu-xid", "gpu-nvlink-errors")
"""A device that fails ends or hangs the engine on it."""
OUT_OF_MEMORY: Final = ("oom-killed", "vllm-host-oom", "vllm-device-oom")
"""What ends the process, as its container's end or its log tells."""
NO_STATS: Final = "--disable-log-stats"
_AFTER_DEATH: Final = (ServerState.STARTING, ServerState.DOWN)
"""Its container is started again: the engine has been dead and is not back yet."""


def _died(view: ServerView) -> bool:
    return view.state is ServerState.DEAD or (view.died_at is not None and view.state in _AFTER_DEATH)


def _devices(view: ServerView) -> tuple[Ref, ...]:
    return (Ref("Node", "", view.node),) if view.node else ()


@rule(
    "vllm-engine-dead",
    signature="L1-19",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="ModelServer",
    looks_at="`/health` with 503 (500 before vLLM 0.11), or a refused connection after the same run of the container "
    "had answered; until the server works again.",
    look_alikes={
        "vllm-stalled": "there /health says 200, and no token comes",
        "still loading": "a refused connection before the container has ever answered: starting, silent",
        "crash-loop": "its engine never came up: the pod's own finding says why",
        "vllm-host-oom": "the host's memory ran out: this follows from that",
    },
)
def vllm_engine_dead(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """The engine of a model server is dead: it serves nothing, and its container is about to restart."""
    if view.state is ServerState.UNKNOWN:
        return Unknown(f"{view.key}: {view.why}")
    if not _died(view) or _is_leaving(view, situation):
        return CLEAR
    status = _status(view, situation)
    restarts = status.restart_count if status is not None else 0
    evidence = [Evidence(f"{view.ref.name}: {view.why}", view.source, view.died_at or view.read_at)]
    evidence += _how_it_ended(view, status)
    if view.state is ServerState.DEAD and status is not None and status.state.running is not None:
        evidence.append(fact("pods", "its container still runs", Mark.EXCLUDES))
    again = " and starts again" if view.state is not ServerState.DEAD else ""
    count = f", {counted(restarts, 'restart')}" if restarts else ""
    follows = (Ref("Pod", *view.pod),) if view.pod is not None else ()
    pod = facts.pod_of(view, situation)
    lost = ("gpu-unhealthy",) if pod is not None and unhealthy_devices(pod) else ()
    return Fired(
        facts.about(view),
        f"has a dead engine{again}{count}",
        tuple(evidence),
        (
            *commands.log(view, situation, "why did it die? The first error above EngineDeadError is the cause"),
            commands.health(view, "does /health say 503, or does nobody listen?"),
            *commands.described(view, situation, "does the container restart, and why did it end?"),
        ),
        follows=(*follows, *_devices(view)),
        follows_only=(*OUT_OF_MEMORY, *GPU_FAULTS, *lost),
        node=view.node,
    )


def _is_leaving(view: ServerView, situation: Situation) -> bool:
    """Tell whether its pod is not meant to run any more: it is being deleted, or was evicted."""
    pod = facts.pod_of(view, situation)
    return pod is not None and (pod.metadata.deletion_timestamp is not None or is_finished(pod))


def _status(view: ServerView, situation: Situation) -> ContainerStatus | None:
    pod = facts.pod_of(view, situation)
    if pod is None:
        return None
    return next((status for item, status in container_pairs(pod) if item.name == view.container), None)


def _how_it_ended(view: ServerView, status: ContainerStatus | None) -> Iterator[Evidence]:
    end = last_end(status) if status is not None else None
    if end is None or (view.died_at and end.finished_at and (view.died_at - end.finished_at).total_seconds() > 60):
        return  # of an earlier death
    reason = f", reason {end.reason}" if end.reason else ""
    yield fact("pods", f"container {view.container}: {exit_text(end)}{reason}", at=end.finished_at)
    if end.reason == "OOMKilled":
        yield fact("pods", "the host's memory limit was reached: not the GPU's memory")


@rule(
    "vllm-stalled",
    signature="L1-19",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="ModelServer",
    looks_at="requests that run or wait while over 3 scrapes and 30 s neither token counters nor gauges move, "
    "with `/health` at 200; not in the first 3 minutes of a process.",
    look_alikes={
        "vllm-saturated": "there tokens come, only not fast enough",
        "a long prefill": "the KV cache fills meanwhile: something moves, silent",
        "the first compile": "in the first 3 minutes of a process: silent",
        "an idle server": "nothing moves because nothing runs: silent",
        "vllm-engine-dead": "there /health says so",
    },
)
def vllm_stalled(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server hangs: requests run and not one token comes out, while `/health` says that all is well."""
    if view.state is ServerState.UNKNOWN:
        return Unknown(f"{view.key}: {view.why}")
    if view.state is not ServerState.STALLED:
        return CLEAR
    still = [item for item in view.engines if _stands(item, view)]
    since = min((item.still_since for item in still if item.still_since is not None), default=None)
    evidence = [
        Evidence(f"{view.ref.name}: {view.why}", view.source, since),
        facts.said(view, f"generation and prompt tokens stand still: {_stuck_text(view, still)}"),
        facts.said(
            view, "/health says 200: it tells that the process lives, not that it makes progress", Mark.EXCLUDES
        ),
    ]
    work = facts.total(still, lambda item: item.running) or facts.total(still, lambda item: item.waiting)
    return Fired(
        facts.about(view),
        f"hangs: {work:.0f} requests and no token since {since:%H:%M:%S}" if since else "hangs: no token comes out",
        tuple(evidence),
        (
            *commands.log(view, situation, "is a worker stuck (shm_broadcast, NCCL, Xid)?"),
            commands.metrics(view, "does vllm:generation_tokens_total still stand?"),
            *commands.described(view, situation, "what do the events say?"),
        ),
        follows=_devices(view),
        follows_only=GPU_FAULTS,
        node=view.node,
    )


def _stands(engine: EngineFigures, view: ServerView) -> bool:
    """Tell whether a rank has stood for long; one that stands on a single page does not hang."""
    since, at = engine.still_since, view.read_at
    return since is not None and at is not None and at - since >= STILL_LEAST


def _stuck_text(view: ServerView, still: list[EngineFigures]) -> str:
    """Return what hangs: of a server some of whose ranks go on, which ones."""
    if len(still) == len(view.engines):
        return facts.work_text(view)
    names = ", ".join(item.engine for item in still)
    running, moving = facts.total(still, lambda item: item.running), len(view.engines) - len(still)
    return f"of rank {names} only ({running:.0f} run there), beside {counted(moving, 'rank')} in motion"


@rule(
    "vllm-not-measured",
    signature="L1-18",
    layer=Layer.APPLICATION,
    severity=Severity.INFO,
    kind="ModelServer",
    looks_at="a page that answers without a single series of the engine.",
    look_alikes={
        "an idle server": "its series are there and say 0",
        "a server that cannot be read": "there the page itself is missing: layer 1 says that it is not known",
    },
)
def vllm_not_measured(view: ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server answers and tells nothing of its engine: its load, queue and cache are not known."""
    if view.state is ServerState.UNKNOWN:
        return Unknown(f"{view.key}: {view.why}")
    if view.state is not ServerState.NOT_MEASURED:
        return CLEAR
    is_off = NO_STATS in view.arguments.flags
    why = f"its command line has {NO_STATS}" if is_off else "statistics are off, or another server answers on this port"
    return Fired(
        facts.about(view),
        "is not measured: its page has no series of its engine",
        (Evidence(f"{view.ref.name}: {view.why}", view.source, view.read_at), Evidence(why, view.source, view.read_at)),
        (
            commands.metrics(view, "is there any line that begins with vllm: ?"),
            *commands.described(view, situation, "which arguments has it?"),
        ),
        node=view.node,
    )


RULES: Final[tuple[Rule, ...]] = (vllm_engine_dead, vllm_stalled, vllm_not_measured)
