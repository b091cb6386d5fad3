"""A terminal on which nothing can be drawn is told so, before anything is drawn."""

import signal
from pathlib import Path

import pytest

from tests.tui.commands import PROGRAM, environment, midwatch
from tests.tui.ptys import on_terminal
from tui.exits import EXIT_TERMINATED, EXIT_USAGE
from tui.terminal import why_not_drawn

_ENTERED = b"\x1b[?1049h"
_ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale that is not UTF-8, on every machine: others may not be installed."""

CANNOT = [
    ({"TERM": "dumb"}, "TERM=dumb: nothing can be drawn on such a terminal"),
    (_ASCII, "LC_ALL=C: its encoding ascii lacks most of what the cockpit is drawn with"),
    ({"PYTHONIOENCODING": "latin-1"}, "run `PYTHONIOENCODING=utf-8 midwatch`, else `midwatch check`"),
]


def terminal_environment(home: Path, changes: dict[str, str]) -> dict[str, str]:
    return environment(home, {"TMPDIR": str(home), "TERM": "xterm-256color", **changes})


@pytest.mark.parametrize(("changes", "said"), CANNOT)
def test_the_cockpit_says_so_and_ends(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with on_terminal([*PROGRAM, "demo", "faults_a"], terminal_environment(tmp_path, changes)) as terminal:
        told = terminal.read_to_end()
        assert terminal.child.wait() == EXIT_USAGE
    assert said in told.decode()
    assert _ENTERED not in told and b"Traceback" not in told


@pytest.mark.parametrize(("changes", "said"), CANNOT)
async def test_doctor_says_the_same(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    finished = await midwatch(tmp_path, "doctor", changes={"TERM": "xterm-256color", **changes})
    (line,) = (line for line in finished.out.splitlines() if line.split()[1] == "terminal")
    assert said in line
    assert not line.startswith("✓")


@pytest.mark.parametrize("name", ["C", "POSIX", "C.UTF-8"])
def test_in_locales_without_an_encoding_of_their_own_it_is_drawn(tmp_path: Path, name: str) -> None:
    with on_terminal([*PROGRAM, "demo", "faults_a"], terminal_environment(tmp_path, {"LC_ALL": name})) as terminal:
        terminal.read_until(lambda seen: _ENTERED in seen and "─▸ " in seen.decode(errors="ignore"))
        terminal.child.send_signal(signal.SIGTERM)
        terminal.read_to_end()
        assert terminal.child.wait() == EXIT_TERMINATED


@pytest.mark.parametrize(
    ("environ", "named", "cure"),
    [
        ({"LANG": "de_DE"}, "LANG=de_DE: ", "LC_ALL=C.UTF-8"),
        ({"LANG": "de_DE.UTF-8", "LC_CTYPE": "de_DE"}, "LC_CTYPE=de_DE: ", "LC_ALL=C.UTF-8"),
        ({"LANG": "de_DE.UTF-8", "LC_CTYPE": "", "LC_ALL": "de_DE"}, "LC_ALL=de_DE: ", "LC_ALL=C.UTF-8"),
        ({"PYTHONIOENCODING": ":replace", "LANG": "de_DE"}, "LANG=de_DE: ", "LC_ALL=C.UTF-8"),
        ({"PYTHONIOENCODING": "latin-1:replace", "LANG": "C"}, "PYTHONIOENCODING=latin-1:replace: ", "=utf-8 midwatch"),
        ({}, "the locale: ", "LC_ALL=C.UTF-8"),
    ],
)
def test_what_sets_the_encoding_is_named_with_the_cure(environ: dict[str, str], named: str, cure: str) -> None:
    said = why_not_drawn(environ, "iso8859-1")
    assert said.startswith(named) and cure in said


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8", "UTF_8"])
def test_with_utf_8_all_can_be_drawn(encoding: str) -> None:
    assert why_not_drawn({"LC_ALL": "de_DE.UTF-8", "TERM": "xterm"}, encoding) == ""
