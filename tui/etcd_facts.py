"""What the pane of the control plane says of etcd in words: quorum, alarms, database, disk, and who cannot be read."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import counted
from diagnosis.control_plane_doubts import ACCESS
from diagnosis.rules.etcd_database import CRITICAL_RATIO, WARN_RATIO
from diagnosis.rules.etcd_disk import FSYNC_HEALTHY_S, FSYNC_MIXIN_CRITICAL_S, FSYNC_MIXIN_WARNING_S
from situation.api_load import etcd_latencies
from situation.api_server import METRICS
from situation.clock import duration_text, moment_text
from situation.etcd.cluster import EtcdCluster, FrozenBy, raisers
from situation.etcd.view import Standing
from situation.findings import Severity
from situation.quantity import short_bytes, short_latency
from situation.readings import Source, SourceState
from situation.situation import Situation
from tui.api_server_view import p99_cell
from tui.etcd_view import band, member_state
from widgets.control_plane_facts import ControlPlaneFact
from widgets.glyphs import FINE, SEVERITY, SEVERITY_ROLE, UNKNOWN
from widgets.pane import PaneState, pane_state

_OPTIONS: Final = "--etcd-endpoints, --etcd-cacert, --etcd-cert and --etcd-key name them"
_NEUTRAL: Final = "·"
"""Known, and nobody says what would be good or bad."""


def etcd_facts(cluster: EtcdCluster, situation: Situation, now: datetime) -> Iterator[ControlPlaneFact]:
    """Yield what is known of etcd as a whole, what cannot be written because of it, and why members are not read."""
    if not cluster.is_known:
        yield _not_read(situation, now)
        yield from _frozen(cluster)
        return
    heard = [situation.source(member.source) for member in cluster.answering]
    asked = [situation.source(member.source) for member in cluster.members if member.source]
    sources = heard or asked
    yield _quorum(cluster, sources, now)
    yield from _frozen(cluster)
    yield _alarms(cluster, situation, sources, now)
    yield from _unread(cluster, now)
    yield from _database(cluster)
    yield from _disks(cluster)


def _frozen(cluster: EtcdCluster) -> Iterator[ControlPlaneFact]:
    """Yield since when nothing is written any more."""
    if (frozen := cluster.frozen) is None:
        return
    since = f"{frozen.since_text} UTC ({frozen.by.value}): the API shows what was before"
    if frozen.by is FrozenBy.STILL:
        yield _fact("writes", f"nothing has been written {since}", Severity.WARNING)
    else:
        yield _fact("writes", f"nothing can be written {since}", Severity.CRITICAL)


def _fact(part: str, text: str, severity: Severity) -> ControlPlaneFact:
    return ControlPlaneFact(part, SEVERITY[severity], text, SEVERITY_ROLE[severity])


def _quorum(cluster: EtcdCluster, sources: list[Source], now: datetime) -> ControlPlaneFact:
    glyph, role = FINE, "fine"
    counted = f"{cluster.alive} of {cluster.size} answer{'s' if cluster.size == 1 else ''}, quorum {cluster.quorum}"
    can_lose = cluster.can_lose
    if not cluster.answering and cluster.unreadable:
        text, glyph, role = f"{counted}, but none lets us read: whether they agree is not known", UNKNOWN, "warning"
    elif cluster.lost_quorum and not cluster.is_vouched_for:
        text, glyph, role = f"{counted}: quorum lost", *_look(Severity.CRITICAL)
    elif cluster.lost_quorum:
        text, glyph, role = f"{counted}; the API server finds etcd working all the same", UNKNOWN, "warning"
    elif cluster.frozen is not None and cluster.frozen.by is FrozenBy.NO_LEADER:
        text, glyph, role = f"{counted}, but there is no leader", *_look(Severity.CRITICAL)
    elif can_lose is None:
        text, glyph, role = f"{counted}; not all were heard, so what it can lose is not known", UNKNOWN, "warning"
    else:
        text = f"{counted}, can lose {f'{can_lose} more' if can_lose else 'none'}"
        if cluster.silent:
            glyph, role = _look(Severity.WARNING)
    counted_by = f" (counted by: {cluster.size_from})" if cluster.size_from not in ("", "member list") else ""
    return ControlPlaneFact("quorum", glyph, text + counted_by, role, pane_state(*sources, now=now))


def _look(severity: Severity) -> tuple[str, str]:
    return SEVERITY[severity], SEVERITY_ROLE[severity]


def _alarms(cluster: EtcdCluster, situation: Situation, sources: list[Source], now: datetime) -> ControlPlaneFact:
    own = situation.source("etcd/alarms")
    source = own if own.state_at(now) is SourceState.LIVE else None
    state = pane_state(source, now=now) if source is not None else pane_state(*sources, now=now)
    if cluster.alarms:
        told = []
        for kind in sorted(cluster.alarms):
            names = raisers(situation, cluster, kind)
            told.append(f"{kind}, raised by {', '.join(names)}" if names else kind)
        return ControlPlaneFact("alarms", SEVERITY[Severity.CRITICAL], "; ".join(told), "critical", state)
    if cluster.alarms_known:
        return ControlPlaneFact("alarms", FINE, "none", "fine", state)
    why = f": {own.error}" if own.error else ": no member that answers tells of alarms"
    return ControlPlaneFact("alarms", UNKNOWN, f"not known{why}", "warning", state)


def _database(cluster: EtcdCluster) -> Iterator[ControlPlaneFact]:
    """Yield how full the fullest member is, what of it is in use, and when the quota is reached at this growth."""
    sized = [member for member in cluster.answering if member.size_bytes is not None]
    if not sized:
        return
    member = max(sized, key=lambda item: item.size_bytes or 0)
    size, limit = member.size_bytes or 0, member.quota.limit_bytes
    of = "no quota set" if member.quota.told_by == "none set" else "quota not known"
    text = f"{short_bytes(size)} of {short_bytes(limit)} on {member.name}" if limit else f"{short_bytes(size)}, {of}"
    if member.in_use_bytes is not None:
        text += f", {short_bytes(member.in_use_bytes)} in use"
    if member.full_in_s is not None:
        text += f"; full in {duration_text(member.full_in_s)} at this growth"
    severity = band(size / limit if limit else None, WARN_RATIO, CRITICAL_RATIO)
    if severity is not None:
        yield _fact("database", text, severity)
    else:
        yield ControlPlaneFact("database", FINE if limit else _NEUTRAL, text, "fine" if limit else "")


def _disks(cluster: EtcdCluster) -> Iterator[ControlPlaneFact]:
    """Yield the members whose disk is slower than the etcd FAQ asks, with the bands of FAQ and mixin."""
    slow = {member.name: p99 for member in cluster.answering if (p99 := member.fsync_p99_s or 0.0) > FSYNC_HEALTHY_S}
    if slow:
        told = ", ".join(f"{name} {short_latency(p99)}" for name, p99 in slow.items())
        bands = f"FAQ < {short_latency(FSYNC_HEALTHY_S)}, mixin < {short_latency(FSYNC_MIXIN_WARNING_S)}"
        severity = band(max(slow.values()), FSYNC_HEALTHY_S, FSYNC_MIXIN_CRITICAL_S) or Severity.WARNING
        yield _fact("disk", f"fsync p99 {told}; {bands}", severity)


def _unread(cluster: EtcdCluster, now: datetime) -> Iterator[ControlPlaneFact]:
    for member in cluster.members:
        if member.standing is Standing.ANSWERS:
            if member.error:
                yield ControlPlaneFact("members", UNKNOWN, f"{member.name}, in part: {member.error}", "warning")
            continue
        since = member.silent_since or member.heard_at
        when = f" since {moment_text(since, now)} UTC" if since is not None else ""
        why = f": {member.error}" if member.error else ""
        if member.standing is Standing.UNHEARD and not why:
            why = f": no endpoint of it is known; {_OPTIONS}"
        severity = Severity.CRITICAL if member.standing is Standing.SILENT else Severity.WARNING
        glyph = SEVERITY[severity] if severity is Severity.CRITICAL else UNKNOWN
        yield ControlPlaneFact(
            "members", glyph, f"{member.name} {member_state(member).value}{when}{why}", SEVERITY_ROLE[severity]
        )


def _not_read(situation: Situation, now: datetime) -> ControlPlaneFact:
    source = situation.source(ACCESS)
    if (begun := _starting(situation, source)) is not None:
        return begun
    why = source.error or "no member of it is known from here"
    hint = "" if "--etcd" in why else f"; {_OPTIONS}"
    return ControlPlaneFact("etcd", UNKNOWN, f"not read directly: {why}{hint}", "warning", pane_state(source, now=now))


def _starting(situation: Situation, source: Source) -> ControlPlaneFact | None:
    """Return that no member was heard yet because the first of them are only being asked; None if that is not why."""
    asked = situation.etcd_access.asked
    if source.name not in situation.sources or source.error:
        return None
    if asked and source.state in (SourceState.STARTING, SourceState.LIVE):
        text = f"starting: asking {counted(asked, 'endpoint')}, none was heard yet"
    elif source.state is SourceState.STARTING:
        text = "starting: its members are being looked for"
    else:
        return None
    return ControlPlaneFact("etcd", UNKNOWN, text, "dim", PaneState(SourceState.STARTING))


def second_hand(situation: Situation, now: datetime) -> ControlPlaneFact | None:
    """Return what the API server tells of etcd; None if it tells nothing."""
    page = situation.api_server.page
    if page is None:
        return None
    parts = [f"size {short_bytes(page.storage_bytes)}"] if page.storage_bytes is not None else []
    seen = etcd_latencies(situation.api_server) or {}
    latencies = [f"{operation} {p99_cell(latency)}" for operation, latency in sorted(seen.items())]
    if latencies:
        parts.append(f"request p99 {', '.join(latencies)}")
    if not parts:
        return None
    text = f"second-hand, as the API server sees it: {'; '.join(parts)}"
    return ControlPlaneFact("etcd", _NEUTRAL, text, "", pane_state(situation.source(METRICS), now=now))


def title_note(cluster: EtcdCluster) -> str:
    """Return who leads, since which term, and which version, as far as known."""
    leader = cluster.leader
    parts = [f"leader {leader.name}"] if leader is not None else []
    if cluster.is_known and leader is None:
        parts.append("no leader" if cluster.answering and not cluster.leader_id else "leader not known")
    if cluster.term is not None:
        parts.append(f"term {cluster.term}")
    versions = sorted({member.version for member in cluster.answering if member.version})
    if versions:
        parts.append(" and ".join(versions))
    return " · ".join(parts)
