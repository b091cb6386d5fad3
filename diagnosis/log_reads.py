"""From a log that was read to what rules can use of it: which run told which known faults."""

from collections.abc import Iterator

from diagnosis.log_catalogue.signature import Weight
from diagnosis.log_signatures import Match, find_signatures
from situation.log_reads import LogRead, LogSaid, RunRead, ended_run, present_run
from situation.logs import LogRun, LogTarget, PodLog
from situation.pods import ContainerStatus, Pod, Terminated
from situation.readings import SourceState


def status_of(target: LogTarget, pod: Pod | None) -> ContainerStatus | None:
    """Return the status of the container that a log is of; None when pod or container are not known."""
    if pod is None:
        return None
    name = target.container or (pod.spec.containers[0].name if pod.spec.containers else "")
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    return next((status for status in statuses if status.name == name), None)


def log_read(log: PodLog, before: Pod | None, after: Pod | None) -> LogRead | None:
    """Return what both runs told, given the pod as it was when the log was asked for and when the answer came.

    None where the container ended or started in between: nobody knows then which run said what.
    """
    asked, answered = status_of(log.target, before), status_of(log.target, after)
    if before is None or after is None or asked is None or answered is None:
        return None
    runs = (ended_run(answered), present_run(answered))
    if before.metadata.uid != after.metadata.uid or runs != (ended_run(asked), present_run(asked)):
        return None
    found = tuple(
        _told(number, run) for number, run in _numbered(log, answered, *runs) if run.state is SourceState.LIVE
    )
    return LogRead(after.namespace, after.name, after.metadata.uid, answered.name, found, log.observed_at)


def _numbered(
    log: PodLog, status: ContainerStatus, ended: int | None, present: int | None
) -> Iterator[tuple[int, LogRun]]:
    """Yield each run once with its number, as the kubelet gives them out (validateContainerLogStatus).

    While the container waits for its restart, the run that ended is given for both; once it has ended and nothing has
    been decided yet, the present log is that of the run that ended, and the previous one that of the run before it.
    """
    if present is not None:
        yield present, log.current
        if ended is not None:
            yield ended, log.previous
    elif ended is not None:
        is_told = log.current.state is SourceState.LIVE or status.state.terminated is not None
        yield ended, log.current if is_told else log.previous


def _told(number: int, run: LogRun) -> RunRead:
    matches = find_signatures("\n".join(line.text for line in run.lines))
    return RunRead(number, tuple(map(_said, matches)))


def _said(match: Match) -> LogSaid:
    signature = match.signature
    is_fault = signature.weight is Weight.FAULT
    return LogSaid(signature.id, signature.meaning, match.text, match.line, is_fault, match.explained_by)


def said_in_message(end: Terminated | None, number: int) -> RunRead | None:
    """Return what a termination message tells: the end of the log with the policy FallbackToLogsOnError."""
    if end is None or not end.message:
        return None
    matches = find_signatures(end.message.replace("␊", "\n"))
    return RunRead(number, tuple(map(_said, matches))) if matches else None
