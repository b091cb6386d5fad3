"""Figures of etcd. Where some members do not answer, a maximum over the others is only a lower bound."""

from collections.abc import Callable
from typing import Final

from playbooks.facts import Facts
from playbooks.figure import Bound, Figure, Found, Kind, Unsure
from situation.etcd.cluster import EtcdCluster, etcd_of
from situation.etcd.view import MemberView, Standing


def _of(facts: Facts) -> EtcdCluster | Unsure:
    cluster = etcd_of(facts.situation, facts.now)
    if cluster.is_known:
        return cluster
    access = facts.situation.source("etcd/access")
    return Unsure(f"etcd is not read from here{f' ({access.error})' if access.error else ''}")


def _alarms(facts: Facts) -> Found | Unsure:
    cluster = _of(facts)
    if isinstance(cluster, Unsure):
        return cluster
    if cluster.alarms:
        return Found(cluster.alarms, f"alarm {', '.join(sorted(cluster.alarms))} is up")
    return Found(cluster.alarms, "no alarm is up") if cluster.alarms_known else Unsure("nobody tells of alarms now")


def _leader(facts: Facts) -> Found | Unsure:
    cluster = _of(facts)
    if isinstance(cluster, Unsure):
        return cluster
    if cluster.leader_id:
        name = cluster.leader.name if cluster.leader is not None else f"{cluster.leader_id:x}"
        return Found(True, f"{name} leads, term {cluster.term}")
    if cluster.is_vouched_for:
        return Unsure("no member says who leads; the API server finds etcd working")
    if not cluster.answering:
        return Unsure("no member answers from here")
    return Found(False, "no member that answers sees a leader")


def _silent(facts: Facts) -> Found | Unsure:
    cluster = _of(facts)
    if isinstance(cluster, Unsure):
        return cluster
    names = ", ".join(member.name for member in cluster.silent)
    told = {Standing.ANSWERS, Standing.SILENT, Standing.REFUSES}
    complete = all(member.standing in told for member in cluster.voters) and len(cluster.voters) >= cluster.size
    text = f"{len(cluster.silent)} of {cluster.size} members do not answer" + (f" ({names})" if names else "")
    return Found(float(len(cluster.silent)), text, Bound.EXACT if complete else Bound.AT_LEAST)


def _can_lose(facts: Facts) -> Found | Unsure:
    cluster = _of(facts)
    if isinstance(cluster, Unsure):
        return cluster
    if cluster.can_lose is None:
        return Unsure(f"not every member was heard: {cluster.alive} of {cluster.size} answer")
    return Found(
        float(cluster.can_lose), f"{cluster.alive} of {cluster.size} members answer, {cluster.can_lose} more may fail"
    )


def _largest(
    of: Callable[[MemberView], float | None], text: Callable[[MemberView, float], str], what: str
) -> Callable[[Facts], Found | Unsure]:
    def find(facts: Facts) -> Found | Unsure:
        cluster = _of(facts)
        if isinstance(cluster, Unsure):
            return cluster
        measured = [(value, member) for member in cluster.answering if (value := of(member)) is not None]
        if not measured:
            return Unsure(f"{what}: not measured yet")
        value, member = max(measured, key=lambda pair: pair[0])
        complete = len(measured) == len(cluster.members) and len(cluster.voters) >= cluster.size
        return Found(value, f"{member.name}: {text(member, value)}", Bound.EXACT if complete else Bound.AT_LEAST)

    return find


def _used(member: MemberView) -> float | None:
    return None if member.free_ratio is None else 1 - member.free_ratio


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _elections(member: MemberView) -> float | None:
    return member.elections.changes if member.elections is not None else None


ETCD_FIGURES: Final = {
    "etcd.alarms": Figure(Kind.WORDS, "alarms that are up: `NOSPACE`, `CORRUPT`", _alarms),
    "etcd.leader": Figure(Kind.FLAG, "whether the members agree on a leader", _leader),
    "etcd.silent": Figure(Kind.NUMBER, "voting members that do not answer", _silent),
    "etcd.can_lose": Figure(Kind.NUMBER, "members that may still fail before quorum is lost", _can_lose),
    "etcd.db_ratio": Figure(
        Kind.NUMBER,
        "the fullest database against its quota, 0 to 1",
        _largest(_used, lambda _, value: f"{value:.0%} of the quota", "size against quota"),
    ),
    "etcd.fragmentation": Figure(
        Kind.NUMBER,
        "what a defragmentation would give back of the file, 0 to 1, of the worst member",
        _largest(lambda member: member.fragmentation, lambda _, value: f"{value:.0%} of the file is free", "sizes"),
    ),
    "etcd.fsync_p99_ms": Figure(
        Kind.NUMBER,
        "p99 of the WAL fsync over a minute, of the slowest member, ms",
        _largest(lambda member: _ms(member.fsync_p99_s), lambda _, ms: f"WAL fsync p99 {ms:.0f} ms", "WAL fsync"),
    ),
    "etcd.commit_p99_ms": Figure(
        Kind.NUMBER,
        "p99 of the backend commit over a minute, of the slowest member, ms",
        _largest(lambda member: _ms(member.commit_p99_s), lambda _, ms: f"commit p99 {ms:.0f} ms", "backend commit"),
    ),
    "etcd.elections": Figure(
        Kind.NUMBER,
        "changes of the leader in the last hour, or as much of it as was seen",
        _largest(_elections, lambda _, count: f"saw {count:.0f} changes of the leader", "elections"),
    ),
}
