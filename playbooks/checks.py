"""Automatic checks: an expression judged over Situation and Diagnosis, in three-valued logic, with its evidence.

What is true is fine, what is false is broken. `and` is broken by one broken term and `or` fine by one fine term,
whatever the others are; else one unknown term leaves all unknown (Kleene's strong logic).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from playbooks.expressions import AllOf, AnyOf, Expression, FigureTerm, LayerTerm, NotTerm, RuleTerm
from playbooks.facts import Answer, AnswerState, Facts
from playbooks.figure import unseen, within
from playbooks.figures import FIGURES, Bound, Found, Value
from situation.findings import Diagnosis, Finding, Layer, LayerState, LayerStatus
from situation.kinds import BY_NAME
from situation.readings import SourceState

_FINE, _BROKEN, _UNKNOWN = AnswerState.FINE, AnswerState.BROKEN, AnswerState.UNKNOWN
_OPPOSITE: Final = {_FINE: _BROKEN, _BROKEN: _FINE, _UNKNOWN: _UNKNOWN}
_NOTHING: Final = ": nothing found"
_LINES: Final = 2
"""So many terms are told as evidence where several decide together."""


def judge(expression: Expression, facts: Facts) -> Answer:
    """Return what the facts say of an expression. Never raises for what is not known."""
    match expression:
        case RuleTerm(rule):
            return _rule(rule, facts)
        case LayerTerm(number):
            return _layer(Layer(number), facts)
        case FigureTerm():
            return _figure(expression, facts)
        case NotTerm(term):
            inner = judge(term, facts)
            return Answer(_OPPOSITE[inner.state], inner.evidence)
        case AllOf(terms):
            return _joined([judge(term, facts) for term in terms], decisive=_BROKEN)
        case AnyOf(terms):
            return _joined([judge(term, facts) for term in terms], decisive=_FINE)


def _joined(answers: Sequence[Answer], decisive: AnswerState) -> Answer:
    for state in (decisive, _UNKNOWN):
        if deciding := [answer for answer in answers if answer.state is state]:
            return Answer(state, _told(deciding))
    return Answer(_OPPOSITE[decisive], _told(answers))


def _told(answers: Sequence[Answer]) -> str:
    by_ending: dict[str, list[str]] = {}
    for line in dict.fromkeys(answer.evidence for answer in answers):
        told, nothing, where = line.partition(_NOTHING)
        by_ending.setdefault(nothing + where, []).append(told)
    lines = by_ending.pop("", []) + [", ".join(rules) + ending for ending, rules in by_ending.items()]
    more = f"; and {len(lines) - _LINES} more" if len(lines) > _LINES else ""
    return "; ".join(lines[:_LINES]) + more


def _rule(rule: str, facts: Facts) -> Answer:
    found = [finding for finding in _all(facts.diagnosis) if finding.rule == rule]
    if found:
        near = next((item for item in found if item.subject in facts.about or set(item.members) & {*facts.about}), None)
        shown = near or found[0]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return Answer(_BROKEN, shown.title + more)
    if facts.diagnosis.judged_at is None:
        return Answer(_UNKNOWN, "not judged yet")
    known = facts.rules.get(rule)
    if known is None:
        return Answer(_UNKNOWN, f"there is no rule {rule}")
    if known.beyond and (unsure := unseen(facts)):
        return Answer(_UNKNOWN, unsure.why)
    for name in known.needs:
        source = facts.situation.source(name)
        state = source.state_at(facts.now)
        if state is SourceState.ABSENT and name in BY_NAME and BY_NAME[name].optional:
            continue
        if state is not SourceState.LIVE:
            return Answer(_UNKNOWN, f"{name}: {source.error or state.value}")
    status = _status(known.layer, facts.diagnosis)
    if not known.needs and status is not None and status.reason:
        return Answer(_UNKNOWN, status.reason)  # such a rule judges what the layer's doubts are about
    if status is None or status.status is LayerState.UNKNOWN:
        return Answer(_UNKNOWN, status.reason if status is not None else "not judged yet")
    return Answer(_FINE, rule + _NOTHING + (within(facts) if any(map(_is_namespaced, known.needs)) else ""))


def _is_namespaced(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].namespaced and not BY_NAME[name].fixed_namespace


def _all(diagnosis: Diagnosis) -> Iterable[Finding]:
    for cause in diagnosis.causes:
        yield cause
        yield from cause.consequences


def _status(layer: Layer, diagnosis: Diagnosis) -> LayerStatus | None:
    return next((item for item in diagnosis.layers if item.layer is layer), None)


def _layer(layer: Layer, facts: Facts) -> Answer:
    diagnosis = facts.diagnosis
    status = _status(layer, diagnosis)
    if status is None:
        return Answer(_UNKNOWN, "not judged yet")
    if status.status is LayerState.FINDINGS:
        first = next(cause for cause in diagnosis.causes if cause.layer is layer)
        more = f" and {status.causes - 1} more" if status.causes > 1 else ""
        return Answer(_BROKEN, f"{first.title}{more}")
    if status.status is LayerState.UNKNOWN:
        return Answer(_UNKNOWN, status.reason)
    if layer in facts.layers_beyond and (unsure := unseen(facts)):
        return Answer(_UNKNOWN, unsure.why)
    return Answer(_FINE, f"nothing found{within(facts)}" + (f" (but {status.reason})" if status.reason else ""))


def _figure(term: FigureTerm, facts: Facts) -> Answer:
    found = FIGURES[term.figure].find(facts)
    if not isinstance(found, Found):
        return Answer(_UNKNOWN, found.why)
    holds = _holds(found, term.sign, term.value)
    if holds is None:
        return Answer(_UNKNOWN, f"{found.text}, as far as known")
    return Answer(_FINE if holds else _BROKEN, found.text)


def _holds(found: Found, sign: str, wanted: Value) -> bool | None:
    """Compare; None where only a bound of the value is known and that does not decide."""
    value = found.value
    if isinstance(value, frozenset) and isinstance(wanted, frozenset):
        same = wanted <= value if wanted else not value
        return same if sign == "==" else not same
    if isinstance(value, frozenset) or isinstance(wanted, frozenset):
        return None
    holds = {
        "==": value == wanted,
        "!=": value != wanted,
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
    }[sign]
    if found.bound is Bound.EXACT:
        return holds
    # The real value may be larger (AT_LEAST) or smaller (AT_MOST): only what that cannot change is told.
    sure = {Bound.AT_LEAST: {">": True, ">=": True, "<": False, "<=": False},
            Bound.AT_MOST: {"<": True, "<=": True, ">": False, ">=": False}}[found.bound]  # fmt: skip
    if sign in sure:
        return holds if holds is sure[sign] else None
    beyond = value > wanted if found.bound is Bound.AT_LEAST else value < wanted
    return (sign == "!=") if beyond else None
