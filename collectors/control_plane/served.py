"""The certificates in use: what the API server and etcd's members show in their handshakes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from collectors.control_plane.handshake import served_certificate
from collectors.errors import AbsentError, SourceError, UnreachableError
from collectors.http import without_password
from collectors.kubernetes.certificates import validity
from collectors.kubernetes.client import Client
from situation.certificates import Certificate, Certificates
from situation.readings import Reading, SourceState
from situation.text import harmless

HANDSHAKE_DEADLINE_S: Final = 5.0
READ_EVERY: Final = timedelta(minutes=5)
RETRY_S: Final = 30.0
"""Where etcd's members are is only known some time after the start."""
FRESH_S: Final = 750.0
_PORTS: Final = {"https": 443}


class ServedCertificates:
    """Source `control-plane/certificates`. One server that does not answer delays no other.

    `etcd_endpoints` gives the client URLs of etcd's members, or `host:port`, as they are known at the moment; when they
    change all are read anew, else every READ_EVERY.
    """

    name = "control-plane/certificates"
    pause_s = 10.0
    deadline_s = 60.0

    def __init__(
        self, client: Client | None, etcd_endpoints: Callable[[], Sequence[str]], clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._etcd_endpoints = etcd_endpoints
        self._clock = clock
        self._read_at: datetime | None = None
        self._read: tuple[str, ...] = ()

    async def collect(self) -> AsyncGenerator[Reading, None]:
        endpoints = tuple(dict.fromkeys(self._etcd_endpoints()))
        if self._read_at is not None and self._read == endpoints and self._clock() - self._read_at < READ_EVERY:
            return
        waits = [self._of_api_server(self._client)] if self._client is not None else []
        waits += [_served("etcd-server", _with_scheme(url)) for url in endpoints]
        found = [item for item in await asyncio.gather(*waits) if item is not None]
        if not found:
            raise AbsentError("no server with TLS is known whose certificate could be read", RETRY_S)
        if all(item.error for item in found):
            raise UnreachableError("; ".join(dict.fromkeys(item.error for item in found)))
        self._read, self._read_at = endpoints, self._clock()
        yield Reading(self.name, SourceState.LIVE, self._read_at, Certificates(tuple(found)), fresh_for_s=FRESH_S)

    async def _of_api_server(self, client: Client) -> Certificate | None:
        if client.proxy is not None:
            error = f"certificate of {client.server} is not read through the proxy {without_password(client.proxy)}"
            return Certificate("apiserver", client.server, is_served=True, error=error)
        server_name = str(client.target.kubeconfig.cluster.get("tls-server-name") or "")
        return await _served("apiserver", client.server, server_name)


async def _served(name: str, url: str, server_name: str = "") -> Certificate | None:
    """Return what the server at `url` shows; None if it does not speak TLS at all."""
    place = without_password(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if not url.startswith("https://"):
        return None
    if not host or not port:
        return Certificate(name, place, is_served=True, error=f"not an address: {place}")
    try:
        der = await served_certificate(host, port, deadline_s=HANDSHAKE_DEADLINE_S, server_name=server_name)
    except SourceError as error:
        return Certificate(name, place, is_served=True, error=harmless(str(error)))
    found = validity(der)
    if found is None:
        return Certificate(name, place, is_served=True, error=f"certificate of {place} cannot be decoded")
    return Certificate(name, place, found.not_after, found.not_before, is_served=True)


def _with_scheme(endpoint: str) -> str:
    """etcd's own tools take `host:port` too."""
    return endpoint if "://" in endpoint else f"https://{endpoint}"
