"""What a figure of an automatic check is, and what finding one gives."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from playbooks.facts import Facts
from situation.readings import SourceState

Value = bool | float | frozenset[str]
_NAMES: Final = 3
"""So many are named in a line of evidence."""


class Kind(StrEnum):
    FLAG = "flag"
    NUMBER = "number"
    WORDS = "words"


class Bound(StrEnum):
    """How a value stands to the real one, where part of what it is made of could not be read."""

    EXACT = "exact"
    AT_LEAST = "at least"
    AT_MOST = "at most"


class Found(msgspec.Struct, frozen=True):
    value: Value
    text: str
    """The evidence, one line."""
    bound: Bound = Bound.EXACT


class Unsure(msgspec.Struct, frozen=True):
    """It is not known."""

    why: str


class Figure(NamedTuple):
    kind: Kind
    meaning: str
    """For the documentation: what it counts, with its unit."""
    find: Callable[[Facts], Found | Unsure]


def unread(facts: Facts, *names: str) -> Unsure | None:
    """Return why a count over these sources would be a guess: one of them is not live."""
    for name in names:
        source = facts.situation.source(name)
        state = source.state_at(facts.now)
        if state is not SourceState.LIVE:
            return Unsure(source.error or f"{name}: {'not read yet' if state is SourceState.STARTING else state.value}")
    return None


def unseen(facts: Facts) -> Unsure | None:
    """Return why what is in other namespaces is not known: one alone is read."""
    return Unsure(part) if (part := facts.situation.part) else None


def within(facts: Facts) -> str:
    """Return ` in namespace shop` where that one alone is read; empty where all are."""
    namespace = facts.situation.configured.only_namespace
    return f" in namespace {namespace}" if namespace else ""


def be(count: int) -> str:
    """Return `is` for one, else `are`."""
    return "is" if count == 1 else "are"


def first_names(names: Iterable[str]) -> str:
    """Return `a, b, c and 4 more`, in order of name; empty for none."""
    found = sorted(names)
    more = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
    return ", ".join(found[:_NAMES]) + more
