"""Which metrics of the API server are read, and into which field of its page each goes.

Names and labels by version: Kubernetes metrics reference and changelogs of 1.19 to 1.36.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from situation.api_server import ListKey

Labels = Mapping[str, str]

_LASTING_VERBS: Final = frozenset({"WATCH", "WATCHLIST", "CONNECT", "PROXY"})
_LASTING_SUBRESOURCES: Final = frozenset({"log", "exec", "attach", "portforward", "proxy"})
"""Requests that last by design, as the API server's own objectives leave them out."""
_WEBHOOK_FAULTS: Final = frozenset({"calling_webhook_error", "apiserver_internal_error"})
"""`no_error` is a webhook that did its work and said no."""


class Family(NamedTuple):
    """One metric of plain numbers. Values of equal keys are summed."""

    field: str
    key_of: Callable[[Labels], str | None]
    """Under which key a line counts, None if it does not."""
    rank: int = 0
    """Of several names of one thing the lowest is believed: that of the newest version."""
    is_sum: bool = True
    """A line that cannot be read makes the sums of its metric too small: they are left out then."""


class BucketFamily(NamedTuple):
    """One histogram; the histograms of equal keys are summed. A series may count under several keys, or under none."""

    keys_of: Callable[[Labels], tuple[tuple[str, object], ...]]
    """Field and key."""


def _label(name: str) -> Callable[[Labels], str | None]:
    return lambda labels: labels.get(name) or None


def _whole(labels: Labels) -> str | None:
    return ""


def _resource(labels: Labels) -> str | None:
    """`deployments.apps`, as the older metrics have it in one label and the newer ones in two."""
    resource, group = labels.get("resource"), labels.get("group")
    return f"{resource}.{group}" if resource and group else resource or None


def _database(labels: Labels) -> str | None:
    return labels.get("storage_cluster_id") or labels.get("endpoint") or ""


def _watch(labels: Labels) -> str | None:
    return "" if labels.get("verb", "WATCH") == "WATCH" else None


def _webhook_fault(labels: Labels) -> str | None:
    return labels.get("name") if labels.get("error_type") in _WEBHOOK_FAULTS else None


def _request_keys(labels: Labels) -> tuple[tuple[str, object], ...]:
    verb, resource = labels.get("verb", ""), labels.get("resource", "")
    # Without a resource it is a health check, a scrape or discovery: no work on objects.
    if not verb or not resource or verb in _LASTING_VERBS or labels.get("subresource") in _LASTING_SUBRESOURCES:
        return ()
    if verb != "LIST":
        return (("durations", verb),)
    listed = ListKey(labels.get("group", ""), resource, labels.get("scope", ""))
    return (("durations", verb), ("lists", listed))


def _etcd_keys(labels: Labels) -> tuple[tuple[str, object], ...]:
    operation = labels.get("operation")
    return (("etcd_durations", operation),) if operation else ()


def _webhook_keys(labels: Labels) -> tuple[tuple[str, object], ...]:
    name = labels.get("name")
    return (("webhooks", name),) if name else ()


BUCKETS: Final[Mapping[bytes, BucketFamily]] = {
    b"apiserver_request_duration_seconds_bucket": BucketFamily(_request_keys),
    b"etcd_request_duration_seconds_bucket": BucketFamily(_etcd_keys),
    b"apiserver_admission_webhook_admission_duration_seconds_bucket": BucketFamily(_webhook_keys),
}
NUMBERS: Final[Mapping[bytes, Family]] = {
    b"process_start_time_seconds": Family("started_at", _whole, is_sum=False),
    b"process_open_fds": Family("open_files", _whole, is_sum=False),
    b"process_max_fds": Family("max_files", _whole, is_sum=False),
    b"apiserver_current_inflight_requests": Family("in_flight", _label("request_kind")),
    b"apiserver_current_inqueue_requests": Family("in_queue", _label("request_kind")),
    b"apiserver_longrunning_requests": Family("watches", _watch),
    b"apiserver_longrunning_gauge": Family("watches", _watch, 1),  # up to 1.24
    b"apiserver_registered_watchers": Family("watches", _watch, 2),  # up to 1.24
    b"apiserver_flowcontrol_rejected_requests_total": Family("rejected", _label("priority_level")),
    b"apiserver_flowcontrol_current_executing_seats": Family("executing", _label("priority_level")),
    b"apiserver_flowcontrol_request_concurrency_in_use": Family("executing", _label("priority_level"), 1),
    b"apiserver_flowcontrol_current_limit_seats": Family("limits", _label("priority_level")),
    b"apiserver_flowcontrol_nominal_limit_seats": Family("limits", _label("priority_level"), 1),
    b"apiserver_flowcontrol_request_concurrency_limit": Family("limits", _label("priority_level"), 2),
    b"apiserver_request_terminations_total": Family("terminated", _whole),
    b"apiserver_resource_objects": Family("objects", _resource, is_sum=False),
    b"apiserver_storage_objects": Family("objects", _resource, 1, is_sum=False),  # 1.21 to 1.33
    b"etcd_object_counts": Family("objects", _resource, 2, is_sum=False),  # up to 1.24
    b"apiserver_resource_size_estimate_bytes": Family("object_bytes", _resource, is_sum=False),
    b"apiserver_storage_size_bytes": Family("storage_bytes", _database, is_sum=False),
    b"apiserver_storage_db_total_size_in_bytes": Family("storage_bytes", _database, 1, is_sum=False),
    b"etcd_db_total_size_in_bytes": Family("storage_bytes", _database, 2, is_sum=False),  # 1.19 to 1.25
    b"apiserver_admission_webhook_rejection_count": Family("webhook_failures", _webhook_fault),
    b"apiserver_admission_webhook_fail_open_count": Family("webhook_failed_open", _label("name")),
    b"aggregator_unavailable_apiservice": Family("unavailable", _label("name"), is_sum=False),
}
