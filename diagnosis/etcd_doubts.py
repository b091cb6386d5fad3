"""What of etcd could not be judged, in a few words for layer 4."""

from datetime import datetime
from typing import Final

from diagnosis.commands import shorten
from situation.etcd.cluster import EtcdCluster, etcd_of
from situation.etcd.standing import is_ours
from situation.etcd.view import MemberView, Standing
from situation.readings import SourceState
from situation.situation import Situation

ACCESS: Final = "etcd/access"
_ERROR_CHARS: Final = 60


def etcd_doubts(situation: Situation, now: datetime) -> list[str]:
    """Return why parts of etcd are not judged; nothing where etcd is none of ours (a managed control plane)."""
    cluster = etcd_of(situation, now)
    if cluster.is_known:
        return _of_members(cluster)
    access = situation.source(ACCESS)
    state = access.state_at(now)
    if state in (SourceState.LIVE, SourceState.STARTING) or (state is SourceState.ABSENT and not is_ours(situation)):
        return []
    why = f" ({shorten(access.error, _ERROR_CHARS)})" if access.error else ""
    return [f"etcd itself is not read{why}"]


def frozen_doubt(situation: Situation, now: datetime) -> list[str]:
    """Return why all that the API shows is history: etcd takes no writes. Nothing while it does, as far as is known."""
    frozen = etcd_of(situation, now).frozen
    return [f"as of {frozen.since:%H:%M:%S} UTC: etcd takes no writes ({frozen.by.value})"] if frozen else []


def _of_members(cluster: EtcdCluster) -> list[str]:
    found = []
    if cluster.unreadable:
        why = shorten(cluster.unreadable[0].error, _ERROR_CHARS)
        found.append(f"etcd: {_names(cluster.unreadable)} cannot be read ({why})")
    if stale := [member for member in cluster.members if member.standing is Standing.STALE]:
        heard = max((member.heard_at for member in stale if member.heard_at is not None), default=None)
        found.append(f"etcd: {_names(stale)} not heard" + (f" since {heard:%H:%M:%S}" if heard is not None else ""))
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
