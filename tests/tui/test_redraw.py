"""The whole screen is drawn again: for who asks for it, and after the program was stopped and came back."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.ptys import Terminal, child_environ, on_terminal
from tests.tui.test_copy_end_to_end import cockpit
from tui.start import cockpit_bindings

COLUMNS, ROWS = 120, 40


def picture(raw: bytes) -> list[str]:
    """What stands on a terminal that was empty before."""
    screen = pyte.Screen(COLUMNS, ROWS)
    pyte.ByteStream(screen).feed(raw)
    return [line.rstrip() for line in screen.display]


@contextmanager
def drawn(home: Path) -> Iterator[tuple[Terminal, list[str]]]:
    """A cockpit on a clock that stands still, and its picture once nothing changes any more."""
    with on_terminal(cockpit(home), child_environ(), columns=COLUMNS, rows=ROWS) as terminal:
        terminal.read_until(lambda raw: "kubectl --context prod-h100" in " ".join(picture(raw)))
        yield terminal, settled(terminal)


def settled(terminal: Terminal) -> list[str]:
    """The picture once a whole drawing, asked for by key, changes nothing of it."""
    mark, before = len(terminal.received), picture(terminal.received)
    terminal.type("\x0c")
    terminal.read_until(lambda raw: all(picture(raw[mark:])[line] for line in (0, ROWS - 1)))
    after = picture(terminal.received[mark:])
    return after if after == before else settled(terminal)


@pytest.mark.parametrize(
    "keys", ["", "?", "\x10", "/sea", "m", "l"], ids=["", "help", "palette", "filter", "note", "list"]
)
def test_ctrl_l_draws_all_on_every_screen(tmp_path: Path, keys: str) -> None:
    """As after a message that `wall` wrote over it: the terminal is empty until all was sent once more."""
    with drawn(tmp_path) as (terminal, before):
        assert before[0].startswith(" prod-h100") and "Application" in before[1]
        if keys:
            terminal.type(keys)
            terminal.read_until(lambda raw: picture(raw) != before)
            assert settled(terminal) != before


def test_all_is_drawn_again_when_the_stopped_program_comes_back(tmp_path: Path) -> None:
    with drawn(tmp_path) as (terminal, before):
        terminal.child.send_signal(signal.SIGTSTP)
        terminal.read_until(lambda raw: raw.rstrip().endswith(b"\x1b[?1004l"))
        _, status = os.waitpid(terminal.child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        mark = len(terminal.received)
        terminal.child.send_signal(signal.SIGCONT)
        terminal.read_until(lambda raw: picture(raw[mark:]) == before)
        assert b"\x1b[?2004h" in terminal.received[mark:]  # pastes come as pastes again
        assert b"\x1b[?1003h" in terminal.received[mark:]  # and the mouse is heard


async def test_the_key_is_in_the_help_and_can_be_remapped(tmp_path: Path) -> None:
    assert any(binding.id == "redraw" for binding in cockpit_bindings())
    async with open_cockpit(Cluster(cluster_readings()), tmp_path, keymap={"redraw": "f5"}) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: "Draw the whole screen again" in screen_text(pilot))
        (line,) = (line for line in screen_text(pilot).splitlines() if "Draw the whole screen again" in line)
        assert "f5" in line
