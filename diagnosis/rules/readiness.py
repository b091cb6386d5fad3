"""Layer 1: pods whose containers run but that are not ready (L1-06)."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, said_by, shorten
from diagnosis.container_facts import (
    agent_layer,
    container_path,
    describe,
    exit_text,
    field,
    gravity,
    logs,
    one_of_many,
)
from diagnosis.gpu_causes import needed_sets
from diagnosis.probe_text import ProbeFailure, newest_failure, probe_text, undeclared_port, what_it_got
from diagnosis.rule import CLEAR, Clear, Fired, Rule, Verdict, Wait, rule, wait_until
from diagnosis.rules.nodes import settling
from situation.clock import duration_text
from situation.crashes import in_service, restart_policy, started_pairs
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Condition, Ref, find_condition
from situation.node_returns import back_at
from situation.pods import Container, ContainerStatus, Pod
from situation.selectors import is_node_ready, is_ready
from situation.situation import Situation

SHORTEST_S: Final = 30.0
"""Budget of a container that just started or just became unready: three periods of a probe's default 10 s."""

STARTING: Final = timedelta(minutes=10)
"""A container that has never been ready is only a warning this long: servers load models and caches behind a readiness
probe alone. Ours: the catalogue gives no number (L1-06)."""

GATE_S: Final = 300.0
"""Budget for readiness gates: a cloud load balancer registers and checks a new target for a few minutes."""

FLIP_S: Final = 60.0
"""Budget for `Ready=False` though all containers are ready: the kubelet corrects the condition within a sync or two."""

_QUOTED: Final = re.compile(r'"([^"]+)"')


@rule(
    "not-ready",
    signature="L1-06",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="Pods in phase Running with Ready=False: containers that run but are not ready beyond their probe's "
    "own budget (30 s at least), the newest Unhealthy event, readiness gates, and the node.",
    look_alikes={
        "crash-loop": "there the container does not stay up: restarts rise",
        "selector-matches-nothing": "there the endpoint is missing; here the EndpointSlice holds the pod, not ready",
        "node-not-ready": "all containers are ready and the node controller set Ready=False: follows the node",
        "startup": "within the probe's budget since the start: silent",
        "a node that just came back": "for 30 s its pods are shown as they were while it was gone",
    },
)
def not_ready(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod runs but is not ready, so no Service sends it traffic."""
    if not in_service(pod) or pod.status.phase != "Running" or is_ready(pod):
        return CLEAR
    if (back := back_at(pod, situation)) is not None and now < back:
        return Wait(back)
    waits: list[Wait] = []
    for verdict in _verdicts(pod, situation, now):
        if isinstance(verdict, Fired):
            return verdict
        if isinstance(verdict, Wait):
            waits.append(verdict)
    return min(waits, key=lambda wait: wait.until, default=CLEAR)


def _verdicts(pod: Pod, situation: Situation, now: datetime) -> Iterator[Verdict]:
    serving = [(container, status) for container, status, init in started_pairs(pod) if not init]
    for container, status in serving:
        if status.state.running is not None and not status.ready:
            yield _unready(container, status, pod, situation, now)
        elif status.state.terminated is not None:
            yield _ended(container, status, pod, situation, now)
    if serving and all(status.ready for _, status in serving):
        yield _flipped(pod, situation, now)


def _unready(container: Container, status: ContainerStatus, pod: Pod, situation: Situation, now: datetime) -> Verdict:
    started = status.state.running.started_at if status.state.running else None
    starting = status.started is False and container.startup_probe is not None
    failure = newest_failure(pod, container, "Startup" if starting else "Readiness", situation)
    if failure and started and failure.event.last_seen and failure.event.last_seen < started:
        failure = None  # of an earlier run
    condition = find_condition(pod.status.conditions, "Ready")
    flipped = condition.last_transition_time if condition else None
    was_ready = started is not None and flipped is not None and flipped > started
    if wait := wait_until(flipped if was_ready else started, _budget_s(container, starting, was_ready, failure), now):
        return wait
    probe = container.startup_probe if starting else container.readiness_probe
    which = one_of_many(pod, container.name)
    word = "startup" if starting else "readiness"
    if probe is None:
        title = f"is not ready{which}"
    elif failure is None:
        title = f"is not ready{which}: its {word} probe has not passed"
    else:
        title = f"is not ready{which}: {word} probe {what_it_got(failure.text, probe)}"
    severity = gravity(pod, situation, now)
    if not was_ready and started is not None and now - started < STARTING:
        severity = Severity.WARNING
    since = flipped if was_ready else started
    first = describe(pod, "what does the probe get?")
    name = "startupProbe" if starting else "readinessProbe"
    return _fired(
        pod,
        situation,
        title,
        [*_evidence(container, status, since, was_ready, failure, pod, situation)],
        (
            first,
            field(pod, container_path(pod, container.name, name), "what does the probe ask?"),
            logs(pod, container.name, None, "what does the server say?"),
        ),
        severity,
    )


def _is_init(container: Container, pod: Pod) -> bool:
    return any(item.name == container.name for item in pod.spec.init_containers)


def _budget_s(container: Container, starting: bool, was_ready: bool, failure: ProbeFailure | None) -> float:
    if was_ready:
        return SHORTEST_S
    readiness = container.readiness_probe.budget_s if container.readiness_probe else 0.0
    startup = container.startup_probe.budget_s if container.startup_probe else 0.0
    if starting:
        return max(SHORTEST_S, startup + SHORTEST_S)
    # When a startup probe passed is not told; until a readiness failure is seen, its whole budget may have been used.
    return max(SHORTEST_S, readiness + (startup if failure is None else 0.0))


def _evidence(
    container: Container,
    status: ContainerStatus,
    since: datetime | None,
    was_ready: bool,
    failure: ProbeFailure | None,
    pod: Pod,
    situation: Situation,
) -> Iterator[Evidence]:
    how = "not ready any more" if was_ready else "running but never ready since its start"
    yield fact("pods", f"container {container.name}: {how}", at=since)
    if failure is not None:
        yield said_by(failure.event)
    elif container.readiness_probe is not None or container.startup_probe is not None:
        why = "no Unhealthy event is left" if situation.knows("events") else "events could not be read"
        yield fact("pods", f"{why}: what the probe gets is not known", Mark.OPEN)
    probe = (
        container.startup_probe if status.started is False and container.startup_probe else container.readiness_probe
    )
    if probe is not None:
        yield fact("pods", f"probe: {probe_text(probe)}")
    if hint := undeclared_port(container, probe):
        yield fact("pods", hint)
    yield fact("pods", f"{counted(status.restart_count, 'restart')}: it does not crash", Mark.EXCLUDES)
    services = [service.name for service in situation.services_selecting(pod)]
    if services:
        yield fact("services", f"Services that send it no traffic: {shorten(', '.join(services), 120)}")


def _ended(container: Container, status: ContainerStatus, pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """Judge a container that failed and stays down; a Job's pod is judged with its Job."""
    end = status.state.terminated
    init = _is_init(container, pod)
    if end is None or end.exit_code == 0 or restart_policy(container, init, pod) != "Never":
        return CLEAR
    controller = pod.metadata.controller
    if controller is not None and controller.kind == "Job":
        return CLEAR
    if wait := wait_until(end.finished_at, SHORTEST_S, now):
        return wait
    return _fired(
        pod,
        situation,
        f"is not ready: container {container.name} ended ({exit_text(end)}) and is not restarted",
        [fact("pods", f"container {container.name}: {exit_text(end)}, restartPolicy Never", at=end.finished_at)],
        (logs(pod, container.name, None, "why did it end?"), describe(pod, "what do the events say?")),
        Severity.WARNING,
    )


def _flipped(pod: Pod, situation: Situation, now: datetime) -> Fired | Wait | Clear:
    """Judge a pod that is not ready though all its containers are: a readiness gate, or the node controller."""
    condition = find_condition(pod.status.conditions, "Ready")
    if condition is None:
        return CLEAR
    if condition.reason == "ReadinessGatesNotReady":
        return _gate(condition, pod, situation, now)
    node = situation.node(pod.spec.node_name)
    down = node is not None and not is_node_ready(node)
    wait = settling(node, now) if node is not None and down else wait_until(condition.last_transition_time, FLIP_S, now)
    if wait is not None:
        return wait
    evidence = [fact("pods", "all containers are ready, yet Ready=False", at=condition.last_transition_time)]
    evidence += [said_by(event) for event in situation.events_of(pod, "Pod", "NodeNotReady")[-1:]]
    if node is None:
        evidence.append(fact("nodes", f"the state of node {pod.spec.node_name} is not known", Mark.OPEN))
    why = f"because node {pod.spec.node_name} is not" if down else "though its containers are"
    command = kubectl("get", "node", pod.spec.node_name, "-o", "wide", purpose="is the node ready?")
    return _fired(
        pod, situation, f"is marked not ready {why}", evidence,
        (command, describe(pod, "who changed the condition?")), gravity(pod, situation, now),
        layer=Layer.NODE, follows=(Ref("Node", "", pod.spec.node_name),),
    )  # fmt: skip


def _gate(condition: Condition, pod: Pod, situation: Situation, now: datetime) -> Fired | Wait:
    if wait := wait_until(condition.last_transition_time, GATE_S, now):
        return wait
    gates = _QUOTED.findall(condition.message)
    name = next((gate for gate in gates if gate not in ("True", "False", "Unknown")), "")
    age = condition.last_transition_time
    evidence = [fact("pods", f"{condition.reason}: {shorten(condition.message, 200)}", at=age)]
    if age is not None:
        evidence.append(fact("pods", f"not met for {duration_text((now - age).total_seconds())}"))
    title = f"is not ready: readiness gate {name} is not met" if name else "is not ready: a readiness gate is not met"
    commands = (field(pod, "{.status.conditions}", "which conditions has it?"), describe(pod, "who sets the gate?"))
    return _fired(pod, situation, title, evidence, commands, gravity(pod, situation, now))


def _fired(
    pod: Pod,
    situation: Situation,
    title: str,
    evidence: list[Evidence],
    commands: tuple[Command, ...],
    severity: Severity,
    *,
    layer: Layer | None = None,
    follows: tuple[Ref, ...] = (),
) -> Fired:
    return Fired(
        situation.workload_of(pod), title, tuple(evidence), commands,
        severity=severity, layer=layer or agent_layer(pod), follows=follows + needed_sets(pod, situation),
        node=pod.spec.node_name,
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (not_ready,)
