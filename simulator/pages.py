"""Pages that were recorded: of pods, of etcd, of the API server itself."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
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


def with_moved_start(text: str, moved: Callable[[datetime], datetime]) -> str:
    """Return a page of metrics with the start of its process moved: the only time stamp in it that is read."""

    def later(match: re.Match[str]) -> str:
        return f"{match[1]} {moved(datetime.fromtimestamp(float(match[2]), UTC)).timestamp():.2f}"

    return _STARTED.sub(later, text)
