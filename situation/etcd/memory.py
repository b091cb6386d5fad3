"""What is kept of each member: its last answer, and earlier pages for windows. Bounded in time and number."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from situation.clock import earlier
from situation.derived import Derived
from situation.etcd.answers import alarm_kinds, sees_leader
from situation.etcd.members import EtcdReading, MemberPage, MemberStatus
from situation.histograms import Histogram, increase
from situation.history import History

SPAN: Final = timedelta(hours=1)
"""Elections are judged over an hour: one may be a restart or an update, more are a fault."""
SPACING: Final = timedelta(seconds=10)
WINDOW: Final = timedelta(seconds=60)
"""Over so long quantiles are taken."""
FRESH: Final = timedelta(seconds=15)
"""So much older than the member's last round a part of its answer, or the start of a window, may be: it is asked for
its status every 2 s and for its page every 5 s, and one of them may fail now and then."""
GONE: Final = timedelta(minutes=30)
"""An endpoint that nobody has told of for so long is forgotten: the member was removed."""


class KnownMember:
    """One endpoint: the last round, the last answer of each part, and the pages of the last hour."""

    def __init__(self, reading: EtcdReading) -> None:
        self.member = reading.member
        """The last round, errors included."""
        self.read_at = reading.read_at
        self.status: MemberStatus | None = None
        """The last status that was heard, however old."""
        self.status_at: datetime | None = None
        self.page: MemberPage | None = None
        self.page_at: datetime | None = None
        self.pages: History[MemberPage] = History(SPAN, SPACING)
        self.statuses: History[MemberStatus] = History(SPAN, SPACING)
        self.leaderless_since: datetime | None = None
        """When it was first heard, of all rounds since it last saw one, that it sees no leader."""
        self.alarmed_since: dict[str, datetime] = {}
        """The alarms that it told of last, with the times since which it tells of them."""
        self.silent_since: datetime | None = None
        """When the first of the failed rounds in a row was read, None while it answers."""
        self.of_pages = Derived()
        """What was worked out from the pages alone; empty after each new one."""
        self.worked_at: datetime | None = None
        """When it last saw a leader and told of no alarm: what was written then went through."""
        self.take(reading)

    def take(self, reading: EtcdReading) -> None:
        """Fold the next round in."""
        member, at = reading.member, reading.read_at
        if at < self.read_at:
            self._set_clock_back(at)
        self.member, self.read_at = member, at
        if member.status is not None:
            self.status, self.status_at = member.status, at
            self.statuses.add(at, member.status)
        if member.page is not None:
            self.page, self.page_at = member.page, at
            self.pages.add(at, member.page)
            self.of_pages.clear()
        if member.answers or not member.is_asked:
            self.silent_since = None
        elif self.silent_since is None:
            self.silent_since = at
        if (leader := sees_leader(member)) is not None:
            self.leaderless_since = None if leader else self.leaderless_since or at
        if (alarms := alarm_kinds(member)) is not None:
            self.alarmed_since = {kind: self.alarmed_since.get(kind, at) for kind in alarms}
        if leader and alarms is not None and not alarms:
            self.worked_at = at

    def _set_clock_back(self, at: datetime) -> None:
        """Nothing that was seen can lie ahead, or what is waited for would not come before the clock is there again."""
        self.status_at, self.page_at = earlier(self.status_at, at), earlier(self.page_at, at)
        self.worked_at, self.silent_since = earlier(self.worked_at, at), earlier(self.silent_since, at)
        self.leaderless_since = earlier(self.leaderless_since, at)
        self.alarmed_since = {kind: min(since, at) for kind, since in self.alarmed_since.items()}

    def is_fresh(self, heard_at: datetime | None) -> bool:
        """Tell whether a part that was heard at that time tells of the present, as of the member's last round."""
        return heard_at is not None and self.read_at - heard_at <= FRESH

    def within(self, window: timedelta) -> tuple[tuple[datetime, MemberPage], ...]:
        """Return the pages of the window that ends with the last round, oldest first; empty if none is of late.

        The page before the window is its start, unless it is so old that what came since would be told of the window.
        """
        if not self.is_fresh(self.page_at):
            return ()
        pages = self.pages.within(window)
        return pages[1:] if pages[-1][0] - pages[0][0] > window + FRESH else pages

    def increase(self, of: Callable[[MemberPage], float | None], window: timedelta = WINDOW) -> float | None:
        """Return how much a counter grew over the window, None if it was not measured twice."""
        return increase(of(page) for _, page in self.within(window))

    def over(self, of: Callable[[MemberPage], Histogram | None], window: timedelta = WINDOW) -> Histogram:
        """Return what a histogram observed over the window; empty if it was not measured twice.

        Of a process that started within the window all counts: its first one is the window's.
        """
        pages = [page for _, page in self.within(window) if of(page) is not None]
        if len(pages) < 2:
            return Histogram()
        last = of(pages[-1]) or Histogram()
        return last.since(of(pages[0]) if pages[0].started_at == pages[-1].started_at else None)

    def observed(self, window: timedelta = WINDOW) -> timedelta:
        """Return how much of the window the kept pages really span."""
        pages = self.within(window)
        return pages[-1][0] - pages[0][0] if pages else timedelta(0)


class EtcdMemory:
    """All endpoints that were asked, by URL."""

    def __init__(self) -> None:
        self.known: dict[str, KnownMember] = {}

    def take(self, reading: EtcdReading) -> None:
        """Fold one member's round in."""
        endpoint = reading.member.endpoint
        if endpoint in self.known:
            self.known[endpoint].take(reading)
        else:
            self.known[endpoint] = KnownMember(reading)
        for gone in [url for url, item in self.known.items() if reading.read_at - item.read_at > GONE]:
            del self.known[gone]

    def members(self) -> tuple[KnownMember, ...]:
        """Return one entry for each member: of several addresses of one, that which was heard last. By endpoint."""
        best: dict[str, KnownMember] = {}
        for item in sorted(self.known.values(), key=lambda known: known.member.endpoint):
            identity = str(item.status.member_id) if item.status else item.member.endpoint
            held = best.get(identity)
            if held is None or (item.silent_since is None and held.silent_since is not None):
                best[identity] = item
        return tuple(best.values())
