"""All members of a simulated etcd: started, changed and ended together."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from simulator.etcd.backends import GrpcBackend, HttpBackend
from simulator.etcd.front import HOST, Behind, Front
from simulator.etcd.state import EtcdState
from simulator.etcd.tls import CERTIFICATES, context_of
from simulator.etcd.way import EtcdWay
from tape.etcd import EtcdServer


class _Member:
    def __init__(self, state: EtcdState, addresses: dict[str, str]) -> None:
        self.state = state
        self._addresses = addresses
        self._http, self._grpc = HttpBackend(state), GrpcBackend(state, addresses)
        self.fronts: tuple[Front, ...] = ()
        self._shown: EtcdServer | None = None

    async def start(self) -> None:
        await self._http.start()
        await self._grpc.start()
        self.fronts = (Front(Behind(self._http.port, self._grpc.port)), Front(Behind(self._http.port)))
        for front in self.fronts:
            await front.up()
        scheme = "https" if self.state.server.certificate else "http"
        self._addresses[self.state.name] = f"{scheme}://{HOST}:{self.fronts[0].port}"
        await self.follow()

    async def follow(self) -> None:
        """Be reachable as the state says."""
        wanted = self.state.server
        if wanted == self._shown:
            return
        client = self.fronts[0]
        if self._shown is None or (wanted.certificate, wanted.trusts) != (self._shown.certificate, self._shown.trusts):
            client.tls = context_of(wanted)
            client.drop()
        self._shown = wanted
        for front in self.fronts:
            match wanted.state:
                case "serves":
                    await front.up()
                case "hangs":
                    await front.hang()
                case "refuses":
                    await front.down()

    async def stop(self) -> None:
        for front in self.fronts:
            await front.down()
        await self._grpc.stop()
        await self._http.stop()


class EtcdServers:
    """Serves the members of a cluster. An asynchronous context manager; gRPC is imported when it is entered."""

    def __init__(self, states: Mapping[str, EtcdState]) -> None:
        self._addresses: dict[str, str] = {}
        self._members = tuple(_Member(state, self._addresses) for state in states.values())

    async def __aenter__(self) -> Self:
        for member in self._members:
            await member.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            await member.stop()

    async def follow(self) -> None:
        """Be reachable as the states say now."""
        for member in self._members:
            await member.follow()

    @property
    def way(self) -> EtcdWay:
        """How they are reached."""
        endpoints = tuple(self._addresses[member.state.name] for member in self._members)
        metrics = tuple(f"http://{HOST}:{member.fronts[1].port}" for member in self._members)
        if not any(url.startswith("https://") for url in endpoints):
            return EtcdWay(endpoints, metrics)
        return EtcdWay(
            endpoints, metrics, *(str(CERTIFICATES / name) for name in ("ca.crt", "client.crt", "client.key"))
        )
