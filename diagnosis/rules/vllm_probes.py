"""Layer 1: model servers that a probe kills before they have loaded their model (L1-05)."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import ceil
from typing import Final, NamedTuple

from diagnosis.commands import counted, fact, said_by
from diagnosis.container_facts import container_path, field, logs, one_of_many, run_text
from diagnosis.model_pods import to_change
from diagnosis.model_size import load_time, model_size
from diagnosis.pod_verdict import fired
from diagnosis.probe_text import newest_failure, newest_kill, probe_text
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from situation.clock import duration_text
from situation.cluster import Event
from situation.crashes import Loop, in_service, run_seconds
from situation.findings import Evidence, Layer, Mark, Severity
from situation.pods import Container, ContainerStatus, Pod, Probe
from situation.selectors import container_pairs, last_end
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec, servers_of
from situation.situation import Situation

GRACE_S: Final = 40
"""A killed container may take its grace period (30 s unless set) to end, and the kubelet a sync or two to act."""


class _Kill(NamedTuple):
    probe: str
    """`startup` or `liveness`."""
    event: Event
    window: Probe
    status: ContainerStatus


@rule(
    "vllm-killed-before-ready",
    signature="L1-05",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="Killing events by the startup or liveness probe since the last run of a model server began; how long it "
    "ran, against the probe's window (initialDelay + period x failureThreshold) and the time that a model of its size "
    "takes to load.",
    look_alikes={
        "liveness-kill": "it had run for longer than the window: it was up, and stopped answering",
        "vllm-crash": "there the process ends by itself: no Killing event",
        "vllm-host-oom": "reason OOMKilled",
        "startup-probe-kill": "the same for what is no model server",
    },
)
def vllm_killed_before_ready(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server is killed by a probe before it has loaded its model: its window is too short."""
    kills = ((spec, _kill(pod, spec, situation)) for spec in _containers(pod))
    spec, kill = next((pair for pair in kills if pair[1] is not None), (None, None))
    if spec is None or kill is None:
        return CLEAR
    window = kill.window.budget_s
    ran = run_seconds(last_end(kill.status))
    evidence = [*_window(spec, kill, ran), *_changes(spec, kill, ran), *_events(pod, spec, kill, situation)]
    path = container_path(pod, spec.container.name, f"{kill.probe}Probe")
    commands = (
        logs(pod, spec.container.name, kill.status, "does the log stop while it loads, without an error?"),
        field(pod, path, "what does the probe ask, and how often?"),
    )
    title = f"is killed before it is ready{one_of_many(pod, spec.container.name)}: "
    title += f"{kill.probe} probe allows {duration_text(window)}"
    return fired(pod, situation, now, title, evidence, commands)


def _containers(pod: Pod) -> Iterable[ServerSpec]:
    """Return one server of each container that loads a model."""
    if not in_service(pod) or not any(map(_may_be_killed, pod.status.container_statuses)):
        return ()
    servers = (spec for spec in reversed(servers_of(pod)) if spec.software is not Software.ROUTER)
    return {spec.container.name: spec for spec in servers}.values()


def _may_be_killed(status: ContainerStatus) -> bool:
    """Tell whether a container was started anew, or has not passed its startup probe in its first run."""
    first_run = status.state.running or status.state.terminated
    return status.restart_count > 0 or (status.started is False and first_run is not None)


def _kill(pod: Pod, spec: ServerSpec, situation: Situation) -> _Kill | None:
    """Return the kill of the last run before it was ready, while the present run is not ready either."""
    status = next((item for own, item in container_pairs(pod) if own.name == spec.container.name), None)
    kill = newest_kill(pod, spec.container, situation)
    if status is None or kill is None or status.ready:
        return None
    probe, event = kill
    window = spec.container.startup_probe if probe == "startup" else spec.container.liveness_probe
    end, running = last_end(status), status.state.running
    if window is None:
        return None
    if end is None:  # asked to end for the first time: it may take its grace period for that
        began = running.started_at if running is not None else None
        is_ending = began is not None and event.last_seen is not None and event.last_seen >= began
        return _Kill(probe, event, window, status) if probe == "startup" and is_ending else None
    if end.reason == "OOMKilled":
        return None
    if end.started_at is not None and event.last_seen is not None and event.last_seen < end.started_at:
        return None
    if probe == "liveness" and not _at_first_chance(spec.container, window, run_seconds(end)):
        return None
    return _Kill(probe, event, window, status)


def _at_first_chance(container: Container, window: Probe, ran_s: float | None) -> bool:
    """Tell whether a liveness probe killed it as soon as it could: then it had never answered."""
    if container.startup_probe is not None or ran_s is None:
        return False
    return ran_s <= window.budget_s + window.period_seconds + window.timeout_seconds + GRACE_S


def _window(spec: ServerSpec, kill: _Kill, ran: float | None) -> Iterator[Evidence]:
    """Yield how long it ran, how long the probe lets it, and how long it needs."""
    end, window = last_end(kill.status), kill.window
    if end is not None:
        loop = Loop(spec.container, kill.status, end, False, ran, None)
        yield fact("pods", run_text(loop), at=end.finished_at)
    else:
        yield fact("events", f"container {spec.container.name} is asked to end", at=kill.event.last_seen)
    took = f"; the last run took {duration_text(ran)}" if ran is not None else ""
    yield fact(
        "pods",
        f"{kill.probe} probe allows {duration_text(window.budget_s)} "
        f"({window.initial_delay_seconds} + {window.period_seconds} x {window.failure_threshold}): "
        f"{probe_text(window)}{took}",
    )
    size = model_size(spec.arguments)
    of = f"a model of {size.billions:g}B (by its name)" if size is not None else "a model of unknown size"
    expected = load_time(size.billions if size is not None else None)
    mark = Mark.SUPPORTS if window.budget_s < expected.window_s else Mark.OPEN
    yield fact("pods", f"{of} takes {expected.text}", mark)


def _events(pod: Pod, spec: ServerSpec, kill: _Kill, situation: Situation) -> Iterator[Evidence]:
    yield said_by(kill.event)
    if (failure := newest_failure(pod, spec.container, kill.probe.capitalize(), situation)) is not None:
        yield said_by(failure.event)
    if kill.event.times > 1:
        yield fact("events", f"killed so {counted(kill.event.times, 'time')}", at=kill.event.last_seen)


def _changes(spec: ServerSpec, kill: _Kill, ran: float | None) -> Iterator[Evidence]:
    size = model_size(spec.arguments)
    wanted = max(load_time(size.billions if size is not None else None).window_s, 2 * int(ran or 0))
    period = max(1, kill.window.period_seconds)
    threshold = ceil(wanted / period)
    if kill.probe == "startup":
        now = kill.window.failure_threshold
        if threshold > now:
            yield to_change(f"startupProbe.failureThreshold {now} -> {threshold} (x {period} s = "
                            f"{duration_text(threshold * period)})")  # fmt: skip
        return
    yield to_change(
        f"a startupProbe that asks the same, failureThreshold {threshold} x periodSeconds {period}: the liveness probe "
        "waits for it, and may stay strict"
    )


RULES: Final[tuple[Rule, ...]] = (vllm_killed_before_ready,)
