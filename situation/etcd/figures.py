"""Figures of one member: which quota is believed, p99 over the window, elections, growth and what it leads to."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

from situation.etcd.members import MemberPage
from situation.etcd.memory import WINDOW, KnownMember
from situation.histograms import Histogram

P99: Final = 0.99
MIN_OBSERVATIONS: Final = 20.0
"""A p99 of fewer is the slowest one alone."""
MIN_GROWTH_SPAN: Final = timedelta(minutes=10)
"""The file grows in steps: over less, a forecast would be a guess (the etcd mixin looks back 4 h)."""
STATUS_QUOTA_SINCE: Final = (3, 6, 6)
"""The quota in Maintenance.Status was wrong before (etcd changelog)."""
_VERSION: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


class Quota(NamedTuple):
    """How large the database may become; `limit_bytes` None: not known, or none is set."""

    limit_bytes: int | None
    told_by: str
    """`status`, `metrics`, `none set`, or empty: not known."""


class Growth(NamedTuple):
    """How the database's file grew."""

    bytes_per_s: float
    over: timedelta


class Elections(NamedTuple):
    """Changes of the leader that one member saw, and over how long they could be counted."""

    changes: float
    over: timedelta


def version_of(text: str) -> tuple[int, int, int] | None:
    """Return `3.5.1` or `v3.6.0-rc.1` as numbers, None if it cannot be read."""
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def quota_of(known: KnownMember) -> Quota:
    """Return the quota that can be believed: of the status from 3.6.6 on, else of the metrics."""
    version = version_of(known.status.version) if known.status is not None else None
    told = known.status.quota_bytes if known.status is not None else None
    if told is not None and version is not None and version >= STATUS_QUOTA_SINCE:
        return Quota(told, "status") if told > 0 else Quota(None, "none set")
    if known.page is not None and known.page.quota_bytes is not None:
        return Quota(known.page.quota_bytes, "metrics") if known.page.quota_bytes > 0 else Quota(None, "none set")
    return Quota(None, "")


def size_of(known: KnownMember) -> int | None:
    """Return the size of the database's file, bytes, from whichever answer is newer."""
    status = known.status.db_size_bytes if known.status is not None else None
    return _newer(known, status, known.page.db_size_bytes if known.page is not None else None)


def in_use_of(known: KnownMember) -> int | None:
    """Return what of the file is in use, bytes, from whichever answer is newer."""
    status = known.status.db_in_use_bytes if known.status is not None else None
    return _newer(known, status, known.page.db_in_use_bytes if known.page is not None else None)


def _newer(known: KnownMember, status: int | None, page: int | None) -> int | None:
    if status is None or page is None:
        return page if status is None else status
    return status if (known.status_at or known.read_at) >= (known.page_at or known.read_at) else page


def p99(known: KnownMember, of: Callable[[MemberPage], Histogram | None], window: timedelta = WINDOW) -> float | None:
    """Return the p99 of what was observed in the window, seconds; None if too little was."""
    seen = known.over(of, window)
    return seen.quantile(P99) if seen.total >= MIN_OBSERVATIONS else None


class PageFigures(NamedTuple):
    """What a member's pages say of the last minute; None: not measured, or too little."""

    fsync_p99_s: float | None
    commit_p99_s: float | None
    round_trip_p99_s: float | None
    heartbeat_failures: float | None
    failed_proposals: float | None
    slow_applies: float | None
    slow_reads: float | None
    unsent: Mapping[str, float]
    """Messages that it could not send, by the peer's ID in hex; only of those with any."""
    was_defragmented: bool
    """It was, or is being, defragmented: nothing else makes the file shrink, and commits wait meanwhile."""


def page_figures(known: KnownMember) -> PageFigures:
    """Return the figures of the pages, worked out once for each: rounds without a page are more frequent."""
    if not known.is_fresh(known.page_at):
        return _page_figures(known)  # nothing is told of a window that is past
    return known.of_pages.once(page_figures, lambda: _page_figures(known))


def _page_figures(known: KnownMember) -> PageFigures:
    peers = known.page.peer_failures if known.page is not None else {}
    return PageFigures(
        fsync_p99_s=p99(known, lambda page: page.fsync),
        commit_p99_s=p99(known, lambda page: page.commit),
        round_trip_p99_s=round_trip_p99(known),
        heartbeat_failures=known.increase(lambda page: page.heartbeat_failures),
        failed_proposals=known.increase(lambda page: page.proposals_failed),
        slow_applies=known.increase(lambda page: page.slow_applies),
        slow_reads=known.increase(lambda page: page.slow_reads),
        unsent={peer: count for peer in peers if (count := known.increase(partial(_unsent_to, peer)))},
        was_defragmented=_was_defragmented([page for _, page in known.within(WINDOW)]),
    )


def _unsent_to(peer: str, page: MemberPage) -> float | None:
    """A peer is on the page once a message to it failed; before that it is 0, unless the page breaks off."""
    return page.peer_failures.get(peer, None if page.is_cut else 0.0)


def _was_defragmented(pages: Sequence[MemberPage]) -> bool:
    sizes = [page.db_size_bytes for page in pages if page.db_size_bytes is not None]
    return any(page.defragmenting for page in pages) or any(later < size for size, later in pairwise(sizes))


def round_trip_p99(known: KnownMember) -> float | None:
    """Return the p99 to the slowest peer over the window, seconds."""
    peers = known.page.round_trips if known.page is not None else {}
    found = (p99(known, partial(_to, peer)) for peer in peers)
    return max((value for value in found if value is not None), default=None)


def _to(peer: str, page: MemberPage) -> Histogram | None:
    return page.round_trips.get(peer)


def elections_of(known: KnownMember, window: timedelta) -> Elections | None:
    """Return the leader changes that the member saw in the window, None if it was not measured twice.

    Of a member that restarted in the window the raft term is taken: its own counter began anew.
    """
    if known.is_fresh(known.page_at):
        counted = known.of_pages.once((elections_of, window), lambda: _counted_elections(known, window))
        if counted is not None:
            return counted
    statuses = known.statuses.within(window)
    if len(statuses) < 2:
        return None
    (first_at, first), (last_at, last) = statuses[0], statuses[-1]
    return Elections(max(0, last.raft_term - first.raft_term), last_at - first_at)


def _counted_elections(known: KnownMember, window: timedelta) -> Elections | None:
    pages = known.within(window)
    if len({page.started_at for _, page in pages}) > 1:
        return None
    changes = known.increase(lambda page: page.leader_changes, window)
    return Elections(changes, pages[-1][0] - pages[0][0]) if changes is not None else None


def restarts_of(known: KnownMember, window: timedelta) -> int:
    """Return how often the member was seen to start anew in the window."""
    starts = [page.started_at for _, page in known.within(window) if page.started_at is not None]
    return max(0, len(set(starts)) - 1)


def growth_of(known: KnownMember) -> Growth | None:
    """Return how fast the file grew since it last shrank (a defragmentation), None over too short a time."""
    sizes: list[tuple[datetime, int]] = [(at, status.db_size_bytes) for at, status in known.statuses.within(_ALL)]
    if len(sizes) < 2:
        sizes = [(at, page.db_size_bytes) for at, page in known.pages.within(_ALL) if page.db_size_bytes is not None]
    kept = _since_shrunk(sizes)
    if len(kept) < 2 or (span := kept[-1][0] - kept[0][0]) < MIN_GROWTH_SPAN:
        return None
    return Growth((kept[-1][1] - kept[0][1]) / span.total_seconds(), span)


def _since_shrunk(sizes: Sequence[tuple[datetime, int]]) -> Sequence[tuple[datetime, int]]:
    start = 0
    for place in range(1, len(sizes)):
        if sizes[place][1] < sizes[place - 1][1]:
            start = place
    return sizes[start:]


_ALL: Final = timedelta(days=1)
"""Longer than anything is kept."""
