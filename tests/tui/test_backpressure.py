import os
import select
import sys
import time

from textual.app import App

from tests.tui.ptys import DEADLINE_S, Terminal, child_environ, on_terminal
from tui.backpressure import TerminalPressure

# Sends until the terminal no longer follows, then only looks. Tells what it sees on a pipe.
FLOODING = """
import os, sys
from textual.app import App
from tui.backpressure import TerminalPressure
class Flooding(App):
    def on_mount(self):
        self.pressure = TerminalPressure(self)
        self.told = ""
        self.flooded = False
        self.set_interval(0.01, self.look)
    def look(self):
        self.tell("found" if self.pressure._queue() is not None else "missing")
        if self.pressure.is_backed_up():
            self.flooded = True
            self.tell("backed up")
        elif self.flooded:
            self.tell("clear")
            self.exit()
        else:
            self._driver.write("x" * 2000)
    def tell(self, what):
        if what not in self.told:
            self.told += what
            os.write(int(sys.argv[1]), (what + "|").encode())
Flooding().run()
"""


def heard(pipe: int, wanted: str, terminal: Terminal, *, reading: bool) -> None:
    """Wait until the child has said `wanted`, reading its terminal meanwhile or not."""
    said = ""
    end = time.monotonic() + DEADLINE_S
    while wanted not in said:
        assert time.monotonic() < end, said
        ready, _, _ = select.select([pipe, *([terminal.handle] if reading else [])], [], [], 0.2)
        if pipe in ready:
            more = os.read(pipe, 1000).decode()
            assert more, f"the child ended: {terminal.received[-2000:]!r}"
            said += more
        if terminal.handle in ready:
            terminal.read_some()


def test_a_terminal_that_stops_reading_is_noticed_and_so_is_its_recovery() -> None:
    pipe, child_side = os.pipe()
    argv = [sys.executable, "-c", FLOODING, str(child_side)]
    try:
        with on_terminal(argv, child_environ(), pass_fds=[child_side]) as terminal:
            os.close(child_side)
            heard(pipe, "found|", terminal, reading=True)
            heard(pipe, "backed up|", terminal, reading=False)
            heard(pipe, "clear|", terminal, reading=True)
            terminal.read_to_end()
    finally:
        os.close(pipe)


async def test_without_a_terminal_there_is_no_pressure() -> None:
    app: App[None] = App()
    assert not TerminalPressure(app).is_backed_up()
    async with app.run_test():
        assert not TerminalPressure(app).is_backed_up()
