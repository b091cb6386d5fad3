"""Which members etcd has, and of each whether it answers: the list, what was asked and the static pods put together."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from situation.etcd.figures import elections_of, growth_of, in_use_of, page_figures, quota_of, restarts_of, size_of
from situation.etcd.members import EtcdMember, ListedMember, MemberPage, MemberStatus
from situation.etcd.memory import SPAN, KnownMember
from situation.etcd.view import MemberView, Role, Standing
from situation.pods import Pod
from situation.readings import Source, SourceState
from situation.selectors import is_control_plane
from situation.situation import Situation

REFUSAL: Final = re.compile(
    r"certificate|x509|\btls\b|\bssl\b|permission denied|unauthenticated|authentication|user name is empty",
    re.IGNORECASE,
)
"""Errors that a member that runs gives to a client that it does not accept, or that does not accept it."""
RECENT: Final = timedelta(minutes=2)
"""Long enough to tell "more than one election a minute" from a single one."""
FRESH_S: Final = 30.0
"""How long a member is believed whose source says nothing of it."""


def source_name(endpoint: str) -> str:
    """Return the name of the source that tells of an endpoint: `etcd/10.0.0.1:2379` of `https://10.0.0.1:2379`."""
    return "etcd/" + _address(endpoint)


def etcd_pods(situation: Situation) -> tuple[Pod, ...]:
    """Return etcd's static pods as kubeadm labels them, by name."""
    found = situation.pods_by_label.get(("kube-system", "component", "etcd")).values()
    return tuple(sorted(found, key=lambda pod: pod.name))


def is_ours(situation: Situation) -> bool:
    """Tell whether etcd runs where it can be looked after: a managed control plane shows no node and no pod of it."""
    return bool(etcd_pods(situation)) or situation.while_same(
        ("nodes",), is_ours, lambda: any(map(is_control_plane, situation.nodes.values()))
    )


def counted_members(situation: Situation, now: datetime) -> tuple[int, str, tuple[MemberView, ...]]:
    """Return how many voting members there are, what says so, and a view of each member that is known or listed.

    The member list decides where it was ever read: an endpoint that is not in it is still shown while it answers.
    """
    asked = [known for known in situation.etcd.members() if not _is_removed(known, situation)]
    views = [_view(known, situation, now) for known in asked]
    views = [_with_lag(view, views, situation) for view in views]
    if listed := situation.etcd_list:
        paired = [(member, _find(member, views)) for member in listed]
        taken = {view.endpoint for _, view in paired if view is not None}
        found = [_listed(member, view) for member, view in paired]
        found += [view for view in views if view.endpoint not in taken and view.standing is Standing.ANSWERS]
        return sum(not member.is_learner for member in listed), "member list", _sorted(found)
    voters = sum(view.role is not Role.LEARNER for view in views)
    pods = len(etcd_pods(situation))
    if not views:
        return pods, "etcd pods" if pods else "", ()
    return max(voters, pods), "etcd pods" if pods > voters else "endpoints asked", _sorted(views)


def _is_removed(known: KnownMember, situation: Situation) -> bool:
    """Tell whether its collector found that there is no such member any more."""
    return situation.source(source_name(known.member.endpoint)).state is SourceState.ABSENT


def _sorted(views: Iterable[MemberView]) -> tuple[MemberView, ...]:
    return tuple(sorted(views, key=lambda view: (view.name, view.endpoint)))


def _find(member: ListedMember, views: Iterable[MemberView]) -> MemberView | None:
    urls = {_address(url) for url in member.client_urls}
    for view in views:
        if view.id == member.member_id if view.id else _address(view.endpoint) in urls:
            return view
    return next((view for view in views if not view.id and member.name and view.name == member.name), None)


def _listed(member: ListedMember, view: MemberView | None) -> MemberView:
    role = Role.LEARNER if member.is_learner else Role.UNKNOWN
    if view is None:
        return MemberView(member.name or f"{member.member_id:x}", id=member.member_id, role=role)
    known = view.role if view.role is not Role.UNKNOWN else role
    return msgspec.structs.replace(view, name=member.name or view.name, id=member.member_id, role=known)


def _address(url: str) -> str:
    return url.partition("://")[2].rstrip("/") or url


def _view(known: KnownMember, situation: Situation, now: datetime) -> MemberView:
    member = known.member
    name = source_name(member.endpoint)
    standing = _standing(known, situation.source(name), now)
    answers = standing is Standing.ANSWERS
    errors = [situation.source(name).error, member.status_error, member.page_error, member.health_error]
    heard = [at for at in (known.status_at, known.page_at) if at is not None]
    if member.answers:
        heard.append(known.read_at)
    last, last_page, figures = known.status, known.page, page_figures(known)
    # One that answers in part must not be believed what its silent part said long ago.
    status = last if not answers or known.is_fresh(known.status_at) else None
    page = last_page if not answers or known.is_fresh(known.page_at) else None
    return MemberView(
        name=member.name or member.node or _address(member.endpoint),
        endpoint=member.endpoint,
        source=name,
        node=member.node,
        standing=standing,
        error=next(filter(None, errors), ""),
        heard_at=max(heard, default=None),
        silent_since=_silent_since(known, situation.source(name), standing),
        leaderless_since=known.leaderless_since,
        id=(last.member_id if last is not None else last_page.member_id if last_page is not None else 0) or 0,
        role=_role(known, status, page),
        version=last.version if last is not None else last_page.version if last_page is not None else "",
        status=status,
        page=page,
        health=member.health,
        size_bytes=size_of(known),
        in_use_bytes=in_use_of(known),
        quota=quota_of(known),
        fsync_p99_s=figures.fsync_p99_s,
        commit_p99_s=figures.commit_p99_s,
        round_trip_p99_s=figures.round_trip_p99_s,
        backlog=_backlog(member.status, page),
        growth=growth_of(known),
        elections=elections_of(known, SPAN),
        recent_elections=elections_of(known, RECENT),
        restarts=restarts_of(known, SPAN),
        heartbeat_failures=figures.heartbeat_failures,
        failed_proposals=figures.failed_proposals,
        slow_applies=figures.slow_applies,
        slow_reads=figures.slow_reads,
        unsent=figures.unsent,
        was_defragmented=figures.was_defragmented,
    )


def _backlog(status: MemberStatus | None, page: MemberPage | None) -> int | None:
    """Its page tells it where the status is refused (without an admin's user, by versions that ask for one)."""
    if status is not None:
        return max(0, status.raft_index - status.applied_index)
    if page is None or page.proposals_committed is None or page.proposals_applied is None:
        return None
    return max(0, round(page.proposals_committed - page.proposals_applied))


def _standing(known: KnownMember, source: Source, now: datetime) -> Standing:
    if not known.member.is_asked:
        return Standing.UNHEARD
    state = source.state_at(now)
    if state is SourceState.STARTING:
        aged = (now - known.read_at).total_seconds() > FRESH_S
        state = SourceState.STALE if aged else SourceState.LIVE
    if state is SourceState.STALE:
        return Standing.STALE
    if state is SourceState.LIVE and known.member.answers:
        return Standing.ANSWERS
    refused = state in (SourceState.FORBIDDEN, SourceState.UNAUTHORIZED)
    return Standing.REFUSES if refused or _is_refused(source.error, known.member) else Standing.SILENT


def _is_refused(error: str, member: EtcdMember) -> bool:
    """Tell whether an error speaks of a refusal; the member's own address may hold any word (`etcd-tls.example`)."""
    texts = (error, member.status_error, member.page_error, member.health_error)
    return any(is_refusal(text, (member.endpoint, member.metrics_url)) for text in texts)


def is_refusal(error: str, urls: Iterable[str]) -> bool:
    """Tell whether an error speaks of a refusal (`REFUSAL`), the addresses of `urls` in it left out."""
    for url in filter(None, urls):
        error = error.replace(_address(url), "")
    return REFUSAL.search(error) is not None


def _silent_since(known: KnownMember, source: Source, standing: Standing) -> datetime | None:
    if standing is not Standing.SILENT:
        return None
    return known.silent_since or source.observed_at or known.read_at


def _role(known: KnownMember, status: MemberStatus | None, page: MemberPage | None) -> Role:
    """Return what it is by its status, or by its page where that is newer: the status alone can be refused."""
    status_at, page_at = known.status_at, known.page_at
    if page is not None and status_at is not None and page_at is not None and page_at > status_at:
        status = None
    if status is not None:
        if status.is_learner:
            return Role.LEARNER
        if status.leader == 0:
            return Role.UNKNOWN
        return Role.LEADER if status.leader == status.member_id else Role.FOLLOWER
    if page is None or page.has_leader is False:
        return Role.UNKNOWN
    if page.is_learner:
        return Role.LEARNER
    if page.is_leader is None:
        return Role.UNKNOWN
    return Role.LEADER if page.is_leader else Role.FOLLOWER


def _with_lag(view: MemberView, views: Iterable[MemberView], situation: Situation) -> MemberView:
    """Compare with what the leader had committed no later than the member answered: a later answer would lie."""
    known = situation.etcd.known[view.endpoint]
    leader = next((other for other in views if view.status and other.id == view.status.leader and other.id), None)
    if (
        leader is None
        or known.member.status is None
        or view.status is None
        or known.status_at is None
        or leader.endpoint == view.endpoint
    ):
        return view
    statuses = situation.etcd.known[leader.endpoint].statuses.within(SPAN)
    before = [status.raft_index for at, status in statuses if at <= known.status_at]
    return msgspec.structs.replace(view, lag=max(0, before[-1] - view.status.applied_index)) if before else view
