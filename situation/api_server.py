"""What the API server tells about itself in `/livez` and `/metrics` (Kubernetes metrics reference)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from situation.histograms import Histogram

METRICS: Final = "control-plane/metrics"
LIVEZ: Final = "control-plane/livez"
READYZ: Final = "kubernetes/readyz"
"""Sources of the pages, of Liveness and of Readiness."""


class Liveness(msgspec.Struct, frozen=True):
    """Answer of `/livez?exclude=etcd`: splits the blame between the API server itself and etcd."""

    alive: bool
    failed_checks: tuple[str, ...] = ()


class ListKey(NamedTuple):
    """What a LIST was for: `pods` in group `` with scope `cluster` or `namespace`."""

    group: str
    resource: str
    scope: str


class Seats(NamedTuple):
    """Concurrency of a priority level of API priority and fairness; saturated at executing == limit."""

    executing: float
    limit: float | None


class ApiServerPage(msgspec.Struct, frozen=True):
    """What one scrape of `/metrics` says. None and missing keys mean "not on this page", never 0.

    Counters and histograms are cumulative, as scraped: the memory takes differences.
    """

    started_at: float | None = None
    """`process_start_time_seconds`; another value is another process, or another replica behind the same address."""
    durations: Mapping[str, Histogram] = {}
    """By verb (`LIST`, `GET`, `POST` ...), without WATCH and CONNECT, which last by design; seconds."""
    lists: Mapping[ListKey, Histogram] = {}
    etcd_durations: Mapping[str, Histogram] = {}
    """By operation (`get`, `list`, `update` ...), as the API server sees etcd: second-hand; seconds."""
    in_flight: Mapping[str, float] = {}
    """By kind: `readOnly`, `mutating`."""
    in_queue: Mapping[str, float] = {}
    rejected: Mapping[str, float] = {}
    """Requests answered 429 by priority level, cumulative."""
    seats: Mapping[str, Seats] = {}
    """By priority level."""
    watches: float | None = None
    objects: Mapping[str, int] = {}
    """By resource with its group (`deployments.apps`, `pods`); what the server could not count (-1) is left out."""
    object_bytes: Mapping[str, int] = {}
    """Estimated size of all objects of a resource (1.34 and later)."""
    storage_bytes: int | None = None
    """Size of etcd's database as the API server polls it: second-hand."""
    open_files: int | None = None
    max_files: int | None = None
    terminated: float | None = None
    """Requests that it gave up to protect itself, cumulative."""
    webhooks: Mapping[str, Histogram] = {}
    """Duration of admission webhooks by name, seconds."""
    webhook_failures: Mapping[str, float] = {}
    """Calls that failed or were rejected for an error of the webhook, by name, cumulative."""
    unavailable_apis: tuple[str, ...] = ()
    """Aggregated APIs (`v1beta1.metrics.k8s.io`) that it finds unavailable."""
    broken_lines: int = 0
    is_cut: bool = False


class ApiServerReading(msgspec.Struct, frozen=True):
    """One scrape with its time."""

    page: ApiServerPage
    scraped_at: datetime
