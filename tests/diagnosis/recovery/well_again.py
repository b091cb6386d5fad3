"""Sources that tell of nothing bad any more, on top of what they told before: counters only grow."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from situation.api_server import ApiServerPage, ApiServerReading, Seats
from situation.etcd.members import MemberHealth, MemberPage
from situation.histograms import Histogram
from situation.kinds import KINDS
from situation.readings import Listed, Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW
from tests.diagnosis.api_pages import took
from tests.etcd_objects import MIB, endpoint, page, status, tell

FAST_S: Final = 0.002
PAGES_S: Final = 30
"""How often the API server's metrics are read."""


def _faster(before: Mapping[Any, Histogram], count: int) -> dict[Any, Histogram]:
    return {key: took(FAST_S, count, old) for key, old in before.items()}


def api_server_works(for_s: int) -> Callable[[Situation], None]:
    """Return the step in which pages of the same process tell of fast answers and free seats for so many seconds."""

    def told(known: Situation) -> None:
        last = known.api_server.page
        assert last is not None
        for at_s in range(PAGES_S, for_s + 1, PAGES_S):
            count = 10 * at_s
            fields: dict[str, Any] = {
                "durations": _faster(last.durations, count),
                "lists": _faster(last.lists, count),
                "etcd_durations": _faster(last.etcd_durations, count),
                "webhooks": _faster(last.webhooks, count),
                "seats": {level: Seats(1, seats.limit) for level, seats in last.seats.items()},
                "in_flight": dict.fromkeys(last.in_flight, 3.0),
                "unavailable_apis": (),
                "open_files": last.open_files and 2000,
                "storage_bytes": last.storage_bytes and 200 * MIB,
            }
            _scrape(known, msgspec.structs.replace(last, **fields), at_s)

    return told


def _scrape(known: Situation, page: ApiServerPage, at_s: float) -> None:
    at = NOW + timedelta(seconds=at_s)
    known.apply(Reading("control-plane/metrics", SourceState.LIVE, at, ApiServerReading(page, at), fresh_for_s=90))


def api_server_answers(known: Situation) -> None:
    """Let every source at the API server answer, with what it held, and its checks pass."""
    at = NOW + timedelta(seconds=1)
    for kind in KINDS:
        if kind.source in known.sources:
            held = Listed(kind.name, tuple(known.table(kind.name).values()))
            known.apply(Reading(kind.source, SourceState.LIVE, at, held))
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, at, Readiness(True), fresh_for_s=30))


def etcd_works(
    for_s: int, *numbers: int, step_s: int = 10, pages: Mapping[str, Any] = {}, **statuses: Any
) -> Callable[[Situation], None]:
    """Return the step in which these members (1 to 3) answer every `step_s` for `for_s` seconds, with fast disks."""

    def told(known: Situation) -> None:
        for at_s in range(step_s, for_s + 1, step_s):
            for number in numbers or (1, 2, 3):
                kept = known.etcd.known.get(endpoint(number))
                last = kept.page if kept is not None else None
                well = {**_well(last or page(), at_s), **pages}
                now = msgspec.structs.replace(last or page(), **well)
                tell(known, number, ago_s=-at_s, status=status(number, **statuses), page=now, health=MemberHealth(True))

    return told


def _well(before: MemberPage, at_s: int) -> dict[str, Any]:
    count = 10 * at_s
    return {
        "has_leader": True,
        "fsync": before.fsync and _quick(before.fsync, count),
        "commit": before.commit and _quick(before.commit, count),
        "round_trips": {peer: _quick(trips, count) for peer, trips in before.round_trips.items()},
        "applying_snapshot": False,
        "defragmenting": False,
        "alarms": (),
    }


def _quick(before: Histogram, count: int) -> Histogram:
    """Return the histogram with `count` more observations, all in its first bucket."""
    return Histogram(before.bounds, tuple(old + count for old in before.counts))
