"""Logs of containers: which one is meant, and what its runs said when somebody asked for it."""

from datetime import datetime

import msgspec

from situation.pods import ContainerStatus, Pod
from situation.readings import SourceState
from situation.selectors import container_pairs, has_run, is_sidecar


class LogTarget(msgspec.Struct, frozen=True):
    """The container whose log tells more."""

    namespace: str
    pod: str
    container: str = ""
    """Empty where the pod has only one."""
    previous: bool = False
    """The last run is the one that failed, not the present one."""


class LogLine(msgspec.Struct, frozen=True):
    text: str
    """Harmless, without the time stamp."""
    at: datetime | None = None


class LogRun(msgspec.Struct, frozen=True):
    """What one run of a container said."""

    lines: tuple[LogLine, ...] = ()
    state: SourceState = SourceState.LIVE
    """LIVE when it was read; ABSENT when there is no such run, container or pod."""
    said: str = ""
    """Why there are no lines, for people; empty when it was read."""
    cut: str = ""
    """Why the end is missing, for example `after 512 KiB`."""


class PodLog(msgspec.Struct, frozen=True):
    """The log of one container: its previous run and its present one, each read, refused or absent on its own."""

    target: LogTarget
    previous: LogRun
    current: LogRun
    observed_at: datetime


class LastLine(msgspec.Struct, frozen=True):
    """What a container said last before its log was read."""

    line: LogLine
    read_at: datetime
    of_previous: bool = False
    """The present run had said nothing yet: it is the last line of the run before."""


def last_line(log: PodLog) -> LastLine | None:
    """Return the last line with words of the present run, of the previous one if that has none.

    None where the end of the log is missing: then nobody knows what was said last.
    """
    for run in (log.current, log.previous):
        line = next((line for line in reversed(run.lines) if line.text.strip()), None)
        if run.cut:
            return None
        if line is not None:
            return LastLine(line, log.observed_at, run is log.previous)
    return None


def log_target(pod: Pod) -> LogTarget | None:
    """Return the container of a pod whose log matters: the first that is not through or not ready, else the first.

    Containers that have not run yet have no log. None when none has.
    """
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    inits = {container.name for container in pod.spec.init_containers} - sidecars
    ran = [status for _, status in container_pairs(pod) if has_run(status)]
    main = [status for status in ran if status.name not in inits]
    if not ran:
        return None
    stuck = [status for status in ran if status.name in inits and not _is_through(status)]
    wanted = (stuck or [status for status in main if not status.ready] or main or ran)[0]
    return LogTarget(pod.namespace, pod.name, wanted.name, previous=has_ended_before(wanted))


def has_ended_before(status: ContainerStatus | None) -> bool:
    """Tell whether the container has a previous run."""
    return status is not None and status.last_state.terminated is not None


def _is_through(status: ContainerStatus) -> bool:
    end = status.state.terminated
    return end is not None and end.exit_code == 0
