"""What an API server tells of itself, made by hand: pages of metrics, scraped in a row."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from situation.api_server import ApiServerPage, ApiServerReading, Liveness
from situation.certificates import Certificate, Certificates
from situation.histograms import Histogram
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW

BOUNDS: Final = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


def took(seconds: float, count: int = 100, before: Histogram | None = None) -> Histogram:
    """Return the histogram of `count` requests that all took `seconds`, on top of those `before`."""
    counts = {bound: float(count if bound >= seconds else 0) for bound in (*BOUNDS, math.inf)}
    old = dict(zip(before.bounds, before.counts, strict=True)) if before else {}
    return Histogram.of({bound: many + old.get(bound, 0.0) for bound, many in counts.items()})


def scraped(known: Situation, *pages: ApiServerPage, apart_s: float = 30, age_s: float = 2) -> Situation:
    """Let `known` read these pages of one process, the last one `age_s` before NOW."""
    for number, page in zip(range(len(pages) - 1, -1, -1), pages, strict=True):
        at = NOW - timedelta(seconds=age_s + number * apart_s)
        known.apply(Reading("control-plane/metrics", SourceState.LIVE, at, ApiServerReading(page, at), fresh_for_s=90))
    return known


def grown(before: Mapping[str, Any], after: Mapping[str, Any], **both: Any) -> tuple[ApiServerPage, ApiServerPage]:
    """Return two pages of one process, which answered no request in between unless `before` and `after` say so."""
    idle = {"started_at": 1.0, "durations": {"GET": took(0.01)}, **both}
    return ApiServerPage(**{**idle, **before}), ApiServerPage(**{**idle, **after})


def alive(known: Situation, *failed: str) -> Situation:
    """Let `/livez?exclude=etcd` pass, or fail for these checks."""
    at = NOW - timedelta(seconds=1)
    known.apply(Reading("control-plane/livez", SourceState.LIVE, at, Liveness(not failed, failed), fresh_for_s=30))
    return known


def unready(known: Situation, *failed: str) -> Situation:
    """Let `/readyz` fail for these checks."""
    at = NOW - timedelta(seconds=1)
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, at, Readiness(False, failed), fresh_for_s=30))
    return known


def certified(
    known: Situation, *certificates: Certificate, source: str = "control-plane/certificate-files"
) -> Situation:
    """Let a source tell of these certificates."""
    known.apply(Reading(source, SourceState.LIVE, NOW, Certificates(certificates)))
    return known
