"""What the container rules share: which crash loops are current, how grave they are, how to look deeper."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from signal import Signals
from typing import Final, NamedTuple

from diagnosis.commands import counted, kubectl
from diagnosis.node_agents import agent_of
from diagnosis.rule import Wait, wait_until
from situation.clock import duration_text
from situation.findings import Command, Layer, Severity
from situation.indexes import controller_ref
from situation.logs import LogTarget, has_ended_before
from situation.pods import Container, ContainerStatus, Pod, Terminated
from situation.selectors import CRASH_MEMORY, container_pairs, is_finished, is_ready, is_settled, is_sidecar, last_end
from situation.situation import Situation

LOOP_RESTARTS: Final = 2
"""Restarts from which a container that runs again can still be in a loop. The kubelet makes the first restart at once,
so one restart alone is a hiccup; the second follows a back-off of 10 s (kubelet, backOffPeriod)."""

SHORTEST_TRIAL: Final = timedelta(seconds=30)
"""A restarted container is not believed sooner than this, however fast it crashed before: two to three kubelet syncs
(10 s each), in which a crash is noticed and the next back-off is written down."""

TRIAL_FACTOR: Final = 2
"""A restarted container has recovered once it ran this many times as long as its last run: it outlived what ended that
one. Capped at `CRASH_MEMORY`, after which the kubelet too forgets its back-off."""

FIRST_CRASH_S: Final = 30.0
"""A first crash is given this long: the restart comes at once, or after the first back-off of 10 s plus a sync."""

SIBLINGS_SEEN: Final = 50
"""Other pods of a workload that are looked at, at most, to tell "degraded" from "down"."""


_LOST: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
"""`terminated.reason` when the runtime lost the container, as after a reboot of the node: nothing crashed."""


class Loop(NamedTuple):
    """A container that crashes again and again, now."""

    container: Container
    status: ContainerStatus
    end: Terminated | None
    """How the last run ended; None when the kubelet no longer knows."""
    init: bool
    """An init container that is not a sidecar."""
    run_s: float | None
    """Length of the last run in seconds."""
    running_s: float | None
    """Seconds since it was started again, None when it does not run."""


def is_slow(loop: Loop) -> bool:
    """Tell whether it runs again after a last run so long that the kubelet restarts it without back-off."""
    return loop.running_s is not None and (loop.run_s or 0.0) >= CRASH_MEMORY.total_seconds()


def started_pairs(pod: Pod) -> Iterator[tuple[Container, ContainerStatus, bool]]:
    """Yield container, status and "is an init container that must end" of every container with a status."""
    inits = {container.name for container in pod.spec.init_containers if not is_sidecar(container)}
    for container, status in container_pairs(pod):
        yield container, status, container.name in inits


def in_service(pod: Pod) -> bool:
    """Tell whether the pod's containers are meant to run: on a node, not finished, not going away."""
    return bool(pod.spec.node_name) and pod.metadata.deletion_timestamp is None and not is_finished(pod)


def crash_loops(pod: Pod, now: datetime) -> tuple[tuple[Loop, ...], Wait | None]:
    """Return the pod's current crash loops, and a Wait when a first crash is too young to judge."""
    loops: list[Loop] = []
    waits: list[Wait] = []
    if in_service(pod):
        for container, status, init in started_pairs(pod):
            match _loop(container, status, init, pod, now):
                case Loop() as loop:
                    loops.append(loop)
                case Wait() as wait:
                    waits.append(wait)
    return tuple(loops), min(waits, key=lambda wait: wait.until, default=None)


def _loop(container: Container, status: ContainerStatus, init: bool, pod: Pod, now: datetime) -> Loop | Wait | None:
    end = last_end(status)
    loop = Loop(container, status, end, init, run_seconds(end), _running_seconds(status, now))
    if status.state.waiting is not None:
        return loop if status.state.waiting.reason == "CrashLoopBackOff" else None
    if status.state.terminated is not None:
        return _ended(loop, restart_policy(container, init, pod), now)
    if end is None or status.restart_count < LOOP_RESTARTS or status.state.running is None or end.reason in _LOST:
        return None
    trial = min(max(TRIAL_FACTOR * (loop.run_s or 0.0), SHORTEST_TRIAL.total_seconds()), CRASH_MEMORY.total_seconds())
    if end.exit_code == 0 and (loop.run_s or 0.0) >= CRASH_MEMORY.total_seconds():
        return None
    return loop if loop.running_s is None or loop.running_s < trial else None


def _ended(loop: Loop, policy: str, now: datetime) -> Loop | Wait | None:
    end = loop.end
    if end is None or policy == "Never" or (policy == "OnFailure" and end.exit_code == 0):
        return None
    if loop.status.restart_count >= LOOP_RESTARTS:
        return loop
    return wait_until(end.finished_at, FIRST_CRASH_S, now) or loop


def restart_policy(container: Container, init: bool, pod: Pod) -> str:
    """Return what the kubelet does when the container ends: `Always`, `OnFailure` or `Never`."""
    policy = container.restart_policy or pod.spec.restart_policy
    return "OnFailure" if init and policy == "Always" else policy


def run_seconds(end: Terminated | None) -> float | None:
    """Return how long a run lasted, None when one of its times is not known (never started: both are the epoch)."""
    if end is None or end.started_at is None or end.finished_at is None or end.started_at.year < 2000:
        return None
    return max(0.0, (end.finished_at - end.started_at).total_seconds())


def _running_seconds(status: ContainerStatus, now: datetime) -> float | None:
    running = status.state.running
    return None if running is None or running.started_at is None else (now - running.started_at).total_seconds()


def gravity(pod: Pod, situation: Situation, now: datetime) -> Severity:
    """Return WARNING while another pod of the same workload is ready and settled, else CRITICAL.

    A node agent has no stand-in: each of its pods serves its own node.
    """
    workload = situation.workload_of(pod)
    if workload.kind == "Pod" or agent_of(pod) is not None:
        return Severity.CRITICAL
    for other in islice(siblings(pod, situation), SIBLINGS_SEEN):
        if is_ready(other) and is_settled(other, now):
            return Severity.WARNING
    return Severity.CRITICAL


def siblings(pod: Pod, situation: Situation) -> Iterator[Pod]:
    """Yield the other pods of the workload; of the direct controller alone where its own owner's list is not known."""
    owner = controller_ref(pod)
    found = situation.pods_of(situation.workload_of(pod))
    if not found and owner is not None:
        found = tuple(situation.pods_by_owner.get(owner).values())
    return (other for other in found if other.key != pod.key)


def agent_layer(pod: Pod) -> Layer | None:
    """Return the layer that breaks with this pod when it is a node agent, else None."""
    agent = agent_of(pod)
    return agent.layer if agent else None


def exit_text(end: Terminated | None) -> str:
    """Return an end as people say it: `exit 1`, `exit 137 (SIGKILL)`, `exit 127 (command not found)`."""
    if end is None:
        return "exit code not known"
    code = end.exit_code
    meaning = {126: "not executable", 127: "command not found"}.get(code, "")
    number = end.signal or (code - 128 if 128 < code < 160 else 0)
    if number:
        try:
            meaning = Signals(number).name
        except ValueError:
            meaning = f"signal {number}"
    return f"exit {code} ({meaning})" if meaning else f"exit {code}"


def run_text(loop: Loop) -> str:
    """Return the last end in one line: `container app: exit 1 (Error) after running 4s, 3 restarts`."""
    reason = f", reason {loop.end.reason}" if loop.end and loop.end.reason else ""
    after = "" if loop.run_s is None else f" after running {duration_text(loop.run_s)}"
    kind = "init container" if loop.init else "container"
    count = counted(loop.status.restart_count, "restart")
    return f"{kind} {loop.container.name}: {exit_text(loop.end)}{reason}{after}, {count}"


def one_of_many(pod: Pod, name: str) -> str:
    """Return ` (container NAME)` when the pod has more than one container to tell apart, else nothing."""
    several = len(pod.spec.containers) + sum(map(is_sidecar, pod.spec.init_containers)) > 1
    return f" (container {name})" if several else ""


def logs(pod: Pod, container: str, status: ContainerStatus | None, purpose: str) -> Command:
    """Return the command that shows how the last run ended; `-c` only where there is a choice."""
    target = LogTarget(pod.namespace, pod.name, container, previous=has_ended_before(status))
    argv = ["logs", pod.name]
    if len(pod.spec.containers) + len(pod.spec.init_containers) > 1:
        argv += ["-c", container]
    if target.previous:
        argv.append("--previous")
    return kubectl(*argv, "--tail=100", purpose=purpose, namespace=pod.namespace, log=target)


def describe(pod: Pod, purpose: str) -> Command:
    return kubectl("describe", "pod", pod.name, purpose=purpose, namespace=pod.namespace)


def field(pod: Pod, path: str, purpose: str) -> Command:
    """Return the command that prints one field of the pod, for example `{.spec.containers[*].command}`."""
    return kubectl("get", "pod", pod.name, "-o", f"jsonpath={path}", purpose=purpose, namespace=pod.namespace)


def container_path(name: str, init: bool, what: str) -> str:
    """Return a JSONPath to a field of one container by its name."""
    group = "initContainers" if init else "containers"
    return f'{{.spec.{group}[?(@.name=="{name}")].{what}}}'
