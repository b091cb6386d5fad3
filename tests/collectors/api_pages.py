"""Pages of an API server's metrics: a recorded one (1.36.2, 4 MB), and small ones made here."""

import gzip
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

RECORDED: Final = Path(__file__).parents[1] / "data" / "apiserver_metrics.txt.gz"
BOUNDS: Final = ("0.1", "1", "10", "+Inf")
STARTED: Final = "process_start_time_seconds 1.7954160727e+09\n"


@cache
def recorded_page() -> bytes:
    """Return the whole recorded page."""
    return gzip.decompress(RECORDED.read_bytes())


def bucket_lines(name: str, labels: str, counts: Iterable[float | str]) -> str:
    """Return the lines of one series, as Go writes them; `counts` are cumulative."""
    comma = "," if labels else ""
    lines = (
        f'{name}_bucket{{{labels}{comma}le="{bound}"}} {count}\n' for bound, count in zip(BOUNDS, counts, strict=True)
    )
    return "".join(lines)


def request_lines(verb: str, resource: str, counts: Iterable[float | str], **labels: str) -> str:
    """Return the lines of `apiserver_request_duration_seconds` for one kind of request."""
    shown = {"group": "", "resource": resource, "scope": "cluster", "subresource": "", "verb": verb} | labels
    text = ",".join(f'{key}="{value}"' for key, value in sorted(shown.items()))
    return bucket_lines("apiserver_request_duration_seconds", text, counts)
