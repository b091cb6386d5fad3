"""Words, times and lines that all ways of telling an incident share."""

from datetime import UTC, datetime, tzinfo
from typing import Final

from incidents.entries import Entry, Incident, Kind
from situation.clock import duration_text
from situation.findings import Effect
from situation.meta import CLUSTER, Ref

DOES_MORE: Final = {Effect.MUTATING: "changes the cluster", Effect.DISRUPTIVE: "interrupts service"}


class Times:
    """Writes times in UTC and in one local zone; with the date where the incident lasted past midnight."""

    def __init__(self, incident: Incident, zone: tzinfo | None) -> None:
        """`zone` None is the zone of this machine."""
        self._zone = zone
        first, last = incident.began, incident.last_at
        if incident.entries:
            first = min(first, min(entry.at for entry in incident.entries))
        self._dated = first.astimezone(UTC).date() != last.astimezone(UTC).date()
        self._local_dated = first.astimezone(zone).date() != last.astimezone(zone).date()
        self.zone_name = first.astimezone(zone).tzname() or "local"
        self.has_local = first.astimezone(zone).utcoffset() != first.astimezone(UTC).utcoffset()

    def utc(self, at: datetime) -> str:
        """`02:41:07`, or `2026-11-26 02:41:07`."""
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S" if self._dated else "%H:%M:%S")

    def local(self, at: datetime) -> str:
        return at.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S" if self._local_dated else "%H:%M:%S")

    def full(self, at: datetime) -> str:
        """`2026-11-26 02:41:07 UTC (03:41:07 CET)`."""
        text = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"{text} ({at.astimezone(self._zone):%H:%M:%S} {self.zone_name})" if self.has_local else text


def span(began: datetime, ended: datetime | None) -> str:
    """Return how long something lasted; empty while nobody knows."""
    return "" if ended is None else duration_text((ended - began).total_seconds())


def subject_text(subject: Ref | None) -> str:
    """Return what something is about, for people."""
    if subject is None:
        return ""
    return "the cluster as a whole" if subject == CLUSTER else str(subject)


def flapped(entry: Entry) -> str:
    """Return how often a cause came back, as a remark; empty if it never went away."""
    if not entry.times:
        return ""
    return f"went away and came back {'once' if entry.times == 1 else f'{entry.times} times'}"


def remarks(entry: Entry) -> str:
    """Return what is to be said of an entry besides its text."""
    parts = [entry.way] if entry.kind in (Kind.CHANGED, Kind.CLEARED) else []
    if entry.kind.begins_cause:
        parts.append(flapped(entry))
    if entry.kind is Kind.COPIED:
        parts += [DOES_MORE.get(entry.effect, "") if entry.effect else "", entry.way]
        parts.append(f"to be run on {entry.where}" if entry.where not in ("", "here") else "")
    return "; ".join(part for part in parts if part)


def ending(incident: Incident) -> str:
    """Return how the log ended, in words."""
    if incident.live:
        return "still being written"
    return "closed" if incident.ended else "ended without being closed"
