"""Playbooks as plain text: the list, and one with its steps, checks and commands."""

import shlex
from collections.abc import Iterator
from textwrap import wrap
from typing import Final

from playbooks.loading import load_playbooks
from playbooks.model import Library, Playbook, Step, Template
from situation.findings import Effect
from tui.config import suggestion
from tui.exits import UsageProblem
from tui.paths import playbooks_dir

_WIDTH: Final = 100
_INDENT: Final = "   "
EFFECTS: Final = {
    Effect.READ: "",
    Effect.MUTATING: "changes the cluster",
    Effect.DISRUPTIVE: "interrupts service",
}


def list_playbooks() -> list[str]:
    """Return one line for each playbook, in order, then what could not be loaded."""
    library = load_playbooks(playbooks_dir())
    width = max((len(item.id) for item in library.playbooks), default=0)
    lines = [f"{item.id:<{width}}  {_layer(item)}  {item.title}{_own(item)}" for item in library.playbooks]
    return [*lines, *(f"not loaded: {problem}" for problem in library.problems)]


def print_playbook(id: str) -> list[str]:
    """Return a playbook as text. Raises UsageProblem where there is none of that id."""
    library = load_playbooks(playbooks_dir())
    playbook = library.get(id)
    if playbook is None:
        names = [item.id for item in library.playbooks]
        raise UsageProblem(f"there is no playbook {id!r}{suggestion(id, names)}; `midwatch playbooks` lists them")
    return list(_lines(playbook, library))


def _layer(playbook: Playbook) -> str:
    return f"layer {playbook.layer.value}" if playbook.layer is not None else "any    "


def _own(playbook: Playbook) -> str:
    return f"  (your own: {playbook.file})" if playbook.is_own else ""


def _lines(playbook: Playbook, library: Library) -> Iterator[str]:
    yield f"{playbook.title} ({playbook.id}){_own(playbook)}"
    yield from wrap(playbook.summary, _WIDTH)
    if playbook.rules:
        yield from wrap(f"Offered after: {', '.join(playbook.rules)}", _WIDTH, subsequent_indent=_INDENT)
    for number, step in enumerate(playbook.steps, start=1):
        yield ""
        yield from wrap(f"{number}. {step.ask}", _WIDTH, subsequent_indent=_INDENT)
        yield from _details(step, playbook, library)
    if playbook.notes:
        yield ""
        yield from _wrapped(playbook.notes, "")


def _details(step: Step, playbook: Playbook, library: Library) -> Iterator[str]:
    if step.check_text:
        yield f"{_INDENT}answered by: {step.check_text}"
    if step.command.argv:
        said = ", ".join(filter(None, (EFFECTS[step.command.effect], place_text(step.command))))
        yield f"{_INDENT}$ {command_text(step.command)}{f'   ({said})' if said else ''}"
    yield from _wrapped(step.look_for, _INDENT)
    for way in step.ways:
        other = library.get(way.to.playbook)
        name = way.to.step if way.to.playbook == playbook.id else f"{other.title if other else ''} ({way.to.playbook})"
        yield from wrap(f"{way.answer} -> {name}: {way.say}", _WIDTH, initial_indent=_INDENT, subsequent_indent="     ")
    yield from _wrapped(step.notes, _INDENT)


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from wrap(line, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def command_text(template: Template) -> str:
    """Return the command line with its placeholders, which are left unquoted so that they can be read."""
    argv = list(template.argv)
    if argv[:1] == ["kubectl"] and template.namespace:
        argv[1:1] = ["-n", template.namespace]
    return " ".join(word if word.startswith("<") and word.endswith(">") else _quoted(word) for word in argv)


def _quoted(word: str) -> str:
    plain = word.replace("<", "").replace(">", "")
    return word if shlex.quote(plain) == plain and plain else shlex.quote(word)


def place_text(template: Template) -> str:
    """Return where the command is run, empty for here."""
    return "" if template.where == "here" else f"on {template.where}"
