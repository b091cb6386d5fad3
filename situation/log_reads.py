"""What the log of a container told when somebody read it: kept for rules, for the run of the container it is of."""

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from situation.pods import ContainerStatus, Pod

LOG_SOURCE: Final = "log/read"
"""Name of the source in evidence: a log is read when somebody asks, so it has no state of its own."""
KEPT: Final = 64
"""Logs that are remembered, the last that were read."""


class LogSaid(msgspec.Struct, frozen=True):
    """One known fault that a run's log tells."""

    id: str
    """Of the log signature: `vllm-log-gpu-oom`."""
    meaning: str
    """One line."""
    text: str
    """The first line that says it, harmless and shortened."""
    line: int
    """Number of that line in the lines that were read of the run, from 1."""
    is_fault: bool = True
    """False for what only waits, or is a note."""
    explained_by: str = ""
    """Id of a more specific signature in the same run, or of one that shows that this fault had passed."""


class RunRead(msgspec.Struct, frozen=True):
    """What one run of a container said, as far as it was read."""

    number: int
    """How often the container had been restarted before: 0 is its first run."""
    said: tuple[LogSaid, ...] = ()
    """In the order of their lines; empty where no known fault is told."""

    @property
    def fault(self) -> LogSaid | None:
        """The first fault that nothing more specific explains."""
        return next((item for item in self.said if item.is_fault and not item.explained_by), None)

    def tells(self, id: str) -> bool:
        """Tell whether a signature is in it."""
        return any(item.id == id for item in self.said)


class LogRead(msgspec.Struct, frozen=True):
    """A log that somebody has read: of a container's last run, and of its present one."""

    namespace: str
    pod: str
    uid: str
    """Of the pod: another pod of the same name has another log."""
    container: str
    runs: tuple[RunRead, ...]
    read_at: datetime

    def run(self, number: int) -> RunRead | None:
        """Return what one run said, None if its log was not read."""
        return next((run for run in self.runs if run.number == number), None)


class _Key(NamedTuple):
    uid: str
    container: str


class LogReads:
    """The last logs that were read. One is kept for a container: of other runs nothing is remembered."""

    def __init__(self) -> None:
        self._known: dict[_Key, LogRead] = {}

    def take(self, read: LogRead) -> None:
        """Remember a log in the place of what was known of its container."""
        key = _Key(read.uid, read.container)
        self._known.pop(key, None)
        self._known[key] = read
        while len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    def __len__(self) -> int:
        return len(self._known)

    def of_last_end(self, pod: Pod, status: ContainerStatus) -> tuple[RunRead, datetime] | None:
        """Return what the run of a container said that ended last, and when it was read.

        None if its log was not read, or the container has ended again since.
        """
        read = self._known.get(_Key(pod.metadata.uid, status.name))
        number = ended_run(status)
        run = read.run(number) if read is not None and number is not None else None
        return (run, read.read_at) if read is not None and run is not None else None


def present_run(status: ContainerStatus) -> int | None:
    """Return the number of the run that a container is in, None while it does not run."""
    return status.restart_count if status.state.running is not None else None


def ended_run(status: ContainerStatus) -> int | None:
    """Return the number of the run that ended last, None if none has.

    The kubelet counts a restart when it starts the container anew: while it waits for that, the run that ended is still
    the one of the count.
    """
    if status.state.running is None:
        return status.restart_count
    return status.restart_count - 1 if status.restart_count else None
