"""The application: connects, turns the feed, paints, copies. Panes and rules know nothing of it."""

import asyncio
import gc
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import ClassVar, Final

from rich.text import Text
from textual import events, work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from collectors.urls import without_password
from incidents.store import StoreError
from playbooks.commands import Target
from situation.clock import utc_now
from situation.readings import Reading
from situation.steps import Steps
from situation.text import harmless
from tui.clipboard import copy
from tui.cockpit_screen import CockpitScreen
from tui.connection import Connected, ConnectionFailed
from tui.copying import ChooseCommand, CopyCommand
from tui.devices import nodes_first
from tui.dialogs import ChooseScreen, HelpRow, HelpScreen
from tui.feed import Feed, Turn
from tui.keeping_app import KeepingApp
from tui.keys_first import KeysFirst
from tui.kiosk import Idleness
from tui.log_desk import log_screen
from tui.log_screen import LogScreen
from tui.no_room import survive_without_room
from tui.notices import COPIED, PARTLY_COPIED
from tui.palette import cockpit_commands
from tui.recorder import Recorder
from tui.seen_nodes import seen_nodes
from tui.tape_keeper import TapeKeeper
from tui.themes import Themes, variable_defaults
from widgets.evidence import CardCommand

_TURN_S: Final = 0.1
"""From one turn to the next, or nearly: a redraw comes at the end of a turn, and they come evenly where so many turns
make up the time between two. Also where redraws are further apart (over SSH): a key waits less for small turns."""
_IMPATIENT_S: Final = 0.02
"""Pause between turns until the first judgement, which is painted at once; later there is none shorter."""
_LOADING_REDRAW_S: Final = 2.0
"""Pause between redraws until then: each costs a tenth of a second and more, as panes come, while the same processor
decodes ten thousand pods; where these are read sooner, none is worth it."""
_GC_THRESHOLDS: Final = (700, 10, 1000)
"""As Python's own but for full collections, which pause for 30 ms: what the cluster consists of is not tracked by the
collector and has no cycles, so at a thousand events a second one every few minutes is enough, not one every five
seconds."""
_NOTICE_CHARS: Final = 300
"""So much of a command is repeated in the notice: what became of it, below, must stay on the screen."""

Connection = Callable[[Callable[[Reading], None]], AbstractAsyncContextManager[Connected]]
"""A way to a cluster: entering it starts publishing readings, leaving it stops everything it started."""


class Cockpit(KeepingApp):
    """The cockpit. `connection` is entered after the first paint, because its imports take longer than that."""

    CSS_PATH = Path(__file__).parent.parent / "themes" / "cockpit.tcss"
    TITLE = "midwatch"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", id="help", tooltip="Keys, and how to read the screen"),
        Binding(
            "ctrl+p", "command_palette", "Palette", show=False, priority=True, id="palette", tooltip="Command palette"
        ),
        Binding("S", "save_tape", "Save tape", show=False, id="save-tape", tooltip="Save the last half hour as a tape"),
        Binding("q", "quit", "Quit", id="quit", tooltip="Leave; nothing is changed anywhere"),
    ]

    def __init__(
        self,
        connection: Connection,
        target: Target,
        themes: Themes,
        *,
        theme: str,
        hz: float,
        mode: str,
        state_dir: Path,
        environ: dict[str, str],
        kiosk: bool = False,
        who: str = "",
        resume: str | None = None,
        keymap: dict[str, str] | None = None,
        ansi_color: bool | None = None,
        clock: Callable[[], datetime] = utc_now,
        records: bool = True,
        simulated: str = "",
    ) -> None:
        """`records`: write the log of the incident, and keep the last half hour so that it can be saved as a tape.

        `simulated` is the command that began the simulated cluster, empty for a real one.
        """
        super().__init__(ansi_color=ansi_color)
        survive_without_room()
        self._connection = connection
        self._clock = clock
        self._redraw_s = 1.0 / hz
        self._turn_s = self._redraw_s / max(1, round(self._redraw_s / _TURN_S))
        self._painted_at = 0.0
        self._state_dir = state_dir
        self._environ = environ
        self._kiosk = kiosk
        self._simulated = simulated
        self.recorder = self.make_recorder(who, resume)
        self.tape = TapeKeeper(clock, lambda: self.feed.situation, state_dir) if records else None
        self.feed = Feed(clock, self.tape.hear if self.tape else None)
        self.cockpit = self.make_screen(target, mode)
        self._keys_first = KeysFirst()
        self._unpainted: list[Turn] = []
        self._idleness = Idleness(clock())
        self._connected: Connected | None = None
        self._problems = themes.problems
        for item in themes.themes:
            self.register_theme(item)
        self.theme = theme
        if keymap:
            self.set_keymap(keymap)

    @property
    def origin(self) -> str:
        server = self._connected.server if self._connected else ""
        return self._simulated or without_password(server)

    def make_recorder(self, who: str, resume: str | None) -> Recorder:
        """Return what keeps the log that the timeline shows."""
        return Recorder(self._state_dir, who, self._clock, resume)

    def make_screen(self, target: Target, mode: str) -> CockpitScreen:
        """Return the one screen that shows the feed."""
        return CockpitScreen(self.feed, target, self._clock, mode, self.recorder)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme.dark)

    def get_default_screen(self) -> CockpitScreen:
        return self.cockpit

    def on_mount(self) -> None:
        self.call_after_refresh(self._collect)
        self.call_after_refresh(self._load_rules)
        self._turn_for_ever()
        self.keep_tape()
        for problem in self._problems[:3]:
            self.notify(problem, title="Theme", severity="warning", markup=False, timeout=15)

    @work(thread=True, group="rules")
    def _load_rules(self) -> None:
        """Import the rules while the connection is made."""
        import_module("diagnosis.engine")

    @work(group="collect", exclusive=True)
    async def _collect(self) -> None:
        """Hold the connection open until the program ends."""
        try:
            async with self._connection(self.feed.publish) as connected:
                self.cockpit.painter.target = connected.target
                self._connected = connected
                for note in (*connected.notes, *await self.open_log(harmless(connected.target.context))):
                    self.notify(harmless(note), title="Connection", markup=False, timeout=15)
                while True:
                    situation, diagnosis = self.feed.situation, self.feed.diagnosis
                    connected.want(diagnosis.wanted)
                    focus, visible = self.cockpit.attention.focus, seen_nodes(self.cockpit)
                    connected.tell(situation, nodes_first(situation, diagnosis, focus, visible))
                    await asyncio.sleep(1.0)
        except (ConnectionFailed, StoreError) as error:
            self.exit(return_code=64, message=Text(f"midwatch: {harmless(str(error))}"))

    @work(group="turns")
    async def _turn_for_ever(self) -> None:
        """Turn the feed as long as the program runs. Not from a timer: the application's own queue must stay open."""
        began = monotonic()
        while self.is_running:
            left_s = began + self._turn_s - monotonic() if self._is_judged else 0.0
            await asyncio.sleep(max(_IMPATIENT_S, left_s))
            began = monotonic()
            await self._turn()

    async def _turn(self) -> None:
        """One turn of the feed. Between its parts keys are answered."""
        was_judged = self._is_judged
        self._keys_first.begin_turn()
        self._unpainted.append(await self._keys_first.finish(self._turning()))
        is_first = self._is_judged and not was_judged
        await self._keys_first.finish(self.write_down())
        self.redraw_if_owed()
        if not gc.isenabled() and self._is_judged:
            gc.freeze()  # the first picture lives long: later collections need not walk it
            gc.set_threshold(*_GC_THRESHOLDS)
            gc.enable()
        if self.cockpit.is_mounted and (is_first or self._is_redraw_due()) and not self.pressure.is_backed_up():
            self._painted_at = monotonic()
            turn = _merged(self._unpainted)
            self._unpainted.clear()
            await self._keys_first.finish(self.cockpit.painting(turn))
        if is_first and self.cockpit.is_mounted:
            self.cockpit.call_after_refresh(self.cockpit.read_playbooks)  # not while the picture is being drawn
        if self._kiosk and self.cockpit.is_mounted and self._idleness.was_left(self._clock()):
            self._show_everything()

    def _turning(self) -> Steps[Turn]:
        return self.feed.turning()

    async def on_event(self, event: events.Event) -> None:
        self._keys_first.note(event)
        self._idleness.note(event, self._clock())
        await super().on_event(event)

    def _show_everything(self) -> None:
        """Show the whole cluster on a screen that was left, whatever was opened over it."""
        while self.screen is not self.cockpit:
            self.screen.dismiss()
        self.cockpit.show_everything()

    @property
    def _is_judged(self) -> bool:
        return self.feed.diagnosis.judged_at is not None

    def _is_redraw_due(self) -> bool:
        """Tell whether this turn is to be painted: with half a turn of grace, as timers come a little early or late."""
        pause_s = self._redraw_s if self._is_judged else max(self._redraw_s, _LOADING_REDRAW_S)
        return monotonic() - self._painted_at >= pause_s - self._turn_s / 2

    def on_open_log(self) -> None:
        """Open the log of what is attended to, or say why it cannot be."""
        opened = log_screen(self.cockpit, self.feed, self._connected, self._clock, kiosk=self._kiosk)
        if isinstance(opened, str):
            self.notify(opened, severity="warning", markup=False)
        elif self.screen is self.cockpit:
            self.push_screen(opened, lambda _: self.cockpit.paint(None))  # with what the log told

    # Copying

    def on_copy_command(self, message: CopyCommand) -> None:
        self._copy(message.command)

    def on_choose_command(self, message: ChooseCommand) -> None:
        def chosen(command: CardCommand | None) -> None:
            if command is not None:
                self._copy(command)

        if self.screen is self.cockpit:
            self.push_screen(ChooseScreen(message.commands), chosen)

    @work(group="copy")
    async def _copy(self, command: CardCommand) -> None:
        """Copy, and say which way was taken."""
        try:
            notice = await asyncio.to_thread(
                copy, command.line, environ=self._environ, write=self._write_to_terminal, state_dir=self._state_dir
            )
        except ValueError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if notice.is_copied:
            self.recorder.copied(command, notice.way, self.feed, self.cockpit.attention)
        line = command.line if len(command.line) <= _NOTICE_CHARS else command.line[: _NOTICE_CHARS - 1] + "…"
        self.notify(
            "\n".join(filter(None, (line, notice.sentence, self.copied_from()))),
            title=PARTLY_COPIED if notice.warning else COPIED,
            severity="warning" if notice.warning else "information",
            markup=False,
            timeout=6,
        )

    def copied_from(self) -> str:
        """Return what a person must know of where a copied command comes from, empty for the live cluster."""
        return ""

    def _write_to_terminal(self, sequence: str) -> None:
        driver = self._driver
        if driver is not None:
            self.call_from_thread(driver.write, sequence)

    # Help and palette

    def action_help(self) -> None:
        """Open the help."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.help_rows()))

    def help_rows(self) -> list[HelpRow]:
        """One row for each binding of ours in force on the cockpit's screen, or on that of a log, keys of the same
        action together."""
        rows: dict[str, HelpRow] = {}
        screen = self.screen if isinstance(self.screen, LogScreen) else self.cockpit
        for _, binding, _, tooltip in screen.active_bindings.values():
            name = binding.id
            if not name:
                continue  # the toolkit's own, for example to copy text selected by mouse
            key = self.get_key_display(binding)
            keys = f"{rows[name][0]} {key}" if name in rows and key not in rows[name][0].split() else key
            rows[name] = (keys, tooltip or binding.tooltip or binding.description, name)
        return list(rows.values())

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from (
            item for item in super().get_system_commands(screen) if item.title in ("Theme", "Quit", "Screenshot")
        )
        yield from cockpit_commands(self.cockpit, (name for _, name in self.feed.situation.namespaces))
        yield SystemCommand("Save tape", "Save the last half hour as a tape", self.action_save_tape)
        yield SystemCommand("Help", "Keys, and how to read the screen", self.action_help)


def _merged(turns: list[Turn]) -> Turn:
    """Several turns of which none was painted, as one."""
    return Turn(
        turns[-1].diagnosis,
        frozenset().union(*(turn.kinds for turn in turns)),
        frozenset().union(*(turn.pods for turn in turns)),
        any(turn.reordered for turn in turns),
    )
