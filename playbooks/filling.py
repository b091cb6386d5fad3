"""A step's command with its placeholders filled. What is missing stays visible, and is never offered for copying."""

import re
from typing import Final

import msgspec

from playbooks.context import Context
from playbooks.model import Template
from playbooks.placeholders import PLACEHOLDERS
from situation.findings import Command

PLACEHOLDER: Final = re.compile(r"<([a-z][a-z0-9-]*)>")
_INSIDE_A_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
"""What may be put beside other characters of a word: every real name, and nothing that means more there."""


class Filled(msgspec.Struct, frozen=True):
    command: Command
    missing: tuple[str, ...] = ()
    """Placeholders that nothing fills, in order."""
    refused: str = ""
    """Why it must not be offered although nothing is missing."""
    flags: frozenset[str] = frozenset()
    """Options that the template itself has."""


def names_in(template: Template) -> tuple[str, ...]:
    """Return the placeholders of a template, each once, in order."""
    words = (*template.argv, template.namespace, template.where)
    return tuple(dict.fromkeys(name for word in words for name in PLACEHOLDER.findall(word)))


def fill(template: Template, purpose: str, context: Context) -> Filled:
    """Fill a template from the context."""
    found = {name: _value(name, context) for name in names_in(template)}
    missing = tuple(name for name, words in found.items() if words is None)
    argv: list[str] = []
    refused = ""
    for word in template.argv:
        whole = PLACEHOLDER.fullmatch(word)
        if whole is not None:
            words = found[whole[1]]
            argv += (word,) if words is None else words
            if words and len(words) == 1 and words[0].startswith("-"):
                refused = f"a name that would be read as an option: {words[0]}"
            continue
        made, wrong = _inside(word, found)
        argv.append(made)
        refused = refused or wrong
    namespace, wrong_namespace = _inside(template.namespace, found)
    where, wrong_where = _inside(template.where, found)
    return Filled(
        Command(tuple(argv), purpose, namespace, template.effect, where),
        missing,
        refused or wrong_namespace or wrong_where,
        frozenset(word.partition("=")[0] for word in template.argv if word.startswith("-")),
    )


def _value(name: str, context: Context) -> tuple[str, ...] | None:
    if (chosen := context.values.get(name)) is not None:
        return (chosen,)
    return PLACEHOLDERS[name].find(context)


def _inside(text: str, found: dict[str, tuple[str, ...] | None]) -> tuple[str, str]:
    """Put values into a word beside other characters; also return what cannot be one."""
    wrong = ""

    def value(match: re.Match[str]) -> str:
        nonlocal wrong
        words = found[match[1]]
        if words is None:
            return match[0]
        if match[0] != text and not _INSIDE_A_WORD.fullmatch(words[0]):
            wrong = f"{words[0]!r} is no name that can stand in {text}"
        return words[0]

    return PLACEHOLDER.sub(value, text), wrong
