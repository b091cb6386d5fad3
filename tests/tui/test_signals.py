"""A demo from outside: what it leaves behind when it is told to end is a terminal as it was, and no folder; and it asks
nobody but its own cluster."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from incidents.shelf import kept
from tests.tui.commands import PROGRAM, environment
from tests.tui.ptys import DEADLINE_S, Terminal, on_terminal
from tui.exits import EXIT_TERMINATED

_ENTERED = b"\x1b[?1049h"
_LEFT = b"\x1b[?1049l"
_CURSOR = b"\x1b[?25h"


@contextmanager
def demo(home: Path) -> Iterator[Terminal]:
    """A demo that shows its causes, with its temporary folder in `home`."""
    environ = environment(home, {"TMPDIR": str(home), "TERM": "xterm-256color"})
    with on_terminal([*PROGRAM, "demo", "faults_a"], environ, columns=160, rows=50) as terminal:
        terminal.read_until(lambda seen: b"explain" in seen, deadline_s=2 * DEADLINE_S)
        assert list(home.glob("midwatch-demo-*/kubeconfig"))
        yield terminal


def test_sigterm_gives_the_terminal_back(tmp_path: Path) -> None:
    with demo(tmp_path) as terminal:
        assert _ENTERED in terminal.received
        terminal.child.send_signal(signal.SIGTERM)
        said = terminal.read_to_end()
        assert terminal.child.wait() == EXIT_TERMINATED
    assert said.rindex(_LEFT) > said.rindex(_ENTERED)
    assert said.rindex(_CURSOR) > said.rindex(_ENTERED)
    assert b"Traceback" not in said
    assert not list(tmp_path.glob("midwatch-demo-*"))


def test_the_log_of_a_demo_is_kept_as_one(tmp_path: Path) -> None:
    folder = tmp_path / ".local" / "state" / "midwatch" / "incidents"
    with demo(tmp_path) as terminal:
        terminal.type("mhello\r")
        terminal.read_until(lambda _: bool(kept(folder)))
        terminal.child.send_signal(signal.SIGTERM)
        terminal.read_to_end()
    (item,) = kept(folder)
    assert item.incident is not None
    assert item.incident.simulated == "midwatch demo faults_a"


def test_a_demo_asks_nobody_that_the_configuration_names(tmp_path: Path) -> None:
    own = tmp_path / ".config" / "midwatch" / "config.toml"
    own.parent.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as production:
        url = f"http://127.0.0.1:{production.getsockname()[1]}"
        keys = ("dcgm", "vllm", "etcd_endpoints", "etcd_metrics")
        lines = ['context = "prod"', 'namespace = "serving"', f'prometheus = "{url}"']
        lines += [f'{key} = ["{url}"]' for key in keys] + ["[keys]", 'help = "f9"']
        own.write_text("\n".join(lines))
        with demo(tmp_path) as terminal:
            terminal.read_until(lambda seen: b"checkout" in seen)
            terminal.type("\x1b[20~")
            terminal.read_until(lambda seen: b"the id for the configuration file" in seen)
            terminal.child.send_signal(signal.SIGTERM)
            terminal.read_to_end()
            assert terminal.child.wait() == EXIT_TERMINATED
        production.settimeout(0)
        with pytest.raises(BlockingIOError):
            production.accept()


def test_sigterm_before_the_cockpit_opens(tmp_path: Path) -> None:
    environ = environment(tmp_path, {"TMPDIR": str(tmp_path), "TERM": "xterm-256color"})
    with on_terminal([*PROGRAM, "demo", "faults_a"], environ) as terminal:
        _wait_for_kubeconfig(tmp_path)
        terminal.child.send_signal(signal.SIGTERM)
        said = terminal.read_to_end()
        assert terminal.child.wait() in (-signal.SIGTERM, EXIT_TERMINATED)
    assert b"Traceback" not in said
    assert not list(tmp_path.glob("midwatch-demo-*"))


def test_a_hang_up_leaves_no_folder_and_no_process(tmp_path: Path) -> None:
    with demo(tmp_path) as terminal:
        terminal.child.send_signal(signal.SIGHUP)
        assert terminal.child.wait(DEADLINE_S) == -signal.SIGHUP
    assert not list(tmp_path.glob("midwatch-demo-*"))


def _wait_for_kubeconfig(home: Path) -> None:
    end = time.monotonic() + DEADLINE_S
    while not list(home.glob("midwatch-demo-*/kubeconfig")):
        if time.monotonic() > end:
            pytest.fail(f"no kubeconfig in {os.listdir(home)}")
