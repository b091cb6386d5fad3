"""What one etcd member says of itself, asked directly (etcd API and metrics). Nothing here goes through raft."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from situation.histograms import Histogram


class MemberStatus(msgspec.Struct, frozen=True):
    """Answer of Maintenance.Status. Answers without quorum too. None: this version does not tell."""

    member_id: int
    cluster_id: int
    version: str
    """`3.5.1`."""
    db_size_bytes: int
    """Of the file, which is what the quota is compared with."""
    db_in_use_bytes: int | None = None
    """What would be left after defragmentation; since 3.4."""
    quota_bytes: int | None = None
    """Since 3.6, where it was wrong up to 3.6.5; negative: none is set."""
    leader: int = 0
    """Member ID of the leader, 0 for none."""
    raft_term: int = 0
    raft_index: int = 0
    """Committed index."""
    applied_index: int = 0
    revision: int = 0
    is_learner: bool = False
    errors: tuple[str, ...] = ()
    """`etcdserver: no leader`, `memberID:8630161756594109333 alarm:NOSPACE`."""


class MemberPage(msgspec.Struct, frozen=True):
    """What one scrape of `/metrics` says, cumulative as scraped. None: not on this page."""

    started_at: float | None = None
    """`process_start_time_seconds`."""
    has_leader: bool | None = None
    is_leader: bool | None = None
    is_learner: bool | None = None
    db_size_bytes: int | None = None
    db_in_use_bytes: int | None = None
    quota_bytes: int | None = None
    """Negative: none is set."""
    leader_changes: float | None = None
    proposals_committed: float | None = None
    proposals_applied: float | None = None
    proposals_pending: float | None = None
    proposals_failed: float | None = None
    heartbeat_failures: float | None = None
    slow_applies: float | None = None
    slow_reads: float | None = None
    fsync: Histogram | None = None
    """WAL fsync, seconds."""
    commit: Histogram | None = None
    """Backend commit, seconds."""
    round_trips: Mapping[str, Histogram] = {}
    """To each peer, by its member ID in hex as the metric's label has it; seconds."""
    peer_failures: Mapping[str, float] = {}
    """Messages that could not be sent, by peer, cumulative."""
    active_peers: int | None = None
    defragmenting: bool | None = None
    applying_snapshot: bool | None = None
    alarms: tuple[str, ...] = ()
    """`NOSPACE`, `CORRUPT`; 3.6 and later."""
    open_files: int | None = None
    max_files: int | None = None
    member_id: int | None = None
    version: str = ""
    cluster_version: str = ""
    broken_lines: int = 0
    is_cut: bool = False


class MemberHealth(msgspec.Struct, frozen=True):
    """`/health`, and `/readyz?verbose` where the version has it."""

    healthy: bool
    reason: str = ""
    """`ALARM NOSPACE`, `RAFT NO LEADER`; empty before 3.5."""
    failed_checks: tuple[str, ...] = ()
    """Of `/readyz`: `linearizable_read`, `data_corruption` ..."""


class EtcdMember(msgspec.Struct, frozen=True):
    """What one round at one endpoint brought. Each part has its own error; a part without either was not asked for."""

    endpoint: str
    """As asked: `https://10.0.0.1:2379`."""
    metrics_url: str = ""
    """Where `/metrics` and `/health` were read, if not at the endpoint: `http://127.0.0.1:2381`."""
    name: str = ""
    """Its own name, or its pod's, if known."""
    node: str = ""
    status: MemberStatus | None = None
    status_error: str = ""
    page: MemberPage | None = None
    page_error: str = ""
    health: MemberHealth | None = None
    health_error: str = ""
    round_trip_s: float | None = None
    """From asking for the status to its answer."""
    is_asked: bool = True
    """False: our own certificates cannot be used, so nothing was sent. The errors say why, not what the member does."""

    @property
    def answers(self) -> bool:
        return self.status is not None or self.page is not None or self.health is not None


class ListedMember(msgspec.Struct, frozen=True):
    """One row of the member list (serializable, or asked with quorum where the version knows nothing else)."""

    member_id: int
    name: str = ""
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False


class Alarm(msgspec.Struct, frozen=True):
    member_id: int
    kind: str
    """`NOSPACE`, `CORRUPT`."""


class EtcdReading(msgspec.Struct, frozen=True):
    """One member's round: replaces what was known of its endpoint."""

    member: EtcdMember
    read_at: datetime


class EtcdMembership(msgspec.Struct, frozen=True):
    """The member list: tells how many there are besides those that answer."""

    members: tuple[ListedMember, ...]


class EtcdAlarms(msgspec.Struct, frozen=True):
    """The alarm list; goes through raft, so it does not answer without quorum. Status has them too."""

    alarms: tuple[Alarm, ...]


class EtcdAccess(msgspec.Struct, frozen=True):
    """How etcd is reached from here; commands are filled in with it."""

    cacert: str = ""
    """Paths of the three files as they are to stand in a command, empty without TLS."""
    cert: str = ""
    key: str = ""
    on_node: str = ""
    """The control plane node that the paths are valid on, if it is not this host."""
    found_by: str = ""
    """`--etcd-endpoints`, `/etc/kubernetes/manifests/etcd.yaml`, `pods in kube-system`; for people."""
    is_named: bool = False
    """Somebody has named the members, so they are expected to answer."""
    asked: int = 0
    """How many members are asked, or about to be."""
