"""Finds the known faults in the text of a log.

No regular expression looks for them: a signature's text is a few literal pieces in a row, each found with one search,
so the time grows with the length of the log and nothing in it can make it explode. A block of lines is asked first
whether it holds the pieces at all; its lines are looked at only then.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from diagnosis.log_catalogue import ALL
from diagnosis.log_catalogue.signature import GAP, Signature, Weight
from situation.text import harmless

BLOCK_CHARS: Final = 64 * 1024
LINES_KEPT: Final = 1000
"""Lines kept for each signature; then it is not looked for any more."""
_SHOWN_CHARS: Final = 400
_BEFORE_CHARS: Final = 80
"""So much of a long line is shown before what was found in it."""
_COLOUR: Final = re.compile(r"[\x1b\u241b]\[[0-9;]{0,20}m")
"""As terminals get it, and as `harmless` shows it."""
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_STAMP_WITHIN_CHARS: Final = 200
"""A time further in is not that of the line; `kubectl logs --prefix` puts the pod before it."""


class Match(msgspec.Struct, frozen=True):
    """A signature that a log holds."""

    signature: Signature
    lines: tuple[int, ...]
    """Numbers of the lines that say it, from 1; the first LINES_KEPT of them."""
    text: str
    """The first of them, harmless and shortened."""
    at: datetime | None = None
    """That line's own time."""
    explained_by: str = ""
    """Id of a more specific signature in the same log, or of one that shows that this fault had passed."""

    @property
    def line(self) -> int:
        return self.lines[0]


def find_signatures(text: str, signatures: Sequence[Signature] = ALL) -> tuple[Match, ...]:
    """Return the signatures in a log, each once, in the order of their first lines; never raises.

    On one line a more specific signature drops the more general one; elsewhere in the log it explains it. A fault that
    may pass is explained by what shows that it has.
    """
    finder = _Finder(signatures)
    for first, block in _blocks(text):
        finder.look_at(first, block)
    return finder.matches()


def trigger(matches: Sequence[Match]) -> Match | None:
    """Return what came first: the first fault, else the first that waits, else the first note.

    By the times of the lines where all have one (several logs in one file), else by their order.
    """
    own = [match for match in matches if not match.explained_by]
    times = [match.at for match in own if match.at is not None]
    if len(times) == len(own):
        own = [match for _, match in sorted(zip(times, own, strict=True), key=lambda pair: pair[0])]
    order = list(Weight)
    return min(own, key=lambda match: order.index(match.signature.weight), default=None)


class _Wording(NamedTuple):
    """One text of a signature, as pieces that follow each other on a line."""

    pieces: tuple[str, ...]
    longest: str
    owner: int
    """Number of the signature."""

    def is_in(self, text: str) -> bool:
        """Tell whether all pieces stand somewhere in the text."""
        return self.longest in text and all(piece in text for piece in self.pieces)


class _Found:
    """The lines of one signature so far."""

    __slots__ = ("lines", "text")

    def __init__(self, line: int, text: str) -> None:
        self.lines = [line]
        self.text = text


class _Finder:
    def __init__(self, signatures: Sequence[Signature]) -> None:
        self._signatures = tuple(signatures)
        self._wordings = [
            _wording(text, number) for number, signature in enumerate(signatures) for text in signature.texts
        ]
        self._found: dict[int, _Found] = {}

    def look_at(self, first: int, block: str) -> None:
        """Look at a block of whole lines, of which the first has this number."""
        plain = _plain(block)
        present = [wording for wording in self._wordings if wording.is_in(plain) and self._is_wanted(wording.owner)]
        if not present:
            return
        for number, (line, shown) in enumerate(zip(plain.split("\n"), block.split("\n"), strict=True), start=first):
            self._look_at_line(number, line, shown, present)

    def _is_wanted(self, owner: int) -> bool:
        found = self._found.get(owner)
        return found is None or len(found.lines) < LINES_KEPT

    def _look_at_line(self, number: int, line: str, shown: str, present: Sequence[_Wording]) -> None:
        holding = {wording.owner: wording for wording in present if wording.longest in line and _holds(line, wording)}
        if not holding:
            return
        general = {name for owner in holding for name in self._signatures[owner].over}
        for owner, wording in holding.items():
            if self._signatures[owner].id in general:
                continue
            found = self._found.get(owner)
            if found is None:
                place = line.find(wording.longest) - _BEFORE_CHARS
                self._found[owner] = _Found(number, shown[place:] if place > 0 and len(line) > _SHOWN_CHARS else shown)
            elif len(found.lines) < LINES_KEPT:
                found.lines.append(number)

    def matches(self) -> tuple[Match, ...]:
        explained: dict[str, str] = {}
        for owner in self._found:
            signature = self._signatures[owner]
            if passed := self._passed(owner):
                explained.setdefault(signature.id, passed)
            elif signature.weight is Weight.FAULT:
                for name in signature.over:
                    explained.setdefault(name, signature.id)
        made = [
            _match(self._signatures[owner], found, explained.get(self._signatures[owner].id, ""))
            for owner, found in self._found.items()
        ]
        return tuple(sorted(made, key=lambda match: match.line))

    def _passed(self, owner: int) -> str:
        """Return the id of what shows that a fault had passed: another fault that is none of its effects, or a good
        start after its last line. Empty if nothing does."""
        signature = self._signatures[owner]
        if not signature.may_pass:
            return ""
        last = self._found[owner].lines[-1]
        for number, found in self._found.items():
            other = self._signatures[number]
            is_other_fault = other.weight is Weight.FAULT and other.id not in (signature.id, *signature.over)
            if is_other_fault or (other.is_start and found.lines[-1] > last):
                return other.id
        return ""


def _match(signature: Signature, found: _Found, explained_by: str) -> Match:
    raw = _COLOUR.sub("", found.text[: 2 * _SHOWN_CHARS])
    text = harmless(raw.strip())
    shown = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return Match(signature, tuple(found.lines), shown, _time(raw), explained_by)


def _wording(text: str, owner: int) -> _Wording:
    pieces = tuple(piece for piece in text.lower().split(GAP) if piece)
    return _Wording(pieces, max(pieces, key=len), owner)


def _holds(line: str, wording: _Wording) -> bool:
    place = 0
    for piece in wording.pieces:
        found = line.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return True


def _plain(block: str) -> str:
    """Without colours, in small letters, and with the quotes of JSON as they are meant."""
    if "\x1b" in block or "\u241b" in block:
        block = _COLOUR.sub("", block)
    return block.replace('\\"', '"').lower()


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, text) of blocks of whole lines; a line longer than a block is one of its own."""
    place, number = 0, 1
    while place < len(text):
        end = text.rfind("\n", place, place + BLOCK_CHARS)
        if end < 0:
            end = text.find("\n", place)
            end = len(text) if end < 0 else end
        block = text[place:end]
        yield number, block
        place, number = end + 1, number + block.count("\n") + 1


def _time(line: str) -> datetime | None:
    found = _STAMP.search(line, 0, _STAMP_WITHIN_CHARS)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found.group().replace(",", "."))
    except ValueError:
        return None
