"""A child process on a pseudo-terminal of which the test is the terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

DEADLINE_S = 20.0


class Terminal:
    """What the child writes is kept in `received`; nothing is read unless asked for."""

    def __init__(self, handle: int, child: "subprocess.Popen[bytes]") -> None:
        self.received = b""
        self.child = child
        self.handle = handle

    def read_until(self, done: Callable[[bytes], bool], *, deadline_s: float = DEADLINE_S) -> bytes:
        """Read until `done(received)`; fails after the deadline or when the child ends without it."""
        end = time.monotonic() + deadline_s
        while not done(self.received):
            left = end - time.monotonic()
            assert left > 0, f"not seen within {deadline_s} s; the end of what came: {self.received[-2000:]!r}"
            if select.select([self.handle], [], [], min(left, 0.2))[0]:
                more = self.read_some()
                assert more or done(self.received), f"the child ended: {self.received[-2000:]!r}"
        return self.received

    def read_to_end(self, *, deadline_s: float = DEADLINE_S) -> bytes:
        """Read until the child closes the terminal."""
        end = time.monotonic() + deadline_s
        while True:
            left = end - time.monotonic()
            assert left > 0, f"the child still runs; the end of what came: {self.received[-2000:]!r}"
            if select.select([self.handle], [], [], left)[0] and not self.read_some():
                return self.received

    def type(self, keys: str) -> None:
        """Send key strokes."""
        os.write(self.handle, keys.encode())

    def read_some(self) -> bytes:
        """Take what is there; empty when the child has closed the terminal."""
        try:
            more = os.read(self.handle, 65536)
        except OSError:  # Linux answers EIO when the last process has left the terminal
            more = b""
        self.received += more
        return more


@contextmanager
def on_terminal(
    argv: Sequence[str], environ: Mapping[str, str], *, columns: int = 80, rows: int = 24, pass_fds: Sequence[int] = ()
) -> Iterator[Terminal]:
    """Run `argv` on a terminal of its own; it is killed at the end if it still runs."""
    handle, child_side = pty.openpty()
    fcntl.ioctl(child_side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(
        argv,
        stdin=child_side,
        stdout=child_side,
        stderr=child_side,
        env=dict(environ),
        pass_fds=pass_fds,
        preexec_fn=take_terminal,
    )
    os.close(child_side)
    try:
        yield Terminal(handle, child)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        os.close(handle)


def child_environ(**more: str) -> dict[str, str]:
    """Return our environment without what tells of our own terminal, and with `more`."""
    dropped = {
        "COLUMNS",
        "LINES",
        "TMUX",
        "STY",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "SSH_CONNECTION",
        "SSH_TTY",
        "SSH_CLIENT",
    }
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8", **more}
