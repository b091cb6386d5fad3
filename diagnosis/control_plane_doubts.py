"""What of layer 4 could not be judged, or not yet: measurements that need a window, and an etcd named in vain."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from situation.api_server import LIVEZ, METRICS
from situation.etcd.cluster import etcd_of
from situation.readings import SourceState
from situation.situation import Situation

ACCESS: Final = "etcd/access"
NAMED: Final = "--etcd-endpoints"
"""`EtcdAccess.found_by` of members that somebody has named."""
_FINE: Final = frozenset({SourceState.LIVE, SourceState.STARTING, SourceState.ABSENT})


def not_reached(situation: Situation, now: datetime) -> Iterator[str]:
    """Yield why layer 4 cannot be called fine although nothing is found: etcd was named and no member answers."""
    if situation.etcd_access.found_by != NAMED:
        return
    if etcd_of(situation, now).answering:
        return
    known = situation.etcd.known
    access = situation.source(ACCESS)
    if not known and access.state in (SourceState.LIVE, SourceState.STARTING):
        return  # nobody has been asked yet
    errors = (situation.source(name).error for name in situation.sources if name.startswith("etcd/"))
    why = next(filter(None, (access.error, *errors)), "")
    yield f"etcd: none of the members named answers{f' ({why})' if why else ''}"


def not_measured(situation: Situation, now: datetime) -> Iterator[str]:
    """Yield what was not measured, or only once: rates and quantiles come from two measurements of the same process.

    Sources that never spoke (a dump has none of them) are not missed.
    """
    for name, what in ((METRICS, "the API server's metrics"), (LIVEZ, "whether the API server lives")):
        source = situation.source(name)
        if name in situation.sources and source.state_at(now) not in _FINE:
            since = f" since {source.observed_at:%H:%M:%S}" if source.observed_at is not None else ""
            yield f"{what}: {source.state_at(now).value}{since}"
    if situation.api_server.page is not None and len(situation.api_server.pages()) < 2:
        yield "latency and load of the API server: measured once, a rate needs two"
    pages = [item for item in situation.etcd.known.values() if item.page is not None]
    if pages and not any(item.observed() for item in pages):
        yield "etcd's disk and elections: measured once, a rate needs two"
