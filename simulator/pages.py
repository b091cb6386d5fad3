"""Pages that were recorded: of pods, of etcd, of the API server itself."""

import re
from typing import Final

import msgspec

PLAIN_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of a page of metrics."""
_STARTED: Final = re.compile(r"^(process_start_time_seconds) ([0-9.eE+]+)$", re.MULTILINE)


class Page(msgspec.Struct, frozen=True):
    """What is answered over HTTP at one path."""

    status: int = 200
    text: str = ""
    error: str = ""
    """Why nobody answers, as the end of the API server's text; empty if somebody does."""


def moved_start(text: str, shift_s: float) -> str:
    """Return a page of metrics whose process started so much later: the only time stamp in it that is read."""
    return _STARTED.sub(lambda match: f"{match[1]} {float(match[2]) + shift_s:.2f}", text)
