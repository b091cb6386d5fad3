"""What a playbook is: steps, each with a question, a command, an automatic check and the ways on."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from playbooks.expressions import Expression
from situation.findings import Effect, Layer


class Place(NamedTuple):
    """One step of one playbook."""

    playbook: str
    step: str


class Way(msgspec.Struct, frozen=True):
    """Where an answer leads."""

    answer: str
    """`yes`, `no`, or a word that the question offers."""
    to: Place
    say: str
    """Why one goes there, one sentence."""


class Template(msgspec.Struct, frozen=True):
    """A command with `<placeholders>`; empty where a step has none."""

    argv: tuple[str, ...] = ()
    namespace: str = ""
    effect: Effect = Effect.READ
    where: str = "here"
    """`here`, `node <node>` or `pod <pod>`."""


class Step(msgspec.Struct, frozen=True):
    id: str
    ask: str
    """What to find out. With a check it is asked so that "yes" is the good answer."""
    command: Template = Template()
    look_for: str = ""
    """What in the output of the command tells."""
    check: Expression | None = None
    check_text: str = ""
    after: tuple[str, ...] = ()
    """Rules whose own first command ends where this step begins. Several steps may name one."""
    ways: tuple[Way, ...] = ()
    notes: str = ""
    """Markdown."""


class Playbook(msgspec.Struct, frozen=True):
    id: str
    title: str
    summary: str
    steps: tuple[Step, ...]
    layer: Layer | None = None
    order: int = 1000
    """Lists are sorted by it; of two playbooks for one rule the lower one is opened."""
    when: tuple[str, ...] = ()
    """Rules after which it is offered, besides those that its steps name."""
    only: Expression | None = None
    """It is offered only where this is so: for parts that most clusters do not have."""
    notes: str = ""
    file: str = ""
    is_own: bool = False
    """From the user's own folder."""

    @property
    def rules(self) -> tuple[str, ...]:
        """All rules after which it is offered."""
        return tuple(dict.fromkeys((*self.when, *(rule for step in self.steps for rule in step.after))))

    def step(self, id: str) -> Step | None:
        return next((step for step in self.steps if step.id == id), None)

    def steps_after(self, rule: str) -> tuple[Step, ...]:
        """Return the steps that may go on after a rule's finding."""
        return tuple(step for step in self.steps if rule in step.after)

    def first_after(self, rule: str) -> Place:
        """Return the first step that goes on after a rule's finding, the first of all if none names it."""
        return Place(self.id, next((step.id for step in self.steps_after(rule)), self.steps[0].id))

    def next_places(self, step: Step) -> Iterator[Place]:
        """Yield where one may go from a step: where its answers lead, and on unless they leave no other answer."""
        for way in step.ways:
            yield way.to
        if not step.ways or {way.answer for way in step.ways} in ({"yes"}, {"no"}):
            number = self.steps.index(step) + 1
            if number < len(self.steps):
                yield Place(self.id, self.steps[number].id)

    def may_end(self, step: Step) -> bool:
        """Tell whether the playbook may be over after a step."""
        return step is self.steps[-1] and (not step.ways or {way.answer for way in step.ways} in ({"yes"}, {"no"}))


class Library(msgspec.Struct, frozen=True):
    """All playbooks that can be used, and what could not be loaded."""

    playbooks: tuple[Playbook, ...] = ()
    """In order."""
    problems: tuple[str, ...] = ()
    """Each names file and line."""
    replaced: tuple[str, ...] = ()
    """Ids of shipped ones that a file of the user replaces."""

    def get(self, id: str) -> Playbook | None:
        return next((playbook for playbook in self.playbooks if playbook.id == id), None)

    def after(self, rule: str) -> tuple[Place, ...]:
        """Return where to go on after a rule's finding, the best first: steps that name it, then whole playbooks."""
        found = [playbook for playbook in self.playbooks if rule in playbook.rules]
        found.sort(key=lambda playbook: rule in playbook.when)
        return tuple(playbook.first_after(rule) for playbook in found)
