"""etcd's members on loopback ports: Maintenance.Status and two lists over gRPC, pages over plain HTTP.

Only the calls that a monitor makes are served. gRPC is imported with the first member: most incidents have none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import web

from simulator.cluster import Cluster, EtcdMember

if TYPE_CHECKING:
    import grpc.aio

HOST: Final = "127.0.0.1"
_LOOK_EVERY_S: Final = 0.05
_ALARMS: Final = {"NOSPACE": 1, "CORRUPT": 2}
"""Numbers of `AlarmType` in etcd's rpc.proto."""


class Address(NamedTuple):
    """Where one member answers: gRPC without TLS, and its pages as on `--listen-metrics-urls`."""

    name: str
    endpoint: str
    metrics_url: str


@asynccontextmanager
async def etcd_served(cluster: Cluster) -> AsyncIterator[tuple[Address, ...]]:
    """Serve all members of a cluster while entered; yields where each answers, by name."""
    servers = [_Server(cluster, name) for name in sorted(cluster.etcd)]
    try:
        for server in servers:
            await server.start()
        yield tuple(server.address for server in servers)
    finally:
        await asyncio.gather(*(server.stop() for server in servers))


class _Server:
    """One member. Its listeners come and go with `EtcdMember.is_down`."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._member: EtcdMember = cluster.etcd[name]
        self._grpc: grpc.aio.Server | None = None
        self._grpc_port = 0
        self._http_port = 0
        self._runner: web.AppRunner | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def address(self) -> Address:
        return Address(self._name, f"http://{HOST}:{self._grpc_port}", f"http://{HOST}:{self._http_port}")

    async def start(self) -> None:
        """Listen, also if the member is down at first: that decides its ports."""
        await self._up()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._down()

    async def _follow(self) -> None:
        while True:
            if self._member.is_down and self._grpc is not None:
                await self._down()
            elif not self._member.is_down and self._grpc is None:
                await self._up()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _up(self) -> None:
        import grpc.aio

        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers(_handlers(_Calls(self._cluster, self._member)))
        self._grpc_port = server.add_insecure_port(f"{HOST}:{self._grpc_port}")
        await server.start()
        self._grpc = server
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._page)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._http_port)
        await site.start()
        self._http_port = self._runner.addresses[0][1]

    async def _down(self) -> None:
        server, self._grpc = self._grpc, None
        runner, self._runner = self._runner, None
        if server is not None:
            await server.stop(None)
        if runner is not None:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        await self._member.goes_on.wait()
        page = self._member.pages.get(request.path)
        if page is None:
            return web.Response(status=404, text="404 page not found\n")
        return web.Response(status=page.status, text=page.text)


class _Calls:
    """What a member answers over gRPC; all that is not here is "unimplemented", as there is nothing to be changed."""

    def __init__(self, cluster: Cluster, member: EtcdMember) -> None:
        self._cluster = cluster
        self._member = member

    async def status(self, request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> object:
        from aetcd.rpc import rpc_pb2
        from google.protobuf.json_format import ParseDict

        await self._member.goes_on.wait()
        return ParseDict(self._member.status or {}, rpc_pb2.StatusResponse(), ignore_unknown_fields=True)

    async def member_list(self, request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> object:
        from aetcd.rpc import rpc_pb2

        await self._with_quorum()
        listed = rpc_pb2.MemberListResponse()
        for name, member in sorted(self._cluster.etcd.items()):
            listed.members.add(ID=_number((member.status or {}).get("header", {}), "memberId"), name=name)
        return listed

    async def alarm(self, request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> object:
        from aetcd.rpc import rpc_pb2

        await self._with_quorum()
        raised = rpc_pb2.AlarmResponse()
        for error in (self._member.status or {}).get("errors", ()):
            owner, _, kind = str(error).strip().removeprefix("memberID:").partition(" alarm:")
            if kind in _ALARMS:
                raised.alarms.add(memberID=int(owner), alarm=_ALARMS[kind])
        return raised

    async def _with_quorum(self) -> None:
        """Wait as etcd does for what goes through raft: without a leader until the client gives up."""
        await self._member.goes_on.wait()
        if not _number(self._member.status or {}, "leader"):
            await asyncio.get_running_loop().create_future()


def _handlers(calls: _Calls) -> "tuple[grpc.GenericRpcHandler, ...]":
    import grpc
    from aetcd.rpc import rpc_pb2

    def unary(call: Callable[..., Awaitable[object]], request: Any, answer: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(call, request.FromString, answer.SerializeToString)

    maintenance = {
        "Status": unary(calls.status, rpc_pb2.StatusRequest, rpc_pb2.StatusResponse),
        "Alarm": unary(calls.alarm, rpc_pb2.AlarmRequest, rpc_pb2.AlarmResponse),
    }
    members = {"MemberList": unary(calls.member_list, rpc_pb2.MemberListRequest, rpc_pb2.MemberListResponse)}
    return (
        grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", maintenance),
        grpc.method_handlers_generic_handler("etcdserverpb.Cluster", members),
    )


def _number(body: Mapping[str, Any], name: str) -> int:
    return int(body.get(name, 0))
