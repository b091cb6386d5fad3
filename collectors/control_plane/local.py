"""The control plane's components on this host, asked on loopback: for when the API server cannot tell of them.

Certificates are not verified: scheduler and controller-manager make their own ones, no credentials are sent, and
nothing is taken from the answers but what they say of health. Ports and paths: Kubernetes documentation, "Ports and
Protocols" and "Kubernetes API health endpoints"; `/livez` and `/readyz` are open to anybody by default.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from collectors.errors import AbsentError, BadAnswerError, ForbiddenError
from collectors.http import Handshake, prepare_httpx
from collectors.kubernetes.polls import READYZ_FRESH_S, parse_readiness
from collectors.local_files import LocalFiles
from situation.local_health import LocalCheck, LocalHealth
from situation.readings import Reading, SourceState
from situation.text import harmless

if TYPE_CHECKING:
    import httpx

CHECK_DEADLINE_S: Final = 5.0
"""Longer than the 2 s after which the API server gives up its own check of etcd."""
_ANSWER_LIMIT: Final = 2**16
_PORT: Final = re.compile(r"--secure-port=(\d{1,5})\b")


class Component(NamedTuple):
    """How a component is asked. It runs here if its manifest is there."""

    name: str
    manifest: str
    scheme: str
    port: int
    """Unless its manifest says another."""
    paths: tuple[str, ...]


_API_SERVER_PATHS: Final = ("/livez?exclude=etcd&verbose", "/readyz?verbose")
API_SERVER: Final = Component("kube-apiserver", "kube-apiserver.yaml", "https", 6443, _API_SERVER_PATHS)
COMPONENTS: Final = (
    API_SERVER,
    Component("kube-scheduler", "kube-scheduler.yaml", "https", 10259, ("/healthz",)),
    Component("kube-controller-manager", "kube-controller-manager.yaml", "https", 10257, ("/healthz",)),
    Component("kubelet", "", "http", 10248, ("/healthz",)),
)


class LocalHealthPoll:
    """Source `control-plane/local`; absent on a host that is no control plane node, which is normal."""

    name = "control-plane/local"
    pause_s = 10.0
    deadline_s = 60.0

    def __init__(
        self,
        kubernetes_dir: Path,
        clock: Callable[[], datetime],
        components: tuple[Component, ...] = COMPONENTS,
        node: str | None = None,
    ) -> None:
        self._manifests = kubernetes_dir / "manifests"
        self._clock = clock
        self._files = LocalFiles(str(self._manifests))
        self._components = components
        self._node = socket.gethostname() if node is None else node

    async def collect(self) -> AsyncGenerator[Reading, None]:
        found = await self._files.read(running_here, self._manifests, self._components)
        if not any(component.manifest for component in found):
            raise AbsentError(
                f"this host is no control plane node: no manifests of its components in {self._manifests}"
            )
        checks = await check_components(found)
        value = LocalHealth(self._node, checks)
        yield Reading(self.name, SourceState.LIVE, self._clock(), value, fresh_for_s=READYZ_FRESH_S)


async def check_components(components: tuple[Component, ...]) -> tuple[LocalCheck, ...]:
    """Ask all health endpoints of these components at once; each has CHECK_DEADLINE_S."""
    async with await asyncio.to_thread(_open_client) as client:
        checks = (_check(client, component, path) for component in components for path in component.paths)
        return tuple(await asyncio.gather(*checks))


def _open_client() -> "httpx.AsyncClient":
    """Open a client; the first import of httpx is slow, so it is done in a thread."""
    prepare_httpx()
    import httpx

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return httpx.AsyncClient(verify=context, trust_env=False, timeout=CHECK_DEADLINE_S)


async def _check(client: "httpx.AsyncClient", component: Component, path: str) -> LocalCheck:
    import httpx

    url = f"{component.scheme}://127.0.0.1:{component.port}{path}"
    shown = url.removesuffix("?verbose").removesuffix("&verbose")
    try:
        async with asyncio.timeout(CHECK_DEADLINE_S), Handshake() as handshake:
            response, body = await _answer(client, url, handshake)
    except (TimeoutError, httpx.TimeoutException):
        return LocalCheck(component.name, shown, False, f"no answer within {CHECK_DEADLINE_S:g} s")
    except httpx.ConnectError as error:
        if _is_refused(error):
            return LocalCheck(component.name, shown, False, "nothing listens there (connection refused)")
        return LocalCheck(component.name, shown, None, f"no connection: {harmless(str(error))}")
    except httpx.HTTPError as error:
        return LocalCheck(
            component.name, shown, None, f"no HTTP answer: {harmless(str(error)) or type(error).__name__}"
        )
    if response.status_code in (401, 403):
        return LocalCheck(component.name, shown, None, f"it answers, but not to anonymous ({response.status_code})")
    return _judged(component.name, shown, response.status_code, body)


async def _answer(client: "httpx.AsyncClient", url: str, handshake: Handshake) -> "tuple[httpx.Response, bytes]":
    """Return the answer, and what it says up to _ANSWER_LIMIT bytes or a little more."""
    traced = {"trace": handshake.note} if url.startswith("https") else {}
    body = b""
    async with client.stream("GET", url, extensions=traced) as response:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _ANSWER_LIMIT:
                break
    return response, body


def _is_refused(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__ or error.__context__
    return error is not None


def _judged(component: str, url: str, status: int, body: bytes) -> LocalCheck:
    if status not in (200, 500):
        return LocalCheck(component, url, None, f"it answers {status}")
    try:
        found = parse_readiness(status, body, url)
    except BadAnswerError as error:
        return LocalCheck(component, url, None, str(error))
    if found.ready:
        return LocalCheck(component, url, True)
    failed = ", ".join(found.failed_checks)
    return LocalCheck(
        component, url, False, f"failed: {failed}" if failed else f"it answers {status}", found.failed_checks
    )


def running_here(manifests: Path, components: tuple[Component, ...]) -> tuple[Component, ...]:
    """Return the components that should run here, with the ports that their manifests say. Raises ForbiddenError."""
    found = []
    for component in components:
        if not component.manifest:
            found.append(component)
            continue
        manifest = manifests / component.manifest
        try:
            manifest.stat()
        except PermissionError as error:
            raise ForbiddenError(
                f"{manifests}: permission denied: root is needed to see which components run here"
            ) from error
        except OSError:
            continue
        try:
            text = manifest.read_text("utf-8", "replace")
        except OSError:
            text = ""  # it is there, that is enough: kubeadm lets only root read manifests
        port = _PORT.search(text)
        found.append(component._replace(port=int(port[1])) if port and 0 < int(port[1]) < 2**16 else component)
    return tuple(found)
