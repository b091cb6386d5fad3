"""Pods that have a node and yet do not start, when nothing says why; judged after every rule that knows a reason."""

from datetime import datetime
from typing import Final

from diagnosis.commands import fact, said_by, shorten
from diagnosis.container_facts import agent_layer, describe
from diagnosis.gpu_causes import needed_sets
from diagnosis.pod_verdict import fired
from diagnosis.replacements import lost_nodes
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule, wait_until
from diagnosis.rules.container_start import innermost
from diagnosis.rules.startup import RUNTIME_S, nvidia_runtime
from situation.clock import duration_text
from situation.cluster import Event
from situation.crashes import in_service
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.selectors import claim_names
from situation.situation import Situation
from situation.start_trouble import NOT_STARTED, attached_at, start_events, waiting_since

START_S: Final = 300.0
"""ContainerCreating longer than this is worth a look whatever the reason ("for minutes", fault_signatures 6)."""

PULL_S: Final = 900.0
"""The same while the image is being pulled: images of model servers have 10 GB and more."""


def _idle_since(pod: Pod) -> datetime | None:
    """Return since when the pod should have started its next container; None when one runs, or fails on its own."""
    latest = waiting_since(pod)
    sandbox = find_condition(pod.status.conditions, "PodReadyToStartContainers")
    if sandbox is not None and sandbox.status == "True" and (made_at := sandbox.last_transition_time) is not None:
        latest = max(latest or made_at, made_at)
    for status in pod.status.init_container_statuses + pod.status.container_statuses:
        end, waiting = status.state.terminated, status.state.waiting
        if status.state.running is not None or (waiting is not None and waiting.reason not in NOT_STARTED):
            return None
        if end is not None and end.exit_code != 0:
            return None
        if end is not None and end.finished_at is not None:
            latest = max(latest or end.finished_at, end.finished_at)
    return latest


def _pull(pod: Pod, situation: Situation) -> Event | None:
    """Return the newest event when it says that an image is being pulled."""
    events = situation.events_of(pod, "Pod", "Pulling", "Pulled", "Failed")
    return events[-1] if events and events[-1].reason == "Pulling" else None


def _gpu_wait(pod: Pod, situation: Situation, now: datetime) -> Wait | None:
    """Return Wait while the pod only waits for the GPU operands of its node, which come up in good order."""
    verdict = nvidia_runtime.judge(pod, situation, now)
    return verdict if isinstance(verdict, Wait) else None


@rule(
    "sandbox-failure",
    signature="L5-02",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedCreatePodSandBox events with any other text, while the pod has not started.",
    look_alikes={"memory-limit-too-small": "the words OOM-killed", "pod-network": "the network plugin's text"},
)
def sandbox_failure(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod's sandbox cannot be created, for a reason that no other rule knows."""
    event = next(
        (item for item in reversed(start_events(pod, situation)) if item.reason == "FailedCreatePodSandBox"), None
    )
    if event is None:
        return CLEAR
    if wait := wait_until(waiting_since(pod), RUNTIME_S, now) or _gpu_wait(pod, situation, now):
        return wait
    evidence = [said_by(event), fact("events", "which part of the node is to blame is not told", Mark.OPEN)]
    title = f"cannot start: {shorten(innermost(event.message), 60)}"
    node = (Ref("Node", "", pod.spec.node_name),)
    commands = (describe(pod, "what does the newest event say?"),)
    return fired(pod, situation, now, title, evidence, commands, follows=node)


@rule(
    "not-started",
    signature="L1-13 L3-11 L5-02 L5-18",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="Pods with a node, phase Pending, all containers waiting without a reason: for 5 minutes, 15 while "
    "an image is being pulled, since a volume was attached, the sandbox was made or the last init container ended.",
    look_alikes={
        "missing-config": "an event names what is missing",
        "pod-network": "an event says that the sandbox cannot be made",
        "volume-mount": "an event says that a volume cannot be mounted",
    },
)
def not_started(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod has a node but does not start, and nothing says why."""
    if not in_service(pod) or pod.status.phase != "Pending":
        return CLEAR
    since = _idle_since(pod)
    if since is None:
        return CLEAR
    since = max((since, *attached_at(pod, situation).values()))
    pull = _pull(pod, situation)
    if wait := wait_until(since, START_S if pull is None else PULL_S, now) or _gpu_wait(pod, situation, now):
        return wait
    age = duration_text((now - since).total_seconds())
    picked_up = bool(pod.status.start_time or pod.status.container_statuses)
    waiting = [status.state.waiting.reason for status in pod.status.container_statuses if status.state.waiting]
    state = waiting[0] if waiting and waiting[0] else "Pending"
    if pull is not None:
        title = "still pulls its image"
    elif not picked_up:
        title = f"is not picked up by the kubelet of node {pod.spec.node_name}"
    else:
        title = f"stays in {state}"
    evidence: list[Evidence] = [fact("pods", f"{state} on node {pod.spec.node_name} for {age}", at=since)]
    if pull is not None:
        evidence.append(said_by(pull))
    trouble = start_events(pod, situation)[-1:]
    evidence += [said_by(event) for event in trouble]
    if not situation.knows("events"):
        evidence.append(fact("pods", "events could not be read: they would say why", Mark.OPEN))
    elif not trouble and pull is None:
        evidence.append(fact("events", "no event says why", Mark.OPEN))
    return Fired(
        situation.workload_of(pod),
        shorten(title, 90),
        tuple(evidence),
        (describe(pod, "what does the newest event say?"),),
        layer=agent_layer(pod),
        follows=(
            Ref("Node", "", pod.spec.node_name),
            *(Ref("PersistentVolumeClaim", pod.namespace, name) for name in claim_names(pod)),
            *needed_sets(pod, situation),
            *lost_nodes(pod, situation),
        ),
        node=pod.spec.node_name,
    )


RULES: Final[tuple[Rule, ...]] = (sandbox_failure, not_started)
