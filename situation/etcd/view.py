"""One member as panes and rules see it: what it said last, how far that can be believed, and its figures."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from situation.etcd.figures import Elections, Growth, Quota
from situation.etcd.members import MemberHealth, MemberPage, MemberStatus


class Standing(StrEnum):
    """How far a member can be believed now."""

    ANSWERS = "answers"
    SILENT = "does not answer"
    REFUSES = "cannot be read"
    """It runs, but does not accept our certificate or user, or shows one that we do not: nothing is known of it."""
    STALE = "not heard of lately"
    """Nobody asked it for longer than its word is good for."""
    UNHEARD = "not asked"
    """Only listed, or our own certificates cannot be used, so that nobody could ask it."""


class Role(StrEnum):
    LEADER = "leader"
    FOLLOWER = "follower"
    LEARNER = "learner"
    UNKNOWN = "unknown"
    """It sees no leader, or nothing tells."""


class MemberView(msgspec.Struct, frozen=True):
    """One member. Values are its last known; they are of now only while `standing` is ANSWERS, else of `heard_at`."""

    name: str
    """Its own, else its node's, else the endpoint's address."""
    endpoint: str = ""
    """As asked; empty if it is only listed."""
    source: str = ""
    """Name of the source that tells of it: `etcd/10.0.0.1:2379`."""
    node: str = ""
    standing: Standing = Standing.UNHEARD
    error: str = ""
    """Why it does not answer, or what of it could not be read."""
    heard_at: datetime | None = None
    """When any part of it answered last."""
    silent_since: datetime | None = None
    leaderless_since: datetime | None = None
    id: int = 0
    role: Role = Role.UNKNOWN
    version: str = ""
    status: MemberStatus | None = None
    page: MemberPage | None = None
    health: MemberHealth | None = None
    """Of the last round only."""
    size_bytes: int | None = None
    in_use_bytes: int | None = None
    quota: Quota = Quota(None, "")
    fsync_p99_s: float | None = None
    """WAL fsync over the last minute."""
    commit_p99_s: float | None = None
    """Backend commit over the last minute."""
    round_trip_p99_s: float | None = None
    """To its slowest peer, over the last minute."""
    lag: int | None = None
    """Entries it has applied less than the leader had committed, at the leader's last answer before its own."""
    backlog: int | None = None
    """Entries committed, as it knows itself, and not yet applied."""
    growth: Growth | None = None
    """None: the time it was watched for is too short."""
    elections: Elections | None = None
    """Over the last hour, or as much of it as was seen."""
    recent_elections: Elections | None = None
    """Over the last two minutes."""
    restarts: int = 0
    """Times that it was seen to start anew in the last hour; a start that nobody saw both sides of does not count."""
    heartbeat_failures: float | None = None
    """New in the last minute, as the next ones."""
    failed_proposals: float | None = None
    slow_applies: float | None = None
    slow_reads: float | None = None
    """Consistent reads that were not confirmed in time."""
    unsent: Mapping[str, float] = {}
    """Messages that it could not send in the last minute, by the peer's ID in hex."""
    was_defragmented: bool = False
    """Within the last minute, or it is being defragmented now."""

    @property
    def free_ratio(self) -> float | None:
        """How much of the quota is left, 0 to 1; None if size or quota is not known."""
        limit = self.quota.limit_bytes
        return None if limit is None or self.size_bytes is None else max(0.0, 1 - self.size_bytes / limit)

    @property
    def fragmentation(self) -> float | None:
        """How much of the file a defragmentation would give back, 0 to 1; None if not known."""
        if not self.size_bytes or self.in_use_bytes is None:
            return None
        return max(0.0, 1 - self.in_use_bytes / self.size_bytes)

    @property
    def full_in_s(self) -> float | None:
        """Seconds until the quota is reached at this growth; None if it does not grow or that is not known."""
        limit = self.quota.limit_bytes
        if self.growth is None or self.growth.bytes_per_s <= 0 or limit is None or self.size_bytes is None:
            return None
        return max(0.0, (limit - self.size_bytes) / self.growth.bytes_per_s)
