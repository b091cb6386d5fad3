"""How long the scheduler takes for a pod, from a Prometheus that scrapes it. Source `control-plane/scheduler`.

Not from the scheduler itself: kubeadm has it listen on its node's loopback only, and it wants credentials of its own.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Final

from collectors.errors import AbsentError, BadAnswerError
from collectors.http import HttpReader, check_url
from collectors.prometheus_api import PrometheusApi
from collectors.prometheus_text import Sample
from situation.clock import utc_now
from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.scheduler import EARLIER_S, SCHEDULER, WINDOW_S, SchedulerLoad

EVERY_S: Final = 30.0
FRESH_S: Final = 120.0
RETRY_S: Final = 60.0
_BUCKETS: Final = "scheduler_scheduling_attempt_duration_seconds_bucket"
_PENDING: Final = "scheduler_pending_pods"
ATTEMPTS: Final = f"sum by (le) (increase({_BUCKETS}[{WINDOW_S:.0f}s]))"
EARLIER: Final = f"sum by (le) (increase({_BUCKETS}[{WINDOW_S:.0f}s] offset {EARLIER_S:.0f}s))"
PENDING: Final = f"sum by (queue) ({_PENDING})"
CLUSTERS: Final = f"count by (cluster) ({_PENDING})"
"""A Prometheus for several clusters tells them apart by this label: their sums would be of no cluster."""


class SchedulerPoll:
    """Asks a Prometheus for the attempts of the last minutes and of an hour before, and for who waits."""

    name = SCHEDULER
    pause_s = EVERY_S
    deadline_s = None

    def __init__(
        self, url: str, http: HttpReader, clock: Callable[[], datetime], token_file: Path | None = None
    ) -> None:
        """Raises ConfigurationError for a URL that cannot be asked."""
        self._api = PrometheusApi(check_url(url, "--prometheus"), http, token_file)
        self._clock = clock

    async def collect(self) -> AsyncGenerator[Reading, None]:
        clusters = await self._api.ask(CLUSTERS)
        if not clusters:
            raise AbsentError(f"{self._api.shown} has no metrics scheduler_*: does it scrape the scheduler?", RETRY_S)
        if len(clusters) > 1:
            names = ", ".join(sorted(sample.labels.get("cluster") or "none" for sample in clusters)[:3])
            raise BadAnswerError(
                f"{self._api.shown} knows schedulers of {len(clusters)} clusters ({names}): which is this one's is not "
                "known"
            )
        scraped = await self._api.scraped_at((), _PENDING)
        pending = {queue: item.value for item in await self._api.ask(PENDING) if (queue := item.labels.get("queue"))}
        load = SchedulerLoad(
            _histogram(await self._api.ask(ATTEMPTS)), _histogram(await self._api.ask(EARLIER)), pending
        )
        now = self._clock()
        read_at = min([now, *(at for _, at in scraped)])
        yield Reading(self.name, SourceState.LIVE, read_at, load, fresh_for_s=FRESH_S)


def scheduler_poll(
    url: str, token_file: str, http: HttpReader, clock: Callable[[], datetime] = utc_now
) -> SchedulerPoll | None:
    """Return how a Prometheus is asked; None if none is named. Raises ConfigurationError for what is no URL."""
    return SchedulerPoll(url, http, clock, Path(token_file) if token_file else None) if url else None


def _histogram(samples: Iterable[Sample]) -> Histogram:
    """Return what the buckets hold; what breaks off before the last of them is not told too small."""
    buckets = {}
    for sample in samples:
        try:
            buckets[float(sample.labels.get("le", ""))] = sample.value
        except ValueError:
            continue
    found = Histogram.of(buckets)
    return Histogram() if not found.bounds or isfinite(found.bounds[-1]) else found
