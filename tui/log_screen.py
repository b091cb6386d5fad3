"""The log of one container on a screen of its own: what is known of what it says, above its lines."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from rich.cells import set_cell_size
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from diagnosis.log_catalogue.signature import DRIVER_NAMESPACE, DRIVER_POD
from diagnosis.log_reads import log_read
from playbooks.commands import Target
from situation.gpu.operand_pods import driver_pod
from situation.log_reads import LOG_SOURCE
from situation.logs import LogTarget, PodLog, last_line
from situation.pods import Pod
from situation.quantity import counted
from situation.readings import Reading, SourceState
from situation.situation import Situation
from situation.text import harmless
from tui.connection import LogReader
from tui.copying import ChooseCommand, CopyCommand
from tui.log_picture import Picture, picture, plain_card, signature_card
from tui.log_store import LogStore, run_key
from widgets.evidence import Card, CardBody
from widgets.glyphs import color
from widgets.key_hints import KeyHints
from widgets.log_view import LogRow, LogView
from widgets.pasted_line import PastedLine


class SignatureBody(CardBody):
    """What the log tells, as tall as it needs within two fifths of the screen."""

    DEFAULT_CSS = """
    SignatureBody { height: 3; min-height: 3; background: $surface; }
    """

    card = Card()

    def give(self, card: Card) -> None:
        """Show a card."""
        anew, self.card = card.title != self.card.title, card
        self.show(card, anew=anew)
        self.styles.height = max(3, min(self.line_count, self.app.size.height * 2 // 5))

    def on_resize(self) -> None:
        self.give(self.card)


class LogScreen(Screen[None]):
    """Reads a log when it opens, and again when asked; never by itself."""

    DEFAULT_CSS = """
    LogScreen { layout: vertical; }
    LogScreen #log-title { height: 1; background: $panel; }
    LogScreen #log-search { height: 1; border: none; padding: 0 1; background: $surface; display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close", id="log.close", tooltip="Take the search back, then close the log"),
        Binding("c", "copy", "Copy next", id="log.copy", tooltip="Copy the command for what the log tells"),
        Binding("C", "choose", "Choose", show=False, id="log.choose", tooltip="Choose among the commands"),
        Binding("slash", "search", "Search", id="log.search", tooltip="Search in the log"),
        Binding("n", "go_on(1)", "Next", id="log.next", tooltip="Next line found, or that tells a fault"),
        Binding("N", "go_on(-1)", "Previous", show=False, id="log.previous", tooltip="The line before it"),
        Binding("J", "scroll_card(1)", "Scroll down", show=False, id="log.card_down", tooltip="Scroll what it tells"),
        Binding("K", "scroll_card(-1)", "Scroll up", show=False, id="log.card_up", tooltip="Scroll it back"),
        Binding("r", "reload", "Read again", id="log.reload", tooltip="Read the log again, now"),
    ]

    def __init__(
        self,
        target: LogTarget,
        reader: LogReader,
        situation: Situation,
        store: LogStore,
        cluster: Target,
        clock: Callable[[], datetime],
        publish: Callable[[Reading], None],
        *,
        explains: bool = True,
    ) -> None:
        """Without `explains` the telling lines are marked, and not what they tell."""
        super().__init__()
        self._explains = explains
        self._target = target
        self._reader = reader
        self._situation = situation
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._publish = publish
        self._picture: Picture | None = None
        self._read_at: datetime | None = None
        self._fault = ""
        self.is_reading = False

    def compose(self) -> ComposeResult:
        yield Static(id="log-title", markup=False)
        yield SignatureBody()
        yield LogView(id="log-view")
        yield PastedLine(placeholder="words in the log · enter keeps, esc clears", id="log-search", compact=True)
        yield KeyHints()

    def on_mount(self) -> None:
        self.view.focus()
        self.action_reload()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def body(self) -> SignatureBody:
        return self.query_one(SignatureBody)

    def action_scroll_card(self, by: int) -> None:
        """Scroll what the log tells, where it does not fit: the keyboard stays with the log."""
        self.body.action_scroll_facts(by)

    # Reading

    def action_reload(self) -> None:
        """Read the log, unless it is being read."""
        if self.is_reading:
            return
        self.is_reading = True
        if self._picture is None:
            self.body.give(plain_card("reading the log …", self._cluster, self._target))
            self.view.show(
                [LogRow("the last 200 lines of the previous and the present run are asked for", part="note")]
            )
        self._draw_title()
        self._read()

    @work(group="log", exit_on_error=False)
    async def _read(self) -> None:
        key, pod = run_key(self._target, self._situation), self._pod
        log = await self._reader(self._target)
        self._take(log)
        if (read := log_read(log, pod, self._pod)) is not None:
            self._publish(Reading(LOG_SOURCE, SourceState.LIVE, log.observed_at, read))
        if self._picture is not None:
            self._store.keep(key, self._picture.matches, log.observed_at, last_line(log))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group != "log" or event.state not in (WorkerState.ERROR, WorkerState.SUCCESS):
            return
        self.is_reading = False
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self._fault = harmless(f"internal error: {type(error).__name__}: {error}")
            self.log.error(self._fault)
        self._draw_title()

    def _take(self, log: PodLog) -> None:
        self._fault = ""
        self._read_at = log.observed_at
        shown = self._picture = picture(log)
        self.view.show(shown.rows)
        self.call_after_refresh(self.view.go_to, shown.start)
        if shown.first is not None:
            self.body.give(self._card(shown, shown.start))
        elif not shown.was_read:
            self.body.give(plain_card("there is no log to show", self._cluster, self._target))
        else:
            said = "what it said last, from its end up, is where to look"
            self.body.give(plain_card("no text of a known fault in it", self._cluster, self._target, said=said))

    def _card(self, shown: Picture, row: int) -> Card:
        if not self._explains:
            return plain_card("what the marked lines tell is hidden until the answer", self._cluster, self._target)
        return signature_card(shown.at_row[row], shown, self._place(), self._cluster, self._target)

    @property
    def _pod(self) -> Pod | None:
        return self._situation.pods.get((self._target.namespace, self._target.pod))

    def _place(self) -> dict[str, str]:
        target, pod = self._target, self._pod
        node = pod.spec.node_name if pod is not None else ""
        driver = driver_pod(node, self._situation) if node else None
        return {
            "<namespace>": target.namespace,
            "<pod>": target.pod,
            "<container>": target.container,
            "<node>": node,
            DRIVER_POD: driver.name if driver is not None else "",
            DRIVER_NAMESPACE: driver.namespace if driver is not None else "",
        }

    def _draw_title(self) -> None:
        target, width = self._target, self.app.size.width
        container = f" · {target.container}" if target.container else ""
        if self._fault:
            state, role = self._fault, "critical"
        elif self.is_reading:
            state, role = "reading …", "waiting"
        else:
            state, role = f"read at {self._read_at.astimezone(UTC):%H:%M:%S} UTC" if self._read_at else "", "dim"
        if words := self.view.words:
            state = f"“{words}” in {counted(self.view.hits, 'line')} · {state}"
        state = f" {state} "
        name = f" Log of {target.pod}{container} · {target.namespace} "
        self.query_one("#log-title", Static).update(
            Content.assemble(
                (set_cell_size(name, max(0, width - len(state))), color("focus", "bold")), (state, color(role))
            )
        )

    def on_resize(self) -> None:
        if self.is_mounted:
            self._draw_title()

    # Keys

    def on_log_view_went_to(self, event: LogView.WentTo) -> None:
        if self._picture is not None and event.row in self._picture.at_row and not self.view.words:
            self.body.give(self._card(self._picture, event.row))

    def action_go_on(self, by: int) -> None:
        """Go to the next line that the search found, without a search to the next that tells a fault."""
        if not self.view.go_on(by):
            said = f"“{self.view.words}” is not in this log." if self.view.words else "No line tells a known fault."
            self.notify(said, severity="warning", markup=False)

    def action_copy(self) -> None:
        """Copy the next command."""
        if self.body.card.commands:
            self.post_message(CopyCommand(self.body.card.commands[0]))

    def action_choose(self) -> None:
        """Choose among the commands."""
        if self.body.card.commands:
            self.post_message(ChooseCommand(self.body.card.commands))

    def action_close(self) -> None:
        """Undo one step: the search, then the screen; what is being read is given up."""
        line = self.query_one("#log-search", Input)
        if line.display or self.view.words:
            line.value = ""
            self._search("")
            self._close_search()
        else:
            self.dismiss()

    def action_search(self) -> None:
        """Open the search line."""
        line = self.query_one("#log-search", Input)
        line.display = True
        self.set_focus(line)  # now: the next key is text already

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._search(event.value.strip())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_search()

    def _search(self, words: str) -> None:
        self.view.search(harmless(words))
        self._draw_title()

    def _close_search(self) -> None:
        self.query_one("#log-search", Input).display = False
        self.view.focus()
