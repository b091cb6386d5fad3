"""Writes docs/playbooks.md from the playbooks, and the tables of docs/playbooks-format.md from the code's own."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playbooks.figures import FIGURES
from playbooks.loading import load_playbooks
from playbooks.model import Library, Playbook, Step
from playbooks.placeholders import PLACEHOLDERS
from tui.playbook_text import EFFECTS, command_text, place_text

_BEGIN: Final = "<!-- table of {} -->"
_END: Final = "<!-- end -->"


def pages(library: Library) -> Iterator[str]:
    """Yield the lines of the page of all playbooks."""
    yield "# The playbooks"
    yield ""
    yield "Made from the playbooks themselves by `make docs`; `midwatch playbooks ID` prints one. How they are written:"
    yield "[playbooks-format.md](playbooks-format.md)."
    for playbook in library.playbooks:
        yield from _playbook(playbook, library)


def _playbook(playbook: Playbook, library: Library) -> Iterator[str]:
    yield ""
    yield f"## {playbook.title}"
    yield f"`{playbook.id}`" + (f", layer {playbook.layer.value}" if playbook.layer is not None else "")
    yield ""
    yield playbook.summary
    if playbook.notes:
        yield ""
        yield playbook.notes
    if playbook.rules:
        yield ""
        yield f"Offered after {', '.join(f'`{rule}`' for rule in playbook.rules)}."
    for number, step in enumerate(playbook.steps, start=1):
        yield ""
        yield f"{number}. **{step.ask}**"
        yield from (f"   {line}".rstrip() for line in _step(step, playbook, library))


def _step(step: Step, playbook: Playbook, library: Library) -> Iterator[str]:
    if step.check_text:
        yield f"Answered by `{step.check_text}`."
    if step.look_for:
        yield step.look_for
    if step.command.argv:
        said = ", ".join(filter(None, (EFFECTS[step.command.effect], place_text(step.command))))
        if said:
            yield f"*{said}*:".replace("<", "&lt;")
        yield ""
        yield "```sh"
        yield command_text(step.command)
        yield "```"
    for way in step.ways:
        other = library.get(way.to.playbook)
        inside = way.to.playbook == playbook.id or other is None
        yield f"- {way.answer} → {f'step `{way.to.step}`' if inside or other is None else other.title}: {way.say}"
    if step.notes:
        yield ""
        yield from step.notes.splitlines()


def tables() -> dict[str, list[str]]:
    """Return the rows of the tables of the format page, by name."""
    figures = [f"| `{name}` | {item.kind.value} | {item.meaning} |" for name, item in FIGURES.items()]
    placeholders = [f"| `<{name}>` | {item.found} |" for name, item in PLACEHOLDERS.items()]
    return {
        "figures": ["| Figure | Is a | What it is |", "|---|---|---|", *figures],
        "placeholders": ["| Placeholder | Filled from |", "|---|---|", *placeholders],
    }


def with_tables(text: str) -> str:
    """Put the tables of today between their marks."""
    for name, rows in tables().items():
        before, mark, rest = text.partition(_BEGIN.format(name))
        _, end, after = rest.partition(_END)
        text = "\n".join((before + mark, *rows, end + after))
    return text


if __name__ == "__main__":
    page, format_page = map(Path, sys.argv[1:3])
    page.write_text("\n".join(pages(load_playbooks())) + "\n", encoding="utf-8")
    format_page.write_text(with_tables(format_page.read_text(encoding="utf-8")), encoding="utf-8")
