"""A program under a pseudo-terminal, with what it prints put on a terminal emulator's screen."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Self

import pyte

_MODE_QUERY = re.compile(rb"\x1b\[\?2026\$p")


class Terminal:
    """Runs `argv` on a pseudo-terminal of `columns` x `rows`; an async context manager that ends it."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], columns: int = 160, rows: int = 50) -> None:
        self._argv = list(argv)
        self._environ = {**environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)}
        self._size = struct.pack("HHHH", rows, columns, 0, 0)
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.received_bytes = 0
        self.emulates = True
        """The emulator is slower than the program under measurement: while latencies are taken it rests."""
        self._since_mark = b""
        self.started_at = 0.0
        self.first_output_at: float | None = None
        self._arrived = asyncio.Event()
        self.pid = 0
        self._fd = -1

    async def __aenter__(self) -> Self:
        self.started_at = monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(self._argv[0], self._argv, self._environ)  # noqa: S606 - this is the child
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, self._size)
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.kill(self.pid, signal.SIGTERM)
        for _attempt in range(100):
            if self._has_ended():
                break
            await asyncio.sleep(0.05)
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)

    def _has_ended(self) -> bool:
        return os.waitpid(self.pid, os.WNOHANG)[0] != 0

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            return
        if self.first_output_at is None:
            self.first_output_at = monotonic()
        if _MODE_QUERY.search(data):
            os.write(self._fd, b"\x1b[?2026;2$y")
        self.received_bytes += len(data)
        if self.emulates:
            self._stream.feed(data)
        else:
            self._since_mark += data
        self._arrived.set()

    def type(self, keys: str) -> None:
        """Send keys."""
        os.write(self._fd, keys.encode())

    def mark(self) -> float:
        """Forget what came so far; return the time (monotonic)."""
        self._since_mark = b""
        return monotonic()

    async def until_bytes(self, wanted: bytes, timeout_s: float = 30.0) -> float:
        """Wait until `wanted` has come since the mark; return the time (monotonic). Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while wanted not in self._since_mark:
                self._arrived.clear()
                await self._arrived.wait()
        return monotonic()

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self.screen.display)

    async def until(self, wanted: str | Callable[[str], bool], timeout_s: float = 30.0) -> float:
        """Wait until a text stands on the screen, or a test of it is met; return the time (monotonic).

        Raises TimeoutError with the screen.
        """
        met = wanted if callable(wanted) else partial(_stands, wanted)
        try:
            async with asyncio.timeout(timeout_s):
                while not met(self.text):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise TimeoutError(f"{wanted!r} did not come; the screen:\n{self.text}") from None
        return monotonic()


def _stands(wanted: str, text: str) -> bool:
    return wanted in text


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process used so far, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
