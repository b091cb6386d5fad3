"""All collectors of the control plane."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from collectors.control_plane.certificate_files import CertificateFiles
from collectors.control_plane.local import LocalHealthPoll
from collectors.control_plane.polls import LivezPoll, MetricsPoll
from collectors.control_plane.scheduler import SchedulerPoll
from collectors.control_plane.served import ServedCertificates, local_servers
from collectors.kubernetes.client import Client
from collectors.runner import Collector
from situation.clock import utc_now


def control_plane_collectors(
    client: Client | None,
    *,
    kubernetes_dir: Path = Path("/etc/kubernetes"),
    kubelet_pki_dir: Path = Path("/var/lib/kubelet/pki"),
    etcd_endpoints: Callable[[], Sequence[str]] = tuple,
    certificates_hint: Callable[[], object] = lambda: None,
    scheduler: SchedulerPoll | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> list[Collector]:
    """Return the collectors of the control plane; without a client only those of this host's own files and ports.

    `etcd_endpoints` gives the client URLs of etcd's members, or `host:port`, as they are known at the moment: their
    certificates are read from handshakes, at once when `certificates_hint` returns something else than before. What
    this host does not have is absent, which is no fault.
    """
    found: list[Collector] = [
        LocalHealthPoll(kubernetes_dir, clock),
        CertificateFiles(kubernetes_dir, kubelet_pki_dir, clock),
        ServedCertificates(
            client, etcd_endpoints, clock, lambda: local_servers(kubernetes_dir), hint=certificates_hint
        ),
    ]
    if scheduler is not None:
        found.append(scheduler)
    if client is not None:
        found += [LivezPoll(client, clock), MetricsPoll(client, clock)]
    return found
