"""What the scheduler tells of its own work, as a Prometheus that scrapes it knows it."""

from collections.abc import Mapping
from typing import Final

import msgspec

from situation.histograms import Histogram

SCHEDULER: Final = "control-plane/scheduler"
"""Source of SchedulerLoad."""
WINDOW_S: Final = 300.0
EARLIER_S: Final = 3600.0
"""Attempts are told of the last WINDOW_S, and of as long a time that ended EARLIER_S before."""
ALL_NODES: Final = 100
"""Up to so many nodes a pod is tried on all of them (kube-scheduler, minFeasibleNodesToFind)."""
_LEAST_PERCENT: Final = 5


class SchedulerLoad(msgspec.Struct, frozen=True):
    """Attempts to place a pod, of all profiles and with whatever result; from choosing a node to binding it."""

    attempts: Histogram = Histogram()
    """`scheduler_scheduling_attempt_duration_seconds` over WINDOW_S, seconds; empty: there were none."""
    earlier: Histogram = Histogram()
    """The same EARLIER_S before; empty: none, or not known."""
    pending: Mapping[str, float] = {}
    """`scheduler_pending_pods` by queue: `active`, `backoff`, `unschedulable`, `gated`."""


def default_percentage(nodes: int) -> int:
    """Return after which percentage of `nodes` that fit the scheduler looks at no more, unless it is told otherwise.

    100 up to ALL_NODES; else 50 % at 100 nodes, 10 % at 5,000, never below 5 % (Kubernetes documentation, "Scheduler
    Performance Tuning", percentageOfNodesToScore).
    """
    return 100 if nodes <= ALL_NODES else max(_LEAST_PERCENT, 50 - nodes // 125)
