"""What an etcd member writes at `/metrics`, read into a `MemberPage`.

Names and since when they exist: etcd's documentation, "Metrics", for 3.4 to 3.7.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from collectors.errors import BadAnswerError
from collectors.prometheus_text import Page, Sample, parse_page
from situation.etcd.members import MemberPage
from situation.histograms import Histogram


def _count(value: float) -> int:
    return int(value)


def _quota(value: float) -> int | None:
    """A negative quota is none at all (etcd's own option); 0 is never in effect, so it tells nothing."""
    return int(value) or None


_Field = tuple[str, Callable[[float], Any]]

_FIELDS: Final[Mapping[str, _Field]] = {
    "process_start_time_seconds": ("started_at", float),
    "etcd_server_has_leader": ("has_leader", bool),
    "etcd_server_is_leader": ("is_leader", bool),
    "etcd_server_is_learner": ("is_learner", bool),
    "etcd_mvcc_db_total_size_in_bytes": ("db_size_bytes", _count),
    "etcd_mvcc_db_total_size_in_use_in_bytes": ("db_in_use_bytes", _count),
    "etcd_server_quota_backend_bytes": ("quota_bytes", _quota),
    "etcd_server_leader_changes_seen_total": ("leader_changes", float),
    "etcd_server_proposals_committed_total": ("proposals_committed", float),
    "etcd_server_proposals_applied_total": ("proposals_applied", float),
    "etcd_server_proposals_pending": ("proposals_pending", float),
    "etcd_server_proposals_failed_total": ("proposals_failed", float),
    "etcd_server_heartbeat_send_failures_total": ("heartbeat_failures", float),
    "etcd_server_slow_apply_total": ("slow_applies", float),
    "etcd_server_slow_read_indexes_total": ("slow_reads", float),
    "etcd_disk_defrag_inflight": ("defragmenting", bool),
    "etcd_server_snapshot_apply_in_progress_total": ("applying_snapshot", bool),
    "process_open_fds": ("open_files", _count),
    "process_max_fds": ("max_files", _count),
}
_OLDER: Final[Mapping[str, _Field]] = {
    "etcd_debugging_mvcc_db_total_size_in_bytes": ("db_size_bytes", _count),
    "os_fd_used": ("open_files", _count),
    "os_fd_limit": ("max_files", _count),
}
"""Other names of the same, taken where the page does not have the first one."""
_FSYNC: Final = "etcd_disk_wal_fsync_duration_seconds_bucket"
_COMMIT: Final = "etcd_disk_backend_commit_duration_seconds_bucket"
_ROUND_TRIP: Final = "etcd_network_peer_round_trip_time_seconds_bucket"
_SENT_FAILURES: Final = "etcd_network_peer_sent_failures_total"
_ACTIVE_PEERS: Final = "etcd_network_active_peers"
_ALARMS: Final = "etcd_server_alarms"
_SERVER_ID: Final = "etcd_server_id"
_VERSIONS: Final = {
    "etcd_server_version": ("version", "server_version"),
    "etcd_cluster_version": ("cluster_version", "cluster_version"),
}
WANTED: Final = frozenset(
    {*_FIELDS, *_OLDER, *_VERSIONS, _FSYNC, _COMMIT, _ROUND_TRIP, _SENT_FAILURES, _ACTIVE_PEERS, _ALARMS, _SERVER_ID}
)


def parse_member_page(body: bytes, what: str) -> MemberPage:
    """Read a member's page; `what` is what errors call it.

    What is not a number is left out: it counts as not told. Raises BadAnswerError for a web page, for a page that is
    too large, and for one without a single metric of etcd's.
    """
    page = parse_page(body, WANTED, what)
    if not any(sample.name.startswith("etcd_") for sample in page.samples):
        raise BadAnswerError(f"{what} has none of etcd's metrics: is this another server, or is it cut short?")
    reader = _Reader(page)
    for sample in page.samples:
        if not math.isnan(sample.value):
            reader.take(sample)
    return reader.page()


class _Reader:
    """Puts the samples of one page together."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._bad_bounds = 0
        self._fields: dict[str, Any] = {}
        self._older: dict[str, Any] = {}
        self._buckets: dict[tuple[str, str], dict[float, float]] = {}
        """(metric, peer) -> upper bound -> count, summed over all other labels."""
        self._sent_failures: dict[str, float] = {}
        self._active: dict[str, bool] = {}
        self._alarms: set[str] = set()

    def take(self, sample: Sample) -> None:
        """Take in one sample that is a number, or infinite."""
        name, value, labels = sample.name, sample.value, sample.labels
        if name in (_FSYNC, _COMMIT, _ROUND_TRIP):
            self._take_bucket(name, labels, value)
        elif name in _VERSIONS:
            field, label = _VERSIONS[name]
            self._fields.setdefault(field, labels.get(label, ""))
        elif name == _SENT_FAILURES:
            peer = labels.get("To", "")
            self._sent_failures[peer] = self._sent_failures.get(peer, 0.0) + value
        elif name == _ACTIVE_PEERS:
            peer = labels.get("Remote", "")
            self._active[peer] = self._active.get(peer, False) or value > 0
        elif name == _ALARMS:
            if value > 0:
                self._alarms.add(labels.get("alarm_type", ""))
        elif name == _SERVER_ID:
            self._fields.setdefault("member_id", _hexadecimal(labels.get("server_id", "")))
        elif math.isfinite(value):
            field, convert = _FIELDS.get(name) or _OLDER[name]
            (self._fields if name in _FIELDS else self._older).setdefault(field, convert(value))

    def _take_bucket(self, name: str, labels: Mapping[str, str], value: float) -> None:
        try:
            bound = float(labels.get("le", ""))
        except ValueError:
            bound = math.nan
        if math.isnan(bound):
            self._bad_bounds += 1
            return
        buckets = self._buckets.setdefault((name, labels.get("To", "")), {})
        buckets[bound] = buckets.get(bound, 0.0) + value

    def page(self) -> MemberPage:
        """Return what was found."""
        return MemberPage(
            **(self._older | self._fields),
            fsync=self._histogram(_FSYNC),
            commit=self._histogram(_COMMIT),
            round_trips={
                peer: Histogram.of(buckets) for (name, peer), buckets in self._buckets.items() if name == _ROUND_TRIP
            },
            peer_failures=self._sent_failures,
            active_peers=sum(self._active.values()) if self._active else None,
            alarms=tuple(sorted(filter(None, self._alarms))),
            broken_lines=self._page.broken + self._bad_bounds,
            is_cut=self._page.is_cut,
        )

    def _histogram(self, name: str) -> Histogram | None:
        buckets = self._buckets.get((name, ""))
        return Histogram.of(buckets) if buckets else None


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None
