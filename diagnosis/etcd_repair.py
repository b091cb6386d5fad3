"""Giving etcd room again in the safe order: snapshot, compact, defragment followers one by one, leader last, disarm.

Defragmentation stops a member's reads and writes while it runs and is not replicated; etcd does it without quorum and
with members down too, so the guard is here.
"""

from typing import Final, NamedTuple

from diagnosis.etcd_commands import etcdctl
from diagnosis.etcd_facts import BEHIND_ENTRIES, SOURCE
from situation.etcd.answers import NO_SPACE
from situation.etcd.cluster import EtcdCluster
from situation.etcd.figures import version_of
from situation.etcd.view import MemberView, Standing
from situation.etcd.way import Way, way_to
from situation.findings import Command, Effect, Evidence, Mark
from situation.situation import Situation

CRASH_IN_DEFRAGMENTATION: Final = ((3, 5, 0), (3, 5, 5))
"""Versions in which a crash during defragmentation can make members differ (fixed in 3.5.6)."""
SETTLE: Final = "wait a minute"
"""Between two members: the first must have caught up."""
_PATIENT: Final = ("--command-timeout", "300s")
"""etcdctl gives up after 5 s, which is too soon for gigabytes; the member would go on all the same."""
_SAVE: Final = "save a snapshot here; it holds all Secrets, keep it safe"


class _Step(NamedTuple):
    argv: tuple[str, ...]
    purpose: str
    effect: Effect
    endpoints: tuple[str, ...] = ()


_AFTER: Final = _Step(("endpoint", "health"), f"{SETTLE}: are all members healthy again?", Effect.READ)
_AFTER_WITH_ALARM: Final = _Step(
    ("endpoint", "status", "-w", "table"),
    f"{SETTLE}: do all members answer, with one leader, and is it smaller?",
    Effect.READ,
)
"""`endpoint health` calls every member unhealthy while an alarm is up."""


class Repair(NamedTuple):
    """The commands in order, and what is to be known before; without commands the evidence says why."""

    commands: tuple[Command, ...]
    evidence: tuple[Evidence, ...]


def repair(situation: Situation, cluster: EtcdCluster, *, compact: bool) -> Repair:
    """Return the way to a smaller file: with `compact` old revisions are dropped first, an alarm is disarmed last."""
    if reason := why_not(cluster):
        text = f"compaction and defragmentation are not offered now: {reason}"
        return Repair((), (Evidence(text, _source(cluster), mark=Mark.OPEN),))
    way = way_to(situation, cluster)
    steps = _steps(cluster, compact=compact)
    commands = tuple(_command(way, step, f"{number} of {len(steps)}") for number, step in enumerate(steps, start=1))
    return Repair(commands, _warnings(cluster))


def why_not(cluster: EtcdCluster) -> str:
    """Return why no member may be defragmented now, empty if all are well."""
    if not cluster.leader_id:
        return "no member sees a leader"
    for member in cluster.members:
        if member.standing is not Standing.ANSWERS:
            return f"{member.name} {member.standing.value}"
        if member.status is None:
            return f"the status of {member.name} could not be read"
        if max(member.lag or 0, member.backlog or 0) > BEHIND_ENTRIES:
            return f"{member.name} is behind"
        if member.page is not None and (member.page.applying_snapshot or member.page.defragmenting):
            doing = "applies a snapshot" if member.page.applying_snapshot else "is being defragmented"
            return f"{member.name} {doing}"
    if len(cluster.answering) < cluster.size:
        return f"only {len(cluster.answering)} of {cluster.size} members are known"
    if others := cluster.alarms - {NO_SPACE}:
        return f"the alarm {', '.join(sorted(others))} is up"
    return "the leader is not among the members that are known" if cluster.leader is None else ""


def _steps(cluster: EtcdCluster, *, compact: bool) -> list[_Step]:
    leader = cluster.leader
    followers = [member for member in cluster.members if member is not leader]
    last = [leader] if leader is not None else []
    revision = max((member.status.revision for member in cluster.members if member.status), default=0)
    saver = (followers or last)[0]
    steps = [_Step(("snapshot", "save", f"etcd-{revision}.db"), _SAVE, Effect.READ, (saver.endpoint,))]
    if compact and revision:
        steps.append(_Step((*_PATIENT, "compact", str(revision)), "drop all older revisions", Effect.MUTATING))
    check = _AFTER_WITH_ALARM if NO_SPACE in cluster.alarms else _AFTER
    for member in [*followers, *last]:
        steps.append(_defragment(member, is_last=member is leader and bool(followers)))
        steps.append(check)
    if compact and NO_SPACE in cluster.alarms:
        steps.append(_Step(("alarm", "disarm"), "let writes in again, after all members have room", Effect.MUTATING))
    return steps


def _defragment(member: MemberView, *, is_last: bool) -> _Step:
    who = f"{member.name} ({'leader, last' if is_last else member.role.value})"
    purpose = f"defragment {who}; it serves nothing meanwhile"
    return _Step((*_PATIENT, "defrag"), purpose, Effect.DISRUPTIVE, (member.endpoint,))


def _command(way: Way, step: _Step, number: str) -> Command:
    endpoints = step.endpoints or (way.endpoints if step.effect is Effect.READ else way.endpoints[:1])
    return etcdctl(way, *step.argv, purpose=f"{number}: {step.purpose}", effect=step.effect, endpoints=endpoints)


def _warnings(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    low, high = CRASH_IN_DEFRAGMENTATION
    risky = sorted(
        {member.version for member in cluster.members if (found := version_of(member.version)) and low <= found <= high}
    )
    if not risky:
        return ()
    text = (
        f"{risky[0]}: a crash during defragmentation can make members differ (fixed in 3.5.6); update first if you can"
    )
    return (Evidence(text, _source(cluster), mark=Mark.OPEN),)


def _source(cluster: EtcdCluster) -> str:
    return next((member.source for member in cluster.members if member.source), SOURCE)
