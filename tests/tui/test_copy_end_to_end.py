"""`c` in a real cockpit on a real terminal: what arrives at the terminal's clipboard, in the file and on the screen."""

import re
import sys
from pathlib import Path

from tests.tui.ptys import Terminal, child_environ, on_terminal
from tests.tui.test_clipboard import needs_screen, needs_tmux, sent_texts, tmux, unwrapped
from tui.clipboard import OSC52_LIMIT

COMMAND = "kubectl --context prod-h100 -n shop get pod search-1 -o 'jsonpath={.spec.containers[*].image}'"

COCKPIT = """
import os, sys
from pathlib import Path
from playbooks.commands import Target
from tests.build import NOW, pod
from tests.tui import cockpits
from tui.app import Cockpit
from tui.themes import load_themes
state = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
broken = pod("search-1", phase="Pending", ready=False, container_status={"state": state})
cockpits.TARGET = Target("prod-h100" + "x" * int(sys.argv[2]))
cluster = cockpits.Cluster(cockpits.cluster_readings(broken))
app = Cockpit(
    cluster, cockpits.TARGET, load_themes(None), theme="midwatch-dark", hz=20, mode="read-only",
    state_dir=Path(sys.argv[1]), environ=dict(os.environ), clock=lambda: NOW,
)
app.run()
"""


def cockpit(state: Path, longer_by: int = 0) -> list[str]:
    """Argument vector of a cockpit whose context's name is so much longer."""
    return [sys.executable, "-c", COCKPIT, str(state), str(longer_by)]


SEQUENCE = re.compile(r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|[\]P].*?(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-~])", re.DOTALL)


def printed(raw: bytes) -> str:
    """What was written onto the screen, in that order, without sequences and with single spaces."""
    text = re.sub(r"\x1b\[\d*C", " ", raw.decode(errors="replace"))  # tmux and screen skip blanks
    return " ".join(SEQUENCE.sub("", text).split())


def copy_and_leave(terminal: Terminal, notice: str) -> bytes:
    """Press `c` once the command is shown, leave once `notice` is shown; return all that reached the terminal."""
    terminal.read_until(lambda raw: "c copies it" in printed(raw))
    terminal.type("c")
    terminal.read_until(lambda raw: notice in printed(raw))
    terminal.type("q")
    return terminal.read_to_end()


def copied(raw: bytes) -> list[str]:
    return sent_texts(raw)


def kept(state: Path) -> str:
    path = state / "last-command"
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text()


def test_on_a_plain_terminal(tmp_path: Path) -> None:
    with on_terminal(cockpit(tmp_path), child_environ(), columns=120, rows=40) as terminal:
        raw = copy_and_leave(terminal, "copied by way of terminal")
    assert copied(raw) == [COMMAND]
    assert kept(tmp_path) == COMMAND + "\n"
    assert "▲ search-1 cannot pull" in printed(raw)


def test_where_screen_draws_the_terminal_it_is_wrapped(tmp_path: Path) -> None:
    environ = child_environ(STY="1.pts-0", TERM="screen-256color")
    with on_terminal(cockpit(tmp_path), environ, columns=120, rows=40) as terminal:
        raw = copy_and_leave(terminal, "copied by way of screen").decode()
    assert copied(unwrapped(raw).encode()) == [COMMAND]
    assert copied(re.sub(r"\x1bP.*?\x1b\\", "", raw, flags=re.DOTALL).encode()) == []
    assert kept(tmp_path) == COMMAND + "\n"


@needs_screen
def test_through_a_real_screen(tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir(mode=0o700)
    argv = ["screen", "-U", "-c", "/dev/null", *cockpit(tmp_path / "state")]
    with on_terminal(argv, child_environ(SCREENDIR=str(sockets)), columns=120, rows=40) as terminal:
        raw = copy_and_leave(terminal, "copied by way of screen")
    assert copied(raw) == [COMMAND]
    assert kept(tmp_path / "state") == COMMAND + "\n"


@needs_tmux
def test_through_a_real_tmux(tmp_path: Path) -> None:
    with tmux(tmp_path, "set -s set-clipboard external") as words:
        argv = [*words, "new-session", *cockpit(tmp_path / "state"), ";", "set", "status", "off"]
        with on_terminal(argv, child_environ(), columns=120, rows=40) as terminal:
            raw = copy_and_leave(terminal, "copied by way of tmux")
    assert set(copied(raw)) == {COMMAND}  # tmux may repeat it
    assert kept(tmp_path / "state") == COMMAND + "\n"


def test_what_is_too_long_for_the_terminal_is_not_sent_but_kept_and_told(tmp_path: Path) -> None:
    with on_terminal(cockpit(tmp_path, OSC52_LIMIT), child_environ(), columns=120, rows=40) as terminal:
        raw = copy_and_leave(terminal, "only written to")
    assert b"\x1b]52" not in raw
    assert "too long for the" in printed(raw)
    assert kept(tmp_path) == COMMAND.replace("prod-h100", "prod-h100" + "x" * OSC52_LIMIT) + "\n"


def test_on_a_console_without_a_clipboard_the_notice_says_where_it_is(tmp_path: Path) -> None:
    with on_terminal(cockpit(tmp_path), child_environ(TERM="linux"), columns=120, rows=40) as terminal:
        raw = copy_and_leave(terminal, "only written to")
    assert b"\x1b]52" not in raw
    assert "midwatch last" in printed(raw)
    assert kept(tmp_path) == COMMAND + "\n"
