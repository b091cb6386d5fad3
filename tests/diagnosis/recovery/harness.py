"""One engine through a fault and its recovery, as in the cockpit: what fired is withdrawn, and nothing comes instead.

A family's file holds a table of cases, `CASES`; `test_every_rule.py` tells when a rule has none.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from diagnosis.engine import CLUSTER_RECHECK, RECHECK, Engine, diagnose
from situation.findings import Diagnosis
from situation.kinds import KINDS, NAMES_OF, kind_of
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from situation.situation import Situation
from situation.store import Change
from tests.build import NOW, Manifest, made, situation

SOON_S: Final = 2.0
"""Later than the cluster as a whole is judged again, and sooner than anything else is without a change of it."""
assert CLUSTER_RECHECK.total_seconds() < SOON_S < RECHECK.total_seconds() * 0.8

Step = Manifest | Ref | Reading | Callable[[Situation], object]
"""An object that came or changed, one that is gone, what a source said, or several readings of no object."""


@dataclass(frozen=True, slots=True)
class Case:
    """A rule that fires, and what puts an end to it."""

    rule: str
    broken: Sequence[Manifest] | Callable[[], Situation]
    """All objects of the cluster, or the whole Situation."""
    then: Sequence[Step]
    after_s: float = SOON_S
    """When it is judged again. More than `SOON_S` only where time is part of the recovery."""
    name: str = ""
    """What recovers, where a rule has several cases."""
    left: frozenset[str] = frozenset()
    """Rules that fired before and rightly stand still."""

    @property
    def id(self) -> str:
        return f"{self.rule}: {self.name}" if self.name else self.rule


def check(case: Case) -> None:
    """Fire the rule, let its subject recover, and assert that nothing but `left` is told any more."""
    known = case.broken() if callable(case.broken) else situation(*case.broken)
    engine = Engine()
    before = told(engine.judge(known, (), NOW))
    assert case.rule in {rule for rule, _ in before}, f"did not fire: {before}"
    now = NOW + timedelta(seconds=case.after_s)
    if case.after_s > SOON_S:
        _confirm(known, now)
    changes = [change for step in case.then for change in apply(step, known, now)]
    after = engine.judge(known, changes, now)
    scratch = told(diagnose(known, now))
    remains = {(rule, subject) for rule, subject in told(after) if rule not in case.left}
    assert not remains, f"{remains}\njudged from scratch: {scratch}\nlayers: {after.layers}"
    assert told(after) == scratch


def gone(kind: str, name: str, namespace: str = "shop") -> Ref:
    """Return the step that removes an object; `namespace=""` for those of the cluster."""
    return Ref(kind, namespace, name)


def apply(step: Step, known: Situation, now: datetime) -> Iterable[Change]:
    """Let the step happen at `now`, and return what it changed."""
    if isinstance(step, Reading):
        return known.apply(step)
    if isinstance(step, Ref):
        [name] = [name for name in NAMES_OF[step.kind] if (step.namespace, step.name) in known.table(name)]
        change = Changed(name, removed=((step.namespace, step.name),))
        return known.apply(Reading(f"kubernetes/{name}", SourceState.LIVE, now, change))
    if isinstance(step, dict):
        kind = kind_of(step["kind"], step.get("metadata", {}).get("namespace", ""))
        assert kind is not None
        return known.apply(Reading(kind.source, SourceState.LIVE, now, Changed(kind.name, (made(step),))))
    step(known)
    return ()


def told(diagnosis: Diagnosis) -> set[tuple[str, str]]:
    """Return the rules that a diagnosis tells of, each with its subject."""
    return {
        (finding.rule, f"{finding.subject.kind}/{finding.subject.name}")
        for cause in diagnosis.causes
        for finding in (cause, *cause.consequences)
    }


def _confirm(known: Situation, now: datetime) -> None:
    for kind in KINDS:
        known.apply(Reading(kind.source, SourceState.LIVE, now))
