"""Checks the keys that a person configured: Textual takes unknown ids, impossible keys and clashes without a word."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from textual.keys import KEY_ALIASES, REPLACED_KEYS, Keys, _character_to_key, key_to_character

from tui.config import suggestion

_MODIFIERS: Final = ("alt", "ctrl", "hyper", "meta", "shift", "super")
"""In the order in which Textual names them."""
_OTHER_NAMES: Final = {
    "backtab": "shift+tab",
    "bksp": "backspace",
    "control": "ctrl",
    "del": "delete",
    "esc": "escape",
    "ins": "insert",
    "option": "alt",
    "page_down": "pagedown",
    "page_up": "pageup",
    "pgdn": "pagedown",
    "pgup": "pageup",
    "return": "enter",
    "spacebar": "space",
}
_NAMED: Final = frozenset(
    key.value.rpartition("+")[2]
    for key in Keys
    if not key.value.startswith("<") and key.value != "return" and len(key.value.rpartition("+")[2]) > 1
) - {"ctrl-at"}
_SAME: Final = {alias: key for key, aliases in KEY_ALIASES.items() for alias in aliases}


class BindingLike(Protocol):
    """What is looked at of a `textual.binding.Binding`."""

    @property
    def id(self) -> str | None: ...

    @property
    def key(self) -> str: ...


def check_keymap(bindings: Iterable[BindingLike], remap: Mapping[str, str]) -> list[str]:
    """Return what is wrong with `remap` (binding id to keys, separated by commas), in plain sentences.

    Two bindings that share a key by default live in different places of the screen, so only clashes that the remapping
    brings count. Bindings without an id cannot be remapped, but they can be in the way.
    """
    ours = list(bindings)
    ids = [binding.id for binding in ours if binding.id is not None]
    problems = []
    sound: dict[str, str] = {}
    for wanted, keys in remap.items():
        found = [f"keys.{wanted}: {problem}" for problem in _problems(keys)]
        if wanted not in ids:
            found.insert(0, f"keys.{wanted}: there is no such binding{suggestion(wanted, ids)}")
        if not found:
            sound[wanted] = keys
        problems += found
    return problems + list(_clashes(ours, sound))


def key_problem(key: str) -> str:
    """Return why no key press is ever called `key`, or an empty string."""
    if key == "+":
        return ""
    *modifiers, base = key.split("+")
    for modifier in modifiers:
        if modifier not in _MODIFIERS:
            return f"{key!r}: unknown modifier {modifier!r}{suggestion(*_meant(modifier, _MODIFIERS))}"
    canonical = _canonical(base, with_modifier=any(modifier != "shift" for modifier in modifiers))
    if canonical is None:
        return f"{key!r} is not a key{suggestion(*_meant(base, _NAMED))}"
    if modifiers == ["shift"] and canonical not in _NAMED:
        return f"{key!r} never arrives: name the character that shift gives"
    right = "+".join((*sorted(set(modifiers)), canonical))
    if len(base) == 1 and not modifiers:
        return ""
    return "" if right == key else f"{key!r} never arrives; write {right!r}"


def _problems(keys: str) -> Iterator[str]:
    for key in _split(keys):
        if not key:
            yield "an empty key" if keys.strip() else "no key; a binding cannot be taken away"
        elif problem := key_problem(key):
            yield problem


def _split(keys: str) -> list[str]:
    return ["comma"] if keys == "," else [key.strip() for key in keys.split(",")]


def _canonical(base: str, *, with_modifier: bool) -> str | None:
    """Return the name that Textual gives to the key called `base`; None if there is none."""
    if base in _NAMED:
        return base
    character = _character(base)
    if character is None or not character.isprintable() or character == " ":
        return None
    return _character_to_key(character.lower() if with_modifier else character)


def _character(name: str) -> str | None:
    return key_to_character(REPLACED_KEYS.get(name, name))


def _meant(word: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """Return (word, known words) so that common other names are suggested too."""
    other = _OTHER_NAMES.get(word.lower())
    if other:
        return other, [other]
    return word, list(known) if difflib.get_close_matches(word, list(known)) else []


def _clashes(bindings: list[BindingLike], remap: Mapping[str, str]) -> Iterator[str]:
    before: defaultdict[str, set[str]] = defaultdict(set)
    after: defaultdict[str, set[str]] = defaultdict(set)
    for number, binding in enumerate(bindings):
        name = binding.id or f"#{number}"
        default = {_identity(key) for key in _split(binding.key)}
        before[name] |= default
        after[name] |= {_identity(key) for key in _split(remap[name])} if name in remap else default
    names = sorted(after)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            if not (first in remap or second in remap) or before[first] & before[second]:
                continue
            for key in sorted(after[first] & after[second]):
                shown = [name if not name.startswith("#") else "a fixed binding" for name in (second, first)]
                yield f"keys: {shown[0]} and {shown[1]} are both on {key!r}"


def _identity(key: str) -> str:
    """Return one name for all names of a key: terminals send the same for enter and ctrl+m."""
    name = _character_to_key(key) if len(key) == 1 else key
    return _SAME.get(name, name)
