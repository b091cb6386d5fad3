"""What of etcd and the API server could not be judged, or not yet, in a few words for the layers."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import shorten
from situation.api_server import LIVEZ, METRICS
from situation.clock import moment_text
from situation.etcd.cluster import EtcdCluster, FrozenBy, etcd_of
from situation.etcd.standing import is_ours
from situation.etcd.view import MemberView, Standing
from situation.readings import SourceState
from situation.scheduler import SCHEDULER
from situation.situation import Situation

ACCESS: Final = "etcd/access"
_ERROR_CHARS: Final = 60
_FINE: Final = frozenset({SourceState.LIVE, SourceState.STARTING, SourceState.ABSENT})


def not_reached(situation: Situation, now: datetime) -> Iterator[str]:
    """Yield why layer 4 cannot be called fine although nothing is found: etcd was named and no member answers."""
    if not situation.etcd_access.is_named:
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
    asked = (
        (METRICS, "the API server's metrics"),
        (LIVEZ, "whether the API server lives"),
        (SCHEDULER, "the scheduler's attempts"),
    )
    for name, what in asked:
        source = situation.source(name)
        if name in situation.sources and source.state_at(now) not in _FINE:
            since = f" since {moment_text(source.observed_at, now)}" if source.observed_at is not None else ""
            yield f"{what}: {source.state_at(now).value}{since}"
    if situation.api_server.page is not None and len(situation.api_server.pages()) < 2:
        yield "latency and load of the API server: measured once, a rate needs two"
    pages = [item for item in situation.etcd.known.values() if item.page is not None]
    if pages and not any(item.observed() for item in pages):
        yield "etcd's disk and elections: measured once, a rate needs two"


def etcd_doubts(situation: Situation, now: datetime) -> list[str]:
    """Return why parts of etcd are not judged; nothing where etcd is none of ours (a managed control plane)."""
    cluster = etcd_of(situation, now)
    if cluster.is_known:
        return _of_members(cluster, now)
    access = situation.source(ACCESS)
    state = access.state_at(now)
    if state in (SourceState.LIVE, SourceState.STARTING) or (state is SourceState.ABSENT and not is_ours(situation)):
        return []
    why = f" ({shorten(access.error, _ERROR_CHARS)})" if access.error else ""
    return [f"etcd itself is not read{why}"]


def frozen_doubt(situation: Situation, now: datetime) -> list[str]:
    """Return why all that the API shows is history: nothing is written any more. Nothing where that is not so, or not
    known."""
    frozen = etcd_of(situation, now).frozen
    if frozen is None:
        return []
    what = frozen.by.value if frozen.by is FrozenBy.STILL else f"etcd takes no writes ({frozen.by.value})"
    return [f"as of {moment_text(frozen.since, now)} UTC: {what}"]


def _of_members(cluster: EtcdCluster, now: datetime) -> list[str]:
    found = []
    if cluster.unreadable:
        why = shorten(cluster.unreadable[0].error, _ERROR_CHARS)
        found.append(f"etcd: {_names(cluster.unreadable)} cannot be read ({why})")
    if stale := [member for member in cluster.members if member.standing is Standing.STALE]:
        heard = max((member.heard_at for member in stale if member.heard_at is not None), default=None)
        since = f" since {moment_text(heard, now)}" if heard is not None else ""
        found.append(f"etcd: {_names(stale)} not heard{since}")
    if cluster.is_vouched_for and not cluster.answering:
        found.append(f"etcd is not reached from here ({_names(cluster.silent)}); the API server reaches it")
    if unheard := [member for member in cluster.members if member.standing is Standing.UNHEARD]:
        found.append(f"etcd: {_names(unheard)} not asked")
    if cluster.answering and not cluster.alarms_known:
        found.append("etcd: alarms are not known")
    return found


def _names(members: list[MemberView] | tuple[MemberView, ...]) -> str:
    names = [member.name for member in members]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
