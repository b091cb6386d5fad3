"""The certificates in use: what the API server and etcd's members show in their handshakes."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from collectors.control_plane.handshake import served_certificate
from collectors.control_plane.local import API_SERVER, running_here
from collectors.errors import AbsentError, ForbiddenError, SourceError, UnreachableError
from collectors.kubernetes.certificates import validity
from collectors.kubernetes.client import Client
from collectors.local_files import LocalFiles
from collectors.urls import without_password
from situation.certificates import Certificate, Certificates
from situation.readings import Reading, SourceState
from situation.text import harmless

HANDSHAKE_DEADLINE_S: Final = 5.0
READ_EVERY: Final = timedelta(minutes=5)
RETRY_S: Final = 30.0
"""Where etcd's members are is only known some time after the start."""
HINTED_S: Final = 10.0
"""A hint is followed at most this often: members that come and go all the time are not pestered with handshakes."""
FRESH_S: Final = 750.0
ETCD_URL: Final = "https://127.0.0.1:2379"
KUBELET_URL: Final = "https://127.0.0.1:10250"
"""As kubeadm sets them up (Kubernetes documentation, "Ports and Protocols")."""
_PORTS: Final = {"https": 443}


class LocalServer(NamedTuple):
    """A server on this host, and what the certificate in its file is called."""

    name: str
    url: str


class ServedCertificates:
    """Source `control-plane/certificates`. One server that does not answer delays no other.

    `etcd_endpoints` gives the client URLs of etcd's members, or `host:port`, as they are known at the moment; when they
    change all are read anew, else every READ_EVERY, or after RETRY_S while one of them fails; sooner when `hint`
    returns something else than before: a server came back, or its TLS fails (`CertificateHints`). On a control plane
    node its own servers are asked on loopback too, and told with `node`: only there it is sure which process shows
    what, and its file can be compared.
    """

    name = "control-plane/certificates"
    pause_s = 2.0
    """So soon a hint is seen; passes that read nothing cost nothing."""
    deadline_s = 60.0

    def __init__(
        self,
        client: Client | None,
        etcd_endpoints: Callable[[], Sequence[str]],
        clock: Callable[[], datetime],
        local_servers: Callable[[], Sequence[LocalServer]] = tuple,
        node: str | None = None,
        hint: Callable[[], object] = lambda: None,
    ) -> None:
        self._client = client
        self._etcd_endpoints = etcd_endpoints
        self._clock = clock
        self._files = LocalFiles("manifests of this host")
        self._local_servers = local_servers
        self._node = socket.gethostname() if node is None else node
        self._read_at: datetime | None = None
        self._read: tuple[str, ...] = ()
        self._every = READ_EVERY
        self._hint = hint
        self._followed: object = hint()

    async def collect(self) -> AsyncGenerator[Reading, None]:
        endpoints = tuple(dict.fromkeys(self._etcd_endpoints()))
        if self._read == endpoints and not self._is_due():
            return
        hint = self._hint()
        try:
            local = await self._files.read(self._local_servers)
        except UnreachableError:
            local = ()  # other servers show theirs all the same; the files' own collectors tell why
        waits = [_served(server.name, server.url, node=self._node) for server in local]
        known = {server.url for server in local}
        if self._client is not None and self._client.server not in known:
            waits.append(self._of_api_server(self._client))
        waits += [_served("etcd-server", url) for url in map(_with_scheme, endpoints) if url not in known]
        found = [item for item in await asyncio.gather(*waits) if item is not None]
        if not found:
            raise AbsentError("no server with TLS is known whose certificate could be read", RETRY_S)
        if self._client is not None and self._client.proxy is not None and len(found) == 1 and found[0].error:
            raise AbsentError(found[0].error)
        if all(item.error for item in found):
            raise UnreachableError("; ".join(dict.fromkeys(item.error for item in found)))
        self._read, self._read_at, self._followed = endpoints, self._clock(), hint
        self._every = timedelta(seconds=RETRY_S) if any(item.error for item in found) else READ_EVERY
        yield Reading(self.name, SourceState.LIVE, self._read_at, Certificates(tuple(found)), fresh_for_s=FRESH_S)

    def _is_due(self) -> bool:
        """Also when the clock was set back, or nothing would be read until it is there again."""
        every = self._every if self._hint() == self._followed else min(self._every, timedelta(seconds=HINTED_S))
        return self._read_at is None or not timedelta(0) <= self._clock() - self._read_at < every

    async def _of_api_server(self, client: Client) -> Certificate | None:
        if client.proxy is not None:
            error = f"certificate of {client.server} is not read through the proxy {without_password(client.proxy)}"
            return Certificate("apiserver", client.server, is_served=True, error=error)
        server_name = str(client.target.kubeconfig.cluster.get("tls-server-name") or "")
        return await _served("apiserver", client.server, server_name)


def local_servers(kubernetes_dir: Path) -> tuple[LocalServer, ...]:
    """Return the servers with TLS on this host whose certificates kubeadm made, and kubelet's; none on another host."""
    try:
        running = running_here(kubernetes_dir / "manifests", (API_SERVER,))
    except ForbiddenError:
        return ()
    if not running:
        return ()
    found = [LocalServer("apiserver", f"https://127.0.0.1:{running[0].port}")]
    if (kubernetes_dir / "manifests" / "etcd.yaml").exists():
        found.append(LocalServer("etcd-server", ETCD_URL))
    return (*found, LocalServer("kubelet-server", KUBELET_URL))


async def _served(name: str, url: str, server_name: str = "", *, node: str = "") -> Certificate | None:
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
        return Certificate(name, place, is_served=True, error=f"not an address: {place}", node=node)
    try:
        der = await served_certificate(host, port, deadline_s=HANDSHAKE_DEADLINE_S, server_name=server_name)
    except SourceError as error:
        return Certificate(name, place, is_served=True, error=harmless(str(error)), node=node)
    found = validity(der)
    if found is None:
        return Certificate(name, place, is_served=True, error=f"certificate of {place} cannot be decoded", node=node)
    return Certificate(name, place, found.not_after, found.not_before, is_served=True, node=node)


def _with_scheme(endpoint: str) -> str:
    """etcd's own tools take `host:port` too."""
    return endpoint if "://" in endpoint else f"https://{endpoint}"
