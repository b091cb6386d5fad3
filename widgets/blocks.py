"""Bars and small curves made of block characters."""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_REST: Final = "░"
_GAP: Final = "·"

NOT_MEASURED: Final = 255
"""In a history: there was a reading without this value."""


def bar(ratio: float | None, width: int) -> str:
    """Return a bar of `width` cells, filled by `ratio` (0 to 1); of dots where it is not measured."""
    if ratio is None:
        return _GAP * width
    eighths = round(max(0.0, min(ratio, 1.0)) * width * 8)
    if ratio > 0:
        eighths = max(1, eighths)
    full, part = divmod(eighths, 8)
    filled = "█" * full + (_EIGHTHS[part] if part else "")
    return filled + _REST * (width - len(filled))


def curve(percents: Sequence[int], width: int) -> str:
    """Return the last `width` values of 0 to 100 as blocks, blanks before the first; a gap where not measured."""
    shown = percents[-width:] if width else ()
    return "".join(_height(value) for value in shown).rjust(width)


def _height(percent: int) -> str:
    if percent == NOT_MEASURED:
        return _GAP
    return _HEIGHTS[min(len(_HEIGHTS) - 1, max(0, percent) * len(_HEIGHTS) // 100)]
