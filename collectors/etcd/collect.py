"""All collectors of etcd."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from collectors.kubernetes.client import utc_now
from collectors.runner import Collector


class EtcdOptions(msgspec.Struct, frozen=True):
    """How to reach etcd, as the user says it."""

    endpoints: tuple[str, ...] = ()
    """Client URLs of the members; empty: they are looked for."""
    cacert: str = ""
    cert: str = ""
    key: str = ""
    metrics_urls: tuple[str, ...] = ()
    """`http://10.0.0.1:2381`, where metrics are served apart from the client port."""
    kubernetes_dir: Path = Path("/etc/kubernetes")
    """Where kubeadm keeps manifests and certificates on a control plane node."""


def etcd_collectors(
    http: HttpReader,
    wishes: EtcdWishes,
    options: EtcdOptions = EtcdOptions(),  # noqa: B008 - frozen
    *,
    clock: Callable[[], datetime] = utc_now,
) -> list[Collector]:
    """Return the collectors of etcd. Raises ConfigurationError for endpoints and files that cannot be used."""
    return []
