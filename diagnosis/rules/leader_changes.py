"""Layer 4: scheduler and controller manager that lose their lease again and again (L4-03, L4-09, L4-10)."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import fact, kubectl, said_by
from diagnosis.explaining import API_BUSY, ETCD_DOWN, ETCD_SLOW
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.api_server import control_plane_commands
from situation.clock import duration_text
from situation.cluster import Event
from situation.findings import Layer, Severity
from situation.meta import CLUSTER, Ref
from situation.situation import Situation

CHANGES: Final = 4
CHANGES_WINDOW: Final = timedelta(minutes=15)
"""So many changes within so long are too many; the etcd mixin counts etcd's own leaders so."""
_ELECTED: Final = ("kube-scheduler", "kube-controller-manager")


def _times_elected(name: str, situation: Situation, now: datetime) -> tuple[int, list[Event]]:
    """Return how often a leader was elected within the window, by events, the newest first.

    A repeated event counts in full only if its first time lies within the window too.
    """
    events = situation.events_by_object.get(Ref("Lease", "kube-system", name)).values()
    since = now - CHANGES_WINDOW
    recent = [
        event
        for event in events
        if event.reason == "LeaderElection" and "became leader" in event.message and (event.last_seen or since) > since
    ]
    times = sum(event.times if event.first_timestamp and event.first_timestamp > since else 1 for event in recent)
    return times, sorted(recent, key=lambda event: event.last_seen or since, reverse=True)


@rule(
    "leaders-change-often",
    signature="L4-03 L4-09 L4-10",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    needs=("leases", "events"),
    looks_at="events 'became leader' of the leases kube-scheduler and kube-controller-manager within 15 minutes, while "
    "the present holder is as young.",
    look_alikes={
        "an upgrade": "each control plane node is taken over once: fewer than four changes",
        "scheduler-down, controller-manager-down": "there nobody renews the lease",
        "etcd-slow-fsync, api-slow-requests": "the usual causes: a lease could not be renewed within 10 s",
    },
)
def leaders_change_often(_: None, situation: Situation, now: datetime) -> Verdict:
    """Scheduler or controller manager lose their lease again and again."""
    for name in _ELECTED:
        lease = situation.leases.get(("kube-system", name))
        times, events = _times_elected(name, situation, now)
        if lease is None or times < CHANGES:
            continue
        acquired = lease.spec.acquire_time
        if acquired is None or now - acquired > CHANGES_WINDOW:
            continue
        holder = lease.spec.holder_identity or "nobody"
        return Fired(
            CLUSTER,
            f"changed its leader {times} times within {duration_text(CHANGES_WINDOW.total_seconds())}",
            (
                *(said_by(event) for event in events[:3]),
                fact("leases", f"held by {holder} since {acquired:%H:%M:%S}", at=acquired),
            ),
            (
                kubectl("get", "lease", name, "-o", "yaml", purpose="who holds it, how many transitions?",
                        namespace="kube-system"),
                *control_plane_commands(situation, name),
            ),
            follows=(CLUSTER,),
            follows_only=(*ETCD_DOWN, *ETCD_SLOW, "api-slow-requests", *API_BUSY),
            who=(name,),
        )  # fmt: skip
    return CLEAR


RULES: Final[tuple[Rule, ...]] = (leaders_change_often,)
