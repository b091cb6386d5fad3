"""Hand-made etcd members for tests, told to a Situation as the collector tells them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from situation.etcd.members import (
    EtcdMember,
    EtcdMembership,
    EtcdReading,
    ListedMember,
    MemberHealth,
    MemberPage,
    MemberStatus,
)
from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW

GIB: Final = 1024**3
MIB: Final = 1024**2
LEADER: Final = 1
"""Member ID of the first member, which leads unless a test says otherwise."""
NO_LEADER: Final = ("etcdserver: no leader",)
NO_SPACE: Final = ("memberID:1 alarm:NOSPACE ",)


def endpoint(number: int) -> str:
    """Return where member `number` (from 1) answers."""
    return f"https://10.0.0.{number}:2379"


def status(number: int = 1, **fields: Any) -> MemberStatus:
    """Return the status of a healthy member of a cluster that `LEADER` leads."""
    made = {
        "member_id": number,
        "cluster_id": 77,
        "version": "3.5.26",
        "db_size_bytes": 200 * MIB,
        "db_in_use_bytes": 150 * MIB,
        "leader": LEADER,
        "raft_term": 7,
        "raft_index": 100_000,
        "applied_index": 100_000,
        "revision": 90_000,
    }
    return MemberStatus(**{**made, **fields})


def page(**fields: Any) -> MemberPage:
    """Return a page of a member that does nothing wrong; counters stand at 0."""
    made: dict[str, Any] = {
        "started_at": 1.0,
        "has_leader": True,
        "quota_bytes": 2 * GIB,
        "leader_changes": 1.0,
        "proposals_failed": 0.0,
        "heartbeat_failures": 0.0,
        "slow_applies": 0.0,
        "fsync": disk(fast=0),
        "commit": disk(fast=0),
    }
    return MemberPage(**{**made, **fields})


def disk(*, fast: float = 0, slow: float = 0, slow_s: float = 0.032) -> Histogram:
    """Return a disk histogram: `fast` observations within 1 ms and `slow` ones in the bucket that ends at `slow_s`."""
    bounds = [0.001 * 2**power for power in range(14)]
    counts = {bound: fast + (slow if bound >= slow_s else 0) for bound in bounds}
    return Histogram.of({**counts, float("inf"): fast + slow})


def tell(
    situation: Situation,
    number: int,
    *,
    ago_s: float = 0.0,
    state: SourceState = SourceState.LIVE,
    error: str = "",
    **fields: Any,
) -> None:
    """Tell one round at member `number`. Without `status`, `page` or `health` nothing of it answered."""
    at = NOW - timedelta(seconds=ago_s)
    names = {"name": f"etcd-{number}", "node": f"cp-{number}", **fields}
    member = EtcdMember(endpoint(number), **names)
    source = f"etcd/10.0.0.{number}:2379"
    situation.apply(Reading(source, state, at, EtcdReading(member, at), error, fresh_for_s=15.0))


def silence(situation: Situation, number: int, *, ago_s: float = 0.0, error: str = "deadline exceeded") -> None:
    """Tell that a round at member `number` brought nothing."""
    tell(situation, number, ago_s=ago_s, state=SourceState.UNREACHABLE, error=error, status_error=error)


def healthy(
    *numbers: int,
    known: Situation | None = None,
    ago_s: float = 0.0,
    statuses: Mapping[str, Any] = {},
    pages: Mapping[str, Any] = {},
) -> Situation:
    """Return a Situation in which these members (1 to 3 if none is named) answered, all in the same way."""
    situation = known or Situation()
    for number in numbers or (1, 2, 3):
        tell(
            situation,
            number,
            ago_s=ago_s,
            status=status(number, **statuses),
            page=page(**pages),
            health=MemberHealth(True),
        )
    return situation


def watched(
    statuses: Callable[[int, float], Mapping[str, Any]] = lambda number, ago_s: {},
    pages: Callable[[int, float], Mapping[str, Any]] = lambda number, ago_s: {},
    *,
    span_s: int = 60,
    step_s: int = 10,
    size: int = 3,
) -> Situation:
    """Return a Situation in which all members answered every `step_s` for `span_s`, each time as the functions say."""
    situation = Situation()
    for ago_s in range(span_s, -1, -step_s):
        for number in range(1, size + 1):
            healthy(number, known=situation, ago_s=ago_s, statuses=statuses(number, ago_s), pages=pages(number, ago_s))
    return situation


def list_members(situation: Situation, size: int, *, learners: tuple[int, ...] = ()) -> None:
    """Tell a member list of `size` members."""
    members = tuple(
        ListedMember(number, f"etcd-{number}", client_urls=(endpoint(number),), is_learner=number in learners)
        for number in range(1, size + 1)
    )
    situation.apply(Reading("etcd/members", SourceState.LIVE, NOW, EtcdMembership(members)))
