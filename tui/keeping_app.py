"""The part of the application that keeps what happens: the log of the incident, and the tape of the last half hour."""

import asyncio
from typing import Final

from textual import on, work
from textual.notifications import Notify

from situation.boundary import Boundary
from situation.steps import Steps
from tui.cockpit_screen import CockpitScreen
from tui.feed import Feed
from tui.keys_in_order import InOrderApp
from tui.notices import ANSWERS, AnswersRead
from tui.recorder import Recorder
from tui.tape_keeper import TapeKeeper

_PACK_FROM_S: Final = 20.0
_PACK_S: Final = 2.0
"""How often what was heard is compressed for the tape."""


class KeepingApp(InOrderApp):
    """Neither log nor tape ever holds the cockpit up. A cockpit on a tape has no tape of its own, and writes no log."""

    feed: Feed
    cockpit: CockpitScreen
    recorder: Recorder
    tape: TapeKeeper | None

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._log_boundary = Boundary()

    @property
    def origin(self) -> str:
        """Where what is told comes from, as `Incident` has it."""
        raise NotImplementedError

    async def open_log(self, context: str) -> tuple[str, ...]:
        """Open the log of this context, and return what people should know of that. Raises StoreError."""
        if self.tape is None:
            return ()
        notes = await self.recorder.connect(context, self.origin)
        self.cockpit.resume_checklist()
        return notes

    def on_notify(self, event: Notify) -> None:
        """Let the answer to a key take the place of the answer before it; the toolkit then shows it."""
        if event.notification.title in ANSWERS:
            self._take_back_answers(refresh=False)

    @on(AnswersRead)
    def take_back_answers(self) -> None:
        """Take them from the screen; what is no answer to a key stays."""
        self._take_back_answers(refresh=True)

    def _take_back_answers(self, *, refresh: bool) -> None:
        for before in [told for told in self._notifications if told.title in ANSWERS]:
            self._unnotify(before, refresh=refresh)

    def on_unmount(self) -> None:
        self.close_log()

    def close_log(self) -> None:
        """Close the log; a second time does nothing."""
        self.recorder.close()

    def write_down(self) -> Steps[None]:
        """Write down what the last turn brought."""
        yield from self._log_boundary.attempt_steps("incident log", self.recorder.take(self.feed))
        for sentence in self.recorder.news():
            self.notify(sentence, title="Log", severity="warning", markup=False, timeout=15)

    @work(group="tape")
    async def keep_tape(self) -> None:
        """Pack what was heard, off the event loop; not while the first picture is put together."""
        if self.tape is None:
            return
        await asyncio.sleep(_PACK_FROM_S)
        while True:
            self.tape.begin_segment()
            await asyncio.to_thread(self.tape.pack)
            await asyncio.sleep(_PACK_S)

    @work(group="save", exclusive=True)
    async def action_save_tape(self) -> None:
        """Save the last half hour as a tape."""
        if self.tape is None:
            self.notify("this is a tape already", severity="warning", markup=False)
            return
        said = await asyncio.to_thread(self.tape.save, self.cockpit.painter.target, self.feed.situation.version)
        self.notify(said.text, title=said.title, severity="information" if said.is_saved else "error", markup=False)
