"""Standard output that may be a pipe which nobody reads any more, a full disk, no UTF-8, or closed."""

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


def open_streams() -> None:
    """Put the null device where a standard stream is closed: it is None then, and its number goes to the next file.

    Raises UsageProblem where that is standard output: all that was asked for would be lost.
    """
    lost = sys.stdout is None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_WRONLY)  # to read what is closed fails, where it would seem to be empty
            setattr(sys, name, open(handle, mode, encoding="utf-8", closefd=False))
    if lost:
        raise UsageProblem(f"standard output is closed; for the exit code alone send it to {os.devnull}")


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
