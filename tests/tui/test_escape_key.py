"""Escape and the next key in one packet, read as Textual reads a terminal."""

from collections.abc import Iterator

import pytest
from textual import _ansi_sequences, events
from textual._xterm_parser import XTermParser

from tui.escape_key import take_apart


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's own table is left as it was."""
    known = _ansi_sequences.ANSI_SEQUENCES_KEYS
    before = dict(known)
    yield
    assert isinstance(known, dict)
    known.clear()
    known.update(before)


def keys(typed: str) -> list[str]:
    parser = XTermParser()
    return [event.key for text in (typed, "") for event in parser.feed(text) if isinstance(event, events.Key)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("\x1bj", ["escape", "j"]),
        ("\x1bG", ["escape", "G"]),
        ("\x1bcq", ["escape", "c", "q"]),
        ("\x1b3", ["escape", "3"]),
        ("\x1b/web", ["escape", "slash", "w", "e", "b"]),
        ("\x1b?", ["escape", "question_mark"]),
        ("\x1b ", ["escape", "space"]),
        ("\x1b\r", ["escape", "enter"]),
        ("\x1b\x1bj", ["escape", "escape", "j"]),
        ("\x1b", ["escape"]),
        ("\x1b[A", ["up"]),
        ("\x1bOB", ["down"]),
        ("\x1b\x1b[B", ["escape", "down"]),
        ("\x1bb", ["ctrl+left"]),
    ],
)
def test_escape_and_the_next_key_at_once(typed: str, expected: list[str]) -> None:
    take_apart(())
    assert keys(typed) == expected


def test_a_key_with_alt_that_somebody_chose_stays_one() -> None:
    take_apart(["alt+j", "x, alt+shift+g"])
    assert [keys(typed) for typed in ("\x1bj", "\x1bG", "\x1bk")] == [["alt+j"], ["alt+shift+g"], ["escape", "k"]]
