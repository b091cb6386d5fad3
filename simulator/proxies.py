"""`GET .../pods/NAME:PORT/proxy/PATH`: what a pod answers over HTTP, fetched by the API server.

A page that was recorded is served as it was; a DCGM exporter without one is played by `simulator.dcgm`, a vLLM server
by `simulator.model_servers`. All other pods refuse the connection. A server whose spec says so speaks TLS.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiohttp import web

from simulator.cluster import Cluster, Manifest
from simulator.dcgm import PORT, Exporters, is_exporter
from simulator.model_servers import ModelServers, server_at
from simulator.pages import PLAIN_TEXT, Page
from simulator.statuses import bad_request, not_found, unavailable
from situation.kinds import BY_NAME
from situation.serving.recognise import ServerSpec
from tape.format import PageName
from tape.serving import HANGS

REFUSED: Final = "connect: connection refused"
_PATH: Final = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/proxy(/.*)?")
_JSON: Final = "application/json"
_NOT_TLS: Final = "tls: first record does not look like a TLS handshake"
_ONLY_TLS: Final = "EOF"
_NO_PAGE: Final = Page(404, "404 page not found\n")


class ProxyTarget(NamedTuple):
    """What a path of the proxy names."""

    namespace: str
    id: str
    """`NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`, as sent."""
    path: str | None
    """At the pod, with its slash; None where even the slash is missing."""


def proxy_target(path: str) -> ProxyTarget | None:
    """Take a path apart; None if it is none of the pod proxy."""
    match = _PATH.fullmatch(path)
    return ProxyTarget(match[1], match[2], match[3]) if match else None


class PodProxy:
    """Answers for the pods of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._exporters = Exporters(cluster)
        self._servers = ModelServers()

    async def answer(self, target: ProxyTarget) -> web.Response:
        """Answer as the pod, or as the API server that cannot reach it. Never returns for a pod that hangs.

        Raises StatusError.
        """
        scheme, name, port = _split(target.id)
        pod = self._cluster.get("pods", target.namespace, name)
        if pod is None:
            raise not_found(BY_NAME["pods"], name)
        address = pod.get("status", {}).get("podIP")
        if not address:
            raise bad_request("address not allowed")
        if target.path is None:
            location = f"/api/v1/namespaces/{target.namespace}/pods/{target.id}/proxy/"
            return web.Response(status=301, headers={"Location": location})
        port = port or _first_port(pod)
        if not port.isdigit():
            raise _unreached(f"dial tcp: lookup tcp/{port}: unknown port")
        spec = server_at(pod, int(port))
        page = self._recorded(target, name, int(port)) or self._made_up(target.path, pod, spec, int(port))
        if page is not None and page.error == HANGS:
            await asyncio.get_running_loop().create_future()
        if page is None or page.error:
            raise _unreached(f"dial tcp {address}:{port}: {page.error if page else REFUSED}")
        speaks_tls = spec is not None and spec.scheme == "https"
        if speaks_tls is not (scheme == "https"):
            raise _unreached(_ONLY_TLS if speaks_tls else _NOT_TLS)
        kind = _JSON if page.text.startswith("{") else PLAIN_TEXT
        return web.Response(status=page.status, body=page.text.encode(), headers={"Content-Type": kind})

    def _recorded(self, target: ProxyTarget, name: str, port: int) -> Page | None:
        page = self._cluster.pages.get(PageName(target.namespace, name, port, target.path or "/"))
        if page is not None:
            return page
        known = (other for other in self._cluster.pages if other[:3] == (target.namespace, name, port))
        return _NO_PAGE if any(not self._cluster.pages[other].error for other in known) else None

    def _made_up(self, path: str, pod: Manifest, spec: ServerSpec | None, port: int) -> Page | None:
        if port == PORT and is_exporter(pod) and _is_ready(pod):
            return Page(text="OK") if path == "/health" else self._exporter_page(path, pod)
        return self._servers.answer(pod, spec, path) if spec is not None else None

    def _exporter_page(self, path: str, pod: Manifest) -> Page:
        return Page(text=self._exporters.page(pod)) if path == "/metrics" else _NO_PAGE


def _split(target: str) -> tuple[str, str, str]:
    """Return scheme, name and port. Raises StatusError 400 for anything the API server does not take."""
    parts = target.split(":")
    if len(parts) < 3:
        parts = ["", *parts, ""][:3]
    scheme, name, port = parts if len(parts) == 3 else ("?", "", "")
    if scheme not in ("", "http", "https") or not name:
        raise bad_request(f'invalid pod request "{target}"')
    return scheme, name, port


def _first_port(pod: Manifest) -> str:
    """Return the first port that the pod declares, else that of plain HTTP."""
    ports = [port for container in pod.get("spec", {}).get("containers", []) for port in container.get("ports", [])]
    return str(ports[0]["containerPort"]) if ports else "80"


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def _unreached(why: str) -> Exception:
    return unavailable(f"error trying to reach service: {why}")
