"""How the user says that etcd is reached."""

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from collectors.errors import ConfigurationError
from collectors.etcd.credentials import Files
from collectors.etcd.manifest import CLIENT_PORT
from collectors.http import check_url
from collectors.urls import without_password

ENDPOINTS = "--etcd-endpoints"
METRICS = "--etcd-metrics"


class EtcdOptions(msgspec.Struct, frozen=True):
    """How to reach etcd, as the user says it."""

    endpoints: tuple[str, ...] = ()
    """Client URLs of the members; empty: they are looked for."""
    cacert: str = ""
    cert: str = ""
    key: str = ""
    metrics_urls: tuple[str, ...] = ()
    """`http://10.0.0.1:2381`, where metrics are served apart from the client port: as many as endpoints and in their
    order, or of the same hosts."""
    kubernetes_dir: Path = Path("/etc/kubernetes")
    """Where kubeadm keeps manifests and certificates on a control plane node."""
    named_by: str = ENDPOINTS
    """What the endpoints were named with, for people: the option, or a configuration's file and key."""

    @property
    def files(self) -> Files:
        """The files as given. Raises ConfigurationError for a certificate without key or the reverse."""
        return Files(self.cacert, self.cert, self.key).checked()

    def with_metrics(self) -> dict[str, str]:
        """Return each endpoint with its metrics URL, empty for the endpoint itself. Raises ConfigurationError."""
        endpoints = tuple(dict.fromkeys(_checked(url, ENDPOINTS, CLIENT_PORT) for url in self.endpoints))
        metrics = tuple(check_url(url, METRICS).rstrip("/").removesuffix("/metrics") for url in self.metrics_urls)
        if len(metrics) == len(endpoints):
            return dict(zip(endpoints, metrics, strict=True))
        by_host = {urlsplit(url).hostname: url for url in metrics}
        strangers = set(by_host) - {urlsplit(url).hostname for url in endpoints}
        if endpoints and (strangers or len(by_host) < len(metrics)):
            raise ConfigurationError(
                f"{METRICS}: give as many URLs as with {ENDPOINTS} and in the same order, or each with the host of one"
            )
        return {url: by_host.get(urlsplit(url).hostname, "") for url in endpoints}


def _checked(url: str, option: str, port: int) -> str:
    """Return the URL of a member without a path, with a port. Raises ConfigurationError."""
    parts = urlsplit(check_url(url, option))
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(f"{option} {without_password(url)!r}: only https://HOST:PORT of a member is wanted")
    return f"{parts.scheme}://{parts.netloc}" if parts.port else f"{parts.scheme}://{parts.netloc.rstrip(':')}:{port}"
