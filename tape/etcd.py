"""Frames of etcd's members, and of what the API server says of itself.

    {"t", "source": "etcd/cp-1/server", "body": {"state": "serves", "certificate": "server", "trusts": "ca"}}
    {"t", "source": "etcd/cp-1/status", "body": {"header": {"member_id": "175..."}, "version": "3.5.26", ...}}
    {"t", "source": "etcd/cp-1/status", "error": "UNAVAILABLE: etcdserver: request timed out"}
    {"t", "source": "etcd/cp-1/members", "body": {"members": [{"ID": "175...", "name": "cp-1"}]}}
    {"t", "source": "etcd/cp-1/alarms", "body": {"alarms": [{"memberID": "175...", "alarm": "NOSPACE"}]}}
    {"t", "source": "etcd/cp-1/metrics", "status": 200, "text": "..."}
    {"t", "source": "etcd/cp-1/health", "status": 503, "text": "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}"}
    {"t", "source": "etcd/cp-1/readyz", "status": 200, "text": "[+]data_corruption ok ..."}
    {"t", "source": "etcd", "down": true}
    {"t", "source": "kubernetes/metrics", "status": 200, "text": "..."}
    {"t", "source": "kubernetes/livez", "status": 200, "text": "[+]ping ok ..."}

Bodies have the shape of etcd's JSON gateway: its field names, 64-bit numbers as strings. An `error` is the name of a
gRPC status code and its message; with DEADLINE_EXCEEDED the member stays silent. What a member said is valid until it
says something else. `etcd` tells whether the API server gets answers from etcd. All members must be there by the second
at which a demo opens.
"""

import re
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec

ETCD_SOURCE: Final = "etcd"
ETCD_PREFIX: Final = "etcd/"
METRICS_SOURCE: Final = "kubernetes/metrics"
LIVEZ_SOURCE: Final = "kubernetes/livez"
PARTS: Final = ("server", "status", "members", "alarms", "metrics", "health", "readyz")
PAGES: Final = ("metrics", "health", "readyz")
"""The parts that are HTTP pages."""

ETCD_FAMILIES: Final = frozenset(
    {
        "etcd_cluster_version",
        "etcd_disk_backend_commit_duration_seconds",
        "etcd_disk_defrag_inflight",
        "etcd_disk_wal_fsync_duration_seconds",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_network_active_peers",
        "etcd_network_peer_round_trip_time_seconds",
        "etcd_network_peer_sent_failures_total",
        "etcd_server_alarms",
        "etcd_server_has_leader",
        "etcd_server_heartbeat_send_failures_total",
        "etcd_server_id",
        "etcd_server_is_leader",
        "etcd_server_is_learner",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_applied_total",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_failed_total",
        "etcd_server_proposals_pending",
        "etcd_server_quota_backend_bytes",
        "etcd_server_slow_apply_total",
        "etcd_server_slow_read_indexes_total",
        "etcd_server_snapshot_apply_in_progress_total",
        "etcd_server_version",
        "process_max_fds",
        "process_open_fds",
        "process_start_time_seconds",
    }
)
"""The metric families of an etcd member that somebody reads."""
API_SERVER_FAMILIES: Final = frozenset(
    {
        "aggregator_unavailable_apiservice",
        "apiserver_admission_webhook_admission_duration_seconds",
        "apiserver_admission_webhook_fail_open_count",
        "apiserver_admission_webhook_rejection_count",
        "apiserver_current_inflight_requests",
        "apiserver_current_inqueue_requests",
        "apiserver_flowcontrol_current_executing_seats",
        "apiserver_flowcontrol_current_limit_seats",
        "apiserver_flowcontrol_nominal_limit_seats",
        "apiserver_flowcontrol_rejected_requests_total",
        "apiserver_longrunning_requests",
        "apiserver_request_duration_seconds",
        "apiserver_request_terminations_total",
        "apiserver_resource_objects",
        "apiserver_resource_size_estimate_bytes",
        "apiserver_storage_objects",
        "apiserver_storage_size_bytes",
        "etcd_request_duration_seconds",
        "process_max_fds",
        "process_open_fds",
        "process_start_time_seconds",
    }
)
"""The metric families of the API server that somebody reads."""
_SUFFIX: Final = re.compile(r"_(bucket|sum|count)$")
_NAME: Final = re.compile(r"(?:# TYPE )?([A-Za-z_:][\w:]*)")
_CODE: Final = re.compile(r"([A-Z_]+): (.*)", re.DOTALL)


class EtcdName(NamedTuple):
    """What a frame of a member is about."""

    member: str
    part: str
    """One of `PARTS`."""

    @property
    def source(self) -> str:
        """The name as a frame carries it."""
        return f"{ETCD_PREFIX}{self.member}/{self.part}"


class EtcdServer(msgspec.Struct, frozen=True):
    """How a member can be reached. Names of certificates are those of the demo (`simulator.etcd.certificates`)."""

    state: Literal["serves", "hangs", "refuses"] = "serves"
    """`hangs`: connections are accepted and nothing is ever answered, as by a stopped process."""
    certificate: str = "server"
    """What it shows at its client port; empty for a member without TLS."""
    trusts: str = "ca"
    """The authority whose client certificates it accepts; empty if it asks for none."""


class GrpcError(NamedTuple):
    """What `error` of a frame says."""

    code: str
    """`UNAVAILABLE`."""
    message: str


def etcd_name(source: str) -> EtcdName | None:
    """Read the source of a member's frame; None for any other source."""
    member, slash, part = source.removeprefix(ETCD_PREFIX).partition("/")
    known = source.startswith(ETCD_PREFIX) and member and slash and part in PARTS
    return EtcdName(member, part) if known else None


def grpc_error(text: str) -> GrpcError:
    """Read the error of a frame; one without a code counts as UNKNOWN, as gRPC has it."""
    match = _CODE.fullmatch(text)
    return GrpcError(match[1], match[2]) if match else GrpcError("UNKNOWN", text)


def slim_page(text: str, families: Collection[str]) -> str:
    """Return a page of metrics with these families only, and without help. Idempotent."""
    kept = (line for line in text.splitlines() if _is_of(line, families))
    return "".join(f"{line}\n" for line in kept)


def families_of(source: str) -> Collection[str] | None:
    """Return which families are kept of a source's pages, None for a source that is no such page."""
    if source == METRICS_SOURCE:
        return API_SERVER_FAMILIES
    name = etcd_name(source)
    return ETCD_FAMILIES if name is not None and name.part == "metrics" else None


def _is_of(line: str, families: Collection[str]) -> bool:
    match = _NAME.match(line)
    return match is not None and (match[1] in families or _SUFFIX.sub("", match[1]) in families)
