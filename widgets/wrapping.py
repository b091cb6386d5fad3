"""Wrapping by cells: wide and combining characters take more or less room than their number."""

from textual.content import Content


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of `text`, none wider than `width` cells; at least one."""
    return [line.plain.rstrip() for line in Content(text).wrap(width)] or [""]
