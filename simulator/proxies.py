"""`GET .../pods/NAME:PORT/proxy/PATH`: what a pod answers over HTTP, fetched by the API server.

A page that was recorded is served as it was; a DCGM exporter without one is played by `simulator.dcgm`. All other pods
refuse the connection.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiohttp import web

from simulator.cluster import Cluster, Manifest
from simulator.dcgm import PORT, Exporters, is_exporter
from simulator.statuses import bad_request, not_found, unavailable
from situation.kinds import BY_NAME
from tape.format import PageName

REFUSED: Final = "connect: connection refused"
_PATH: Final = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/proxy(/.*)?")
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NOT_TLS: Final = "tls: first record does not look like a TLS handshake"


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

    def answer(self, target: ProxyTarget) -> web.Response:
        """Answer as the pod, or as the API server that cannot reach it. Raises StatusError."""
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
        number = int(port)
        answer = self._recorded(target, pod, number) or self._made_up(target, pod, number)
        if answer is None:
            raise _unreached(f"dial tcp {address}:{number}: {REFUSED}")
        if scheme == "https":
            raise _unreached(_NOT_TLS)
        return answer

    def _recorded(self, target: ProxyTarget, pod: Manifest, port: int) -> web.Response | None:
        name = pod["metadata"]["name"]
        page = self._cluster.pages.get(PageName(target.namespace, name, port, target.path or "/"))
        if page is not None and page.error:
            raise _unreached(f"dial tcp {pod['status']['podIP']}:{port}: {page.error}")
        if page is not None:
            return web.Response(status=page.status, body=page.text.encode(), headers={"Content-Type": _CONTENT_TYPE})
        known = (other for other in self._cluster.pages if other[:3] == (target.namespace, name, port))
        return _no_page() if any(not self._cluster.pages[other].error for other in known) else None

    def _made_up(self, target: ProxyTarget, pod: Manifest, port: int) -> web.Response | None:
        if port != PORT or not is_exporter(pod) or not _is_ready(pod):
            return None
        if target.path == "/health":
            return web.Response(text="OK")
        if target.path != "/metrics":
            return _no_page()
        return web.Response(body=self._exporters.page(pod).encode(), headers={"Content-Type": _CONTENT_TYPE})


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


def _no_page() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")
