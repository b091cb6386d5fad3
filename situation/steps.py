"""Work that may be interrupted: a generator that yields where it can wait, and returns what it made."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Between two steps others may look at what is there, and change nothing of it."""


def advance(steps: Steps[T]) -> tuple[T] | None:
    """Do one step; return what they all made, as the only item, after the last one."""
    try:
        next(steps)
    except StopIteration as end:
        return (end.value,)
    return None


def finish(steps: Steps[T]) -> T:
    """Do all steps at once, and return what they made."""
    while (made := advance(steps)) is None:
        pass
    return made[0]
