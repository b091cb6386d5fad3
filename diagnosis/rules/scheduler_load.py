"""Layer 4: a scheduler that lives and is slow (L4-09)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis import api_facts as facts
from diagnosis.commands import kubectl
from diagnosis.explaining import API_BUSY, ETCD_DOWN, ETCD_SLOW
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.api_server import control_plane_commands
from diagnosis.rules.leaders import UNPLACED
from situation.api_load import Latency, latency_of
from situation.clock import duration_text
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER
from situation.readings import SourceState
from situation.scheduler import EARLIER_S, SCHEDULER, WINDOW_S, SchedulerLoad, default_percentage
from situation.situation import Situation

SLOW_S: Final = 1.0
"""Pods are placed one after another: with a second for each, sixty a minute start. No publication gives a limit; that
of a fast write (kubernetes mixin) is taken, as an attempt ends in one, the binding."""
RISEN_S: Final = 0.1
RISEN: Final = 3.0
"""Above RISEN_S, and so many times what it was an hour before: rising, which is a hint. Ours: nothing is published."""


@rule(
    "scheduler-slow",
    signature="L4-09",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="p99 of scheduler_scheduling_attempt_duration_seconds over five minutes, and an hour before; pods in its "
    "queues (scheduler_pending_pods). Only where --prometheus names a server that scrapes the scheduler.",
    look_alikes={
        "scheduler-down": "there it does not renew its lease, or looks at no new pod",
        "pods that fit nowhere": "an attempt without a result is as short: they wait in the queue `unschedulable`",
        "api-slow-requests": "an attempt ends with a write, the binding: then this follows",
    },
)
def scheduler_slow(_: None, situation: Situation, now: datetime) -> Verdict:
    """The scheduler takes long for each pod, or ever longer: pods wait although there is room."""
    load, state = situation.scheduler, situation.source(SCHEDULER).state_at(now)
    if load is None or state is not SourceState.LIVE:
        return Unknown("how long the scheduler takes is not told: no Prometheus with its metrics is read")
    taken, before = latency_of(load.attempts), latency_of(load.earlier)
    if taken is None or taken.requests < facts.MIN_REQUESTS:
        return CLEAR
    risen = _risen(taken, before)
    if taken.p99_s <= SLOW_S and not risen:
        return CLEAR
    at = situation.source(SCHEDULER).observed_at
    lines = [Evidence(text, SCHEDULER, at) for text in _told(taken, before, load)]
    commands = (
        kubectl("get", "pods", "-l", "component=kube-scheduler", "-o", "wide", purpose="does it run, and where?",
                namespace="kube-system"),
        UNPLACED,
        *control_plane_commands(situation, "kube-scheduler"),
    )  # fmt: skip
    return Fired(
        CLUSTER,
        f"takes p99 {facts.p99_text(taken)} for a pod"
        + (f", {risen:.0f} times what it took an hour ago" if risen else ""),
        (*lines, *_looked_at(situation)),
        commands,
        severity=Severity.WARNING if taken.p99_s > SLOW_S else Severity.INFO,
        follows=(CLUSTER,),
        follows_only=(*ETCD_DOWN, *ETCD_SLOW, *API_BUSY, "api-slow-requests", "webhook-slow"),
        who=("scheduler",),
    )


def _risen(taken: Latency, before: Latency | None) -> float:
    """Return how many times as long as an hour ago it takes; 0 where that is no rise to speak of, or not known."""
    if before is None or before.requests < facts.MIN_REQUESTS or before.p99_s <= 0 or taken.p99_s <= RISEN_S:
        return 0.0
    times = taken.p99_s / before.p99_s
    return times if times >= RISEN else 0.0


def _told(taken: Latency, before: Latency | None, load: SchedulerLoad) -> Iterator[str]:
    yield f"attempts: p99 {facts.p99_text(taken)} of {taken.requests} in {duration_text(WINDOW_S)}, one after another"
    if before is not None:
        ago = duration_text(EARLIER_S)
        yield f"{ago} before: p99 {facts.p99_text(before)} of {before.requests}"
    if load.pending:
        yield "pods in its queues: " + ", ".join(
            f"{count:.0f} {queue}" for queue, count in sorted(load.pending.items())
        )


def _looked_at(situation: Situation) -> Iterator[Evidence]:
    """Yield on how many nodes a pod is tried: the lever for large clusters."""
    nodes = len(situation.nodes)
    if not situation.knows("nodes") or not nodes:
        return
    percent = default_percentage(nodes)
    text = f"of {nodes} nodes it looks for {percent} % that fit, unless its percentageOfNodesToScore says otherwise"
    yield Evidence(text, "kubernetes/nodes", mark=Mark.OPEN)


RULES: Final[tuple[Rule, ...]] = (scheduler_slow,)
