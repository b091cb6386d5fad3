"""Writes docs/rules.md from the rules themselves."""

import sys
from collections.abc import Iterator
from pathlib import Path

from diagnosis.rule import Rule
from diagnosis.rules import ALL
from situation.findings import Layer


def pages() -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# The rules"
    yield ""
    yield "Made from the rules by `make docs`; `midwatch explain RULE` prints the same."
    for layer in Layer:
        yield ""
        yield f"## Layer {layer.value}: {layer.title}"
        for rule in sorted((item for item in ALL if item.layer is layer), key=lambda item: item.signature):
            yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[str]:
    yield ""
    yield f"### `{rule.id}` ({rule.severity.value}; {rule.signature})"
    yield rule.summary
    yield ""
    yield f"Looks at: {' '.join(rule.looks_at.split())}"
    if rule.look_alikes:
        yield ""
    for name, tell in rule.look_alikes.items():
        yield f"- not *{name}*: {' '.join(tell.split())}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(pages()) + "\n", encoding="utf-8")
