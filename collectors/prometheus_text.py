"""The Prometheus text format: the samples of a few wanted metrics out of a page of any size.

Our own reader: prometheus-client's is too slow, gives up a whole page for one broken line, and renames counters that do
not end in `_total`. Measured on two shared cores with Python 3.11 and prometheus-client 0.26, best of several runs: a
page of 8 GPUs (59 KB) 0.6 ms against 14 ms. An API server's page has a reader of its own (`control_plane/api_page.py`).
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from collectors.errors import BadAnswerError
from situation.text import harmless

PAGE_LIMIT_BYTES: Final = 16 * 2**20
"""The largest page known is an API server's with 4 MB; who sends more does not send metrics."""
SAMPLES_LIMIT: Final = 200_000
"""Wanted samples of one page; a page of 16 GPUs has some hundreds."""
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]++|\\.)*+)"\s*(?:,|$)', re.DOTALL)
_BRACES: Final = re.compile(r'[ \t]*\{((?:[^"}]++|"(?:[^"\\]++|\\.)*+")*+)\}', re.DOTALL)
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[Ii]nf(?:inity)?|[Nn]a[Nn])"
_VALUE: Final = re.compile(_NUMBER)
_PLAIN_VALUE: Final = re.compile(rf"[ \t]+({_NUMBER})".encode())
_NAME: Final = re.compile(rb"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[{ \t])")
_LABELS_KEPT: Final = 4096
_LABELS_KEPT_BYTES: Final = 512
"""Labels are remembered from page to page up to this length: they are the same in the next one, only values change.
So a server that makes them up fills 26 MB, forty models of vLLM take 1.5; a list of thousands of adapters is not kept.
"""
_ESCAPES: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPE: Final = re.compile(r"\\.", re.DOTALL)


class Sample(NamedTuple):
    """One line of a page. The value may be infinite or not a number."""

    name: str
    labels: Mapping[str, str]
    value: float


class Page(NamedTuple):
    """The wanted samples of a page, in its order."""

    samples: tuple[Sample, ...]
    broken: int
    """Lines of wanted metrics that could not be read."""
    is_cut: bool
    """The page ends in the middle of a line."""


def parse_page(body: bytes, wanted: Collection[str], what: str) -> Page:
    """Read the samples of the `wanted` metrics; `what` is what errors call the page.

    Lines of other metrics are not looked at. A broken line is counted and left out, the last one also if it does not
    end: its value may be cut. Raises BadAnswerError for a web page and for a page that is too large.
    """
    if len(body) > PAGE_LIMIT_BYTES:
        raise BadAnswerError(f"{what} is larger than {PAGE_LIMIT_BYTES >> 20} MiB: not read")
    head = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        raise BadAnswerError(f"{what} is a web page, not metrics: is a proxy or login page in between?")
    end = body.rfind(b"\n") + 1
    names = {name.encode(): name for name in wanted}
    samples: list[Sample] = []
    broken = 0
    for line in (body[:end] if end < len(body) else body).split(b"\n"):
        start, brace, _ = line.partition(b"{")
        if brace and start in names:
            sample = _plain_sample(names[start], line) or read_sample(names[start], line[len(start) :], {})
        elif (found := _NAME.match(line)) and found[1] in names:
            sample = read_sample(names[found[1]], line[found.end() :], {})
        else:
            continue
        if sample is None:
            broken += 1
        elif len(samples) < SAMPLES_LIMIT:
            samples.append(sample)
        else:
            raise BadAnswerError(f"{what} has more than {SAMPLES_LIMIT} samples: not read")
    return Page(tuple(samples), broken, end < len(body))


def _plain_sample(name: str, line: bytes) -> Sample | None:
    """Read `name{a="x"} 1`, as nearly all lines are; None for one that is written in another way, or broken."""
    series, _, rest = line.rpartition(b"}")
    value = _PLAIN_VALUE.fullmatch(rest)
    inside = series[len(name) + 1 :]
    labels = (_kept_labels if len(inside) <= _LABELS_KEPT_BYTES else _read_labels)(inside) if value else None
    return Sample(name, labels, float(value[1])) if value and labels is not None else None


def _read_labels(inside: bytes) -> Mapping[str, str] | None:
    return _labels(inside.decode("utf-8", "replace"))


_kept_labels: Final = lru_cache(maxsize=_LABELS_KEPT)(_read_labels)


def read_sample(name: str, rest: bytes, known: dict[str, dict[str, str] | None]) -> Sample | None:
    """Read what follows the name: labels in braces, the value, perhaps a time stamp, perhaps an exemplar.

    None if it cannot be read. `known` holds the labels read so far: one device has the same ones in each of its lines.
    """
    text = rest.decode("utf-8", "replace")
    labels: dict[str, str] | None = {}
    if found := _BRACES.match(text):
        inside = found[1]
        labels = known[inside] if inside in known else known.setdefault(inside, _labels(inside))
        text = text[found.end() :]
    words = text.split(None, 1)
    if labels is None or not words or not _VALUE.fullmatch(words[0]):
        return None
    return Sample(name, labels, float(words[0]))


def _labels(text: str) -> dict[str, str] | None:
    """Read `a="x",b="y"`; of a label that comes twice the first counts. None if it cannot be read."""
    labels: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _LABEL.match(text, position)
        if found is None:
            return None if text[position:].strip(" \t,") else labels
        name, value = found.groups()
        if "\\" in value:
            value = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[0], escape[0]), value)
        labels.setdefault(name, harmless(value))
        position = found.end()
    return labels
