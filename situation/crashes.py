"""Crash loops: which containers of a pod crash again and again, now."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from situation.pods import Container, ContainerStatus, Pod, Terminated
from situation.selectors import CRASH_MEMORY, container_pairs, is_finished, is_sidecar, last_end

LOOP_RESTARTS: Final = 2
"""Restarts from which a container that runs again can still be in a loop. The kubelet makes the first restart at once,
so one restart alone is a hiccup; the second follows a back-off of 10 s (kubelet, backOffPeriod)."""

SHORTEST_TRIAL: Final = timedelta(seconds=30)
"""A restarted container is not believed sooner than this, however fast it crashed before: two to three kubelet syncs
(10 s each), in which a crash is noticed and the next back-off is written down."""

TRIAL_FACTOR: Final = 2
"""A restarted container has recovered once it ran this many times as long as its last run: it outlived what ended that
one. Capped at `CRASH_MEMORY`, after which the kubelet too forgets its back-off."""

FIRST_CRASH: Final = timedelta(seconds=30)
"""A first crash is given this long: the restart comes at once, or after the first back-off of 10 s plus a sync."""

START_ENDS: Final = frozenset({"StartError", "ContainerCannotRun"})
"""`terminated.reason` of a container that never ran: containerd and, earlier, Docker. Once it runs that is over."""

_LOST: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
"""`terminated.reason` when the runtime lost the container, as after a reboot of the node: nothing crashed."""
_NO_CRASH: Final = _LOST | START_ENDS


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


class Crashes(NamedTuple):
    """What is known of a pod's crashes now."""

    loops: tuple[Loop, ...]
    until: datetime | None
    """When a first crash that is too young to judge will be old enough."""


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


def find_crashes(pod: Pod, now: datetime) -> Crashes:
    """Return the pod's current crash loops, and when a first crash that is too young to judge will be old enough."""
    loops: list[Loop] = []
    dues: list[datetime] = []
    if in_service(pod):
        for container, status, init in started_pairs(pod):
            match _loop(container, status, init, pod, now):
                case Loop() as loop:
                    loops.append(loop)
                case datetime() as due:
                    dues.append(due)
    return Crashes(tuple(loops), min(dues, default=None))


def _loop(container: Container, status: ContainerStatus, init: bool, pod: Pod, now: datetime) -> Loop | datetime | None:
    end = last_end(status)
    loop = Loop(container, status, end, init, run_seconds(end), _running_seconds(status, now))
    if status.state.waiting is not None:
        return loop if status.state.waiting.reason == "CrashLoopBackOff" else None
    if status.state.terminated is not None:
        return _ended(loop, restart_policy(container, init, pod), now)
    if end is None or status.restart_count < LOOP_RESTARTS or status.state.running is None or end.reason in _NO_CRASH:
        return None
    trial = min(max(TRIAL_FACTOR * (loop.run_s or 0.0), SHORTEST_TRIAL.total_seconds()), CRASH_MEMORY.total_seconds())
    if end.exit_code == 0 and (loop.run_s or 0.0) >= CRASH_MEMORY.total_seconds():
        return None
    return loop if loop.running_s is None or loop.running_s < trial else None


def _ended(loop: Loop, policy: str, now: datetime) -> Loop | datetime | None:
    end = loop.end
    if end is None or policy == "Never" or (policy == "OnFailure" and end.exit_code == 0):
        return None
    if loop.status.restart_count >= LOOP_RESTARTS or end.finished_at is None:
        return loop
    due = end.finished_at + FIRST_CRASH
    return due if now < due else loop


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
