"""`midwatch record` and `midwatch replay`: tapes written without a screen, and played on one."""

import asyncio
import re
import sys
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from situation.text import harmless
from tui.exits import EXIT_INTERRUPTED, EXIT_UNKNOWN, NoSuchNamespace, UsageProblem
from tui.output import write_lines
from tui.reach import Reach

if TYPE_CHECKING:
    from situation.situation import Situation
    from tape.playhead import Playhead
    from tui.connection import KubernetesConnection

_TURN_S: Final = 0.5
_MISTYPED: Final = timedelta(seconds=30)
"""A namespace that does not exist so soon after the start was mistyped. Later no recording is given up for it."""
_GRACE_S: Final = 60.0
"""So long after its last word a tape still says what was known: nothing need have changed."""
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


def run_record(reach: Reach, file: Path, lasts: str | None) -> int:
    """Record until the time is up or somebody interrupts, and return the exit code. Raises UsageProblem."""
    from tui.logs import log_to_file
    from tui.paths import state_dir
    from tui.start import read_config

    lasts_s = _duration(lasts) if lasts is not None else None
    path = file.expanduser()
    if path.exists():
        raise UsageProblem(f"{path}: there is a file of that name; nothing is overwritten")
    connection = reach.connection(read_config(reach.config))
    log_to_file(state_dir())
    began = monotonic()
    hearing = _Hearing()
    try:
        asyncio.run(_record(connection, hearing, path, lasts_s))
    except NoSuchNamespace:
        path.unlink(missing_ok=True)  # nothing is in it, and it would be in the way of the next try
        raise
    except KeyboardInterrupt:
        pass  # the usual way to end it: what was written is whole
    if not path.exists():
        return EXIT_INTERRUPTED
    size = path.stat().st_size / 1024
    write_lines([f"{path}: {monotonic() - began:.0f} s, {size:,.0f} KiB; `midwatch replay {path}` plays it"])
    if not hearing.heard:
        _tell("nothing was heard: no source of the cluster has answered")
        return EXIT_UNKNOWN
    return 0


class _Hearing:
    """Says on the way when the cluster is not heard, why, and when it is again: nobody sees a screen."""

    def __init__(self) -> None:
        self.heard = False
        """Some source of the cluster has answered."""
        self._problem = ""

    def look(self, situation: "Situation") -> None:
        """Look at what is known after a turn."""
        from tui.connection_problem import connection_problem, first_error

        self.heard |= any(source.has_value for source in situation.sources.values() if not source.is_own)
        problem = connection_problem(situation)
        if problem != self._problem:
            _tell(f"{problem}: {first_error(situation)}" if problem else "the cluster is heard again")
            self._problem = problem


def _tell(note: str) -> None:
    print(f"midwatch: {harmless(note)}", file=sys.stderr)


async def _record(connection: "KubernetesConnection", hearing: _Hearing, path: Path, lasts_s: float | None) -> None:
    """Turn a feed as the cockpit does, because its rules say which lists are wanted; write what it hears."""
    from tape.format import TapeError
    from tape.scribe import Scribe
    from tui.check import check_namespace
    from tui.connection import ConnectionFailed
    from tui.devices import nodes_first
    from tui.feed import Feed

    feed = Feed(connection.clock, lambda readings, at: scribe.write(readings, at))
    has_looked = False
    loop = asyncio.get_running_loop()
    ends = None if lasts_s is None else loop.time() + lasts_s
    try:
        async with connection(feed.publish) as connected:
            began, context = connection.clock(), connected.target.context
            title = f"{context or 'a cluster'}, recorded {began:%Y-%m-%d %H:%M} UTC"
            only = connected.target.limited_to
            with Scribe(path, began, title=title, context=context, only_namespace=only) as scribe:
                for note in (*connected.notes, "recording; ctrl+c ends it"):
                    _tell(note)
                while ends is None or loop.time() < ends:
                    feed.turn()
                    hearing.look(feed.situation)
                    if not has_looked and feed.situation.knows("namespaces"):
                        has_looked = True  # one that goes away later is a thing to record
                        if feed.now() - began < _MISTYPED:
                            check_namespace(feed, connection.namespace_from)
                    connected.want(feed.diagnosis.wanted)
                    connected.tell(feed.situation, nodes_first(feed.situation, feed.diagnosis))
                    await asyncio.sleep(_TURN_S if ends is None else max(0.0, min(_TURN_S, ends - loop.time())))
                feed.turn()
                hearing.look(feed.situation)
    except (ConnectionFailed, TapeError) as error:
        raise UsageProblem(str(error)) from error


def open_replay(file: Path, speed: float, theme: str | None) -> int:
    """Play a tape until the user leaves and return the exit code. Raises UsageProblem."""
    from tape.format import TapeError
    from tui.replay import Replay
    from tui.start import CockpitOptions, run_replay

    try:
        replay = Replay(file.expanduser(), speed=speed)
    except TapeError as error:
        raise UsageProblem(str(error)) from error
    return run_replay(replay, CockpitOptions(theme=theme))


def check_tape(file: Path, at: str, *, as_json: bool) -> int:
    """Print what `check` would have said at a moment of the tape, and return its exit code. Raises UsageProblem."""
    from diagnosis.engine import diagnose
    from situation.situation import Situation
    from tape.format import LONGEST_S, TapeError
    from tape.playhead import Playhead
    from tui.check import print_report
    from tui.logs import log_to_file
    from tui.paths import state_dir
    from tui.recorded import RecordedSources
    from tui.replay import second_of, target_of
    from tui.report import Report

    log_to_file(state_dir())
    try:
        head = Playhead(file.expanduser(), RecordedSources)
        second = second_of(at, head)
    except TapeError as error:
        raise UsageProblem(str(error)) from error
    except ValueError:
        raise UsageProblem(f"--check {at!r}: not a time on a tape; write it as 02:41:07 or +12:30") from None
    if second < head.start_s:
        raise UsageProblem(f"--check {at!r}: the tape does not reach there: it begins at {_moment(head, head.start_s)}")
    situation = Situation()
    for reading in head.to(min(second, LONGEST_S)):
        situation.apply(reading)
    if head.damage and second > head.last_s:
        raise UsageProblem(head.damage)
    if head.is_at_end and second > head.last_s + _GRACE_S:
        ends = f"it {'is cut off' if head.tape.notes else 'ends'} at {_moment(head, head.last_s)}"
        raise UsageProblem(f"--check {at!r}: the tape does not reach there: {ends}")
    now = head.time_at(second)
    head.read_rest()
    report = Report(situation, diagnose(situation, now), target_of(head), now, head.notes)
    return print_report(report, as_json)


def _moment(head: "Playhead", second: float) -> str:
    return f"{head.time_at(second):%Y-%m-%dT%H:%M:%SZ}"


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageProblem(f"--for {text!r}: not a time; write it as 90s, 10m or 2h")
    return float(match[1]) * _SECONDS[match[2]]
