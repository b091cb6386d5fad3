"""`midwatch check`: collect, judge, print, exit."""

import asyncio
import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from diagnosis.engine import diagnose
from playbooks.commands import Target
from situation.kinds import WATCHED
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tui.connection import Connected, ConnectionFailed, KubernetesConnection, path_text
from tui.exits import EXIT_UNKNOWN, UsageProblem
from tui.feed import Feed
from tui.report import Report

_POLLS: Final = ("kubernetes/version", "kubernetes/readyz")
_TURN_S: Final = 0.05


class CheckOptions(msgspec.Struct, frozen=True):
    """What the command line asked for."""

    kubeconfig: Path | None
    context: str | None
    namespace: str | None
    as_json: bool
    dump: Path | None
    at: str | None
    timeout_s: float


def run_check(options: CheckOptions) -> int:
    """Run the check and return its exit code. Raises UsageProblem for options and files that are wrong."""
    if options.at is not None and options.dump is None:
        raise UsageProblem("--at needs --dump")
    if options.dump is not None:
        return _check_dump(options, options.dump)
    return asyncio.run(_check_cluster(options))


def _print(report: Report, as_json: bool, notes: tuple[str, ...] = ()) -> int:
    if as_json:
        json.dump(report.json(), sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        for line in report.text():
            print(line)
    for note in notes:
        print(f"midwatch: {note}", file=sys.stderr)
    return report.exit_code


def _check_dump(options: CheckOptions, path: Path) -> int:
    at = _parse_time(options.at)
    readings, now, notes = read_any(path, at)
    situation = Situation()
    for reading in readings:
        situation.apply(reading)
    return _print(
        Report(situation, diagnose(situation, now), Target(context=options.context or ""), now), options.as_json, notes
    )


def read_any(path: Path, at: datetime | None) -> tuple[tuple[Reading, ...], datetime, tuple[str, ...]]:
    """Read a dump, a tape or a folder of recorded frames: (readings, the time that counts as now, notes for people).

    Raises UsageProblem naming the file that cannot be read.
    """
    from collectors.dump import read_dump
    from collectors.errors import SourceError
    from tape.format import TapeError
    from tape.player import is_playable, play

    try:
        if is_playable(path):
            played = play(path, at)
            return played.readings, played.now, played.notes
        dump = read_dump(path)
    except (TapeError, SourceError) as error:
        raise UsageProblem(str(error)) from error
    now = at or dump.now
    return dump.readings, now, dump.notes


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(f"--at {text!r} is not a time; write 2026-11-23T06:58:34Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _check_cluster(options: CheckOptions) -> int:
    connection = KubernetesConnection(path_text(options.kubeconfig), options.context, options.namespace)
    feed = Feed(lambda: datetime.now(UTC))
    try:
        async with connection(feed.publish) as connected:
            await _collect(feed, connected, options.timeout_s)
    except ConnectionFailed as error:
        raise UsageProblem(str(error)) from error
    report = Report(feed.situation, feed.diagnosis, connected.target, datetime.now(UTC))
    code = _print(report, options.as_json)
    if not any(source.has_value for source in feed.situation.sources.values()) and code == 0:
        return EXIT_UNKNOWN
    return code


async def _collect(feed: Feed, connected: Connected, timeout_s: float) -> None:
    """Turn the feed until every source has said something, what the rules then want included, or time is up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while True:
                feed.turn()
                wanted = feed.diagnosis.wanted
                connected.want(wanted)
                names = [*(kind.name for kind in WATCHED), *wanted, *_POLLS]
                if all(feed.situation.source(name).state is not SourceState.STARTING for name in names):
                    break
                await asyncio.sleep(_TURN_S)
    feed.turn()
