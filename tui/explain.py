"""`midwatch explain`: the documentation of rules and log signatures, from these themselves."""

import difflib
import textwrap
from collections.abc import Iterator

from diagnosis.catalogue import ALL, BY_ID
from diagnosis.log_catalogue import BY_ID as SIGNATURES
from diagnosis.rule import Rule
from tui.exits import UsageProblem
from tui.explain_log import explain_signature, list_signatures, signatures_named


def list_rules() -> Iterator[str]:
    """Yield one line for each rule, by layer, then one for each log signature."""
    for rule in sorted(ALL, key=lambda rule: (rule.layer, rule.signature)):
        yield f"L{rule.layer}  {rule.severity.value:<8}  {rule.id:<26}  {rule.summary}"
    yield from list_signatures()


def explain_rule(wanted: str) -> Iterator[str]:
    """Yield the explanation of the rules, or log signatures, with that id or row. Raises UsageProblem if none has."""
    rules = [BY_ID[wanted]] if wanted in BY_ID else [rule for rule in ALL if wanted.upper() in rule.signature.split()]
    explained = [_explain(rule) for rule in rules] or [explain_signature(item) for item in signatures_named(wanted)]
    if not explained:
        close = difflib.get_close_matches(wanted, [*BY_ID, *SIGNATURES], n=1)
        hint = f"; did you mean {close[0]}?" if close else "; `midwatch explain --list` names them all"
        raise UsageProblem(f"no rule {wanted!r}{hint}")
    for number, lines in enumerate(explained):
        if number:
            yield ""
        yield from lines


def _explain(rule: Rule) -> Iterator[str]:
    yield f"{rule.id} · layer {rule.layer.value} {rule.layer.title} · {rule.severity.value} · {rule.signature}"
    yield from _wrapped(rule.summary)
    yield ""
    yield "looks at"
    yield from _wrapped(rule.looks_at)
    if rule.look_alikes:
        yield "look-alikes, and how they are told apart"
        for name, tell in rule.look_alikes.items():
            yield from textwrap.wrap(f"{name}: {tell}", 100, initial_indent="  - ", subsequent_indent="    ")
    if rule.needs:
        yield f"needs to read: {', '.join(rule.needs)}"


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(" ".join(text.split()), 100, initial_indent="  ", subsequent_indent="  ")
