"""etcd's members as rows of the pane, and how bad each number is."""

from datetime import datetime
from typing import Final

from diagnosis.etcd_facts import BEHIND_ENTRIES
from diagnosis.rules.etcd_database import CRITICAL_RATIO, WARN_RATIO
from diagnosis.rules.etcd_disk import COMMIT_HEALTHY_S, FSYNC_HEALTHY_S, FSYNC_MIXIN_CRITICAL_S
from situation.clock import stepped_s
from situation.etcd.cluster import EtcdCluster, member_ref
from situation.etcd.places import member_nodes
from situation.etcd.view import MemberView, Role, Standing
from situation.findings import Severity
from situation.focus import Relation
from situation.situation import Situation
from widgets.etcd_members import MemberRow, MemberState

_STATES: Final = {
    Standing.SILENT: MemberState.SILENT,
    Standing.REFUSES: MemberState.REFUSES,
    Standing.STALE: MemberState.STALE,
    Standing.UNHEARD: MemberState.NOT_ASKED,
}
_ROLES: Final = {
    Role.LEADER: MemberState.LEADER,
    Role.FOLLOWER: MemberState.FOLLOWER,
    Role.LEARNER: MemberState.LEARNER,
}


def member_row(view: MemberView, curve: bytes, now: datetime, *, related: bool, dimmed: bool) -> MemberRow:
    """Return a member as a line. What changes by the second is told only of one that answers."""
    answers = view.standing is Standing.ANSWERS
    size, limit = view.size_bytes, view.quota.limit_bytes
    full = size / limit if size is not None and limit else None
    return MemberRow(
        key=view.endpoint or f"{view.id:x}",
        ref=member_ref(view.name),
        state=member_state(view),
        since_s=_since_s(view, now),
        term=view.status.raft_term if view.status is not None else None,
        lag=view.lag if answers else None,
        lag_severity=Severity.WARNING if view.lag is not None and view.lag > BEHIND_ENTRIES else None,
        in_use_bytes=view.in_use_bytes,
        size_bytes=size,
        quota_bytes=limit,
        space_severity=band(full, WARN_RATIO, CRITICAL_RATIO) if answers else None,
        fsync_p99_s=view.fsync_p99_s if answers else None,
        fsync_severity=band(view.fsync_p99_s, FSYNC_HEALTHY_S, FSYNC_MIXIN_CRITICAL_S),
        fsync_curve=curve,
        commit_p99_s=view.commit_p99_s if answers else None,
        commit_severity=band(view.commit_p99_s, COMMIT_HEALTHY_S),
        version=view.version,
        related=related,
        dimmed=dimmed,
    )


def member_state(view: MemberView) -> MemberState:
    """Return what a member is; its role only while it answers."""
    if view.standing is not Standing.ANSWERS:
        return _STATES[view.standing]
    if view.role in _ROLES:
        return _ROLES[view.role]
    return MemberState.NO_LEADER if view.leaderless_since is not None else MemberState.UNREAD


def _since_s(view: MemberView, now: datetime) -> float | None:
    since = {Standing.SILENT: view.silent_since, Standing.STALE: view.heard_at}.get(view.standing)
    if since is None:
        return None
    return stepped_s((now - since).total_seconds())


def band(value: float | None, warning: float, critical: float | None = None) -> Severity | None:
    """Return how bad a number is that lies above one of two limits, the second of which not all have."""
    if value is None or value <= warning:
        return None
    return Severity.CRITICAL if critical is not None and value > critical else Severity.WARNING


def related_members(cluster: EtcdCluster, relation: Relation, situation: Situation) -> frozenset[str]:
    """Return the names of the members that a focus is about, or that run on its nodes; none if it is all of them."""
    objects, nodes = relation.objects or frozenset(), relation.nodes or frozenset()
    found = {
        view.name
        for view in cluster.members
        if member_ref(view.name) in objects or not nodes.isdisjoint(member_nodes(view.name, situation))
    }
    return frozenset(found) if len(found) < len(cluster.members) else frozenset()
