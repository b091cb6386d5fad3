"""One playbook's file: TOML front matter between `+++` lines, then Markdown; and on which line each part stands."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

FENCE: Final = "+++"
_HEADING: Final = re.compile(r"##\s+(\S.*?)\s*$")
_TABLE: Final = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\"'-]+)\s*\]\]?\s*(#.*)?$")
_AT: Final = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


class BadPlaybook(ValueError):  # noqa: N818 - said of the file
    """A file that cannot be used. The message has no file name: the loader knows it."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        super().__init__(text)


class Source(msgspec.Struct, frozen=True):
    """A file, taken apart."""

    lines: tuple[str, ...]
    front: Mapping[str, Any]
    notes: str
    """Markdown before the first heading."""
    sections: Mapping[str, str]
    """Heading (a step's id) to the Markdown below it."""
    headings: Mapping[str, int]
    """Heading to its line."""

    def line_of(self, key: str, step: int | None = None) -> int:
        """Return the line of a key, in the n-th `[[step]]` if given; that of the table where there is no such key."""
        here: int | None = None
        table, in_text = 1, False
        for number, text in enumerate(self.lines, start=1):
            if number > 1 and text.strip() == FENCE:
                break
            if in_text:
                in_text = _toggles(text) == in_text and not _toggles(text)
                continue
            if (found := _TABLE.match(text)) is not None:
                if found[1] == "step":
                    here = 0 if here is None else here + 1
                    table = number if here == step else table
                if here == step and found[1].startswith("step.") and _names(key, found[1].removeprefix("step.")):
                    return number
            elif here == step and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", text):
                return number
            in_text = _toggles(text)
        return table


def _names(key: str, table: str) -> bool:
    return key == table or key in table.split(".")


def _toggles(text: str) -> bool:
    """Tell whether a text of several lines begins or ends here."""
    return (text.count('"""') + text.count("'''")) % 2 == 1


def take_apart(text: str) -> Source:
    """Split a file. Raises BadPlaybook with the line that is wrong."""
    lines = text.split("\n")
    if lines[0].strip() != FENCE:
        raise BadPlaybook(1, f"the first line must be {FENCE}, with the front matter below it")
    end = next((number for number, line in enumerate(lines) if number and line.strip() == FENCE), None)
    if end is None:
        raise BadPlaybook(1, f"the front matter does not end: a second line {FENCE} is missing")
    try:
        front = tomllib.loads("\n".join(lines[1:end]))
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        line = int(at[1]) + 1 if at is not None and at[1] else end
        raise BadPlaybook(line, f"front matter: {_AT.sub('', str(error)).strip()}") from None
    except RecursionError:
        raise BadPlaybook(1, "front matter: nested too deeply") from None
    notes, sections, headings = _sections(lines[end + 1 :], end + 2)
    return Source(tuple(lines), front, notes, sections, headings)


def _sections(lines: list[str], first: int) -> tuple[str, dict[str, str], dict[str, int]]:
    held: dict[str, list[str]] = {"": []}
    headings: dict[str, int] = {}
    name, is_code = "", False
    for number, line in enumerate(lines, start=first):
        is_code ^= line.lstrip().startswith("```")
        found = None if is_code else _HEADING.match(line)
        if found is None:
            held[name].append(line)
            continue
        name = found[1]
        if name in headings:
            raise BadPlaybook(number, f"there are two headings {name!r}, the first on line {headings[name]}")
        held[name], headings[name] = [], number
    texts = {name: "\n".join(lines).strip() for name, lines in held.items()}
    return texts.pop(""), texts, headings
