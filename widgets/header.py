"""The first line: which cluster, how large, what we cost it, and the time."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from situation.readings import OwnLoad
from widgets.glyphs import color

CONNECTING: Final = "connecting …"
"""In place of a context whose name is not known before the kubeconfig was read."""
_NAME_LEAST: Final = 28
"""Cells of a cluster's name for which all else but a problem gives way."""
_NAME_BESIDE_PROBLEM: Final = 11


class HeaderFacts(msgspec.Struct, frozen=True):
    """What the header tells; None for what is not known."""

    context: str = CONNECTING
    mode: str = "read-only"
    """`read-only`, or what makes the picture special: `demo`, `kiosk`."""
    version: str | None = None
    nodes: int | None = None
    pods: int | None = None
    load: OwnLoad = OwnLoad()
    problem: str = ""
    """The one thing to know about the connection, for example `API server unreachable`."""
    now: datetime | None = None
    log: str = ""
    """What becomes of the log: `log 12`, `log in memory only`; empty while there is none."""
    clock: str = ""
    """How far this machine's clock is off, where the time shown is the cluster's instead."""


class HeaderBar(Widget):
    """Renders HeaderFacts; repainted once a second by the clock."""

    DEFAULT_CSS = """
    HeaderBar { height: 1; width: 1fr; background: $panel; color: $foreground; }
    """

    facts: reactive[HeaderFacts] = reactive(HeaderFacts)

    def render(self) -> Content:
        return header_line(self.facts, self.size.width)


def header_line(facts: HeaderFacts, width: int) -> Content:
    """Build the line for a width in cells; when it is narrow the mode goes first; a problem, the log and the clocks
    stay, and a long name of a cluster gives way at its beginning: clouds' names differ at their end."""
    counts = " ".join(_counted(number, word) for number, word in ((facts.nodes, "node"), (facts.pods, "pod")))
    load = facts.load
    version = f" {facts.version}" if facts.version else ""
    clock = f" {facts.now.astimezone(UTC):%H:%M:%S} UTC " if facts.now else " "
    log = f" {facts.log} ·" if facts.log else ""
    wrong = f" {facts.clock} ·" if facts.clock else ""
    right = [(log, color("special")), (wrong, color("warning")), (clock, "bold")]
    room = width - _cells(right)
    rest = [(f"{version} · {counts}", "")]
    if facts.problem:
        rest.append((f"  ▲ {facts.problem}", color("critical", "bold")))
    else:
        throttled = f" · {load.throttled} throttled" if load.throttled else ""
        rest.append((f"  {facts.mode}", color("fine")))
        rest.append((f" · {load.open_watches} watches · {load.requests_per_s:.1f} req/s{throttled}", ""))
    name = f" {facts.context or 'no context'}"
    least = min(cell_len(name), _NAME_LEAST)
    while len(rest) > bool(facts.problem) and least + _cells(rest) > room:
        rest.pop(0 if facts.problem else min(1, len(rest) - 1))
    if min(cell_len(name), _NAME_BESIDE_PROBLEM) + _cells(rest) > room:
        rest.clear()
    parts = [(_end_of(name, room - _cells(rest)), "bold"), *rest]
    return Content.assemble(*parts, " " * max(0, room - _cells(parts)), *right)


def _cells(parts: list[tuple[str, str]]) -> int:
    return sum(cell_len(text) for text, _ in parts)


def _end_of(text: str, cells: int) -> str:
    """Return as much of the end of a text as there is room for, with a mark where it was cut."""
    if cell_len(text) <= cells:
        return text
    end = text[2 - cells :] if cells > 2 else ""
    while end and cell_len(end) > cells - 2:
        end = end[1:]  # wide characters
    return f" …{end}" if end else ""


def _counted(number: int | None, word: str) -> str:
    if number is None:
        return f"? {word}s"
    return f"{number:,} {word}{'' if number == 1 else 's'}".replace(",", " ")
