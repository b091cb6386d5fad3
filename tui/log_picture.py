"""A log as it is shown: rows of both runs with the telling lines marked, and a card for what they tell."""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Final, NamedTuple

from diagnosis.log_catalogue.signature import Weight, commands
from diagnosis.log_signatures import Match, find_signatures, trigger
from playbooks.commands import Target, offered
from situation.findings import Command
from situation.logs import LogLine, LogRun, LogTarget, PodLog
from situation.readings import SourceState
from widgets.evidence import Card, CardCommand, CardLine
from widgets.glyphs import EFFECT
from widgets.log_view import LogRow

GLYPH: Final = {Weight.FAULT: "▲", Weight.WAITS: "●", Weight.NOTE: "○"}
ROLE: Final = {Weight.FAULT: "critical", Weight.WAITS: "waiting", Weight.NOTE: "info"}


class Picture(NamedTuple):
    """Both runs, one after the other."""

    rows: tuple[LogRow, ...]
    matches: tuple[Match, ...]
    at_row: Mapping[int, Match]
    """Row to the match that it tells."""
    start: int
    """Row to begin with: what came first, else the end of the run that is asked for."""
    was_read: bool
    """Some run was."""

    @property
    def first(self) -> Match | None:
        return trigger(self.matches)


def picture(log: PodLog) -> Picture:
    """Lay out the log: the previous run, then the present one."""
    sections = _sections(log)
    rows: list[LogRow] = []
    row_of: list[int] = []
    ends: dict[str, int] = {}
    for name, run in sections:
        rows.append(_title(name, run))
        row_of += range(len(rows), len(rows) + len(run.lines))
        rows += [LogRow(line.text, _time(line)) for line in run.lines]
        ends[name] = len(rows) - 1
    matches = find_signatures("\n".join(line.text for _, run in sections for line in run.lines))
    at_row = {row_of[line - 1]: match for match in reversed(matches) for line in match.lines}
    for row, match in at_row.items():
        is_fault = match.signature.weight is Weight.FAULT and not match.explained_by
        rows[row] = LogRow(rows[row].text, rows[row].time, mark="mark" if is_fault else "mild")
    first = trigger(matches)
    start = row_of[first.line - 1] if first else ends.get("previous run" if log.target.previous else "present run")
    return Picture(
        tuple(rows),
        matches,
        at_row,
        len(rows) - 1 if start is None else start,
        any(run.state is SourceState.LIVE for _, run in sections),
    )


def _sections(log: PodLog) -> list[tuple[str, LogRun]]:
    """Name the runs; between two runs the kubelet gives the last one for both, and one refusal is told once."""
    if log.previous == log.current:
        return [("last run" if log.current.lines else "both runs", log.current)]
    return [("previous run", log.previous), ("present run", log.current)]


def _title(name: str, run: LogRun) -> LogRow:
    if run.said:
        why = "" if run.state is SourceState.ABSENT else f"{run.state.value}: "
        return LogRow(f"{name}: {why}{run.said}", part="note")
    if not run.lines:
        return LogRow(f"{name}: it said nothing", part="note")
    count = len(run.lines)
    cut = f", broken off {run.cut}" if run.cut else ""
    return LogRow(f"{name}: its last {count} lines{cut}" if count > 1 else f"{name}: one line{cut}", part="title")


def _time(line: LogLine) -> str:
    return f"{line.at.astimezone(UTC):%H:%M:%S}" if line.at else ""


def signature_card(match: Match, shown: Picture, place: Mapping[str, str], cluster: Target, log: LogTarget) -> Card:
    """Return what a signature means and what to do about it; its first command is the next."""
    signature = match.signature
    about = [signature.id, signature.row, f"line {match.line}"]
    about += [f"{len(match.lines)} times"] if len(match.lines) > 1 else []
    if len(shown.matches) > 1:
        about.append(f"{shown.matches.index(match) + 1} of {len(shown.matches)}, n goes on")
    about += ["came first"] if match is shown.first and len(shown.matches) > 1 else []
    lines = [CardLine(f"why: {signature.cause}")]
    for step in signature.next:
        if not step.argv:
            effect = f" [{EFFECT[step.effect]}]" if EFFECT[step.effect] else ""
            lines.append(CardLine(f"then: {step.text}{effect}"))
    lines += [CardLine(f"not {name}: {tell}") for name, tell in signature.look_alikes.items()]
    return Card(
        title=signature.meaning,
        glyph=GLYPH[signature.weight],
        role=ROLE[signature.weight],
        about=" · ".join(filter(None, about)),
        notice=f"explained by {match.explained_by}" if match.explained_by else "",
        lines=tuple(lines),
        commands=tuple(_rendered((*commands(signature, place), log_command(log)), cluster)),
    )


def plain_card(title: str, cluster: Target, log: LogTarget, *, said: str = "") -> Card:
    """Return the card of a log in which no signature was found, or that is not there (yet)."""
    lines = (CardLine(said),) if said else ()
    return Card(
        title=title, glyph="·", role="waiting", lines=lines, commands=tuple(_rendered((log_command(log),), cluster))
    )


def log_command(log: LogTarget) -> Command:
    """Return the command that prints the same log in a shell."""
    container = ("-c", log.container) if log.container else ()
    previous = ("--previous",) if log.previous else ()
    argv = ("kubectl", "logs", log.pod, *container, *previous, "--tail=200", "--timestamps")
    return Command(argv, "the same log in a shell", log.namespace)


def _rendered(wanted: tuple[Command, ...], cluster: Target) -> Iterator[CardCommand]:
    for command, line in offered(wanted, cluster):
        yield CardCommand(command.purpose, line, command.effect, command.where)
