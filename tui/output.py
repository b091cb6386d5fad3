"""Standard output that may be a pipe which nobody reads any more, a full disk, or no UTF-8."""

import io
import os
import sys
from collections.abc import Iterable

from tui.exits import UsageProblem


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to standard output and flush it.

    A reader that has gone (`| head -1`) has all it wanted: the rest is dropped. Raises UsageProblem when the output
    cannot be written for another reason.
    """
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_the_rest()
    except OSError as error:
        _drop_the_rest()
        raise UsageProblem(f"cannot write to standard output: {error.strerror}") from error


def make_printable() -> None:
    """Let characters that the locale's encoding lacks be written as escapes, where they would end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def speaks_unicode() -> bool:
    """Tell whether standard output takes every character as it is."""
    return (sys.stdout.encoding or "").lower().replace("-", "").replace("_", "") == "utf8"


def _drop_the_rest() -> None:
    # What is still buffered would be written again when the interpreter ends, and fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
