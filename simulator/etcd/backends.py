"""What a member answers: over gRPC with aetcd's messages, over HTTP with aiohttp; without TLS, behind a front."""

import asyncio
import os
from typing import Any, Final

from aiohttp import web

from simulator.etcd.front import HOST
from simulator.etcd.state import EtcdState, Said
from simulator.pages import PLAIN_TEXT
from tape.etcd import PAGES, grpc_error

_SILENT: Final = "DEADLINE_EXCEEDED"


class HttpBackend:
    """`/metrics`, `/health` and `/readyz` of one member."""

    def __init__(self, state: EtcdState) -> None:
        self._state = state
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        for part in PAGES:
            app.router.add_get(f"/{part}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        page = self._state.pages.get(request.path[1:])
        if page is None:
            return web.Response(status=404, text="404 page not found\n")
        if request.path == "/readyz" and page.status == 200 and "verbose" not in request.query:
            return web.Response(text="ok\n")
        return web.Response(status=page.status, body=page.text.encode(), headers={"Content-Type": PLAIN_TEXT})


class GrpcBackend:
    """Maintenance.Status, Maintenance.Alarm (GET) and Cluster.MemberList of one member."""

    def __init__(self, state: EtcdState, addresses: dict[str, str]) -> None:
        """`addresses` are the client URLs by name of the member, filled in while members start."""
        self._state = state
        self._addresses = addresses
        self._server: Any = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port; imports gRPC."""
        # Its library would write over the terminal, and look after children that are forked: there are none.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc.aio
        from aetcd.rpc import rpc_pb2

        def handler(part: str, request: Any, response: Any) -> Any:
            async def answer(_: Any, context: Any) -> Any:
                return await self._answer(part, response, context)

            return grpc.unary_unary_rpc_method_handler(
                answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
            )

        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        maintenance = {
            "Status": handler("status", rpc_pb2.StatusRequest, rpc_pb2.StatusResponse),
            "Alarm": handler("alarms", rpc_pb2.AlarmRequest, rpc_pb2.AlarmResponse),
        }
        cluster = {"MemberList": handler("members", rpc_pb2.MemberListRequest, rpc_pb2.MemberListResponse)}
        services = {"etcdserverpb.Maintenance": maintenance, "etcdserverpb.Cluster": cluster}
        self._server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
        )
        self.port = self._server.add_insecure_port(f"{HOST}:0")
        await self._server.start()

    async def stop(self) -> None:
        """End."""
        if self._server is not None:
            await self._server.stop(None)

    async def _answer(self, part: str, response: Any, context: Any) -> Any:
        import grpc
        from google.protobuf.json_format import ParseDict

        said = self._state.calls.get(part, Said())
        if said.body is None:
            code, message = grpc_error(said.error)
            if code == _SILENT:
                await asyncio.get_running_loop().create_future()
            await context.abort(getattr(grpc.StatusCode, code, grpc.StatusCode.UNKNOWN), message)
        body = self._with_addresses(said.body) if part == "members" else said.body
        return ParseDict(body, response(), ignore_unknown_fields=True)

    def _with_addresses(self, body: dict[str, Any] | None) -> dict[str, Any]:
        """The member list with client URLs that lead here, not to where it was recorded."""
        listed = (body or {}).get("members", [])
        here = self._addresses
        members = [
            {**item, "clientURLs": [here[item["name"]]]} if item.get("name") in here else item for item in listed
        ]
        return {**(body or {}), "members": members}
