"""The first line: which cluster, how large, what we cost it, and the time."""

from datetime import UTC, datetime

import msgspec
from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from situation.readings import OwnLoad
from widgets.glyphs import color


class HeaderFacts(msgspec.Struct, frozen=True):
    """What the header tells; None for what is not known."""

    context: str = ""
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
    stay."""
    counts = " ".join(_counted(number, word) for number, word in ((facts.nodes, "node"), (facts.pods, "pod")))
    load = facts.load
    version = f" {facts.version}" if facts.version else ""
    clock = f" {facts.now.astimezone(UTC):%H:%M:%S} UTC " if facts.now else " "
    log = f" {facts.log} ·" if facts.log else ""
    wrong = f" {facts.clock} ·" if facts.clock else ""
    right = [(log, color("special")), (wrong, color("warning")), (clock, "bold")]
    room = width - sum(cell_len(text) for text, _ in right)
    left: list[tuple[str, str]] = [(f" {facts.context or 'no context'}", "bold"), (f"{version} · {counts}", "")]
    if facts.problem:
        middle = [(f"  ▲ {facts.problem}", color("critical", "bold"))]
    else:
        throttled = f" · {load.throttled} throttled" if load.throttled else ""
        middle = [
            (f"  {facts.mode}", color("fine")),
            (f" · {load.open_watches} watches · {load.requests_per_s:.1f} req/s{throttled}", ""),
        ]
    parts = left + middle
    while len(parts) > 1 and sum(cell_len(text) for text, _ in parts) > room:
        parts.pop(1 if facts.problem else min(2, len(parts) - 1))
    gap = max(0, room - sum(cell_len(text) for text, _ in parts))
    return Content.assemble(*parts, " " * gap, *right)


def _counted(number: int | None, word: str) -> str:
    if number is None:
        return f"? {word}s"
    return f"{number:,} {word}{'' if number == 1 else 's'}".replace(",", " ")
