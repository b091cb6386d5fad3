"""The loopback HTTP server: routes, credentials, faults and connections."""

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
import yaml
from aiohttp import web

from simulator.cluster import DEFAULT_HISTORY, Cluster, Table
from simulator.discovery import discovery
from simulator.etcd.servers import EtcdServers
from simulator.faults import Faults, Request
from simulator.health import answer_health
from simulator.lists import answer_list, answer_object, check_version
from simulator.logs import answer_log
from simulator.metrics_api import METRICS, metrics_table
from simulator.proxies import PodProxy, ProxyTarget, proxy_target
from simulator.selection import parse_selection
from simulator.statuses import StatusError, forbidden, no_such_method, no_such_path, unauthorized
from simulator.watches import Watch
from situation.kinds import BY_NAME

REQUESTS_KEPT: Final = 10_000
HOST: Final = "127.0.0.1"
_OPEN_TO_ALL: Final = ("/version", "/readyz", "/livez", "/healthz")
_LOGIN_PAGE: Final = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to continue</body></html>"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class _Target(NamedTuple):
    """What a resource path names."""

    table: Table
    namespace: str
    name: str
    subresource: str

    @property
    def kind_name(self) -> str:
        """`ObjectKind.name`: Leases of kube-node-lease are a kind of their own."""
        if self.table.kind.resource == "leases" and self.namespace == "kube-node-lease":
            return "nodeleases"
        return self.table.kind.name


class Simulator:
    """Serves a cluster over HTTP as the Kubernetes API server does. An asynchronous context manager."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        token: str | None = "midwatch-demo",  # noqa: S107 - no secret: it only shows that clients send theirs
        history: int = DEFAULT_HISTORY,
        port: int = 0,
    ) -> None:
        """`history` is the number of changes kept for each resource; `port` 0 picks one.

        `token` None lets everybody in, as a stock kubectl needs it: it sends no credentials over plain HTTP.
        """
        self.cluster = cluster
        self.token = token
        self.faults = Faults()
        self.requests: list[Request] = []
        self._port = port
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._watches: set[Watch] = set()
        self._proxy = PodProxy(cluster)
        self._etcd: EtcdServers | None = None
        cluster.limit_history(history)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; the port is known once the server was started."""
        return f"http://{HOST}:{self._port}"

    @property
    def open_watches(self) -> int:
        """Watches that clients hold open."""
        return len(self._watches)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.up()
        if self.cluster.etcd:
            self._etcd = await EtcdServers(self.cluster.etcd).__aenter__()
            self.cluster.etcd_way = self._etcd.way
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()
        if self._etcd is not None:
            await self._etcd.__aexit__(kind, error, trace)
        if self._runner is not None:
            await self._runner.cleanup()

    async def follow_etcd(self) -> None:
        """Have etcd's members be reachable as the cluster says now."""
        if self._etcd is not None:
            await self._etcd.follow()

    async def up(self) -> None:
        """Listen (again) on the same port."""
        if self._site is not None or self._runner is None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self._port))
        except OSError:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        self._site = web.SockSite(self._runner, listener, backlog=512)
        await self._site.start()

    async def down(self) -> None:
        """Refuse new connections and drop the open ones."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        await self.cut()

    async def cut(self) -> None:
        """Drop every open connection with a reset."""
        server = self._runner.server if self._runner else None
        if server is None:
            return
        for connection in server.connections:
            if (transport := connection.transport) is not None:
                plain: socket.socket | None = transport.get_extra_info("socket")
                if plain is not None:
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                transport.abort()
        await asyncio.sleep(0)

    def inject(self, kind_name: str, raw: bytes) -> None:
        """Have an open watch of a kind (else the next one) send these bytes, whatever they are."""
        self.faults.raw_lines.setdefault(kind_name, []).append(raw)
        for watch in self._watches:
            watch.wake()

    def write_kubeconfig(self, path: Path, context: str = "demo") -> None:
        """Write a kubeconfig for this server, readable by its owner only. Raises OSError."""
        user = {"token": self.token} if self.token is not None else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": {"server": self.url}}],
            "users": [{"name": context, "user": user}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        }
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            yaml.safe_dump(config, file, sort_keys=False)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(Request(request.method, request.path, dict(request.query), request.headers.copy()))
        del self.requests[:-REQUESTS_KEPT]
        try:
            return await self._scripted(request) or await self._answer(request)
        except StatusError as error:
            retry = error.body.get("details", {}).get("retryAfterSeconds")
            headers = {"Retry-After": str(retry)} if retry else None
            return web.json_response(body=msgspec.json.encode(error.body), status=error.code, headers=headers)

    async def _scripted(self, request: web.Request) -> web.StreamResponse | None:
        """What the fault switches answer before the cluster is asked."""
        if any(request.path.startswith(prefix) for prefix in self.faults.hang):
            await asyncio.get_running_loop().create_future()
        for answer in self.faults.answers:
            if answer.matches(request.path, request.query):
                if answer.times is not None:
                    answer.times -= 1
                    if answer.times <= 0:
                        self.faults.answers.remove(answer)
                headers = {"Content-Type": "application/json", **answer.headers}
                return web.Response(status=answer.status, body=answer.encoded(), headers=headers)
        if self.faults.html:
            return web.Response(text=_LOGIN_PAGE, content_type="text/html")
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        path = request.path.rstrip("/") or "/"
        if request.method != "GET":
            raise no_such_method()
        if (health := await answer_health(path, request.query, self.cluster, self.faults)) is not None:
            return health
        if (document := discovery(path, self.faults.absent)) is not None:
            return web.json_response(body=msgspec.json.encode(document))
        if (proxied := proxy_target(request.path)) is not None and "pods" not in self.faults.absent:
            return await self._answer_proxy(proxied)
        target = self._target(path)
        if target is None or target.kind_name in self.faults.absent:
            return no_such_path()
        return await self._answer_resource(request, target)

    async def _answer_proxy(self, target: ProxyTarget) -> web.Response:
        if "pods/proxy" in self.faults.forbid:
            raise forbidden(BY_NAME["pods"], "get", target.namespace, target.id, "proxy")
        if self.faults.freeze_etcd:
            await self._freeze()
        return await self._proxy.answer(target)

    def _authenticate(self, request: web.Request) -> None:
        sent = request.headers.get("Authorization")
        if self.faults.unauthorized:
            raise unauthorized()
        if self.token is None or (sent is None and request.path.startswith(_OPEN_TO_ALL)):
            return
        if sent != f"Bearer {self.token}":
            raise unauthorized()

    async def _answer_resource(self, request: web.Request, target: _Target) -> web.StreamResponse:
        kind, query = target.table.kind, request.query
        watching = query.get("watch") in ("1", "true")
        if target.kind_name in self.faults.forbid:
            verb = "get" if target.name else "watch" if watching else "list"
            raise forbidden(kind, verb, target.namespace, target.name)
        has_metrics = kind in METRICS
        if has_metrics and watching:
            raise no_such_method()
        if self.faults.freeze_etcd and not has_metrics and not _from_cache(query):
            await self._freeze()
        if target.subresource:
            return answer_log(self.cluster, target.namespace, target.name, query)
        if target.name:
            return answer_object(request, target.table, target.namespace, target.name)
        selection = parse_selection(kind, target.namespace, query)
        check_version(self.cluster, query)
        if not watching:
            return await answer_list(request, self.cluster, target.table, selection, query)
        watch = Watch(request, self.cluster, target.table, selection, self.faults)
        self._watches.add(watch)
        try:
            return await watch.answer(target.kind_name)
        finally:
            self._watches.discard(watch)

    async def _freeze(self) -> None:
        await asyncio.sleep(self.faults.freeze_timeout_s)
        raise StatusError(504, "Timeout", "Timeout: request did not complete within the allotted timeout")

    def _target(self, path: str) -> _Target | None:
        """Take a resource path apart: `/api/v1/namespaces/shop/pods/web-1/log`. None if nothing is served there."""
        parts = path.strip("/").split("/")
        length = 2 if parts[0] == "api" else 3
        if parts[0] not in ("api", "apis") or len(parts) <= length:
            return None
        group_version, rest = "/".join(parts[1:length]), parts[length:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        table = self.cluster.table_at(group_version, rest[0]) or metrics_table(self.cluster, group_version, rest[0])
        name, subresource = [*rest[1:], "", ""][:2]
        if table is None or len(rest) > 3 or (namespace and not table.kind.namespaced):
            return None
        if subresource and (subresource != "log" or table.kind.kind != "Pod"):
            return None
        return _Target(table, namespace, name, subresource)


def _from_cache(query: Mapping[str, str]) -> bool:
    """Tell whether the watch cache answers without asking etcd: lists at version 0 and watches from a version."""
    if query.get("watch") in ("1", "true"):
        return bool(query.get("resourceVersion")) and query.get("sendInitialEvents") != "true"
    return query.get("resourceVersion") == "0"
