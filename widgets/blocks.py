"""Bars and small curves made of block characters."""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_REST: Final = "░"
_HELD: Final = "▒"
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


def stacked_bar(inner: float | None, outer: float | None, width: int) -> str:
    """Return a bar of `width` cells: filled up to `inner`, hatched from there up to `outer` (ratios, 0 to 1).

    Of dots where `outer` is not measured. Whatever is more than nothing takes a cell.
    """
    if outer is None:
        return _GAP * width
    full = _cells(min(inner or 0.0, outer), width)
    held = max(_cells(outer, width) - full, 1 if inner is not None and outer > inner and full < width else 0)
    return "█" * full + _HELD * held + _REST * (width - full - held)


def _cells(ratio: float, width: int) -> int:
    cells = round(max(0.0, min(ratio, 1.0)) * width)
    return max(1, cells) if ratio > 0 else cells


def curve(percents: Sequence[int], width: int) -> str:
    """Return the last `width` values of 0 to 100 as blocks, blanks before the first; a gap where not measured."""
    shown = percents[-width:] if width else ()
    return "".join(_height(value) for value in shown).rjust(width)


def tall_curve(percents: Sequence[int], width: int, lines: int) -> list[str]:
    """Return the last `width` values of 0 to 100 as columns of blocks over `lines` lines, the topmost line first."""
    if lines < 2:
        return [curve(percents, width)]
    shown = tuple(percents[-width:]) if width else ()
    steps = len(_HEIGHTS) * lines
    levels = [0 if value == NOT_MEASURED else max(1, min(steps, value * steps // 100)) for value in shown]
    drawn = []
    for below in range((lines - 1) * len(_HEIGHTS), -1, -len(_HEIGHTS)):
        row = "".join(_block(level - below) for level in levels)
        if not below:  # where nothing was measured is told at the foot
            row = "".join(_GAP if value == NOT_MEASURED else block for value, block in zip(shown, row, strict=True))
        drawn.append(row.rjust(width))
    return drawn


def _block(level: int) -> str:
    return _HEIGHTS[min(level, len(_HEIGHTS)) - 1] if level > 0 else " "


def _height(percent: int) -> str:
    if percent == NOT_MEASURED:
        return _GAP
    return _HEIGHTS[min(len(_HEIGHTS) - 1, max(0, percent) * len(_HEIGHTS) // 100)]
