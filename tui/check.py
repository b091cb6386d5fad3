"""`midwatch check`: collect, judge, print, exit."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from diagnosis.engine import diagnose
from playbooks.commands import Target
from situation.kinds import KINDS
from situation.namespaces import missing_namespace
from situation.readings import Source
from situation.situation import Situation
from tui.etcd_options import EtcdArguments
from tui.exits import NoSuchNamespace, UsageProblem
from tui.logs import log_to_file
from tui.output import speaks_unicode, write_lines
from tui.paths import state_dir
from tui.reach import Reach
from tui.report import Report

if TYPE_CHECKING:
    from tui.connection import KubernetesConnection
    from tui.feed import Feed

_YEARS: Final = range(1970, 9_000)
_STDIN: Final = Path("/dev/stdin")


class CheckOptions(msgspec.Struct, frozen=True):
    """What the command line asked for; where it says nothing of the cluster, the configuration does."""

    reach: Reach = Reach()
    as_json: bool = False
    dump: Path | None = None
    at: str | None = None
    timeout_s: float = 20.0


def run_check(options: CheckOptions) -> int:
    """Run the check and return its exit code. Raises UsageProblem for options and files that are wrong."""
    if options.at is not None and options.dump is None:
        raise UsageProblem("--at needs --dump: a live cluster is judged as it is now")
    if options.dump is not None:
        with _without_collections():
            return _check_dump(options, options.dump)
    return _check_cluster(options)


def print_report(report: Report, as_json: bool) -> int:
    """Print a report and return the exit code."""
    if as_json:
        write_lines([json.dumps(report.json(), indent=1, ensure_ascii=not speaks_unicode())])
    else:
        write_lines(report.text())
    return report.exit_code


@contextmanager
def _without_collections() -> Iterator[None]:
    """Hold the garbage collector back: it would walk all objects again and again, and finds nothing before the end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check_dump(options: CheckOptions, path: Path) -> int:
    reach = options.reach
    if reach.kubeconfig is not None:
        raise UsageProblem("--dump judges files: leave --kubeconfig out (--context only goes into the commands)")
    if reach.dcgm or reach.prometheus:
        raise UsageProblem("--dump judges files: leave --dcgm and --prometheus out")
    if reach.vllm or reach.namespace is not None:
        raise UsageProblem("--dump judges all that is in the files: leave --vllm and --namespace out")
    if reach.local or reach.etcd != EtcdArguments():
        raise UsageProblem("--dump judges files: leave --local and what begins with --etcd out")
    log_to_file(state_dir())
    place = _STDIN if str(path) == "-" else path.expanduser()
    situation = Situation()
    now, notes = apply_files(situation, place, _parse_time(options.at))
    report = Report(situation, diagnose(situation, now), Target(context=reach.context or ""), now, notes)
    return print_report(report, options.as_json)


def apply_files(situation: Situation, path: Path, at: datetime | None) -> tuple[datetime, tuple[str, ...]]:
    """Apply a dump, a tape or a folder of recorded frames; return the time that counts as now, and notes for people.

    Raises UsageProblem naming the file that cannot be read.
    """
    from collectors.dump import read_dump
    from collectors.errors import SourceError
    from tape.format import TapeError
    from tape.player import is_playable, play_to
    from tui.recorded import RecordedSources

    try:
        if is_playable(path):
            return play_to(situation.apply, path, at, RecordedSources)
        dump = read_dump(path)
    except (TapeError, SourceError) as error:
        raise UsageProblem(str(error)) from error
    for reading in dump.readings:
        situation.apply(reading)
    return at or dump.now, dump.notes


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(f"--at {text!r} is not a time; write it as 2026-11-23T06:58:34Z") from None
    if moment.year not in _YEARS:
        raise UsageProblem(f"--at {text!r}: no time of a cluster")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_cluster(options: CheckOptions) -> int:
    import asyncio

    from tui.start import read_config

    config = read_config(options.reach.config)
    log_to_file(state_dir())
    connection = options.reach.connection(config, plugin_deadline_s=options.timeout_s * 0.75)
    report = asyncio.run(_judged(connection, options.timeout_s, options.reach.named_sources))
    return print_report(report, options.as_json)


async def _judged(connection: "KubernetesConnection", timeout_s: float, asked: tuple[str, ...]) -> Report:
    """Return the report, with what people should know of how the options were understood."""
    from tui.collect import collect_once, could_not_tell
    from tui.connection import ConnectionFailed
    from tui.feed import Feed
    from tui.view import narrower

    feed = Feed(connection.clock)
    try:
        async with connection(feed.publish) as connected:
            in_time = await collect_once(feed, connected, timeout_s)
            check_namespace(feed, connection.namespace_from)
            diagnosis = feed.diagnosis
            if in_time and not any(source.has_value for source in _kind_sources(feed.situation)):
                fault = await connected.own_fault()
                diagnosis = could_not_tell(fault + narrower("pods", feed.situation)) if fault else diagnosis
    except ConnectionFailed as error:
        raise UsageProblem(str(error)) from error
    return Report(feed.situation, diagnosis, connected.target, connection.clock(), connected.notes, asked)


def _kind_sources(situation: Situation) -> list[Source]:
    return [situation.source(kind.source) for kind in KINDS]


def check_namespace(feed: "Feed", named: str) -> None:
    """Raise NoSuchNamespace, naming what named it: nothing is wrong in a namespace that does not exist."""
    if absent := missing_namespace(feed.situation, feed.now()):
        raise NoSuchNamespace(f"{named}: {absent}")
