"""The engine: judges what changed, keeps the verdicts, and hands them on to be ranked and folded."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from diagnosis.catalogue import ALL
from diagnosis.dependents import dependents
from diagnosis.fold import Hit, fold
from diagnosis.layers import layer_statuses
from diagnosis.one_namespace import is_out_of_sight
from diagnosis.rule import CLEAR, Clear, Fired, Rule, Unknown, Verdict, Wait
from diagnosis.serving_doubts import serving_doubts
from situation.boundary import Boundary, Fault
from situation.findings import Diagnosis, Layer
from situation.kinds import BY_NAME, KINDS, ON_DEMAND
from situation.meta import CLUSTER, KubernetesObject, Ref
from situation.pods import Pod
from situation.readings import SourceState
from situation.selectors import is_settled
from situation.serving.serving import serving_of
from situation.serving.view import MODEL_SERVER, ServerView
from situation.situation import Situation
from situation.steps import Steps, finish
from situation.store import Change

Subject = KubernetesObject | ServerView
"""What a rule is given; `None` for the cluster as a whole."""

CLUSTER_RECHECK: Final = timedelta(seconds=1)
"""Leases, readiness and how far the sources can be believed change with time alone, so the cluster as a whole is judged
again this often, and so are model servers of which something changed; at once when a source's state changes."""
RECHECK: Final = timedelta(seconds=5)
"""Subjects with a fault, or unknown, and model servers are judged again this often at least though nothing changed:
evidence ages."""
_ON_DEMAND: Final = frozenset(kind.name for kind in ON_DEMAND)
_SPREAD: Final = 32
"""Steps over which the next looks at what was judged together are spread, within the last fifth of RECHECK."""


class Engine:
    """Judges incrementally: the cost of a round follows what changed, not the size of the cluster.

    One engine belongs to one Situation. Its answers depend only on the Situation and the times passed in.
    """

    def __init__(self, rules: Sequence[Rule] = ALL) -> None:
        self._order = {rule.id: number for number, rule in enumerate(rules)}
        self._rules: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            for kind in rule.kind.split():
                self._rules[kind].append(rule)
        self._all = tuple(rules)
        self._hits: dict[Ref, tuple[Hit, ...]] = {}
        self._due: dict[Ref, datetime] = {}
        self._wants: dict[Ref, frozenset[str]] = {}
        self._boundary = Boundary()
        self._failed: dict[Ref, tuple[tuple[Rule, Fault], ...]] = {}
        """Subjects that a rule failed on: an error of ours, so nothing is known of them as far as this rule goes."""
        self._servers: dict[Ref, tuple[ServerView, datetime]] = {}
        """Each model server as it was when it was judged last, and when it is to be judged again."""
        self._judged = 0
        """How often something was judged."""
        self._cluster_due: datetime | None = None
        self._serving: Sequence[str] = ()
        """What could not be judged of the model servers when the cluster as a whole was judged last."""
        self._states: tuple[SourceState, ...] = ()
        self._usable: frozenset[str] = frozenset()
        self._usable_rules = self._rules_for(self._usable)
        self._always_wanted = frozenset(
            kind.name for kind in KINDS if kind.on_demand and kind.label == "" and self._rules.get(kind.kind)
        )

    def judge(self, situation: Situation, changes: Iterable[Change], now: datetime) -> Diagnosis:
        """Judge all subjects that `changes` concern or whose time has come, and return the whole diagnosis."""
        return finish(self.judging(situation, changes, now))

    def judging(self, situation: Situation, changes: Iterable[Change], now: datetime) -> Steps[Diagnosis]:
        """Do what `judge` does, subject by subject."""
        usable = frozenset(name for name in BY_NAME if situation.knows(name))
        joined, lost = usable - self._usable, self._usable - usable
        if joined or lost:
            self._usable = usable
            self._cluster_due = None
            self._usable_rules = self._rules_for(usable)
        if lost or not joined <= _ON_DEMAND - self._always_wanted:
            subjects = dict.fromkeys(self._everything(situation, now))
        else:
            subjects = dict.fromkeys(ref for ref in dependents(situation, changes, now) if ref.kind in self._rules)
            if joined:
                subjects |= dict.fromkeys(self._told_by(joined, situation, now))
        subjects |= dict.fromkeys(ref for ref, due in self._due.items() if due <= now)
        yield
        if self._is_cluster_due(situation, now):
            subjects[CLUSTER] = None
            if MODEL_SERVER in self._rules:
                subjects |= dict.fromkeys(self._due_servers(situation, now))
            yield
            self._serving = serving_doubts(situation, now)
        for ref in subjects:
            yield
            self._judge_one(situation, ref, now)
        yield
        causes = fold(self._hits, situation, self._order, now)
        yield
        wanted = self._always_wanted.union(*self._wants.values())
        layers = layer_statuses(self._all, causes, situation, now, self._faulty(), self._serving)
        return Diagnosis(causes, layers, wanted, now)

    def _is_cluster_due(self, situation: Situation, now: datetime) -> bool:
        states = tuple(source.state for source in situation.sources.values())
        if states == self._states and self._cluster_due is not None and now < self._cluster_due:
            return False
        self._states = states
        self._cluster_due = now + CLUSTER_RECHECK
        return True

    def _faulty(self) -> Mapping[Layer, str]:
        """Return what could not be judged because a rule of ours failed, one of them for each layer."""
        return {rule.layer: f"{fault.text} (see the log)" for failed in self._failed.values() for rule, fault in failed}

    def _rules_for(self, usable: frozenset[str]) -> Mapping[str, tuple[Rule, ...]]:
        return {
            kind: tuple(rule for rule in rules if usable.issuperset(rule.needs)) for kind, rules in self._rules.items()
        }

    def not_judged(self, situation: Situation, now: datetime, fault: str = "") -> Diagnosis:
        """Return a diagnosis without causes that says of each layer what has not been read, or that judging failed."""
        faults = dict.fromkeys(Layer, fault) if fault else {}
        statuses = layer_statuses(self._all, (), situation, now, faults, serving_doubts(situation, now))
        return Diagnosis((), statuses, self._always_wanted, now if fault else None)

    def _everything(self, situation: Situation, now: datetime) -> Iterable[Ref]:
        """Yield all that there is to judge, and all that was judged before; settled pods need no look."""
        yield from (*self._due, *self._servers)
        for key, pod in situation.pods.items():
            if not is_settled(pod, now):
                yield Ref("Pod", *key)
        for kind in KINDS:
            if kind.kind != "Pod" and kind.kind in self._rules:
                for key in situation.table(kind.name):
                    yield Ref(kind.kind, *key)
        if MODEL_SERVER in self._rules:
            yield from (server.ref for server in serving_of(situation, now).servers)

    def _told_by(self, kinds: frozenset[str], situation: Situation, now: datetime) -> Iterable[Ref]:
        """Yield what is judged otherwise now that `kinds` have been read, because verdicts wanted them.

        To all other subjects they are nothing, but for the objects in them, which have changed.
        """
        yield from [ref for ref, wants in self._wants.items() if wants & kinds]
        judged = {kind for rule in self._all if kinds.intersection(rule.needs) for kind in rule.kind.split()}
        if judged:
            yield from (ref for ref in self._everything(situation, now) if ref.kind in judged)

    def _due_servers(self, situation: Situation, now: datetime) -> Iterable[Ref]:
        """Yield the servers that came, went or changed since they were judged, and those whose time has come."""
        serving, judged = serving_of(situation, now), self._servers
        yield from (ref for ref, (_, due) in judged.items() if due <= now or serving.of(ref) is None)
        for server in serving.servers:
            if (before := judged.get(server.ref)) is None or before[0] is not server:
                yield server.ref

    def _judge_one(self, situation: Situation, ref: Ref, now: datetime) -> None:
        self._hits.pop(ref, None)
        self._due.pop(ref, None)
        self._wants.pop(ref, None)
        self._failed.pop(ref, None)
        self._servers.pop(ref, None)
        subject = _subject(situation, ref, now)
        if subject is None and ref != CLUSTER:
            return
        if isinstance(subject, Pod) and is_settled(subject, now):
            return
        self._keep(situation, ref, subject, now)

    def _keep(self, situation: Situation, ref: Ref, subject: Subject | None, now: datetime) -> None:
        again = self._next_look(now)
        dues: list[datetime] = []
        hits: list[Hit] = []
        failed: list[tuple[Rule, Fault]] = []
        wanted: set[str] = set()
        for rule, verdict in self._verdicts(situation, ref, subject, now):
            dues.append(verdict.until if isinstance(verdict, Wait) else again)
            if isinstance(verdict, Fault):
                failed.append((rule, verdict))
            elif not isinstance(verdict, Wait):
                wanted.update(verdict.wants.split())
            if isinstance(verdict, Fired):
                hits.append(Hit(rule, ref, verdict))
        if isinstance(subject, ServerView):
            self._servers[ref] = (subject, min(dues, default=again))
        elif dues:
            self._due[ref] = min(dues)
        if hits:
            self._hits[ref] = tuple(hits)
        if failed:
            self._failed[ref] = tuple(failed)
        if wanted:
            self._wants[ref] = frozenset(wanted)

    def _next_look(self, now: datetime) -> datetime:
        """Return when to judge again, a little earlier each time: what was judged in one turn is not due in one."""
        self._judged += 1
        return now + RECHECK * (1 - self._judged % _SPREAD / (5 * _SPREAD))

    def _verdicts(
        self, situation: Situation, ref: Ref, subject: Subject | None, now: datetime
    ) -> list[tuple[Rule, Fired | Wait | Unknown | Fault]]:
        """Return every verdict but clear ones; of a pod, no rule is asked after one that fires or has the last word."""
        found: list[tuple[Rule, Fired | Wait | Unknown | Fault]] = []
        for rule in self._usable_rules.get(ref.kind, ()):
            if not situation.sees_all and is_out_of_sight(rule, ref.kind, situation):
                continue
            verdict: Verdict | Fault
            try:
                verdict = rule.judge(subject, situation, now)
            except Exception as error:  # noqa: BLE001  a boundary in place: there are 70,000 calls in a first round
                verdict = self._boundary.fault(rule.id, error)
            if verdict is CLEAR or isinstance(verdict, Clear):
                continue
            found.append((rule, verdict))
            if ref.kind == "Pod" and (isinstance(verdict, Fired) or (isinstance(verdict, Wait) and verdict.final)):
                break
        return found


def _subject(situation: Situation, ref: Ref, now: datetime) -> Subject | None:
    if ref.kind == MODEL_SERVER:
        return serving_of(situation, now).of(ref)
    return None if ref == CLUSTER else situation.get(ref)


def diagnose(situation: Situation, now: datetime) -> Diagnosis:
    """Judge everything once, from scratch."""
    return Engine().judge(situation, (), now)
