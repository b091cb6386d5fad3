"""Draws the whole screen again. Only what changes is sent to a terminal, so what was lost there stays lost: after the
program was stopped and came back, and where another program wrote over the screen."""

from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from tui.backpressure import TerminalPressure


class RedrawnApp(App[int]):
    """Draws all when somebody asks for it, or comes back from a stop (ctrl+z in a shell around it, SIGTSTP)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+l", "redraw", "Redraw", show=False, priority=True, id="redraw", tooltip="Draw the whole screen again"
        ),
    ]

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.pressure = TerminalPressure(self)
        self._is_redraw_owed = False

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, self._came_back)

    def _came_back(self, _: App[Any]) -> None:
        self.action_redraw()

    def action_redraw(self) -> None:
        """Draw all again; as soon as the terminal has swallowed what it was sent."""
        self._is_redraw_owed = True
        self.redraw_if_owed()

    def redraw_if_owed(self) -> None:
        """Draw all again if somebody still waits for it: for who looks at the terminal again and again."""
        if self._is_redraw_owed and not self.pressure.is_backed_up():
            self._is_redraw_owed = False
            self.screen.refresh()
