"""The quick checklist: six questions in two minutes, answered from live data as far as it reaches.

Source of questions, order and commands: the five-layer framework (playbooks A). An answer that the data cannot give is
unknown, never "fine".
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from situation.findings import Command, Diagnosis, Layer, LayerState
from situation.selectors import is_settled
from situation.situation import Situation


class AnswerState(StrEnum):
    FINE = "fine"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Answer(msgspec.Struct, frozen=True):
    state: AnswerState
    evidence: str
    """What the answer rests on, one line."""


class Question(msgspec.Struct, frozen=True):
    """One step: what to find out, how the data answers it, and the command for a person (may hold placeholders)."""

    text: str
    command: Command
    answer: Callable[[Situation, Diagnosis, datetime], Answer]
    layer: Layer | None = None


def _pods(situation: Situation, diagnosis: Diagnosis, now: datetime) -> Answer:
    if not situation.knows("pods"):
        return Answer(AnswerState.UNKNOWN, situation.source("pods").error or "pods have not been read yet")
    unsettled = sum(not is_settled(pod, now) for pod in situation.pods.values())
    total = len(situation.pods)
    if unsettled:
        return Answer(AnswerState.BROKEN, f"{unsettled} of {total} pods are not plainly fine")
    return Answer(AnswerState.FINE, f"all {total} pods are fine")


def _layer(layer: Layer) -> Callable[[Situation, Diagnosis, datetime], Answer]:
    def answer(situation: Situation, diagnosis: Diagnosis, now: datetime) -> Answer:
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
