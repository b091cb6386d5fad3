"""A demo as training: the diagnosis is hidden until somebody says which layer is broken, and by what."""

import random
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from situation.clock import duration_text
from situation.findings import Diagnosis, Finding, Layer, Severity

OPTIONS: Final = 6
LAYER_POINTS: Final = 1
CAUSE_POINTS: Final = 2
BEST: Final = LAYER_POINTS + CAUSE_POINTS


class Choice(msgspec.Struct, frozen=True):
    """One answer to "what is the cause?"."""

    rule: str
    text: str
    """What the rule finds, in its own words: titles would give away which of them was found."""


class Answer(msgspec.Struct, frozen=True):
    """What somebody said after so many seconds."""

    layer: Layer
    choice: Choice
    after_s: float


class Score(msgspec.Struct, frozen=True):
    """What an answer is worth, and why, in sentences."""

    points: int
    lines: tuple[str, ...]


def choices(diagnosis: Diagnosis, summaries: Mapping[str, str], seed: str) -> tuple[Choice, ...]:
    """Return the answers to choose from: the cause, what only follows from it, and what is not the case at all.

    `summaries` say what each rule finds, by its id. Equal seeds give equal answers in an equal order.
    """
    source = random.Random(seed)  # noqa: S311 - no secrets here
    found = list(dict.fromkeys(item.rule for item in _everything(diagnosis) if item.rule in summaries))
    others = sorted(summaries.keys() - set(found))
    source.shuffle(others)
    half = OPTIONS // 2
    picked = found[:half] + others[: OPTIONS - len(found[:half])]
    source.shuffle(picked)
    return tuple(Choice(rule, summaries[rule]) for rule in picked)


def score(answer: Answer, diagnosis: Diagnosis) -> Score:
    """Compare an answer with the gravest cause; a cause that is there, but not the gravest, is worth half."""
    if not diagnosis.causes:
        return Score(0, ("nothing was found to be wrong at that moment, so there is nothing to compare with",))
    first = diagnosis.causes[0]
    layer_points, layer_line = _layer_score(answer.layer, diagnosis)
    cause_points, cause_line = _cause_score(answer.choice, diagnosis)
    points = layer_points + cause_points
    return Score(
        points,
        (
            f"{points} of {BEST} points after {duration_text(answer.after_s)}",
            layer_line,
            cause_line,
            f"the diagnosis: {first.title} (layer {first.layer.value}, {first.layer.title}; {first.rule})",
            *_others(diagnosis),
        ),
    )


def _layer_score(layer: Layer, diagnosis: Diagnosis) -> tuple[int, str]:
    said = f"layer {layer.value}, {layer.title}"
    if layer is diagnosis.causes[0].layer:
        return LAYER_POINTS, f"✓ {said}: right"
    if any(cause.layer is layer and cause.severity is not Severity.INFO for cause in diagnosis.causes):
        return 0, f"✗ {said}: something is wrong there too, but it is not the gravest"
    if any(item.layer is layer for item in _everything(diagnosis)):
        return 0, f"✗ {said}: what shows there only follows"
    return 0, f"✗ {said}: nothing is wrong there"


def _cause_score(choice: Choice, diagnosis: Diagnosis) -> tuple[int, str]:
    first = diagnosis.causes[0]
    if choice.rule == first.rule:
        return CAUSE_POINTS, f"✓ {choice.text} Right"
    if any(cause.rule == choice.rule for cause in diagnosis.causes):
        return CAUSE_POINTS // 2, f"● {choice.text} It is there, but something graver is"
    of = next((cause for cause in diagnosis.causes for item in cause.consequences if item.rule == choice.rule), None)
    if of is not None:
        return 0, f"✗ {choice.text} It only follows from: {of.title}"
    return 0, f"✗ {choice.text} That is not the case"


def _others(diagnosis: Diagnosis) -> tuple[str, ...]:
    grave = [cause for cause in diagnosis.causes[1:] if cause.severity is not Severity.INFO]
    return (f"besides: {'; '.join(cause.title for cause in grave[:3])}",) if grave else ()


def _everything(diagnosis: Diagnosis) -> Iterator[Finding]:
    for cause in diagnosis.causes:
        yield cause
        yield from cause.consequences
