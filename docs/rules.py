"""Writes docs/rules.md from the rules and log signatures themselves."""

import sys
from collections.abc import Iterator
from pathlib import Path

from diagnosis.catalogue import ALL
from diagnosis.log_catalogue import ALL as SIGNATURES
from diagnosis.log_catalogue.signature import Signature
from diagnosis.rule import Rule
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
    yield ""
    yield "## What logs tell"
    yield ""
    yield "Looked for in a log that is read with `L`, or given to `midwatch explain --log FILE`."
    for signature in SIGNATURES:
        yield from _signature(signature)


def _signature(signature: Signature) -> Iterator[str]:
    yield ""
    yield f"### `{signature.id}` ({signature.row or signature.family})"
    yield f"{signature.meaning[0].upper()}{signature.meaning[1:]}. {signature.cause}"
    yield ""
    yield f"In the log of {signature.found_in}:"
    yield ""
    for text in signature.texts:
        yield f"- ``{text}``"
    for name, tell in signature.look_alikes.items():
        yield f"- not *{name}*: {tell}"


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
