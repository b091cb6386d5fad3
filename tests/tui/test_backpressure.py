import os
import select
import sys
import time

from textual.app import App

from tests.tui.ptys import DEADLINE_S, Terminal, child_environ, on_terminal
from tui.backpressure import TerminalPressure

# Sends until the terminal no longer follows, then only looks. Tells what it sees on a pipe. The writer's thread may lag
# for a moment on a busy machine: only a queue that stays filled over many looks is a terminal that stopped.
FLOODING = """
import os, sys
from textual.app import App
from tui.backpressure import TerminalPressure
class Flooding(App):
    def on_mount(self):
        self.pressure = TerminalPressure(self)
        self.told = ""
        self.filled = 0
        self.set_interval(0.01, self.look)
    def look(self):
        self.tell("found" if self.pressure._queue() is not None else "missing")
        if self.pressure.is_backed_up():
            self.filled += 1
            if self.filled == 50:
                self.tell("backed up")
        elif "backed up" in self.told:
            self.tell("clear")
            self.exit()
        else:
            self.filled = 0
            self._driver.write("x" * 2000)
    def tell(self, what):
        if what not in self.told:
            self.told += what
            os.write(int(sys.argv[1]), (what + "|").encode())
Flooding().run()
"""


class Pipe:
    """What the child says beside its terminal."""

    def __init__(self, handle: int, terminal: Terminal) -> None:
        self._handle = handle
        self._terminal = terminal
        self._said = ""

    def hear(self, wanted: str, *, reading: bool) -> None:
        """Wait until the child has said `wanted`, reading its terminal meanwhile or not."""
        end = time.monotonic() + DEADLINE_S
        handles = [self._handle, *([self._terminal.handle] if reading else [])]
        while wanted not in self._said:
            assert time.monotonic() < end, self._said
            ready, _, _ = select.select(handles, [], [], 0.2)
            if self._handle in ready:
                more = os.read(self._handle, 1000).decode()
                assert more, f"the child ended: {self._terminal.received[-2000:]!r}"
                self._said += more
            if self._terminal.handle in ready:
                self._terminal.read_some()


def test_a_terminal_that_stops_reading_is_noticed_and_so_is_its_recovery() -> None:
    pipe, child_side = os.pipe()
    argv = [sys.executable, "-c", FLOODING, str(child_side)]
    try:
        with on_terminal(argv, child_environ(), pass_fds=[child_side]) as terminal:
            os.close(child_side)
            told = Pipe(pipe, terminal)
            told.hear("found|", reading=True)
            told.hear("backed up|", reading=False)
            told.hear("clear|", reading=True)
            terminal.read_to_end()
    finally:
        os.close(pipe)


async def test_without_a_terminal_there_is_no_pressure() -> None:
    app: App[None] = App()
    assert not TerminalPressure(app).is_backed_up()
    async with app.run_test():
        assert not TerminalPressure(app).is_backed_up()
