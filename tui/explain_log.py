"""`midwatch explain --log`: the known faults that a log tells; and a single log signature explained like a rule."""

import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from diagnosis.log_catalogue import ALL, BY_ID
from diagnosis.log_catalogue.signature import Signature, Step, Weight
from diagnosis.log_signatures import LINES_KEPT, Match, find_signatures, trigger
from situation.quantity import counted
from tui.exits import UsageProblem
from widgets.glyphs import EFFECT

LIMIT_BYTES: Final = 64 * 2**20
EXIT_NOTHING_FOUND: Final = 1
_HEAD_BYTES: Final = 4096
_WIDTH: Final = 100
_STDIN: Final = "standard input"
_WEIGHT: Final = {Weight.FAULT: "fault", Weight.WAITS: "waits for something else", Weight.NOTE: "no fault by itself"}


def list_signatures() -> Iterator[str]:
    """Yield one line for each log signature, by family."""
    for signature in ALL:
        yield f"log {signature.family:<9} {signature.id:<26}  {signature.meaning}"


def signatures_named(wanted: str) -> list[Signature]:
    """Return the signatures with that id or row (`gpu-05`)."""
    if wanted in BY_ID:
        return [BY_ID[wanted]]
    return [signature for signature in ALL if signature.row and signature.row == wanted.lower()]


def explain_signature(signature: Signature) -> Iterator[str]:
    """Yield the explanation of one signature."""
    row = f" · {signature.row}" if signature.row else ""
    yield f"{signature.id} · log of {signature.found_in} · {_WEIGHT[signature.weight]}{row}"
    yield from _wrapped(signature.meaning)
    yield ""
    yield "looks for, in a line of the log"
    for text in signature.texts:
        yield from textwrap.wrap(text, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    yield "why"
    yield from _wrapped(signature.cause)
    if signature.look_alikes:
        yield "look-alikes, and how they are told apart"
        for name, tell in signature.look_alikes.items():
            yield from textwrap.wrap(f"{name}: {tell}", _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    if signature.over:
        yield f"is more specific than: {', '.join(signature.over)}"
    yield "next"
    yield from _steps(signature)


def explain_log(name: str) -> tuple[list[str], int]:
    """Return what a log tells, in lines, and the exit code: 0 if it tells a known fault, else EXIT_NOTHING_FOUND.

    Raises UsageProblem for a file that cannot be read as a log.
    """
    text, shown = read_log(name)
    matches = find_signatures(text)
    if not matches:
        said = "no text of a known fault" if text.strip() else "the log is empty"
        return [f"{shown}: {said}; `midwatch explain --list` names what is known"], EXIT_NOTHING_FOUND
    return list(_found(shown, matches)), 0


def read_log(name: str) -> tuple[str, str]:
    """Return (text, what messages call the file); `-` is standard input. Raises UsageProblem naming the file."""
    shown = _STDIN if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LIMIT_BYTES + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(LIMIT_BYTES + 1)
    except IsADirectoryError:
        raise UsageProblem(f"{shown}: a folder; name one log file, or `-` for a pipe") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: `~nobody`
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageProblem(f"{shown}: cannot read it: {said}") from error
    return _text(data, shown), shown


def _text(data: bytes, shown: str) -> str:
    source = "" if shown == _STDIN else f" {shlex.quote(shown)}"
    if len(data) > LIMIT_BYTES:
        raise UsageProblem(
            f"{shown}: larger than {LIMIT_BYTES >> 20} MiB; {_through(f'tail -n 100000{source}')} its end"
        )
    if data.startswith(b"\x1f\x8b"):
        raise UsageProblem(f"{shown}: compressed; {_through(f'zcat{source}')} it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageProblem(f"{shown}: UTF-16, not UTF-8 text; {_through(f'iconv -f UTF-16{source}')} it")
    if b"\0" in data[:_HEAD_BYTES]:
        raise UsageProblem(f"{shown}: a binary file, not a log")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageProblem(
            f"{shown}, line {line}: not UTF-8 text; {_through(f'iconv -c -t UTF-8{source}')} what is"
        ) from error


def _through(command: str) -> str:
    return f"`{command} | midwatch explain --log -` reads"


def _found(shown: str, matches: tuple[Match, ...]) -> Iterator[str]:
    first = trigger(matches)
    came_first = f"; line {first.line} came first: {first.signature.id}" if first else ""
    yield f"{shown}: {counted(len(matches), 'known text')}{came_first}"
    for match in sorted(matches, key=lambda match: (match is not first, bool(match.explained_by))):
        yield ""
        yield from _explained(match)


def _explained(match: Match) -> Iterator[str]:
    signature = match.signature
    more = len(match.lines) - 1
    times = f" and {more}{' or more' if len(match.lines) >= LINES_KEPT else ''} more" if more else ""
    yield f"line {match.line}{times} · {signature.id}{f' · {signature.row}' if signature.row else ''}"
    yield from textwrap.wrap(match.text, _WIDTH, initial_indent="  | ", subsequent_indent="  | ")
    if match.explained_by:
        yield f"  is explained by {match.explained_by}; alone it would mean: {signature.meaning}"
        return
    yield from _wrapped(signature.meaning)
    yield from _wrapped(f"why: {signature.cause}")
    for name, tell in signature.look_alikes.items():
        yield from _wrapped(f"not {name}: {tell}")
    yield "  next"
    yield from _steps(signature)


def _steps(signature: Signature) -> Iterator[str]:
    for step in signature.next:
        yield from textwrap.wrap(_step(step), _WIDTH, initial_indent="  - ", subsequent_indent="    ")
        if step.argv:
            yield f"    {template(step)}"


def _step(step: Step) -> str:
    where = "" if step.where == "here" else f" (on {step.where})"
    effect = f" [{EFFECT[step.effect]}]" if EFFECT[step.effect] else ""
    return f"{step.text}{where}{effect}"


def template(step: Step) -> str:
    """Return a command with its placeholders, to be read, not pasted."""
    argv = list(step.argv)
    if argv[0] == "kubectl" and step.namespace:
        argv[1:1] = ["-n", step.namespace]
    return " ".join(argv)


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent="  ", subsequent_indent="  ")
