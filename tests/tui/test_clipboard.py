import asyncio
import base64
import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from situation.text import harmless
from tests.tui.ptys import Terminal, child_environ, on_terminal
from tui.clipboard import OSC52_LIMIT, SCREEN_CHUNK, copy, osc52, run_tool, wrapped_for_screen

COMMAND = "kubectl --context prod-h100 -n gpu-operator logs nvidia-driver-daemonset-7xb5p -c 'größe 界' --previous"
PLAIN = {"TERM": "xterm-256color", "PATH": os.defpath}

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
needs_screen = pytest.mark.skipif(shutil.which("screen") is None, reason="GNU screen is not installed")


class Tools:
    """Stands for the clipboard tools: notes what would run, and answers as told."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.ran: list[tuple[str, bytes]] = []

    def __call__(self, argv: Sequence[str], stdin: bytes, environ: Mapping[str, str]) -> str:
        name = Path(argv[0]).name
        self.ran.append((name, stdin))
        return self.answers.get(name, "")


@pytest.fixture
def tool_path(tmp_path: Path) -> str:
    """A directory in which every clipboard tool can be found."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("tmux", "wl-copy", "xclip", "xsel", "pbcopy"):
        (directory / name).write_text("#!/bin/sh\nexit 7\n")
        (directory / name).chmod(0o755)
    return str(directory)


def sent_texts(raw: str | bytes) -> list[str]:
    """Decode every OSC 52 in what reached the terminal."""
    data = raw.encode() if isinstance(raw, str) else raw
    return [base64.b64decode(found).decode() for found in re.findall(rb"\x1b\]52;c?;([A-Za-z0-9+/=]+)\x07", data)]


def unwrapped(raw: str) -> str:
    """Undo device control strings as GNU screen does; anything between them is left out."""
    return "".join(re.findall(r"\x1bP(.*?)\x1b\\", raw, re.DOTALL))


def test_a_plain_terminal_gets_osc52(tmp_path: Path) -> None:
    written: list[str] = []
    notice = copy(COMMAND, environ=PLAIN, write=written.append, state_dir=tmp_path)
    assert sent_texts("".join(written)) == [COMMAND]
    assert (notice.way, notice.warning) == ("terminal", "")
    assert "terminal" in notice.sentence


def test_inside_screen_the_sequence_is_wrapped_and_nothing_is_sent_bare(tmp_path: Path) -> None:
    written: list[str] = []
    environ = {**PLAIN, "TERM": "screen.xterm-256color", "STY": "1.pts"}
    notice = copy(COMMAND, environ=environ, write=written.append, state_dir=tmp_path)
    raw = "".join(written)
    assert raw.startswith("\033P")
    assert sent_texts(unwrapped(raw)) == [COMMAND]
    assert re.sub(r"\x1bP.*?\x1b\\", "", raw, flags=re.DOTALL) == ""
    assert notice.way == "screen"


@given(st.text(min_size=1, max_size=2000).map(harmless).filter(bool))
def test_wrapping_keeps_every_text_and_stays_in_the_room_that_screen_has(text: str) -> None:
    raw = wrapped_for_screen(osc52(text))
    assert sent_texts(unwrapped(raw)) == [text]
    assert all(len(chunk) <= SCREEN_CHUNK for chunk in re.findall(r"\x1bP(.*?)\x1b\\", raw, re.DOTALL))


def test_a_terminal_called_screen_over_ssh_is_served_both_ways(tmp_path: Path) -> None:
    written: list[str] = []
    environ = {**PLAIN, "TERM": "screen-256color", "SSH_TTY": "/dev/pts/3"}
    copy(COMMAND, environ=environ, write=written.append, state_dir=tmp_path)
    raw = "".join(written)
    assert sent_texts(re.sub(r"\x1bP.*?\x1b\\", "", raw, flags=re.DOTALL)) == [COMMAND]
    assert sent_texts(unwrapped(raw)) == [COMMAND]


def test_a_long_text_is_not_sent_bare_to_what_may_be_screen(tmp_path: Path) -> None:
    written: list[str] = []
    long = "x" * 2000
    copy(long, environ={**PLAIN, "TERM": "screen"}, write=written.append, state_dir=tmp_path)
    assert sent_texts("".join(written)) == []
    assert sent_texts(unwrapped("".join(written))) == [long]


def test_inside_tmux_the_sequence_is_not_sent_besides(tmp_path: Path, tool_path: str) -> None:
    tools, written = Tools(), list[str]()
    environ = {**PLAIN, "TMUX": "/tmp/tmux,1,0", "PATH": tool_path, "TERM": "screen-256color"}
    notice = copy(COMMAND, environ=environ, write=written.append, state_dir=tmp_path, run=tools)
    assert tools.ran == [("tmux", COMMAND.encode())]
    assert written == []
    assert (notice.way, notice.warning) == ("tmux", "")


def test_when_tmux_fails_the_bare_sequence_goes_to_it_instead(tmp_path: Path, tool_path: str) -> None:
    written: list[str] = []
    environ = {**PLAIN, "TMUX": "/tmp/tmux,1,0", "PATH": tool_path, "TERM": "screen-256color"}
    notice = copy(COMMAND, environ=environ, write=written.append, state_dir=tmp_path)
    assert "".join(written) == osc52(COMMAND)
    assert notice.way == "terminal"
    assert notice.warning == "tmux load-buffer: exit code 7"


def test_tmux_that_is_not_installed_is_told(tmp_path: Path) -> None:
    written: list[str] = []
    environ = {"TERM": "screen", "TMUX": "/tmp/tmux,1,0", "PATH": str(tmp_path)}
    notice = copy(COMMAND, environ=environ, write=written.append, state_dir=tmp_path)
    assert (notice.way, notice.warning) == ("terminal", "tmux not found")


def test_a_local_display_is_served_by_its_tool_as_well(tmp_path: Path, tool_path: str) -> None:
    tools = Tools()
    environ = {**PLAIN, "PATH": tool_path, "WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}
    notice = copy(COMMAND, environ=environ, write=lambda _: None, state_dir=tmp_path, run=tools, platform="linux")
    assert tools.ran == [("wl-copy", COMMAND.encode())]
    assert notice.way == "terminal and wl-copy"


def test_the_next_tool_is_taken_when_one_fails(tmp_path: Path, tool_path: str) -> None:
    tools = Tools(xclip="exit code 1")
    environ = {**PLAIN, "PATH": tool_path, "DISPLAY": ":0"}
    notice = copy(COMMAND, environ=environ, write=lambda _: None, state_dir=tmp_path, run=tools, platform="linux")
    assert [name for name, _ in tools.ran] == ["xclip", "xsel"]
    assert notice.way == "terminal and xsel"


def test_tools_that_all_fail_are_told(tmp_path: Path, tool_path: str) -> None:
    tools = Tools(xclip="exit code 1", xsel="exit code 2")
    environ = {**PLAIN, "PATH": tool_path, "DISPLAY": ":0"}
    notice = copy(COMMAND, environ=environ, write=lambda _: None, state_dir=tmp_path, run=tools, platform="linux")
    assert notice.way == "terminal"
    assert notice.warning == "xclip: exit code 1; xsel: exit code 2"


def test_a_forwarded_display_over_ssh_is_left_alone(tmp_path: Path, tool_path: str) -> None:
    tools = Tools()
    environ = {**PLAIN, "PATH": tool_path, "DISPLAY": "localhost:10.0", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}
    notice = copy(COMMAND, environ=environ, write=lambda _: None, state_dir=tmp_path, run=tools, platform="darwin")
    assert tools.ran == []
    assert notice.way == "terminal"


def test_macos_has_its_own_tool(tmp_path: Path, tool_path: str) -> None:
    tools = Tools()
    environ = {**PLAIN, "PATH": tool_path}
    notice = copy(COMMAND, environ=environ, write=lambda _: None, state_dir=tmp_path, run=tools, platform="darwin")
    assert [name for name, _ in tools.ran] == ["pbcopy"]
    assert notice.way == "terminal and pbcopy"


@pytest.mark.parametrize("term", ["linux", "dumb", ""])
def test_a_text_console_has_no_clipboard(tmp_path: Path, term: str) -> None:
    written: list[str] = []
    notice = copy(COMMAND, environ={"TERM": term}, write=written.append, state_dir=tmp_path)
    assert written == []
    assert notice.way == "file"
    assert "no clipboard" in notice.warning
    assert "midwatch last" in notice.sentence


def test_the_longest_text_is_sent_and_one_more_byte_is_not(tmp_path: Path) -> None:
    written: list[str] = []
    longest = "x" * (OSC52_LIMIT // 4 * 3)
    assert copy(longest, environ=PLAIN, write=written.append, state_dir=tmp_path).way == "terminal"
    assert sent_texts("".join(written)) == [longest]
    written.clear()
    notice = copy(longest + "xxx", environ=PLAIN, write=written.append, state_dir=tmp_path)
    assert written == []
    assert notice.way == "file"
    assert "too long" in notice.warning
    assert notice.path.read_text() == longest + "xxx\n"


@pytest.mark.parametrize("text", ["", "a\nb", "a\rb", "\033]52;c;eA==\a", "a\x9b2J", "a\u202eb", "a\u200bb", "\ud800"])
def test_control_and_invisible_characters_are_refused(tmp_path: Path, text: str) -> None:
    written: list[str] = []
    with pytest.raises(ValueError, match="refused"):
        copy(text, environ=PLAIN, write=written.append, state_dir=tmp_path)
    assert written == []
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "midwatch"
    copy("first, which is longer", environ=PLAIN, write=lambda _: None, state_dir=state)
    notice = copy("second", environ=PLAIN, write=lambda _: None, state_dir=state)
    assert notice.path.read_text() == "second\n"
    assert stat.S_IMODE(notice.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [entry.name for entry in state.iterdir()] == ["last-command"]


def test_an_open_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    copy("x", environ=PLAIN, write=lambda _: None, state_dir=tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    written: list[str] = []
    notice = copy(COMMAND, environ=PLAIN, write=written.append, state_dir=tmp_path / "file" / "midwatch")
    assert sent_texts("".join(written)) == [COMMAND]
    assert notice.way == "terminal"
    assert "cannot be written: Not a directory" in notice.warning


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_warning_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(prefix: str, dir: Path) -> tuple[int, str]:
        name = dir / f"{prefix}full"
        name.symlink_to("/dev/full")
        return os.open(name, os.O_WRONLY), str(name)

    monkeypatch.setattr("tui.clipboard.tempfile.mkstemp", full)
    (tmp_path / "last-command").write_text("before\n")
    notice = copy(COMMAND, environ=PLAIN, write=lambda _: None, state_dir=tmp_path)
    assert notice.way == "terminal"
    assert "No space left on device" in notice.warning
    assert (tmp_path / "last-command").read_text() == "before\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last-command"]


def test_nothing_worked_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    notice = copy(COMMAND, environ={}, write=lambda _: None, state_dir=tmp_path / "file")
    assert notice.way == "nowhere"
    assert notice.sentence.startswith("not copied")
    assert "midwatch last" not in notice.sentence


def test_no_home_directory_is_a_warning_not_a_directory_called_tilde() -> None:
    notice = copy(COMMAND, environ=PLAIN, write=lambda _: None, state_dir=Path("~/.local/state/midwatch"))
    assert "no home directory" in notice.warning
    assert not Path("~").exists()


def test_a_closed_terminal_is_a_warning(tmp_path: Path) -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    notice = copy(COMMAND, environ=PLAIN, write=closed, state_dir=tmp_path)
    assert (notice.way, notice.warning.split(";")[0]) == ("file", "the terminal cannot be written to: Broken pipe")


def test_a_tool_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.clipboard.TOOL_DEADLINE_S", 0.05)
    assert run_tool(("sleep", "60"), b"", os.environ) == "no answer within 0.05 s"


def test_a_tool_that_stays_in_the_background_does_not_hold_us_up() -> None:
    started = time.monotonic()
    script = "sleep 1.9 & exit 0"
    assert run_tool(("sh", "-c", script), b"text", os.environ) == ""
    assert time.monotonic() - started < 1.5


def test_a_tool_that_is_not_there() -> None:
    assert run_tool(("/nonexistent/tool",), b"", os.environ) == "No such file or directory"


async def test_it_can_be_called_in_a_thread_while_the_event_loop_goes_on(tmp_path: Path) -> None:
    turned = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(_: str) -> None:
        asyncio.run_coroutine_threadsafe(_set(turned), loop).result(timeout=10)

    notice = await asyncio.to_thread(copy, COMMAND, environ=PLAIN, write=write, state_dir=tmp_path)
    assert turned.is_set()
    assert notice.way == "terminal"


async def _set(event: asyncio.Event) -> None:
    event.set()


# The real things


COPY = """
import os, sys
from pathlib import Path
from tui.clipboard import copy
def write(sequence):
    sys.stdout.write(sequence); sys.stdout.flush()
print("ready", flush=True)
sys.stdin.readline()
notice = copy(sys.argv[1], environ=os.environ, write=write, state_dir=Path(sys.argv[2]))
Path(sys.argv[3]).write_text(f"{notice.way}|{notice.warning}")
sys.stdin.readline()  # tmux and screen drop what is on its way when the last window closes
"""


def copying(state: Path, note: Path, text: str = COMMAND) -> list[str]:
    return [sys.executable, "-c", COPY, text, str(state), str(note)]


def seen_from(terminal: Terminal) -> list[str]:
    """Let the child copy once its output is seen to arrive; return the copied texts that reached the terminal."""
    terminal.read_until(lambda raw: b"ready" in raw)
    terminal.type("\n")
    terminal.read_until(lambda raw: bool(sent_texts(raw)))
    terminal.type("\n")
    return sent_texts(terminal.read_to_end())


def test_through_a_pseudo_terminal(tmp_path: Path) -> None:
    with on_terminal(copying(tmp_path / "state", tmp_path / "note"), child_environ()) as terminal:
        assert seen_from(terminal) == [COMMAND]
    assert (tmp_path / "note").read_text() == "terminal|"


@needs_screen
@pytest.mark.parametrize("text", [COMMAND, "a long command " * 2000 + "."], ids=["short", "30 kB"])
def test_through_a_real_screen(tmp_path: Path, text: str) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir(mode=0o700)
    argv = ["screen", "-U", "-c", "/dev/null", *copying(tmp_path / "state", tmp_path / "note", text)]
    with on_terminal(argv, child_environ(SCREENDIR=str(sockets))) as terminal:
        assert seen_from(terminal) == [text]
    assert (tmp_path / "note").read_text() == "screen|"


@needs_screen
def test_what_only_may_be_screen_reaches_a_real_screen_too(tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir(mode=0o700)
    inner = ["env", "-u", "STY", *copying(tmp_path / "state", tmp_path / "note")]
    argv = ["screen", "-U", "-c", "/dev/null", "-T", "screen-256color", *inner]
    with on_terminal(argv, child_environ(SCREENDIR=str(sockets))) as terminal:
        assert seen_from(terminal) == [COMMAND]


@contextlib.contextmanager
def tmux(directory: Path, *options: str) -> Iterator[list[str]]:
    """A tmux server on a socket of its own; yields the words that every tmux command starts with."""
    configuration = directory / "tmux.conf"
    configuration.write_text("\n".join(options) + "\n")
    words = ["tmux", "-S", str(directory / "socket"), "-f", str(configuration)]
    try:
        yield words
    finally:
        subprocess.run([*words, "kill-server"], check=False, capture_output=True)


@needs_tmux
@pytest.mark.parametrize("set_clipboard", ["off", "external", "on"])
def test_through_a_real_tmux_in_every_setting(tmp_path: Path, set_clipboard: str) -> None:
    with tmux(tmp_path, f"set -s set-clipboard {set_clipboard}") as words:
        command = [*words, "new-session", *copying(tmp_path / "state", tmp_path / "note"), ";", "set", "status", "off"]
        with on_terminal(command, child_environ()) as terminal:
            assert set(seen_from(terminal)) == {COMMAND}  # tmux may repeat it
    assert (tmp_path / "note").read_text() == "tmux|"


@needs_tmux
def test_what_only_may_be_screen_reaches_a_tmux_at_the_other_end(tmp_path: Path) -> None:
    options = ("set -s set-clipboard on", "set -g default-terminal screen-256color")
    with tmux(tmp_path, *options) as words:
        inner = ["env", "-u", "TMUX", *copying(tmp_path / "state", tmp_path / "note")]
        with on_terminal([*words, "new-session", *inner], child_environ()) as terminal:
            assert set(seen_from(terminal)) == {COMMAND}  # tmux may repeat it
    assert (tmp_path / "note").read_text() == "screen|"
