"""Reads the API server's `/metrics` while it streams in: a page is megabytes, and what is used of it a few hundred kB.

What is left out rather than told too small: a histogram or a sum of which one line could not be read, or in the middle
of which the page ends. A sum that shrinks would look like a restart.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from collectors.control_plane.api_families import BUCKETS, NUMBERS, BucketFamily, Family
from collectors.errors import BadAnswerError
from collectors.prometheus_text import read_sample
from situation.api_server import ApiServerPage, Seats
from situation.histograms import Histogram, merged

PAGE_LIMIT_BYTES: Final = 64 * 2**20
"""A small cluster's page has 4 MB; it grows with the kinds of objects, so some tens are possible."""
LINE_LIMIT_BYTES: Final = 64 * 2**10
"""A longer one is not a metric's, and is not gathered."""
SERIES_LIMIT: Final = 100_000
"""Wanted series of one page; the recorded one has 600."""
UNLIMITED: Final = "exempt"
"""This priority level is not limited; the limit that it shows is not one."""
_LE: Final = b',le="'


class ApiPageReader:
    """Takes the page in pieces of any size; `page()` gives what was in it. Holds no text but an unfinished line.

    Raises BadAnswerError, naming `what`, for a web page and for a page without end.
    """

    def __init__(self, what: str = "/metrics") -> None:
        self._what = what
        self._rest = b""
        self._is_skipping = False
        self._received = 0
        self._series = 0
        self._broken = 0
        self._last: bytes = b""
        """The wanted metric whose lines came last, empty once comments began another metric."""
        self._spoiled: set[bytes] = set()
        self._numbers: dict[bytes, float | None] = {}
        self._labels: dict[str, dict[str, str] | None] = {}
        self._open: tuple[bytes, bytes] = (b"", b"")
        self._buckets: dict[float, float] = {}
        self._bounds: dict[tuple[float, ...], tuple[float, ...]] = {}
        self._histograms: dict[bytes, dict[tuple[str, object], Histogram]] = {name: {} for name in BUCKETS}
        self._values: dict[bytes, dict[str, float]] = {}

    def feed(self, chunk: bytes) -> None:
        """Read the next piece of the page."""
        if not self._received and chunk[:512].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise BadAnswerError(f"{self._what} is a web page, not metrics: is a proxy or login page in between?")
        self._received += len(chunk)
        if self._received > PAGE_LIMIT_BYTES:
            raise BadAnswerError(f"{self._what} is larger than {PAGE_LIMIT_BYTES >> 20} MiB: not read")
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if self._is_skipping and lines:
            del lines[0]
            self._is_skipping = False
        for line in lines:
            self._take(line)
        if len(self._rest) > LINE_LIMIT_BYTES or self._is_skipping:
            self._broken += not self._is_skipping
            self._rest, self._is_skipping = b"", True

    def page(self) -> ApiServerPage:
        """Return what the page says; nothing may be fed afterwards."""
        self._close()
        is_cut = bool(self._rest.strip()) or self._is_skipping
        if is_cut:
            self._spoiled.add(self._last)
            if (name := _name(self._rest)) is not None:
                self._spoiled.add(name)
        return ApiServerPage(**self._fields(), broken_lines=self._broken, is_cut=is_cut)

    def _take(self, line: bytes) -> None:
        name = _name(line)
        if name is None:
            if line.startswith(b"#"):
                self._last = b""
            return
        self._last = name
        if name in BUCKETS:
            self._take_bucket(name, line)
        else:
            self._take_number(name, line)

    def _take_bucket(self, name: bytes, line: bytes) -> None:
        """Take a line of a histogram: those of one series follow each other, each ends in its bound, as Go has it."""
        series, comma, end = line.rpartition(_LE)
        bound_text, quote, count_text = end.partition(b'"} ')
        bound, count = self._number(bound_text), self._number(count_text)
        if not comma or not quote or bound is None or count is None:
            read = self._read_bucket(name, line)
            if read is None:
                self._spoil(name)
                return
            series, bound, count = read
        if (name, series) != self._open:
            self._close()
            self._open = (name, series)
        self._buckets[bound] = count

    def _read_bucket(self, name: bytes, line: bytes) -> tuple[bytes, float, float] | None:
        """Read a line that is not written as Go writes it; its series is brought into that form."""
        sample = read_sample(name.decode(), line.lstrip()[len(name) :], {})
        bound = self._number(sample.labels.get("le", "").encode()) if sample else None
        if sample is None or bound is None or math.isnan(bound) or math.isnan(sample.value):
            return None
        others = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items() if key != "le")
        return name + b"{" + others.encode(), bound, sample.value

    def _close(self) -> None:
        """Add the series that was read to the sums that it belongs to."""
        (name, series), buckets = self._open, self._buckets
        self._open, self._buckets = (b"", b""), {}
        if not buckets:
            return
        self._count_series()
        labels = read_sample("", series[len(name) :] + b"} 0", self._labels)
        if labels is None:
            self._spoil(name)
            return
        keys = BUCKETS[name].keys_of(labels.labels)
        if not keys:
            return
        found = Histogram.of(buckets)
        if not _is_whole(found):
            self._spoil(name)
            return
        # Pages are kept for windows: equal bounds are one object.
        found = Histogram(self._bounds.setdefault(found.bounds, found.bounds), found.counts)
        sums = self._histograms[name]
        for key in keys:
            before = sums.get(key)
            if before is not None and before.bounds != found.bounds:
                self._spoil(name)
            sums[key] = found if before is None else merged((before, found))

    def _take_number(self, name: bytes, line: bytes) -> None:
        sample = read_sample("", line.lstrip()[len(name) :], self._labels)
        if sample is None or not math.isfinite(sample.value):
            self._spoil(name)
            return
        key = NUMBERS[name].key_of(sample.labels)
        values = self._values.setdefault(name, {})
        if key is not None:
            self._count_series()
            values[key] = values.get(key, 0.0) + sample.value

    def _number(self, text: bytes) -> float | None:
        """Read a number; equal ones are one object, as most buckets of a histogram hold the same count."""
        if text in self._numbers:
            return self._numbers[text]
        sample = read_sample("", b" " + text, {}) if b"{" not in text else None
        number = None if sample is None or math.isnan(sample.value) else sample.value
        return self._numbers.setdefault(text, number)

    def _spoil(self, name: bytes) -> None:
        self._broken += 1
        self._spoiled.add(name)

    def _count_series(self) -> None:
        self._series += 1
        if self._series > SERIES_LIMIT:
            raise BadAnswerError(f"{self._what} has more than {SERIES_LIMIT} series that are wanted: not read")

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"durations": {}, "lists": {}, "etcd_durations": {}, "webhooks": {}}
        for name, sums in self._histograms.items():
            if name not in self._spoiled:
                for (field, key), histogram in sums.items():
                    fields[field][key] = histogram
        read = self._best_values()
        for field in ("in_flight", "in_queue", "rejected"):
            fields[field] = read.get(field, {})
        for field in ("started_at", "watches", "terminated"):
            fields[field] = read.get(field, {}).get("")
        for field in ("open_files", "max_files"):
            fields[field] = _whole_number(read.get(field, {}).get(""))
        for field in ("objects", "object_bytes"):
            fields[field] = {key: int(value) for key, value in read.get(field, {}).items() if value >= 0}
        fields["seats"] = _seats(read.get("executing", {}), read.get("limits", {}))
        sizes = [value for value in read.get("storage_bytes", {}).values() if value >= 0]
        fields["storage_bytes"] = int(max(sizes)) if sizes else None
        fields["webhook_failures"] = _sum(read.get("webhook_failures", {}), read.get("webhook_failed_open", {}))
        fields["unavailable_apis"] = tuple(sorted(name for name, value in read.get("unavailable", {}).items() if value))
        return fields

    def _best_values(self) -> dict[str, dict[str, float]]:
        """Return the numbers by field; of several metrics for a field, each key from the newest that has it."""
        found: dict[str, dict[str, float]] = {}
        for name, values in sorted(self._values.items(), key=lambda item: NUMBERS[item[0]].rank):
            family = NUMBERS[name]
            if name in self._spoiled and family.is_sum:
                continue
            known = found.setdefault(family.field, {})
            for key, value in values.items():
                known.setdefault(key, value)
        return found


def parse_api_page(page: bytes | Iterable[bytes], what: str = "/metrics") -> ApiServerPage:
    """Read a page, whole or in pieces. Raises BadAnswerError, naming `what`, for what is no page of metrics."""
    reader = ApiPageReader(what)
    for chunk in (page,) if isinstance(page, bytes) else page:
        reader.feed(chunk)
    return reader.page()


_WANTED: Final[Mapping[bytes, BucketFamily | Family]] = {**BUCKETS, **NUMBERS}


def _name(line: bytes) -> bytes | None:
    """Return the name of a line if the metric is wanted."""
    name = line.partition(b"{")[0]
    if name in _WANTED:
        return name
    words = name.split(None, 1)
    return words[0] if words and words[0] in _WANTED else None


def _is_whole(histogram: Histogram) -> bool:
    """Tell whether a series has its last bucket, and counts that never fall."""
    counts = histogram.counts
    return (
        bool(counts)
        and math.isinf(histogram.bounds[-1])
        and counts[0] >= 0
        and all(low <= high for low, high in pairwise(counts))
    )


def _seats(executing: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, Seats]:
    return {
        level: Seats(seats, None if level == UNLIMITED else limits.get(level) or None)
        for level, seats in executing.items()
    }


def _sum(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in {**first, **second}}


def _whole_number(value: float | None) -> int | None:
    return None if value is None else int(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def slices(chunk: bytes, size: int) -> Iterator[bytes]:
    """Cut a piece into smaller ones, so that other tasks get their turn in between."""
    for start in range(0, len(chunk), size):
        yield chunk[start : start + size]
