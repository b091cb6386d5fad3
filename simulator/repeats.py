"""Pages of a tape that come again and again once it has ended: traffic that goes on."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from simulator.pages import Page
from tape.format import Frame, PageName, page_name

_SAMPLE: Final = re.compile(r"^([\w:]+(?:\{.*\})?) (\S+)$", re.MULTILINE)
_COUNTED: Final = re.compile(r"[\w:]+_(?:total|bucket|sum|count)(?:\{|$)")


class Repeats:
    """What pods answered within a span of a tape that ends with its end. Gauges repeat, counters go on."""

    def __init__(self, since: float, until: float) -> None:
        """A span in seconds of the tape. Raises ValueError if it is empty."""
        if until <= since:
            raise ValueError(f"nothing lies between {since:g} s and {until:g} s")
        self._since, self.until, self.length_s = since, until, until - since
        self._pages: list[tuple[float, PageName, Page]] = []
        self._first: dict[PageName, Page] = {}
        self._last: dict[PageName, Page] = {}

    def note(self, frame: Frame, page: Page) -> None:
        """Take in an answer as it is played, in the order of the tape."""
        name = page_name(frame.source)
        if name is None:
            return
        if frame.t <= self._since:
            self._first[name] = page
        else:
            self._pages.append((frame.t - self._since, name, page))
        self._last[name] = page

    def round(self, number: int) -> Iterator[tuple[float, PageName, Page]]:
        """Yield the answers of a round (the first is 1), with how many seconds after its beginning they come."""
        grown = {name: dict(_grown(page.text, self._last[name].text)) for name, page in self._first.items()}
        for after_s, name, page in self._pages:
            text = _gone_on(page.text, grown.get(name, {}), number)
            yield after_s, name, Page(page.status, text, page.error)


def _counters(text: str) -> Iterable[tuple[str, float]]:
    return ((key, float(value)) for key, value in _SAMPLE.findall(text) if _COUNTED.match(key))


def _grown(first: str, last: str) -> Iterator[tuple[str, float]]:
    before = dict(_counters(first))
    for key, value in _counters(last):
        yield key, value - before.get(key, 0.0)


def _gone_on(text: str, grown: Mapping[str, float], times: int) -> str:
    def more(match: re.Match[str]) -> str:
        key = match[1]
        return f"{key} {float(match[2]) + times * grown[key]:.10g}" if key in grown else match[0]

    return _SAMPLE.sub(more, text)
