"""etcd as a whole, worked out of what its members said: who leads, who answers, what may still fail.

Everything here is a pure function of the Situation and the time. `etcd_of` returns one frozen `EtcdCluster`.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from situation.api_server import READYZ
from situation.etcd.answers import CORRUPT, NO_SPACE, alarm_kinds, raised_by, sees_leader
from situation.etcd.figures import Quota
from situation.etcd.members import EtcdMember
from situation.etcd.standing import counted_members
from situation.etcd.view import MemberView, Role, Standing
from situation.leases import STILL, last_write, still_for
from situation.meta import Ref
from situation.readings import SourceState
from situation.situation import Situation

ETCD: Final = Ref("Etcd", "", "etcd")
"""Subject of findings about etcd as a whole."""
ALARM_SOURCE: Final = "etcd/alarms"
READY_TIMEOUT: Final = timedelta(seconds=2)
"""So long the API server's own check of etcd waits (`--etcd-healthcheck-timeout`)."""


def member_ref(name: str) -> Ref:
    """Return the subject of findings about one member."""
    return Ref("EtcdMember", "", name)


class FrozenBy(StrEnum):
    """Why nothing can be written. Reads may go on, so what is shown is history."""

    NO_SPACE = "alarm NOSPACE"
    CORRUPT = "alarm CORRUPT"
    NO_QUORUM = "no quorum"
    NO_LEADER = "no leader"
    NOT_REACHED = "the API server does not reach it"
    """By its own checks: what it shows is history, also if the members find nothing wrong with themselves."""
    STILL = "no lease is renewed"
    """Seen in the objects alone, where nobody tells of etcd."""


class Frozen(msgspec.Struct, frozen=True):
    """Nothing can be written."""

    by: FrozenBy
    since: datetime
    """The last sign that writes went through: the newest lease renewal, or the last round at a member that saw a leader
    and told of no alarm; never later than our first word of the fault, which stands here where there was no sign."""
    is_exact: bool = True
    """False: it may have begun long before `since`, as nobody knows of a write."""

    @property
    def since_text(self) -> str:
        """`since 02:40:07`, or `at least since 02:40:07`."""
        return f"{'' if self.is_exact else 'at least '}since {self.since:%H:%M:%S}"


class EtcdCluster(msgspec.Struct, frozen=True):
    """etcd now. Its numbers are those of members that answer now; a member's view holds the older ones."""

    members: tuple[MemberView, ...] = ()
    """Those asked and those only listed, by name."""
    leader_id: int = 0
    """As most members that answer see it; 0: none does."""
    term: int | None = None
    size: int = 0
    """Voting members, by the member list, else by what was asked or seen."""
    size_from: str = ""
    """`member list`, `endpoints asked`, `etcd pods`."""
    alarms: frozenset[str] = frozenset()
    """Raised now, as the members tell, and the alarm list if it is newer."""
    alarms_known: bool = False
    """Whether anybody who answers now would tell of an alarm."""
    is_vouched_for: bool = False
    """No member says so, but the API server found etcd working after the members fell silent."""
    frozen: Frozen | None = None

    @property
    def is_known(self) -> bool:
        """Whether any member was ever asked."""
        return any(member.standing is not Standing.UNHEARD for member in self.members)

    @property
    def quorum(self) -> int:
        """How many voting members must agree: n // 2 + 1."""
        return self.size // 2 + 1 if self.size else 0

    @property
    def voters(self) -> tuple[MemberView, ...]:
        return tuple(member for member in self.members if member.role is not Role.LEARNER)

    @property
    def answering(self) -> tuple[MemberView, ...]:
        """Members whose word is fresh, learners among them."""
        return tuple(member for member in self.members if member.standing is Standing.ANSWERS)

    @property
    def silent(self) -> tuple[MemberView, ...]:
        """Voting members that were asked and do not answer."""
        return tuple(member for member in self.voters if member.standing is Standing.SILENT)

    @property
    def unreadable(self) -> tuple[MemberView, ...]:
        """Members that run but cannot be read: nothing is known of them, which is no fault of etcd."""
        return tuple(member for member in self.members if member.standing is Standing.REFUSES)

    @property
    def alive(self) -> int:
        """Voting members that answer; one that refuses our certificate answers too."""
        return sum(member.standing in (Standing.ANSWERS, Standing.REFUSES) for member in self.voters)

    @property
    def can_lose(self) -> int | None:
        """How many more may fail before quorum is lost, 0 at least; None while some were not heard of."""
        if not self.size or self.alive + len(self.silent) < self.size:
            return None
        return max(0, self.alive - self.quorum)

    @property
    def leader(self) -> MemberView | None:
        """The leader's own view, if it is among the members that are known."""
        return next((member for member in self.members if self.leader_id and member.id == self.leader_id), None)

    @property
    def lost_quorum(self) -> bool:
        """Too many are silent, and nobody who answers sees a leader."""
        return bool(self.size) and not self.leader_id and len(self.silent) > self.size - self.quorum

    @property
    def quota(self) -> Quota:
        """The smallest quota of the members: the first that is reached raises the alarm for all."""
        limits = [member.quota for member in self.members if member.quota.limit_bytes is not None]
        return min(limits, key=lambda quota: quota.limit_bytes or 0, default=Quota(None, ""))


def etcd_of(situation: Situation, now: datetime) -> EtcdCluster:
    """Return etcd as it is known now; worked out once for each time that is asked for."""
    return situation.derived.at("etcd", now, lambda: _cluster(situation, now))


def _cluster(situation: Situation, now: datetime) -> EtcdCluster:
    size, size_from, views = counted_members(situation, now)
    fresh = [view for view in views if view.standing is Standing.ANSWERS]
    rounds = [known.member for view in fresh if (known := situation.etcd.known.get(view.endpoint)) is not None]
    leader_id, term = _leader(fresh, rounds)
    kinds = [found for member in rounds if (found := alarm_kinds(member)) is not None]
    listed = _list_counts(situation, fresh, now)
    alarms = frozenset(kind for found in kinds for kind in found)
    if listed:
        alarms |= {alarm.kind for alarm in situation.etcd_alarms}
    cluster = EtcdCluster(
        members=views,
        leader_id=leader_id,
        term=term,
        size=size,
        size_from=size_from,
        alarms=alarms,
        alarms_known=listed or bool(kinds),
    )
    vouched = not leader_id and _vouches(situation, now, cluster)
    cluster = msgspec.structs.replace(cluster, is_vouched_for=vouched)
    return msgspec.structs.replace(cluster, frozen=_frozen(situation, now, cluster, rounds))


def _list_counts(situation: Situation, fresh: Iterable[MemberView], now: datetime) -> bool:
    """Tell whether the alarm list says how it is now: it is read seldom, and each later status tells of all alarms."""
    source = situation.source(ALARM_SOURCE)
    if source.state_at(now) is not SourceState.LIVE or source.observed_at is None:
        return False
    told = [at for view in fresh if (at := situation.etcd.known[view.endpoint].status_at) is not None]
    return not told or min(told) <= source.observed_at


def _leader(fresh: Iterable[MemberView], rounds: Iterable[EtcdMember]) -> tuple[int, int | None]:
    """Return the leader's ID and the term as most members see them now; a tie goes to the higher term."""
    seen = [(member.status.leader, member.status.raft_term) for member in rounds if member.status is not None]
    terms = [term for _, term in seen]
    votes = Counter((leader, term) for leader, term in seen if leader)
    if votes:
        (leader, term), _ = max(votes.items(), key=lambda vote: (vote[1], vote[0][1]))
        return leader, term
    led = next((view.id for view in fresh if view.role is Role.LEADER and view.id), 0)
    return led, max(terms, default=None)


def _vouches(situation: Situation, now: datetime, cluster: EtcdCluster) -> bool:
    """Tell whether the API server found etcd working after what we heard last of the members, or all the time if we
    never heard of any: then the endpoints may be wrong or out of reach from here."""
    source, readiness = situation.source(READYZ), situation.readiness
    if readiness is None or source.state_at(now) is not SourceState.LIVE or source.observed_at is None:
        return False
    if any(check.startswith("etcd") for check in readiness.failed_checks) or not cluster.members:
        return False
    if not readiness.ready and not readiness.failed_checks:
        return False
    if not any(member.heard_at for member in cluster.members):
        return True
    silent = [member.silent_since for member in cluster.members if member.silent_since is not None]
    leaderless = [member.leaderless_since for member in cluster.answering if member.leaderless_since is not None]
    since = max((*silent, *leaderless), default=None)
    return since is not None and source.observed_at > since + READY_TIMEOUT


def _frozen(situation: Situation, now: datetime, cluster: EtcdCluster, rounds: Iterable[EtcdMember]) -> Frozen | None:
    by = _frozen_by(cluster, rounds)
    if by is None:
        return _frozen_unseen(situation, now, answering=bool(cluster.answering))
    known = [item for view in cluster.members if (item := situation.etcd.known.get(view.endpoint)) is not None]
    match by:
        case FrozenBy.NO_SPACE | FrozenBy.CORRUPT:
            kind = NO_SPACE if by is FrozenBy.NO_SPACE else CORRUPT
            times = [item.alarmed_since[kind] for item in known if kind in item.alarmed_since]
        case FrozenBy.NO_QUORUM | FrozenBy.NO_LEADER:
            leaderless = [item.leaderless_since for item in known if item.leaderless_since is not None]
            times = leaderless or [view.silent_since for view in cluster.silent if view.silent_since is not None]
    first = min(times, default=None) or situation.source(ALARM_SOURCE).observed_at
    signs = [last_write(situation), *(item.worked_at for item in known)]
    worked = max((time for time in signs if time is not None), default=None)
    heard = [time for time in (first, worked) if time is not None]
    return Frozen(by, min(heard), is_exact=worked is not None) if heard else None


def _frozen_unseen(situation: Situation, now: datetime, *, answering: bool) -> Frozen | None:
    """Tell by the API server's own checks, whatever etcd is for others; by leases only where no member answers us."""
    worked, failing = last_write(situation), situation.etcd_failing_since
    if failing is not None and situation.source(READYZ).state_at(now) is SourceState.LIVE:
        return Frozen(FrozenBy.NOT_REACHED, min(failing, worked or failing), is_exact=worked is not None)
    still = None if answering else still_for(situation, now)
    return Frozen(FrozenBy.STILL, worked) if worked is not None and still is not None and still > STILL else None


def _frozen_by(cluster: EtcdCluster, rounds: Iterable[EtcdMember]) -> FrozenBy | None:
    if cluster.lost_quorum:
        return None if cluster.is_vouched_for else FrozenBy.NO_QUORUM
    told = [seen for member in rounds if (seen := sees_leader(member)) is not None]
    if told and not any(told) and not cluster.is_vouched_for:
        return FrozenBy.NO_LEADER
    if CORRUPT in cluster.alarms:
        return FrozenBy.CORRUPT
    return FrozenBy.NO_SPACE if NO_SPACE in cluster.alarms else None


def raisers(situation: Situation, cluster: EtcdCluster, kind: str) -> tuple[str, ...]:
    """Return the names of the members that raised an alarm, as far as known; the rest as IDs in hex."""
    ids = {alarm.member_id for alarm in situation.etcd_alarms if alarm.kind == kind}
    for view in cluster.answering:
        if (known := situation.etcd.known.get(view.endpoint)) is not None:
            ids |= raised_by(known.member, kind)
    names = {view.id: view.name for view in cluster.members if view.id}
    return tuple(sorted(names.get(member, f"{member:x}") for member in ids if member))
