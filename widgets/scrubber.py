"""The line of a tape that plays: how far it is, how fast it runs, and where its causes came and went."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from widgets.glyphs import color
from widgets.key_hints import named_keys

_LEAST_BAR: Final = 10
_KEYS: Final = (
    ("tape.pause", "p", "pause"),
    ("tape.step-back tape.step", ", .", "step"),
    ("tape.slower tape.faster", "< >", "speed"),
    ("tape.last-change tape.next-change", "[ ]", "change"),
    ("tape.go-to", ":", "go to"),
)


class TapeFacts(msgspec.Struct, frozen=True):
    """Where a tape is. Seconds are those of the tape."""

    second: float = 0.0
    start_s: float = 0.0
    end_s: float = 0.0
    """0 while the tape is still looked through."""
    now: datetime | None = None
    speed: float = 1.0
    is_playing: bool = True
    marks: tuple[tuple[float, bool], ...] = ()
    """Seconds at which causes changed, and whether some came (else they only went)."""
    problem: str = ""


class Scrubber(Widget):
    """Draws TapeFacts; a click on the bar goes there."""

    DEFAULT_CSS = """
    Scrubber { height: 1; width: 1fr; background: $surface; color: $foreground; }
    """

    facts: reactive[TapeFacts] = reactive(TapeFacts)
    keys: reactive[Mapping[str, str]] = reactive(dict)
    """Those that are known by the ids of their bindings, as they are to be shown."""

    class PlacePicked(Message):
        """Somebody clicked on a place of the tape."""

        def __init__(self, second: float) -> None:
            self.second = second
            super().__init__()

    def render(self) -> Content:
        return scrubber_line(self.facts, self.size.width, self.keys)

    def on_click(self, event: events.Click) -> None:
        facts = self.facts
        before, after = _before(facts), _after(facts, self.size.width, self.keys)
        room = self.size.width - cell_len(before) - cell_len(after)
        place = event.x - cell_len(before)
        if facts.end_s > facts.start_s and 0 <= place < room:
            share = place / max(1, room - 1)
            self.post_message(self.PlacePicked(facts.start_s + share * (facts.end_s - facts.start_s)))


def scrubber_line(facts: TapeFacts, width: int, keys: Mapping[str, str]) -> Content:
    """Build the line for a width in cells; `keys` has those that are known by the ids of their bindings."""
    before = _before(facts)
    if facts.problem:
        return Content.assemble((before, "bold"), (f"▲ {facts.problem}", color("critical", "bold")))
    after = _after(facts, width, keys)
    room = width - cell_len(before) - cell_len(after)
    return Content.assemble((before, color("special", "bold")), *_bar(facts, max(room, 0)), (after, color("dim")))


def clock_text(seconds: float) -> str:
    """Return seconds as `1:02:07` or `02:07`."""
    whole = int(max(0.0, seconds))
    hours, rest = divmod(whole, 3600)
    return (f"{hours}:" if hours else "") + f"{rest // 60:02}:{rest % 60:02}"


def _before(facts: TapeFacts) -> str:
    glyph = "▶" if facts.is_playing else "‖"
    word = "plays" if facts.is_playing else "paused"
    time = f" {facts.now.astimezone(UTC):%H:%M:%S} UTC" if facts.now else ""
    return f" {glyph} tape {word} {facts.speed:g}x {clock_text(facts.second - facts.start_s)}{time} "


def _after(facts: TapeFacts, width: int, keys: Mapping[str, str]) -> str:
    length = f" {clock_text(facts.end_s - facts.start_s)} " if facts.end_s else " … "
    hint = f" {named_keys(_KEYS, keys)} "
    fits = width - cell_len(_before(facts)) - cell_len(length + hint) >= 3 * _LEAST_BAR
    return length + hint if fits else length


def _bar(facts: TapeFacts, room: int) -> Sequence[tuple[str, str]]:
    """Return the bar: what was played, where it is, what is to come, and the marks."""
    if room < _LEAST_BAR or facts.end_s <= facts.start_s:
        return ((" " * room, ""),)
    cells = [("─", color("dim"))] * room
    here = _cell(facts.second, facts, room)
    cells[:here] = [("━", color("special"))] * here
    for second, came in facts.marks:
        cells[_cell(second, facts, room)] = ("▲", color("critical", "bold")) if came else ("✓", color("fine", "bold"))
    cells[here] = ("●", color("focus", "bold"))
    return cells


def _cell(second: float, facts: TapeFacts, room: int) -> int:
    share = (second - facts.start_s) / (facts.end_s - facts.start_s)
    return max(0, min(room - 1, round(share * (room - 1))))
