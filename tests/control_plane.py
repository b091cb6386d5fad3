"""Readings of etcd and of a control plane, made by hand, as the collectors would publish them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from situation.api_server import ApiServerPage, ApiServerReading, ListKey, Liveness, Seats
from situation.certificates import Certificate, Certificates
from situation.histograms import Histogram
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from situation.store import Change
from tests.build import NOW
from tests.etcd_objects import disk, list_members, page, silence, status, tell

FOREVER_S: Final = 86_400.0


class Told(Situation):
    """A Situation that remembers what it was told, to tell it to a cockpit."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: list[Reading] = []

    def apply(self, reading: Reading) -> list[Change]:
        self.readings.append(reading)
        return super().apply(reading)


def live_etcd(
    told: Situation, *, silent: Mapping[int, int] = {}, slow: int = 0, listed: bool = True, **more: Any
) -> None:
    """Tell five minutes of three members; `silent` are those that stopped answering, with the seconds since then.

    The disk of member `slow` takes 32 ms now and then. `more` are fields of every status.
    """
    for number, ago_s in ((number, ago_s) for ago_s in range(300, -1, -10) for number in (1, 2, 3)):
        if ago_s < silent.get(number, 0):
            silence(told, number, ago_s=ago_s)
            continue
        count = float((310 - ago_s) * 10)
        writes = disk(fast=count, slow=count / 10 if number == slow else 0.0)
        tell(told, number, ago_s=ago_s, status=status(number, **more), page=page(fsync=writes, commit=writes))
    if listed:
        list_members(told, 3)


def histogram(count: float, seconds: float) -> Histogram:
    """Return `count` observations, all in the bucket that ends at `seconds`."""
    return Histogram.of({seconds / 2: 0.0, seconds: count, float("inf"): count})


def api_page(count: float, **more: Any) -> ApiServerPage:
    """Return a page of an API server that has answered `count` requests of each kind."""
    fields: dict[str, Any] = {
        "started_at": 1.0,
        "durations": {"GET": histogram(count, 0.01), "LIST": histogram(count, 0.2), "PUT": histogram(count, 0.04)},
        "lists": {
            ListKey("", "pods", "cluster"): histogram(count, 0.2),
            ListKey("", "configmaps", "cluster"): histogram(count, 0.01),
        },
        "etcd_durations": {"get": histogram(count, 0.02)},
        "in_flight": {"readOnly": 12.0, "mutating": 3.0},
        "rejected": {"global-default": 5.0},
        "seats": {"global-default": Seats(2, 20), "system": Seats(1, 40)},
        "watches": 1204.0,
        "objects": {"events": 14_000 + int(count), "pods": 10_000, "leases.coordination.k8s.io": 1100},
        "storage_bytes": 1400 * 2**20,
    }
    return ApiServerPage(**{**fields, **more})


def live_api_server(told: Situation, **more: Any) -> None:
    """Tell five minutes of pages, and that all checks are fine."""
    for ago_s in range(300, -1, -30):
        at = NOW - timedelta(seconds=ago_s)
        scrape = ApiServerReading(api_page(330.0 - ago_s, **more), at)
        told.apply(Reading("control-plane/metrics", SourceState.LIVE, at, scrape, fresh_for_s=90.0))
    told.apply(Reading("control-plane/livez", SourceState.LIVE, NOW, Liveness(True)))
    told.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))


def certificate(name: str, days: float | None, **more: Any) -> Certificate:
    """Return a certificate that ends in so many days; None: it could not be read."""
    not_after: datetime | None = None if days is None else NOW + timedelta(days=days)
    return Certificate(name, more.pop("place", f"/etc/kubernetes/pki/{name}.crt"), not_after, **more)


def tell_certificates(told: Situation, *certificates: Certificate) -> None:
    """Tell of certificates in files and, those that are served, of handshakes."""
    for name, served in (("control-plane/certificates", True), ("control-plane/certificate-files", False)):
        found = tuple(item for item in certificates if item.is_served is served)
        if found:
            told.apply(Reading(name, SourceState.LIVE, NOW, Certificates(found), fresh_for_s=FOREVER_S))


def healthy_control_plane() -> Told:
    """Return a control plane with nothing wrong."""
    told = Told()
    live_etcd(told)
    live_api_server(told)
    served = certificate("apiserver", 211.5, place="https://10.0.0.1:6443", is_served=True)
    tell_certificates(told, served, certificate("ca", 3000))
    return told
