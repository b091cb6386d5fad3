"""From single verdicts to causes: group by subject, fold what follows from another, rank.

Static pods of one component (etcd on three nodes) are one subject, as the pods of a workload are.

Which finding follows from which is said at the effect, in one of four ways:

- Its verdict names subjects (`Fired.follows`). A finding explains it that is about one of them, or that one of them
  shows: a crashing pod shows the finding about its Deployment, `CLUSTER` all that is judged for the cluster as a whole,
  etcd included. `Fired.follows_only` names the rules that are meant of those. Without it all are, except that of
  `CLUSTER` only those count that are named (`follows_only`, or `of_cluster`): so much is judged for the cluster.
- It is about a static pod of the control plane, whose rules know nothing of etcd: `explaining.etcd_explains`.
- It is about a model server, or its pod: `explaining.serving_explains`.
- All its objects are on nodes that are down (`Rule.takes_down`, `Fired.node`).

A hint explains only hints where subjects are named. Of several candidates the earliest rule wins; a finding never
follows from its own consequence.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from diagnosis.commands import shorten
from diagnosis.explaining import SAYS_FROZEN, etcd_explains, serving_explains
from diagnosis.rule import Fired, Rule
from diagnosis.serving_facts import explains_pod
from situation.etcd.cluster import ETCD, Frozen, etcd_of
from situation.findings import Finding, Severity
from situation.meta import CLUSTER, Ref
from situation.readings import SourceState
from situation.situation import Situation
from situation.text import halved
from situation.topology import component_of

TITLE_LIMIT: Final = 89
"""Characters of a title: a line of a wide terminal's pane. Names may have 253; the subject holds them whole."""
LEAST_NAME: Final = 40
"""Characters of a title that are kept for the names, however long the rest is."""


class Hit(NamedTuple):
    """One rule fired for one object."""

    rule: Rule
    member: Ref
    fired: Fired


class _Group(NamedTuple):
    finding: Finding
    hits: tuple[Hit, ...]
    order: int


def fold(
    hits_by_subject: Mapping[Ref, Sequence[Hit]], situation: Situation, order: Mapping[str, int], now: datetime
) -> tuple[Finding, ...]:
    """Return the causes, ranked, each with its consequences.

    `order` is the precedence of rules: where a finding could follow from several others, the earliest wins.
    """
    grouped: defaultdict[tuple[str, Ref | str, str], list[Hit]] = defaultdict(list)
    every = [hit for hits in hits_by_subject.values() for hit in hits]
    down = {hit.fired.about.name for hit in every if hit.rule.takes_down}
    for hit in every:
        # Static pods have no workload above them; what is on a node that is down follows from that node alone.
        component = component_of(hit.fired.about, situation) if hit.fired.node not in down else ""
        grouped[hit.rule.id, component or hit.fired.about, hit.fired.part].append(hit)
    frozen = etcd_of(situation, now).frozen
    groups = [_group(hits, situation, order[rule], frozen) for (rule, _, _), hits in grouped.items()]
    groups.sort(key=lambda group: (group.order, group.finding.key))
    parents = _parents(groups, situation)
    consequences: defaultdict[str, list[Finding]] = defaultdict(list)
    causes: list[Finding] = []
    for group in groups:
        root = _root(group.finding.key, parents)
        if root == group.finding.key:
            causes.append(group.finding)
        else:
            consequences[root].append(group.finding)
    ranked = [_with(cause, consequences[cause.key]) for cause in causes]
    return tuple(sorted(ranked, key=lambda cause: _rank(cause, order[cause.rule])))


def _group(hits: Sequence[Hit], situation: Situation, order: int, frozen: Frozen | None) -> _Group:
    hits = sorted(hits, key=lambda hit: hit.member)  # evidence and command must not change with the order of judging
    first = hits[0]
    rule, fired = first.rule, first.fired
    severity = min((hit.fired.severity or rule.severity for hit in hits), key=lambda item: item.rank)
    members = tuple(dict.fromkeys(hit.member for hit in hits))
    nodes = {hit.fired.node for hit in hits}
    finding = Finding(
        rule=rule.id,
        signature=rule.signature,
        layer=fired.layer or rule.layer,
        severity=severity,
        subject=fired.about,
        title=shorten(f"{_who(hits, situation, _room_beside(fired.title))} {fired.title}", TITLE_LIMIT),
        evidence=fired.evidence,
        next=fired.next,
        members=members,
        node=nodes.pop() if len(nodes) == 1 else "",
        part=fired.part,
        as_of=_as_of(rule, situation, frozen),
    )
    return _Group(finding, tuple(hits), order)


def _room_beside(what: str) -> int:
    """Return the characters of a title that are left to say who: what is wrong must not be what is cut."""
    return max(LEAST_NAME, TITLE_LIMIT - 1 - len(what))


def _who(hits: Sequence[Hit], situation: Situation, room: int) -> str:
    """Name what the hits are about in `room` characters: two at most, and how many more."""
    names = list(dict.fromkeys(name for hit in hits for name in hit.fired.who or (hit.fired.about.name,)))
    if len(names) > 1 and (component := component_of(hits[0].fired.about, situation)):
        return f"{component} on {len(names)} nodes"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    shown = names[:2]
    return ", ".join(_cut(shown, room - len(more) - len(", ") * (len(shown) - 1))) + more


def _cut(names: Sequence[str], room: int) -> list[str]:
    """Cut each of the names in its middle, so that all have `room` characters: what a short one leaves, others get."""
    cut: dict[str, str] = {}
    for done, name in enumerate(sorted(names, key=len)):
        cut[name] = halved(name, room // (len(names) - done))
        room -= len(cut[name])
    return [cut[name] for name in names]


def _as_of(rule: Rule, situation: Situation, frozen: Frozen | None) -> datetime | None:
    """Return since when a finding is history: its source is silent, or etcd takes no writes, so objects stand still."""
    times = [
        source.observed_at
        for source in map(situation.source, rule.needs)
        if source.state is not SourceState.LIVE and source.observed_at is not None
    ]
    if frozen is not None and rule.needs and rule.id not in SAYS_FROZEN:
        times.append(frozen.since)
    return min(times, default=None)


def _parents(groups: Sequence[_Group], situation: Situation) -> dict[str, str]:
    """Map each finding's key to that of the finding it follows from."""
    by_ref: defaultdict[Ref, list[_Group]] = defaultdict(list)
    down = {group.finding.subject.name: group for group in groups if any(hit.rule.takes_down for hit in group.hits)}
    by_rule: defaultdict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        by_rule[group.finding.rule].append(group)
        for ref in dict.fromkeys((group.finding.subject, *group.finding.members)):
            by_ref[ref].append(group)
    parents: dict[str, str] = {}
    for group in groups:
        candidates = [
            other
            for hit in group.hits
            for ref in hit.fired.follows
            for other in by_ref.get(ref, ())
            if other.finding.key != group.finding.key
            and _may_explain(other.finding, group.finding)
            and _is_meant(other, ref, hit.fired)
        ]
        etcd = etcd_explains(group.finding.rule, group.finding.subject)
        candidates += [other for other in by_ref.get(ETCD, ()) if other.finding.rule in etcd]
        candidates += _at_its_servers(group, by_rule, situation)
        nodes = {hit.fired.node for hit in group.hits}
        if group.finding.subject.kind != "Node" and nodes and nodes <= down.keys():
            candidates += [down[node] for node in nodes]
        for candidate in sorted(candidates, key=lambda other: other.order):
            if _root(candidate.finding.key, parents) != group.finding.key:
                parents[group.finding.key] = candidate.finding.key
                break
    return parents


def _at_its_servers(group: _Group, by_rule: Mapping[str, Sequence[_Group]], situation: Situation) -> Iterator[_Group]:
    """Yield the findings about model servers that explain this one: all its pods, or half of its servers at least."""
    members = group.finding.members
    pods = [ref for ref in members if ref.kind == "Pod"]
    for other in (other for rule in serving_explains(group.finding.rule) for other in by_rule.get(rule, ())):
        sick = frozenset(other.finding.members)
        if pods:
            explains = len(pods) == len(members) and all(explains_pod(sick, pod, situation) for pod in pods)
        else:
            explains = len(sick.intersection(members)) >= len(members) / 2
        if explains:
            yield other


def _is_meant(cause: _Group, ref: Ref, fired: Fired) -> bool:
    """Tell whether `fired`, which follows `ref`, may mean this one of all findings that `ref` shows."""
    if ref == CLUSTER:
        return cause.finding.rule in (fired.of_cluster or fired.follows_only)
    return not fired.follows_only or cause.finding.rule in fired.follows_only


def _may_explain(cause: Finding, effect: Finding) -> bool:
    """A hint explains nothing but other hints."""
    return cause.severity is not Severity.INFO or effect.severity is Severity.INFO


def _root(key: str, parents: Mapping[str, str]) -> str:
    while key in parents:
        key = parents[key]
    return key


def _with(cause: Finding, consequences: list[Finding]) -> Finding:
    if not consequences:
        return cause
    gravest = min((cause.severity, *(item.severity for item in consequences)), key=lambda item: item.rank)
    ordered = tuple(sorted(consequences, key=lambda item: (item.severity.rank, -item.count, item.key)))
    return msgspec.structs.replace(cause, severity=gravest, consequences=ordered)


def _rank(cause: Finding, order: int) -> tuple[int, bool, int, int, int, str]:
    """Gravest first; what is known now before what is history because its source is gone; then by reach, then by the
    precedence of the rules."""
    reach = cause.explains + cause.count
    return (cause.severity.rank, cause.as_of is not None, -reach, -int(cause.layer), order, cause.key)
