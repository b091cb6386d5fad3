"""The text of the checklist panel, built for a width in cells."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from situation.findings import Effect
from widgets.evidence import wrap_command
from widgets.glyphs import EFFECT, color
from widgets.wrapping import wrapped

if TYPE_CHECKING:
    from widgets.checklist import ChecklistView, StepView

LOOK: Final = {"fine": ("✓", "fine"), "broken": ("✗", "critical"), "unknown": ("?", "waiting"), "": ("·", "dim")}
"""Glyph and colour of an automatic answer; the dot: only a person can tell."""
MARKS: Final = {"": ("□", "dim"), "ticked": ("■", "special"), "not applicable": ("–", "dim")}
_INDENT: Final = "     "
_MOST_LINES: Final = 2
"""Of the evidence of a broken step that is not looked at; of others one line is enough."""
_KEY_LINES: Final = 2
_DANGER: Final = {Effect.READ: "focus", Effect.MUTATING: "warning", Effect.DISRUPTIVE: "critical"}


def drawn(view: "ChecklistView", width: int, keys: str) -> tuple[list[Content], int, int]:
    """Return the rows, and from which to which the current step goes."""
    rows = [Content.styled(text, color("dim")) for text in wrapped(view.summary, width)] if view.summary else []
    if view.subject:
        rows += [Content.styled(text, color("focus")) for text in wrapped(f"for {view.subject}", width)]
    rows.append(Content(""))
    first = last = 0
    for number, step in enumerate(view.steps):
        begins = len(rows)
        is_current = number == view.current
        rows += _head(number, step, is_current, width)
        if is_current:
            rows += _details(step, width, keys)
            rows.append(Content(""))
            first, last = begins, len(rows)
    return rows, first, last


def _head(number: int, step: "StepView", is_current: bool, width: int) -> list[Content]:
    """The question with its answer; of steps that are not looked at only what is broken is proven here."""
    room = max(20, width - cell_len(_INDENT))
    mark, mark_role = MARKS[step.mark]
    glyph, role = LOOK[step.state]
    if not step.state and EFFECT[step.effect]:
        glyph, role = "▲", _DANGER[step.effect]  # the word for it stands at its command
    first, *rest = wrapped(f"{number + 1} {step.ask}", room)
    style = "bold" if is_current else color("dim") if step.mark == "not applicable" else ""
    rows = [
        Content.assemble(
            ("▸" if is_current else " ", color("focus", "bold")),
            (f"{mark} ", color(mark_role)),
            (f"{glyph} ", color(role, "bold")),
            (first, style),
        ),
        *(Content.styled(_INDENT + text, style) for text in rest),
    ]
    if step.state:
        words = f"{step.state}: {step.evidence}"
        told = wrapped(words, room)
        most = _MOST_LINES if step.state == "broken" else 1
        if not is_current and len(told) > most:
            told = [*told[: most - 1], told[most - 1][: room - 1].rstrip() + "…"]
        rows += [Content.styled(_INDENT + text, color(role if step.state == "broken" else "dim")) for text in told]
    if step.mark == "ticked" and step.by:
        rows.append(Content.styled(f"{_INDENT}ticked by {step.by}", color("special")))
    elif step.mark:
        rows.append(Content.styled(f"{_INDENT}does not apply{f': {step.by}' if step.by else ''}", color("dim")))
    if step.note:
        rows += [Content.styled(_INDENT + text, color("special")) for text in wrapped(f"note: {step.note}", room)]
    return rows


def _details(step: "StepView", width: int, keys: str) -> list[Content]:
    room = max(20, width - cell_len(_INDENT))
    rows = (
        [Content.styled(_INDENT + text, "") for text in wrapped(_plain(step.look_for), room)] if step.look_for else []
    )
    rows += _command(step, width, room)
    for key, way in zip(keys, step.ways, strict=False):
        style = color("focus", "bold")
        head = f"{way.answer} → {way.leads_to}"
        first, *rest = wrapped(f"{head}: {way.say}", room - 2)
        told = color("warning", "bold") if way.is_told else ""
        rows.append(Content.assemble((f"   {key} ", style), ("▸" if way.is_told else " ", told), (first, told)))
        rows += [Content.styled(f"{_INDENT}{text}", told) for text in rest]
    for line in step.notes.splitlines():
        indent = _INDENT + ("  " if line.startswith("- ") else "")
        first, *rest = wrapped(_plain(line), room - 2) or [""]
        rows.append(Content.styled(_INDENT + first, color("dim")))
        rows += [Content.styled(indent + text, color("dim")) for text in rest]
    return rows


def _command(step: "StepView", width: int, room: int) -> list[Content]:
    rows = []
    if EFFECT[step.effect]:
        rows.append(Content.styled(f"{_INDENT}▲ {EFFECT[step.effect]}", color(_DANGER[step.effect], "bold")))
    if step.caution:
        rows += [Content.styled(_INDENT + text, color("warning")) for text in wrapped(step.caution, room)]
    if step.where != "here" and (step.command or step.template):
        rows += [Content.styled(_INDENT + text, color("dim")) for text in wrapped(f"on {step.where}:", room)]
    if step.command:
        role = color(_DANGER[step.effect])
        rows += [Content.styled(f"   {text}", role) for text in wrap_command(step.command, width - 3)]
    elif step.template:
        rows += [Content.styled(f"   {text}", color("waiting")) for text in wrapped(step.template, width - 3)]
        if step.missing and not step.refused:
            names = ", ".join(f"<{name}>" for name in step.missing)
            said = f"not known: {names} · enter chooses"
        else:
            said = f"not offered: {step.refused}"
        rows += [Content.styled(_INDENT + text, color("warning")) for text in wrapped(said, room)]
    return rows


_KEYS: Final = (
    ("checklist.fill", "enter", "fill in"),
    ("next-step previous-step", "n/N", "step"),
    ("tick", "space", "tick"),
    ("copy", "c", "copy"),
    ("checklist.skip", "x", "n/a"),
    ("checklist.note", "m", "note"),
    ("checklist.playbook", "p", "playbooks"),
    ("checklist.return", "b", "return"),
    ("checklist", "l", "close"),
)
"""Ids of the bindings, their usual keys, and what they do, the most needed first."""


def keys_line(view: "ChecklistView", width: int, shown: Mapping[str, str]) -> Content:
    """Progress, then the keys that fit on two lines; `shown` has those that are known by the ids of their bindings."""
    step = view.step
    left_out = set() if view.can_return else {"checklist.return"}
    if step is not None and not step.command:
        left_out.add("copy")
    if step is None or not step.missing:
        left_out.add("checklist.fill")
    lines = [f"{view.progress} done"]
    for ids, usual, does in _KEYS:
        if ids in left_out:
            continue
        known = [shown[id] for id in ids.split() if id in shown]
        key = f"{'/'.join(known) or usual} {does}"
        if cell_len(lines[-1]) + 3 + cell_len(key) <= width:
            lines[-1] = f"{lines[-1]} · {key}"
        elif len(lines) < _KEY_LINES:
            lines.append(key)
    return Content("\n".join(lines))


def _plain(text: str) -> str:
    """Markdown's marks for code are for the documentation: here the words are enough."""
    return text.replace("`", "")
