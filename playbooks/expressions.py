"""The little language of automatic checks: terms joined by `and`, `or`, `not`, read without running anything.

    rule:etcd-no-space                 no finding of this rule
    layer:4                            nothing found in this layer
    api.ready                          a flag
    etcd.alarms == none                words, or none of them
    etcd.db_ratio < 0.8 and not (nodes.not_ready > 0)

A check says how it is when all is well: true is fine, false is broken, and what cannot be told stays unknown.
"""

import difflib
import re
from typing import Final

import msgspec

from playbooks.figures import FIGURES, Kind, Value

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<rule>rule:[a-z0-9-]+)|(?P<layer>layer:\d+)|(?P<sign>==|!=|<=|>=|<|>|\(|\))"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_.-]*))"
)
_ORDERING: Final = ("<", "<=", ">", ">=")
_MAX_DEPTH: Final = 50


class ExpressionError(ValueError):
    """An expression that cannot be read; the message says where."""


class RuleTerm(msgspec.Struct, frozen=True, tag=True):
    rule: str


class LayerTerm(msgspec.Struct, frozen=True, tag=True):
    layer: int


class FigureTerm(msgspec.Struct, frozen=True, tag=True):
    """A figure compared with a value; a flag stands for itself (`== True`)."""

    figure: str
    sign: str
    value: Value


class NotTerm(msgspec.Struct, frozen=True, tag=True):
    term: "Expression"


class AllOf(msgspec.Struct, frozen=True, tag=True):
    terms: tuple["Expression", ...]


class AnyOf(msgspec.Struct, frozen=True, tag=True):
    terms: tuple["Expression", ...]


Expression = RuleTerm | LayerTerm | FigureTerm | NotTerm | AllOf | AnyOf


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises ExpressionError, which names the word that is wrong."""
    return _Parser(_tokens(text)).whole()


def rules_in(expression: Expression) -> tuple[str, ...]:
    """Return the ids of all rules that an expression names."""
    match expression:
        case RuleTerm(rule):
            return (rule,)
        case NotTerm(term):
            return rules_in(term)
        case AllOf(terms) | AnyOf(terms):
            return tuple(rule for term in terms for rule in rules_in(term))
    return ()


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError(f"cannot be read from {text[place:].strip()[:20]!r} on")
        found.append((match.lastgroup or "", match.group(match.lastgroup or 0)))
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def whole(self) -> Expression:
        if not self._tokens:
            raise ExpressionError("is empty")
        made = self._any()
        if self._place < len(self._tokens):
            raise ExpressionError(f"{self._tokens[self._place][1]!r} is one word too many; join terms by and, or")
        return made

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "the end")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._place += 1
        return token

    def _joined(self, word: str) -> bool:
        if self._peek() == ("word", word):
            self._place += 1
            return True
        return False

    def _any(self) -> Expression:
        terms = [self._all()]
        while self._joined("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all(self) -> Expression:
        terms = [self._not()]
        while self._joined("and"):
            terms.append(self._not())
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def _not(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError("is nested too deeply")
        made = NotTerm(self._not()) if self._joined("not") else self._term()
        self._depth -= 1
        return made

    def _term(self) -> Expression:
        kind, text = self._take()
        match kind:
            case "rule":
                return RuleTerm(text.removeprefix("rule:"))
            case "layer":
                number = int(text.removeprefix("layer:"))
                if not 1 <= number <= 5:
                    raise ExpressionError(f"{text}: layers are 1 to 5")
                return LayerTerm(number)
            case "word":
                return self._figure(text)
            case "sign" if text == "(":
                made = self._any()
                if self._take() != ("sign", ")"):
                    raise ExpressionError("a ) is missing")
                return made
        raise ExpressionError(f"a term is expected where {text!r} stands")

    def _figure(self, name: str) -> Expression:
        figure = FIGURES.get(name)
        if figure is None:
            close = difflib.get_close_matches(name, FIGURES, 1)
            raise ExpressionError(f"there is no figure {name!r}" + (f"; do you mean {close[0]!r}?" if close else ""))
        kind, sign = self._peek()
        if kind != "sign" or sign in "()":
            if figure.kind is not Kind.FLAG:
                raise ExpressionError(f"{name} is no flag: compare it with a value")
            return FigureTerm(name, "==", True)
        self._take()
        if figure.kind is not Kind.NUMBER and sign in _ORDERING:
            raise ExpressionError(f"{name} has no order: only == and != can be used")
        return FigureTerm(name, sign, self._value(name, figure.kind))

    def _value(self, name: str, kind: Kind) -> Value:
        sort, text = self._take()
        if kind is Kind.NUMBER and sort == "number":
            return float(text)
        if kind is Kind.FLAG and text in ("true", "false"):
            return text == "true"
        if kind is Kind.WORDS and sort == "word":
            return frozenset() if text == "none" else frozenset({text})
        wanted = {Kind.NUMBER: "a number", Kind.FLAG: "true or false", Kind.WORDS: "a word, or none"}[kind]
        raise ExpressionError(f"{name} is compared with {wanted}, not with {text!r}")
