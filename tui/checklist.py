"""Which playbook is worked through, for what, how far, and what of it the panel shows."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final

import msgspec

from playbooks.checks import judge
from playbooks.choices import Choice
from playbooks.commands import CommandRefusedError, Target, render
from playbooks.context import Context
from playbooks.facts import Answer, AnswerState, Facts, RuleFacts
from playbooks.filling import Filled, fill
from playbooks.model import Library, Place, Playbook, Step
from playbooks.placeholders import PLACEHOLDERS
from playbooks.progress import ChecklistEvent, Did, Entry, Key, Mark, Progress
from situation.findings import Effect, Finding, Layer
from situation.gpu.components import component_of
from situation.gpu.links import Component
from situation.meta import Ref
from widgets.checklist import ChecklistView, StepView, Way

QUICK: Final = "quick-checklist"
LINK_BROKEN: Final = "gpu-link-broken"
MIG_HANGS: Final = "mig-change-stuck"


@cache
def rule_facts() -> Mapping[str, RuleFacts]:
    """Return what is told of each rule, by its id."""
    from diagnosis.catalogue import ALL  # all rules: not before the first paint
    from diagnosis.one_namespace import looks_beyond

    return {rule.id: RuleFacts(rule.layer, rule.needs, looks_beyond(rule)) for rule in ALL}


def layers_beyond() -> frozenset[Layer]:
    """Return the layers of which one namespace does not tell that they are fine."""
    from diagnosis.one_namespace import BEYOND  # with the rules: not before the first paint

    return BEYOND


_ANSWERS: Final = {AnswerState.FINE: "yes", AnswerState.BROKEN: "no", AnswerState.UNKNOWN: ""}

Listener = Callable[[ChecklistEvent], None]


class Checklist:
    """The state of the panel. What people do is told to the listeners; automatic answers never change a hand tick."""

    def __init__(self, who: str = "") -> None:
        self.who = who
        self.library = Library()
        self.listeners: list[Listener] = []
        self._place = Place(QUICK, "")
        self._subject: Ref | None = None
        self._opened_for = ""
        self._trail: list[tuple[Place, Ref | None]] = []
        self._progress: dict[Key, Progress] = {}
        self._chosen: tuple[Ref, ...] = ()
        self._values: dict[str, str] = {}

    # Where we are

    @property
    def playbook(self) -> Playbook | None:
        return self.library.get(self._place.playbook) or self.library.get(QUICK)

    @property
    def step(self) -> Step | None:
        playbook = self.playbook
        return playbook.steps[self.number] if playbook is not None else None

    @property
    def subject(self) -> Ref | None:
        """What the playbook is worked through for; None for the cluster."""
        return self._subject

    @property
    def number(self) -> int:
        """Of the current step, from 0."""
        playbook = self.playbook
        ids = [step.id for step in playbook.steps] if playbook is not None else []
        return ids.index(self._place.step) if self._place.step in ids else 0

    def open_for(self, finding: Finding | None, facts: Facts) -> None:
        """Begin where it goes on after a finding; opened again for the same one it stands where it stood.

        Of several steps that go on after its rule it is the first that `facts` answer with no.
        """
        key = finding.key if finding is not None else ""
        if key == self._opened_for and self.playbook is not None and self._place.step:
            return
        self._opened_for = key
        rule = _entry_rule(finding, facts) if finding is not None else ""
        places = self.library.after(rule)
        place = places[0] if places else Place(QUICK, "")
        if finding is not None and (playbook := self.library.get(place.playbook)) is not None:
            steps = playbook.steps_after(rule)
            broken = (step for step in steps if step.check is not None and _is_no(judge(step.check, facts)))
            place = next((Place(playbook.id, step.id) for step in broken), place)
        self.go(place, finding.subject if finding is not None and places else None)
        self._trail.clear()

    def go(self, place: Place, subject: Ref | None) -> None:
        """Go to a place; what was chosen by hand for something else is forgotten."""
        if subject != self._subject:
            self._chosen, self._values = (), {}
        playbook = self.library.get(place.playbook)
        first = playbook.steps[0].id if playbook is not None else ""
        self._place = place if place.step else Place(place.playbook, first)
        self._subject = subject

    def choose(self, playbook: str) -> None:
        """Go to the beginning of a playbook that was picked, for the same subject; the quick checklist has none."""
        self._trail.append((self._place, self._subject))
        self.go(Place(playbook, ""), None if playbook == QUICK else self._subject)

    def move(self, by: int) -> None:
        """Go some steps on, stopping at both ends."""
        playbook = self.playbook
        if playbook is not None:
            number = max(0, min(len(playbook.steps) - 1, self.number + by))
            self._place = Place(playbook.id, playbook.steps[number].id)

    def follow(self, number: int) -> bool:
        """Follow the answer of this number; tell whether there is one."""
        step = self.step
        if step is None or number >= len(step.ways):
            return False
        self._trail.append((self._place, self._subject))
        to = step.ways[number].to
        self.go(to, None if to.playbook == QUICK else self._subject)
        return True

    def go_back(self) -> bool:
        """Return to where an answer was followed, or another playbook was picked."""
        if not self._trail:
            return False
        place, subject = self._trail.pop()
        self.go(place, subject)
        return True

    # What people do

    def toggle(self, mark: Mark, now: datetime) -> None:
        """Mark the current step by hand, or take the mark back."""
        if (playbook := self.playbook) is not None and (step := self.step) is not None:
            self._take(*self._here().toggled(mark, playbook, step, self.who, now))

    def note(self, text: str, now: datetime) -> None:
        """Keep a note at the current step."""
        if (playbook := self.playbook) is not None and (step := self.step) is not None:
            if text.strip() != self._here().of(step.id).note:
                self._take(*self._here().noted(text, playbook, step, self.who, now))

    def fill_in(self, name: str, choice: Choice) -> None:
        """Take what was chosen for a placeholder."""
        if choice.ref is not None:
            self._chosen = (choice.ref, *(ref for ref in self._chosen if ref.kind != choice.ref.kind))
            self._values.pop(name, None)
        elif choice.value:
            self._values[name] = choice.value

    def resume(self, did: Did, key: Key, step: str, who: str, at: datetime, note: str) -> None:
        """Take in what an earlier part of the log tells that somebody did; nobody is told of it again."""
        progress = self._progress.get(key) or Progress(key.subject)
        self._progress[key] = progress.after(did, step, who, at, note)

    def _here(self) -> Progress:
        return self._progress.get(self._key) or Progress(self._key.subject)

    @property
    def _key(self) -> Key:
        playbook = self.playbook
        return Key(playbook.id if playbook is not None else "", self._subject)

    def _take(self, progress: Progress, event: ChecklistEvent) -> None:
        self._progress[self._key] = progress
        for listener in self.listeners:
            listener(event)

    # What is shown

    def context(self, base: Context) -> Context:
        """Return where names come from: what was chosen by hand goes before the focus."""
        subject = (self._subject,) if self._subject is not None else ()
        return msgspec.structs.replace(
            base, refs=(*self._chosen, *base.refs, *subject), values={**base.values, **self._values}
        )

    def view(self, facts: Facts, base: Context, target: Target) -> ChecklistView:
        """Return the panel's content with the answers of this moment."""
        playbook = self.playbook
        if playbook is None:
            return ChecklistView("No playbooks", "; ".join(self.library.problems[:3]))
        context, progress = self.context(base), self._here()
        subject = f"{self._subject.kind} {self._subject.name}" if self._subject and self._subject.name else ""
        return ChecklistView(
            title=playbook.title,
            summary=playbook.summary,
            subject=subject,
            steps=self._steps(playbook, progress, facts, context, target),
            current=self.number,
            done=progress.done(playbook.steps),
            can_return=bool(self._trail),
        )

    def missing(self, base: Context) -> str:
        """Return the first placeholder of the current step that nothing fills, empty if none."""
        step = self.step
        if step is None:
            return ""
        return next(iter(fill(step.command, step.ask, self.context(base)).missing), "")

    def choices(self, name: str, base: Context) -> tuple[Choice, ...] | None:
        """Return what may be chosen for a placeholder; None: it can only be found."""
        choices = PLACEHOLDERS[name].choices
        return None if choices is None else choices(self.context(base))

    def offered(self, facts: Facts) -> tuple[Playbook, ...]:
        """Return the playbooks that are of use here, in order."""
        return tuple(
            playbook
            for playbook in self.library.playbooks
            if playbook.only is None or judge(playbook.only, facts).state is AnswerState.FINE
        )

    def _steps(
        self, playbook: Playbook, progress: Progress, facts: Facts, context: Context, target: Target
    ) -> tuple[StepView, ...]:
        shown: list[StepView] = []
        for step in playbook.steps:
            answer = judge(step.check, facts) if step.check is not None else None
            view = self._step(step, answer, progress.of(step.id), fill(step.command, step.ask, context), target)
            shown.append(_guarded(view, shown))
        return tuple(shown)

    def _step(self, step: Step, answer: Answer | None, entry: Entry, filled: Filled, target: Target) -> StepView:
        line, refused = _line(filled, target)
        return StepView(
            id=step.id,
            ask=step.ask,
            state=answer.state.value if answer is not None else "",
            evidence=answer.evidence if answer is not None else "",
            mark=entry.mark.value if entry.mark is not None else "",
            by=f"{entry.who} {entry.at:%H:%M}" if entry.at is not None else "",
            note=entry.note,
            command=line,
            template="" if line else " ".join(filled.command.argv),
            missing=filled.missing,
            refused=refused,
            effect=step.command.effect,
            where=filled.command.where,
            look_for=step.look_for,
            notes=step.notes,
            ways=tuple(self._way(way.answer, way.say, way.to, answer) for way in step.ways),
        )

    def _way(self, answer: str, say: str, to: Place, told: Answer | None) -> Way:
        playbook = self.playbook
        other = self.library.get(to.playbook)
        if playbook is not None and other is not None and other.id == playbook.id:
            leads_to = f"step {1 + [step.id for step in playbook.steps].index(to.step)}"
        else:
            leads_to = other.title if other is not None else to.playbook
        return Way(answer, say, leads_to, told is not None and _ANSWERS[told.state] == answer)


def _entry_rule(finding: Finding, facts: Facts) -> str:
    """Return the rule after which it goes on: that of the finding, unless it is about a part of the GPU chain.

    What NFD or the operator suffer from, rules for pods of any kind say: their place is in the chain. A MIG change that
    hangs for want of an operand's pod is what one works through, not the pod.
    """
    item = facts.situation.get(finding.subject)
    component = component_of(item) if item is not None else None
    if component in (Component.NFD, Component.OPERATOR):
        return LINK_BROKEN
    if component is not None and any(one.rule == MIG_HANGS for one in finding.consequences):
        return MIG_HANGS
    return finding.rule


def _is_no(answer: Answer) -> bool:
    return answer.state is AnswerState.BROKEN


def _guarded(view: StepView, before: Sequence[StepView]) -> StepView:
    """Hold back what changes or interrupts something while the check before it says no; a hand tick lets it go."""
    if view.effect is Effect.READ or not before or before[-1].mark == Mark.TICKED:
        return view
    number, state = len(before), before[-1].state
    if state == AnswerState.BROKEN:
        said = f"step {number} is answered with no; tick it by hand if you know better"
        return msgspec.structs.replace(view, command="", template=view.command or view.template, refused=said)
    if state == AnswerState.UNKNOWN:
        return msgspec.structs.replace(view, caution=f"step {number} is not known: look first")
    return view


def _line(filled: Filled, target: Target) -> tuple[str, str]:
    """Return the command line, or why there is none."""
    if filled.missing or filled.refused or not filled.command.argv:
        return "", filled.refused
    try:
        return render(filled.command, target, filled.flags), ""
    except CommandRefusedError as error:
        return "", str(error)
