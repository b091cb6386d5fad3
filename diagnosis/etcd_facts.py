"""What the rules about etcd share: thresholds, how numbers are told, and which findings follow from others."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from situation.etcd.answers import CORRUPT, NO_SPACE
from situation.etcd.cluster import EtcdCluster, FrozenBy
from situation.etcd.view import MemberView
from situation.findings import Evidence, Mark

BEHIND_ENTRIES: Final = 5000
"""A member that lacks more entries needs a snapshot (etcd's SnapshotCatchUpEntries); its tuning page calls a gap of a
few thousand between committed and applied normal."""
ELECTION_S: Final = 5.0
"""Without a leader for so long it is no election any more: that takes one election timeout (1 s) or a few."""
SOURCE: Final = "etcd/members"
"""Named by evidence that no single member tells."""

STOPPED_BY: Final = ("etcd-no-space", "etcd-quorum-lost", "etcd-no-leader", "etcd-corrupt")
"""Rules whose finding means that nothing is written any more."""
SLOWED_BY: Final = ("etcd-slow-fsync", "etcd-slow-commit", "etcd-slow-peers", "etcd-elections")
"""Rules whose finding means that writes take long or fail now and then."""
WITHOUT_WRITES: Final = frozenset(
    {
        "etcd-unavailable",
        "api-not-ready",
        "api-overloaded",
        "nodes-down-together",
        "scheduler-down",
        "controller-manager-down",
        "deployment-not-observed",
    }
)
"""Rules whose finding follows from an etcd that takes no writes: no lease can be renewed, no status written."""
WITHOUT_ETCD: Final = frozenset({"api-unreachable"})
"""Rules whose finding follows from an etcd without leader: `/livez` fails with it, so the kubelet restarts the API
server. With an alarm alone reads go on and it lives."""
WITH_SLOW_ETCD: Final = frozenset({"etcd-unavailable", "api-overloaded"})
"""Rules whose finding follows from an etcd that is slow or has lost the member that the API server asks."""


def follows_from_etcd(rule: str) -> tuple[str, ...]:
    """Return the etcd rules that the finding of another rule follows from."""
    causes: list[str] = []
    if rule in WITHOUT_WRITES:
        causes += STOPPED_BY
    if rule in WITHOUT_ETCD:
        causes += ("etcd-quorum-lost", "etcd-no-leader")
    if rule in WITH_SLOW_ETCD:
        causes += ("etcd-member-down", *SLOWED_BY)
    return tuple(causes)


def said(member: MemberView, text: str, mark: Mark = Mark.SUPPORTS, at: datetime | None = None) -> Evidence:
    """Return what a member says as evidence; `at` is when it was true, if not when it was heard last."""
    return Evidence(f"{member.name}: {text}", member.source or SOURCE, at or member.heard_at, mark)


def named(members: Sequence[MemberView]) -> str:
    """Return `etcd-1`, `etcd-1, etcd-2`, `etcd-1, etcd-2 and 3 more`."""
    names = [member.name for member in members]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def seconds(value: float) -> str:
    """Return a latency as people write it: `8 ms`, `0.4 ms`, `1.2 s`."""
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


def quorum_text(cluster: EtcdCluster) -> str:
    """Return `2 of 3 members answer, quorum 2, can lose 0 more`; what is not known is not said."""
    text = f"{cluster.alive} of {cluster.size} {'member answers' if cluster.size == 1 else 'members answer'}"
    text += f", quorum {cluster.quorum}"
    return text + (f", can lose {cluster.can_lose} more" if cluster.can_lose is not None else "")


def quorum_evidence(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    """Return how many answer, by which count, and who could not be read."""
    found = [Evidence(f"{quorum_text(cluster)} (counted by the {cluster.size_from})", SOURCE)]
    found += [
        said(member, f"does not accept us, so nothing is known of it: {member.error}", Mark.OPEN)
        for member in cluster.unreadable
    ]
    return tuple(found)


def silence(members: Iterable[MemberView]) -> tuple[Evidence, ...]:
    """Return of each silent member since when, and the error."""
    found = []
    for member in members:
        since = f" since {member.silent_since:%H:%M:%S}" if member.silent_since is not None else ""
        error = f": {member.error}" if member.error else ""
        found.append(said(member, f"does not answer{since}{error}", at=member.silent_since))
    return tuple(found)


def frozen_text(cluster: EtcdCluster) -> str:
    """Return since when nothing is written, for a title; empty while that is not known."""
    return f"nothing is written since {cluster.frozen.since:%H:%M:%S}" if cluster.frozen is not None else ""


def frozen_evidence(cluster: EtcdCluster) -> tuple[Evidence, ...]:
    """Return what a cluster that takes no writes means for everything else on the screen."""
    if cluster.frozen is None:
        return ()
    reads = "reads and deletes still work, " if cluster.frozen.by is FrozenBy.NO_SPACE else ""
    text = (
        f"{reads}leases and node status are frozen history as of {cluster.frozen.since:%H:%M:%S}: "
        "nodes look Ready because nobody can write otherwise"
    )
    return (Evidence(text, SOURCE, cluster.frozen.since),)


def other_alarms(cluster: EtcdCluster, but: str) -> tuple[Evidence, ...]:
    """Return the alarms besides one."""
    return tuple(
        Evidence(f"the alarm {kind} is raised as well", SOURCE)
        for kind in sorted(cluster.alarms - {but})
        if kind in (NO_SPACE, CORRUPT)
    )
