"""How the pod rules word a verdict: about the workload, at the layer of a node agent, with the last run as evidence."""

from datetime import datetime

from diagnosis.commands import fact, said_by, shorten
from diagnosis.container_facts import agent_layer, gravity, run_text
from diagnosis.gpu_causes import gpu_faults, needed_sets
from diagnosis.rule import Fired
from situation.clock import duration_text
from situation.crashes import Loop
from situation.findings import Command, Evidence, Layer, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.situation import Situation


def run_evidence(loop: Loop, pod: Pod, situation: Situation) -> list[Evidence]:
    """Return how the last run ended, where the container stands now, and the newest back-off event."""
    lines = [fact("pods", run_text(loop), at=loop.end.finished_at if loop.end else None)]
    if loop.end and loop.end.message:
        lines.append(fact("pods", f"termination message: {shorten(loop.end.message, 240)}"))
    waiting = loop.status.state.waiting
    if waiting is not None:
        lines.append(
            fact("pods", f"now waiting: {waiting.reason}: {shorten(waiting.message.partition(' pod=')[0], 120)}")
        )
    elif loop.running_s is not None:
        lines.append(
            fact("pods", f"runs again since {duration_text(loop.running_s)}: too short to have outlived the last crash")
        )
    for event in reversed(situation.events_of(pod, "Pod", "BackOff")):
        if f"container {loop.container.name} " in event.message:
            lines.append(said_by(event, limit=120))
            break
    return lines


def fired(
    pod: Pod,
    situation: Situation,
    now: datetime,
    title: str,
    evidence: list[Evidence],
    commands: tuple[Command, ...],
    *,
    layer: Layer | None = None,
    follows: tuple[Ref, ...] = (),
    severity: Severity | None = None,
) -> Fired:
    """Return the verdict about the pod's workload, at the layer of the node agent if the pod is one.

    `severity` None is told by the workload's other pods (`gravity`).
    """
    return Fired(
        situation.workload_of(pod),
        title,
        tuple(evidence),
        commands,
        severity=severity or gravity(pod, situation, now),
        layer=layer or agent_layer(pod),
        follows=(*follows, *needed_sets(pod, situation), *gpu_faults(pod, situation, now)),
        node=pod.spec.node_name,
    )
