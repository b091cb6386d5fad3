"""Escape and the key after it, when a slow line brings both at once.

`esc j` in one packet reads as `alt+j`, `esc 3` as `£`, `esc /` as `/` alone: Textual (8.2) takes them for what alt
sends. Here no key is on alt unless somebody put it there, so they are what was typed. Its table is private: it is
touched here only, and left alone where it is no table.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from textual import _ansi_sequences
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, _character_to_key

_BEGINS_A_SEQUENCE: Final = frozenset("[O]P_^X\\")
"""ESC and one of these begins what terminals send for other keys, or as an answer (ECMA-48, 5.3 and 8.3)."""
_MOVES_BY_WORD: Final = frozenset("bf")
"""Sent for alt and an arrow by terminals of macOS: moves in a line of text."""


class _Named(NamedTuple):
    """A key as the table lists them."""

    value: str


def take_apart(bound: Iterable[str]) -> None:
    """Let ESC and a character be two keys, but for the keys with alt in `bound`: names as in a key map."""
    table = _ansi_sequences.ANSI_SEQUENCES_KEYS
    if not isinstance(table, dict):
        return
    kept = {key.strip() for keys in bound for key in keys.split(",")}
    for character in _characters():
        if _with_alt(character) not in kept:
            table[f"\x1b{character}"] = (Keys.Escape, _Named(_name(character)))
    table["\x1b\r"] = (Keys.Escape, Keys.Enter)


def _characters() -> Iterator[str]:
    return (chr(code) for code in range(0x20, 0x7F) if chr(code) not in _BEGINS_A_SEQUENCE | _MOVES_BY_WORD)


def _name(character: str) -> str:
    name = character if character.isalnum() else _character_to_key(character)
    return KEY_NAME_REPLACEMENTS.get(name, name)


def _with_alt(character: str) -> str:
    return f"alt+shift+{character.lower()}" if character.isupper() else f"alt+{_name(character)}"
