"""The quick checklist: six questions in two minutes, answered from live data as far as it reaches.

Source of questions, order and commands: the five-layer framework (playbooks A). An answer that the data cannot give is
unknown, never "fine".
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from situation.clock import duration_text
from situation.findings import Command, Diagnosis, Layer, LayerState
from situation.readings import SourceState
from situation.situation import Situation


class AnswerState(StrEnum):
    FINE = "fine"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Answer(msgspec.Struct, frozen=True):
    state: AnswerState
    evidence: str
    """What the answer rests on, one line."""


class Facts(msgspec.Struct, frozen=True):
    """What answers may rest on."""

    situation: Situation
    diagnosis: Diagnosis
    unsettled_pods: int
    """Pods that are not plainly fine (`situation.ordering.PodOrder.unsettled`)."""
    now: datetime


class Question(msgspec.Struct, frozen=True):
    """One step: what to find out, how the data answers it, and the command for a person (may hold placeholders)."""

    text: str
    command: Command
    answer: Callable[["Facts"], Answer]
    layer: Layer | None = None


def _pods(facts: Facts) -> Answer:
    situation = facts.situation
    source = situation.source("pods")
    if not situation.knows("pods"):
        return Answer(AnswerState.UNKNOWN, source.error or "pods have not been read yet")
    total = len(situation.pods)
    if (state := source.state_at(facts.now)) is not SourceState.LIVE:
        age = source.age_s(facts.now)
        then = "" if age is None else f" {duration_text(age)} ago"
        return Answer(
            AnswerState.UNKNOWN, f"{state.value}; {facts.unsettled_pods} of {total} pods were not plainly fine{then}"
        )
    if not total:
        return Answer(AnswerState.UNKNOWN, "no pods: nothing runs here, or this is not the cluster you mean")
    if facts.unsettled_pods:
        return Answer(
            AnswerState.BROKEN,
            f"{facts.unsettled_pods} of {total} pods {'is' if facts.unsettled_pods == 1 else 'are'} not plainly fine",
        )
    return Answer(AnswerState.FINE, f"all {total} pods are fine")


def _layer(layer: Layer) -> Callable[[Facts], Answer]:
    def answer(facts: Facts) -> Answer:
        diagnosis = facts.diagnosis
        status = next((item for item in diagnosis.layers if item.layer is layer), None)
        if status is None:
            return Answer(AnswerState.UNKNOWN, "not judged yet")
        if status.status is LayerState.FINDINGS:
            first = next(cause for cause in diagnosis.causes if cause.layer is layer)
            more = f" and {status.causes - 1} more" if status.causes > 1 else ""
            return Answer(AnswerState.BROKEN, f"{first.title}{more}")
        if status.status is LayerState.UNKNOWN:
            return Answer(AnswerState.UNKNOWN, status.reason)
        return Answer(AnswerState.FINE, "nothing found" + (f" (but {status.reason})" if status.reason else ""))

    return answer


QUESTIONS: Final = (
    Question(
        "What state are the pods in?",
        Command(("kubectl", "get", "pods", "-A", "-o", "wide"), "which pods are not Running?"),
        _pods,
    ),
    Question(
        "Crashing? Read the previous log.",
        Command(("kubectl", "logs", "<pod>", "--previous", "--tail=100"), "why did it exit?", namespace="<namespace>"),
        _layer(Layer.APPLICATION),
        Layer.APPLICATION,
    ),
    Question(
        "Pending? Read its events.",
        Command(("kubectl", "describe", "pod", "<pod>"), "why does no node take it?", namespace="<namespace>"),
        _layer(Layer.SCHEDULING),
        Layer.SCHEDULING,
    ),
    Question(
        "Running but not working? Service and DNS.",
        Command(("kubectl", "get", "services,endpointslices", "-A"), "does the Service have endpoints?"),
        _layer(Layer.NETWORK),
        Layer.NETWORK,
    ),
    Question(
        "Everything slow? API server and etcd.",
        Command(("kubectl", "get", "--raw", "/readyz?verbose"), "is the API server ready, does etcd answer?"),
        _layer(Layer.CONTROL_PLANE),
        Layer.CONTROL_PLANE,
    ),
    Question(
        "Only some nodes? Conditions and kubelet.",
        Command(("kubectl", "get", "nodes", "-o", "wide"), "which nodes are not Ready?"),
        _layer(Layer.NODE),
        Layer.NODE,
    ),
)
