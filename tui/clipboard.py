"""Copies text by every way that may reach the clipboard of the person, and always into a file.

Inside tmux, `tmux load-buffer -w -` works whatever `set-clipboard` says; elsewhere the terminal is asked with OSC 52
(xterm control sequences, "Manipulate Selection Data"). Neither is confirmed, so where there is a local display its
clipboard tool is used as well.
"""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from situation.text import harmless
from tui.paths import LAST_COMMAND, ensure_private
from tui.terminal import has_no_clipboard, inside_screen, inside_tmux, may_be_screen, over_ssh

OSC52_LIMIT: Final = 74_994
"""Bytes of base64 that are sent at most; k9s cuts at the same number. Some terminals drop what is longer unseen."""
TOOL_DEADLINE_S: Final = 2.0
SCREEN_CHUNK: Final = 256
"""Bytes in one device control string: GNU screen 4.9 keeps 768 of them and prints the rest as text."""
SCREEN_OSC_ROOM: Final = 700
"""Bytes of a bare OSC 52 that GNU screen drops in silence; it prints a longer one as text."""
_BASE64_LINE: Final = "\033]52;c;{}\a"
_NOWHERE: Final = "nowhere"
_TOOLS: Final = {
    "WAYLAND_DISPLAY": (("wl-copy", "--type", "text/plain"),),
    "DISPLAY": (("xclip", "-selection", "clipboard"), ("xsel", "--clipboard", "--input")),
}

Run = Callable[[Sequence[str], bytes, Mapping[str, str]], str]
"""Runs a command with the text on its standard input; returns what went wrong, empty if nothing did."""


class CopyNotice(msgspec.Struct, frozen=True):
    """What became of a copy, for the person."""

    way: str
    """`tmux`, `terminal`, `screen`, `xclip` ..., several joined by ` and `; `file` only; or `nowhere` at all."""
    path: Path
    """The file that `midwatch last` prints."""
    warning: str = ""
    """What did not work."""

    @property
    def is_copied(self) -> bool:
        """Tell whether the text came anywhere."""
        return self.way != _NOWHERE

    @property
    def sentence(self) -> str:
        """One line to show."""
        if self.way == _NOWHERE:
            return f"not copied: {self.warning}"
        said = f"only written to {self.path}" if self.way == "file" else f"copied by way of {self.way}"
        return f"{said} · {self.warning}" if self.warning else said


class _Attempt(NamedTuple):
    way: str
    """Empty when the text was not sent."""
    warning: str = ""


def copy(
    text: str,
    *,
    environ: Mapping[str, str],
    write: Callable[[str], None],
    state_dir: Path,
    run: Run | None = None,
    platform: str = sys.platform,
) -> CopyNotice:
    """Put one line of text on the clipboard and into `<state_dir>/last-command`. Blocks: call it in a thread.

    `write` sends characters to the terminal, `platform` is `sys.platform`. Raises ValueError for empty text and for
    text with control or invisible characters; everything else that fails is a warning in the notice.
    """
    if not text or harmless(text) != text:
        raise ValueError("refused to copy: the text is empty or holds control or invisible characters")
    runner = run_tool if run is None else run
    path = state_dir / LAST_COMMAND
    warnings = []
    saved = _save(text, path)
    if saved:
        warnings.append(saved)
    attempts = [_by_tmux(text, environ, runner)] if inside_tmux(environ) else []
    if not attempts or not attempts[0].way:
        attempts.append(_by_terminal(text, environ, write))
    attempts.append(_by_tool(text, environ, runner, platform))
    ways = [attempt.way for attempt in attempts if attempt.way]
    warnings += [attempt.warning for attempt in attempts if attempt.warning]
    way = " and ".join(ways) or (_NOWHERE if saved else "file")
    if not ways and not saved:
        warnings.append("`midwatch last` prints it")
    return CopyNotice(way, path, "; ".join(warnings))


def osc52(text: str) -> str:
    """Return the sequence that asks a terminal to put `text` on its clipboard."""
    return _BASE64_LINE.format(base64.b64encode(text.encode()).decode())


def wrapped_for_screen(sequence: str) -> str:
    """Return `sequence` in device control strings, which GNU screen hands on to the terminal outside of it."""
    chunks = (sequence[at : at + SCREEN_CHUNK] for at in range(0, len(sequence), SCREEN_CHUNK))
    return "".join(f"\033P{chunk}\033\\" for chunk in chunks)


def run_tool(argv: Sequence[str], stdin: bytes, environ: Mapping[str, str]) -> str:
    """Run a clipboard tool; return what went wrong, or an empty string.

    Its output goes nowhere: such tools stay in the background to serve the clipboard, and would hold a pipe open.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed argument vector, the text goes to standard input only
            argv,
            input=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            timeout=TOOL_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TOOL_DEADLINE_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return f"exit code {done.returncode}" if done.returncode else ""


def _by_tmux(text: str, environ: Mapping[str, str], run: Run) -> _Attempt:
    tmux = shutil.which("tmux", path=environ.get("PATH"))
    if tmux is None:
        return _Attempt("", "tmux not found")
    problem = run((tmux, "load-buffer", "-w", "-"), text.encode(), environ)
    return _Attempt("", f"tmux load-buffer: {problem}") if problem else _Attempt("tmux")


def _by_terminal(text: str, environ: Mapping[str, str], write: Callable[[str], None]) -> _Attempt:
    if has_no_clipboard(environ):
        return _Attempt("", f"this terminal ({environ.get('TERM') or 'TERM is not set'}) has no clipboard")
    sequence = osc52(text)
    size = len(sequence) - len(_BASE64_LINE.format(""))
    if size > OSC52_LIMIT:
        return _Attempt("", f"too long for the terminal's clipboard ({size:,} of {OSC52_LIMIT:,} bytes)")
    way, sent = "terminal", sequence
    if inside_screen(environ):
        way, sent = "screen", wrapped_for_screen(sequence)
    elif may_be_screen(environ):
        # The name stands for GNU screen and for tmux at the other end of SSH. The one drops a bare OSC 52 and hands on
        # the wrapped one, the other does the reverse.
        bare = sequence if len(sequence) <= SCREEN_OSC_ROOM else ""
        way, sent = "screen", bare + wrapped_for_screen(sequence)
    try:
        write(sent)
    except OSError as error:
        return _Attempt("", f"the terminal cannot be written to: {error.strerror or error}")
    return _Attempt(way)


def _by_tool(text: str, environ: Mapping[str, str], run: Run, platform: str) -> _Attempt:
    if over_ssh(environ):
        return _Attempt("")
    failed = []
    for command in _local_tools(environ, platform):
        tool = shutil.which(command[0], path=environ.get("PATH"))
        if tool is None:
            continue
        problem = run((tool, *command[1:]), text.encode(), environ)
        if not problem:
            return _Attempt(command[0])
        failed.append(f"{command[0]}: {problem}")
    return _Attempt("", "; ".join(failed))


def _local_tools(environ: Mapping[str, str], platform: str) -> tuple[tuple[str, ...], ...]:
    if platform == "darwin":
        return (("pbcopy",),)
    return tuple(command for variable, commands in _TOOLS.items() if environ.get(variable) for command in commands)


def _save(text: str, path: Path) -> str:
    """Replace the file as a whole, readable by its owner only; return what went wrong."""
    try:
        ensure_private(path.parent)
        handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        return f"{path} cannot be written: {error.strerror or error}"
    return ""
