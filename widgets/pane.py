"""A pane: a title line that tells what is shown and how fresh it is, and a body below it."""

from datetime import datetime
from typing import Final

import msgspec
from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from situation.clock import duration_text, moment_text, stepped_s
from situation.readings import Source, SourceState
from widgets.glyphs import STATE_ROLE, color

_RULE: Final = "─"


class PaneState(msgspec.Struct, frozen=True):
    """How fresh a pane's content is."""

    state: SourceState = SourceState.STARTING
    age_s: float | None = None
    """Rounded down to a step, so that equal states are equal."""
    polled: bool = False
    """Live, but only as of the last list: it may not be watched."""
    as_of: str = ""
    """When all that the source can tell was true, although it is live: etcd takes no writes since."""
    word: str = ""
    """Said instead, by what is no source: the log is `on disk`."""

    @property
    def text(self) -> str:
        """`live 0s`, `polled 40s`, `stale 3m`, `as of 02:41:07`, `forbidden` ..."""
        if self.word:
            return self.word
        if self.as_of:
            return f"as of {self.as_of}"
        word = "polled" if self.polled else self.state.value
        return word if self.age_s is None else f"{word} {duration_text(self.age_s)}"


def pane_state(*sources: Source, now: datetime, frozen_since: datetime | None = None) -> PaneState:
    """Return the state of the worst of several sources; `frozen_since`: since when they can only tell history."""
    order = list(SourceState)
    worst = max(sources, key=lambda source: (order.index(source.state_at(now)), source.age_s(now) or 0.0))
    age_s, state = worst.age_s(now), worst.state_at(now)
    shown_s = None if age_s is None else stepped_s(age_s)
    if state is SourceState.LIVE and frozen_since is not None:
        return PaneState(SourceState.STALE, as_of=moment_text(frozen_since, now))
    return PaneState(state, shown_s, polled=state is SourceState.LIVE and bool(worst.error))


class PaneTitle(Widget):
    """One line: name, what of it is shown, a rule, and the state of the source."""

    DEFAULT_CSS = """
    PaneTitle { height: 1; width: 1fr; color: $midwatch-dim; }
    """

    name_text: reactive[str] = reactive("")
    note: reactive[str] = reactive("")
    state: reactive[PaneState] = reactive(PaneState)
    active: reactive[bool] = reactive(False)
    fault: reactive[str] = reactive("")

    def render(self) -> Content:
        if self.fault:
            return fault_line(self.name_text, self.fault, self.size.width)
        return title_line(self.name_text, self.note, self.state, self.active, self.size.width)


def fault_line(name: str, fault: str, width: int) -> Content:
    """Build the title line of a pane that could not be painted."""
    text = set_cell_size(f"▲ {name}: not painted, see the log: {fault}", width)
    return Content.styled(text, color("critical", "bold"))


def title_line(name: str, note: str, state: PaneState, active: bool, width: int) -> Content:
    """Build the title line for a width in cells; the note gives way first, the state last."""
    status = f" {state.text} "
    room = max(0, width - cell_len(name) - cell_len(status) - 6)
    shown = f" · {note}" if note else ""
    if cell_len(shown) > room:
        shown = set_cell_size(shown, room - 1) + "…" if room > 4 else ""
    fill = max(1, width - cell_len(name) - cell_len(shown) - cell_len(status) - 5)
    edge = color("focus") if active else color("dim")
    return Content.assemble(
        (f"{_RULE}{'▸' if active else _RULE} ", edge),
        (name, color("focus", "bold") if active else "bold $foreground"),
        (shown, color("dim")),
        (" " + _RULE * fill, edge),
        (status, color(STATE_ROLE[state.state])),
        (_RULE, edge),
    )


class Pane(Vertical):
    """Base of all panes. Subclasses yield their body from `compose_body`."""

    DEFAULT_CSS = """
    Pane { height: 1fr; width: 1fr; }
    """

    TITLE = ""

    fault: reactive[str] = reactive("", init=False)
    """An error of ours because of which the pane could not be painted: what it shows is not to be believed."""

    def compose(self) -> ComposeResult:
        yield PaneTitle()
        yield from self.compose_body()

    def compose_body(self) -> ComposeResult:
        """Yield the widgets below the title."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self._title.name_text = self.TITLE

    def watch_fault(self, fault: str) -> None:
        self._title.fault = fault

    @property
    def _title(self) -> PaneTitle:
        return self.query_one(PaneTitle)

    def tell(self, state: PaneState, note: str = "", name: str | None = None) -> None:
        """Say how fresh the content is and what of the whole is shown."""
        title = self._title
        title.state = state
        title.note = note
        title.name_text = self.TITLE if name is None else name

    def on_descendant_focus(self) -> None:
        self._title.active = True

    def on_descendant_blur(self) -> None:
        self._title.active = False
