"""The quick checklist's state: what was ticked by hand, and the steps with their live answers."""

import msgspec

from playbooks.commands import Target
from playbooks.quick_checklist import QUESTIONS, Facts, Question
from situation.findings import Command, Diagnosis, Finding
from situation.meta import KubernetesObject, Ref
from situation.pods import Pod
from situation.situation import Situation
from tui.cards import rendered
from widgets.checklist import Step


class Checklist:
    """Which questions were ticked by hand. Automatic answers never change a hand tick."""

    def __init__(self) -> None:
        self._ticked: set[int] = set()

    def toggle(self, number: int) -> None:
        """Tick a question, or take the tick back."""
        self._ticked ^= {number}

    @property
    def progress(self) -> str:
        return f"{len(self._ticked)}/{len(QUESTIONS)}"

    def steps(self, facts: Facts, target: Target, pod: Ref | None) -> tuple[Step, ...]:
        """Return the six steps with the answers of this moment; `pod` fills the placeholders."""
        return tuple(self._step(number, question, facts, target, pod) for number, question in enumerate(QUESTIONS))

    def _step(self, number: int, question: Question, facts: Facts, target: Target, pod: Ref | None) -> Step:
        answer = question.answer(facts)
        command = _command(question, _gravest(question, facts.diagnosis), pod, facts.situation)
        return Step(
            question.text,
            answer.state.value,
            answer.evidence,
            rendered(command, target) or "",
            number in self._ticked,
        )


def _gravest(question: Question, diagnosis: Diagnosis) -> Finding | None:
    if question.layer is None:
        return None
    return next((cause for cause in diagnosis.causes if cause.layer is question.layer), None)


def _command(question: Question, finding: Finding | None, pod: Ref | None, situation: Situation) -> Command:
    """The first command of the layer's gravest finding, else the question's own filled from the selected pod."""
    if finding is not None and finding.next:
        return finding.next[0]
    item = situation.get(pod) if pod else None
    if pod is None or item is None or ("--previous" in question.command.argv and not _has_previous_log(item)):
        return question.command
    filled = {"<pod>": pod.name, "<namespace>": pod.namespace}
    own = question.command
    return msgspec.structs.replace(
        own,
        argv=tuple(filled.get(argument, argument) for argument in own.argv),
        namespace=filled.get(own.namespace, own.namespace),
    )


def _has_previous_log(pod: KubernetesObject) -> bool:
    """Tell whether the container that kubectl takes unless told otherwise, the first, has ended before."""
    if not isinstance(pod, Pod) or not pod.spec.containers:
        return False
    first = pod.spec.containers[0].name
    return any(status.name == first and status.last_state.terminated for status in pod.status.container_statuses)
