"""Layer 1: containers that are killed or crash again and again (L1-01, L1-02, L1-04, L1-05)."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, said_by
from diagnosis.container_facts import container_path, crash_loops, describe, exit_text, field, logs, one_of_many
from diagnosis.pod_verdict import fired, run_evidence
from diagnosis.probe_text import newest_failure, newest_kill, probe_text, undeclared_port, what_it_got
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import duration_text
from situation.cluster import Event
from situation.crashes import Loop, is_slow
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.situation import Situation

NODE_OOM_WINDOW: Final = timedelta(seconds=60)
"""A `SystemOOM` event of the node this close to a container's end explains it; the kubelet writes it within seconds."""

NODE_EVENTS: Final = "default"
"""Where events about objects without a namespace are kept (client-go, tools/record)."""

INSTANT_S: Final = 2.0
"""A run this short failed before the program did any work: hints at the binary, a port or the configuration."""

_EVENTS_UNKNOWN: Final = "events could not be read: a kill by a probe or by the node is not excluded"


def node_oom(loop: Loop, pod: Pod, situation: Situation) -> Event | None:
    """Return the node's own event about its memory that explains how the container ended."""
    if loop.end is None or loop.end.finished_at is None:
        return None
    for event in situation.events_by_object.get(Ref("Node", "", pod.spec.node_name)).values():
        if event.reason == "SystemOOM" and event.last_seen is not None:
            if abs(event.last_seen - loop.end.finished_at) <= NODE_OOM_WINDOW:
                return event
    return None


@rule(
    "oom-killed",
    signature="L1-02",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="The last end of every container that crashes again and again (reason OOMKilled, exit 137), its "
    "memory limit, and SystemOOM events of the node.",
    look_alikes={
        "liveness-kill": "exit 137 too, but reason Error and a Killing event",
        "node out of memory": "a SystemOOM event of the node at that time: then the finding follows the node",
        "memory-limit-too-small": "there the container does not even start",
    },
)
def oom_killed(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container is killed again and again because its memory limit, or the node's memory, is used up."""
    for loop in crash_loops(pod, now)[0]:
        end = loop.end
        if end is None:
            continue
        by_node = node_oom(loop, pod, situation)
        if end.reason == "OOMKilled" or (end.exit_code == 137 and by_node is not None):
            return _oom(loop, by_node, pod, situation, now)
    return CLEAR


def _oom(loop: Loop, by_node: Event | None, pod: Pod, situation: Situation, now: datetime) -> Fired:
    limit = loop.container.resources.limits.get("memory")
    which = one_of_many(pod, loop.container.name)
    evidence = run_evidence(loop, pod, situation)
    limits = field(pod, container_path(pod, loop.container.name, "resources.limits.memory"), "which memory limit?")
    top = kubectl("top", "pod", pod.name, "--containers", purpose="how much does it use?", namespace=pod.namespace)
    if by_node is not None:
        evidence.append(said_by(by_node))
        system = kubectl("get", "events", "-A", "--field-selector", "reason=SystemOOM", purpose="which nodes ran out?")
        title = f"is killed{which}: node {pod.spec.node_name} ran out of memory"
        node = (Ref("Node", "", pod.spec.node_name),)
        return fired(pod, situation, now, title, evidence, (system, limits), layer=Layer.NODE, follows=node)
    if limit is None:
        evidence.append(fact("pods", "the container has no memory limit: the pod's or the node's was hit", Mark.OPEN))
        title = f"is OOM-killed{which} without a memory limit of its own"
    else:
        evidence.append(fact("pods", f"memory limit {limit}"))
        title = f"exceeds its memory limit {limit}{which}"
    if situation.knows("events") and situation.sees(NODE_EVENTS):
        evidence.append(fact("events", "no SystemOOM event of the node at that time", Mark.EXCLUDES))
    severity = Severity.WARNING if is_slow(loop) else None
    return fired(pod, situation, now, title, evidence, (limits, top), severity=severity)


def killed_by(probe: str, pod: Pod, situation: Situation, now: datetime) -> tuple[Loop, Event] | None:
    """Return the loop whose last run, or the present one, was ended by this probe."""
    for loop in crash_loops(pod, now)[0]:
        kill = newest_kill(pod, loop.container, situation)
        if kill is None or kill[0] != probe:
            continue
        began, seen = loop.end.started_at if loop.end else None, kill[1].last_seen
        if began is None or seen is None or seen >= began:
            return loop, kill[1]
    return None


@rule(
    "liveness-kill",
    signature="L1-04",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="Killing events (`failed liveness probe`) since the last run began, the newest Unhealthy event, the "
    "probe.",
    look_alikes={
        "crash-loop": "there the process ends by itself: no Killing event",
        "oom-killed": "reason OOMKilled, not Error",
        "startup-probe-kill": "the Killing event names the startup probe",
    },
)
def liveness_kill(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container is restarted again and again by its liveness probe."""
    found = killed_by("liveness", pod, situation, now)
    if found is None:
        return CLEAR
    loop, kill = found
    probe = loop.container.liveness_probe
    failure = newest_failure(pod, loop.container, "Liveness", situation)
    evidence = [*run_evidence(loop, pod, situation), said_by(kill)]
    if failure is not None:
        evidence.append(said_by(failure.event))
    if probe is not None:
        evidence.append(fact("pods", f"liveness probe: {probe_text(probe)}"))
    if hint := undeclared_port(loop.container, probe):
        evidence.append(fact("pods", hint))
    got = what_it_got(failure.text if failure else "", probe)
    title = f"is killed{one_of_many(pod, loop.container.name)}: liveness probe {got}"
    return fired(pod, situation, now, title, evidence, probe_commands(loop, pod, "livenessProbe"))


def probe_commands(loop: Loop, pod: Pod, name: str) -> tuple[Command, ...]:
    """Return how to see a probe (`livenessProbe`), and what the container did before it was killed."""
    return (
        field(pod, container_path(pod, loop.container.name, name), "what does the probe ask, and how often?"),
        logs(pod, loop.container.name, loop.status, "what did it do before it was killed?"),
    )


@rule(
    "startup-probe-kill",
    signature="L1-05",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="Killing events (`failed startup probe`) since the last run began, the length of the last run, the probe.",
    look_alikes={
        "crash-loop": "there the process ends by itself: no Killing event",
        "GPU memory too small": "the log ends in a traceback; a start that is cut off ends in the middle of loading",
    },
)
def startup_probe_kill(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container is killed by its startup probe before it has started, for example while it loads a model."""
    found = killed_by("startup", pod, situation, now)
    if found is None:
        return CLEAR
    loop, kill = found
    probe = loop.container.startup_probe
    failure = newest_failure(pod, loop.container, "Startup", situation)
    evidence = [*run_evidence(loop, pod, situation), said_by(kill)]
    if failure is not None:
        evidence.append(said_by(failure.event))
    if probe is not None:
        ran = "" if loop.run_s is None else f"; the last run took {duration_text(loop.run_s)}"
        evidence.append(fact("pods", f"startup probe allows {duration_text(probe.budget_s)}: {probe_text(probe)}{ran}"))
    log = logs(pod, loop.container.name, loop.status, "does the log stop in the middle of the start, without an error?")
    title = f"is killed before it has started{one_of_many(pod, loop.container.name)}"
    if probe is not None:
        title += f": startup probe allows {duration_text(probe.budget_s)}"
    return fired(pod, situation, now, title, evidence, (log, *probe_commands(loop, pod, "startupProbe")[:1]))


@rule(
    "crash-loop",
    signature="L1-01 L1-16 L1-30",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state and lastState of every container: CrashLoopBackOff, or two restarts or more and a present run "
    "that is shorter than 30 s and twice the last run (10 minutes at most).",
    look_alikes={
        "oom-killed": "the last end has reason OOMKilled",
        "liveness-kill": "a Killing event says that the probe failed",
        "bad-command": "exit 126 or 127, or StartError with `exec:`",
        "nvidia-runtime": "StartError with nvidia-container-cli",
        "recovered": "it runs for longer than twice its last run: silent, whatever its restart count",
    },
)
def crash_loop(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container's process ends again and again."""
    loops, wait = crash_loops(pod, now)
    ours = [loop for loop in loops if not loop.init]
    if not ours:
        return wait or CLEAR
    loop = ours[0]
    clean = loop.end is not None and loop.end.exit_code == 0
    verb = "exits as if it were done" if clean else "crashes"
    title = f"{verb}{one_of_many(pod, loop.container.name)}: {exit_text(loop.end)}"
    if loop.status.restart_count:
        title += f", {counted(loop.status.restart_count, 'restart')}"
    evidence = run_evidence(loop, pod, situation) + _crash_hints(loop, pod, situation)
    commands = (
        logs(pod, loop.container.name, loop.status, "why did it end?"),
        describe(pod, "what changed, and what do the events say?"),
    )
    severity = Severity.WARNING if is_slow(loop) else None
    return fired(pod, situation, now, title, evidence, commands, severity=severity)


def _crash_hints(loop: Loop, pod: Pod, situation: Situation) -> list[Evidence]:
    hints: list[Evidence] = []
    if not situation.knows("events"):
        hints.append(fact("pods", _EVENTS_UNKNOWN, Mark.OPEN))
    elif loop.end is not None and loop.end.exit_code in (137, 143):
        hints.append(fact("pods", "neither OOMKilled nor killed by a probe: something else sent the signal", Mark.OPEN))
    elif loop.end is not None:
        hints.append(fact("pods", "not OOMKilled, and no probe had it killed", Mark.EXCLUDES))
    if loop.run_s is None or loop.run_s > INSTANT_S:
        return hints
    architectures = {node.status.node_info.architecture for node in situation.nodes.values()} - {""}
    node = situation.node(pod.spec.node_name)
    if len(architectures) > 1 and node is not None:
        here = node.status.node_info.architecture
        hints.append(
            fact(
                "nodes",
                f"the cluster mixes architectures, this node is {here}: does the log say `exec format error`?",
                Mark.OPEN,
            )
        )
    running = [status for status in pod.status.container_statuses if status.state.running and status.ready]
    if len(pod.spec.containers) > 1 and running:
        hints.append(fact("pods", "its other containers run: does the log say `address already in use`?", Mark.OPEN))
    return hints


RULES: Final[tuple[Rule, ...]] = (oom_killed, liveness_kill, startup_probe_kill, crash_loop)
