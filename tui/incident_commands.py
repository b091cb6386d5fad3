"""`midwatch incidents` and `midwatch export`: the logs that are kept, read back."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Final

import click

from incidents.as_json import as_json
from incidents.entries import Incident, Kind
from incidents.markdown import markdown
from incidents.redact import redacted
from incidents.shelf import kept, path_of
from incidents.store import StoreError, delete, read
from incidents.stories import in_order, stories
from incidents.telling import Times, ending, remarks, span, subject_text
from situation.clock import utc_now
from situation.findings import Severity
from situation.text import harmless
from situation.version import VERSION
from tui.exits import UsageProblem
from tui.output import speaks_unicode
from tui.paths import state_dir
from tui.recorder import FOLDER

_HEAD: Final = ("ID", "CONTEXT", "BEGAN (UTC)", "LASTED", "CAUSES", "WHO")
_ALL_SHOWN: Final = 3
"""People that are named in the list."""
_PRIVATE: Final = 0o600


def _folder() -> Path:
    return state_dir() / FOLDER


def _read(name: str) -> Incident:
    try:
        return read(path_of(_folder(), name))
    except StoreError as error:
        raise UsageProblem(str(error)) from error


def list_incidents() -> Iterator[str]:
    """Yield a table of all incidents, then those that cannot be read."""
    found = kept(_folder())
    rows = [_HEAD, *(_row(item.incident) for item in found if item.incident is not None)]
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        yield from (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
    elif not found:
        yield f"no incident is kept in {_folder()}"
    yield from (f"not readable: {item.problem}" for item in found if item.incident is None)


def _row(incident: Incident) -> tuple[str, ...]:
    told = [story for story in stories(incident.entries) if story.is_grave]
    grave = sum(story.gravest is Severity.CRITICAL for story in told)
    critical = f", {grave} critical" if grave else ""
    people = incident.people
    more = f" and {len(people) - _ALL_SHOWN} more" if len(people) > _ALL_SHOWN else ""
    state = "" if incident.ended else " (being written)" if incident.live else " (left open)"
    return (
        incident.id,
        f"{incident.context or '-'}{' (simulated)' if incident.simulated else ''}",
        f"{incident.began.astimezone(UTC):%Y-%m-%d %H:%M}",
        span(incident.began, incident.until(utc_now())) + state,
        f"{len(told)}{critical}",
        ", ".join(people[:_ALL_SHOWN]) + more,
    )


def show_incident(name: str) -> Iterator[str]:
    """Yield the timeline of an incident. Raises UsageProblem."""
    incident = _read(name)
    times = Times(incident, None)
    lasted = span(incident.began, incident.until(utc_now()))
    simulated = f" · simulated: {incident.simulated}" if incident.simulated else ""
    yield f"{incident.id} · context {incident.context or 'of the cluster it ran in'}{simulated}"
    yield f"began {times.full(incident.began)} · lasted {lasted} · {ending(incident)}"
    yield ""
    for entry in in_order(incident):
        grave = f" {entry.severity.value}" if entry.severity and entry.kind.begins_cause else ""
        who = f" {entry.who}:" if entry.who else ""
        more = remarks(entry)
        about = f" [{subject_text(entry.subject)}]" if entry.kind.begins_cause and entry.subject else ""
        text = f"{entry.text}{about}" + (f" ({more})" if more else "")
        yield f"{times.utc(entry.at)}  {entry.kind.word + grave:<32}{who} {text}"


def delete_incident(name: str, *, yes: bool) -> int:
    """Delete an incident and return the exit code. Raises UsageProblem."""
    try:
        path = path_of(_folder(), name)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageProblem("nobody can be asked here: give --yes")
            if not click.confirm(f"{harmless(_told(path))}\nDelete it for good?", err=True):
                return 1
        delete(path)
    except StoreError as error:
        raise UsageProblem(str(error)) from error
    return 0


def _told(path: Path) -> str:
    """Say what would be deleted."""
    try:
        incident = read(path)
    except StoreError as error:
        return str(error)
    notes = sum(entry.kind is Kind.NOTE for entry in incident.entries)
    return f"{incident.id}: {len(incident.entries)} entries, {notes} notes, by {', '.join(incident.people)}"


def exported(name: str, *, as_data: bool, redact: bool) -> Iterator[str]:
    """Yield the lines of an incident's Markdown or JSON. Raises UsageProblem."""
    incident = _read(name)
    if redact:
        incident = redacted(incident)
    if as_data:
        yield json.dumps(as_json(incident), indent=1, ensure_ascii=not speaks_unicode())
    else:
        yield from markdown(incident, utc_now(), None, VERSION)


def write_file(path: Path, lines: Iterable[str]) -> None:
    """Write a new file, for its owner only: a draft that people went on with is never overwritten.

    Raises UsageProblem.
    """
    try:
        handle = os.open(path.expanduser(), os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    except FileExistsError:
        raise UsageProblem(f"{path}: there is such a file already; it is left as it is") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot write it: {error.strerror}") from error
