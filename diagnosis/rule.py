"""What a rule is: a pure function from an object, the Situation and the time to a verdict, with its documentation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from situation.findings import Command, Evidence, Layer, Severity
from situation.meta import Ref
from situation.situation import Situation


class Clear(msgspec.Struct, frozen=True):
    """Nothing wrong here now."""


class Wait(msgspec.Struct, frozen=True):
    """Nothing wrong yet: the object is still within its budget. Judge it again after `until`."""

    until: datetime
    final: bool = False
    """Of a pod: the rule knows it better than those after it, which are not asked."""


class Unknown(msgspec.Struct, frozen=True):
    """Cannot be told. `wants` names the on-demand kinds whose lists would decide it, with blanks between."""

    reason: str
    wants: str = ""


class Fired(msgspec.Struct, frozen=True):
    """Something is wrong.

    Verdicts of one rule `about` the same object become one finding: ten crashing replicas are ten verdicts about their
    Deployment. Its title is `who` and `title` put together: `checkout` + `crashes (exit 1)`.
    """

    about: Ref
    """Subject of the finding: the owning workload, the Service, the Node, the quota ..."""
    title: str
    """Predicate, without the name: `crashes (exit 1)`."""
    evidence: tuple[Evidence, ...]
    next: tuple[Command, ...]
    """At least one; the first is a read."""
    severity: Severity | None = None
    """Overrides the rule's own."""
    layer: Layer | None = None
    """Overrides the rule's own."""
    follows: tuple[Ref, ...] = ()
    """If a finding is about one of these, or one of these shows it, this one is its consequence (see `fold`)."""
    follows_only: tuple[str, ...] = ()
    """Ids of rules: of what `follows` names, only their findings count; all do if empty, but none of `CLUSTER`."""
    of_cluster: tuple[str, ...] = ()
    """Ids of rules that count of `CLUSTER`, in place of `follows_only`, where `follows` names more than `CLUSTER`."""
    node: str = ""
    wants: str = ""
    """On-demand kinds that the evidence stands on, with blanks between: they are read again while it fires."""
    part: str = ""
    """Keeps verdicts about the same object apart, in findings of their own, where they follow from different causes."""
    who: tuple[str, ...] = ()
    """Names that start the title; that of `about` if empty. Several are joined: `a, b and 3 more`."""


Verdict = Clear | Wait | Unknown | Fired
CLEAR: Final = Clear()

Judge = Callable[[Any, Situation, datetime], Verdict]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with what `midwatch explain` and the documentation say about it."""

    id: str
    """Stable: `crash-loop`."""
    signature: str
    """Rows of the fault catalogue: `L1-01`."""
    layer: Layer
    severity: Severity
    kind: str
    """Kind of the objects it judges, or several with blanks between; `Cluster` is judged once, with `None`;
    `ModelServer` are the servers of `situation.serving.serving_of`, as `ServerView`."""
    judge: Judge
    summary: str
    """One line: what it finds."""
    looks_at: str
    """Fields and events it reads."""
    look_alikes: Mapping[str, str]
    """Other rule id or name -> how they are told apart."""
    needs: tuple[str, ...]
    """Kinds (`ObjectKind.name`) without which it cannot judge."""
    takes_down: bool
    """On a Node: findings about pods of that node are its consequences."""


def rule(
    id: str,
    *,
    signature: str,
    layer: Layer,
    severity: Severity,
    kind: str,
    looks_at: str,
    look_alikes: Mapping[str, str] | None = None,
    needs: tuple[str, ...] = (),
    takes_down: bool = False,
) -> Callable[[Judge], Rule]:
    """Make a Rule of a judging function; the first line of its docstring is the summary."""

    def wrap(judge: Judge) -> Rule:
        summary = (judge.__doc__ or "").strip().partition("\n")[0]
        if not summary:
            raise TypeError(f"rule {id}: the function needs a docstring")
        return Rule(
            id,
            signature,
            layer,
            severity,
            kind,
            judge,
            summary,
            looks_at,
            look_alikes or {},
            needs,
            takes_down,
        )

    return wrap


def wait_until(since: datetime | None, budget_s: float, now: datetime) -> Wait | None:
    """Return Wait while `now` is less than `budget_s` seconds after `since`, else None (also if `since` is unknown)."""
    if since is None:
        return None
    due = since + timedelta(seconds=budget_s)
    return Wait(due) if now < due else None
