"""Rounds over members of etcd for tests, and a stand-in for members that no binary here can play."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from collectors.etcd.collect import EtcdOptions, etcd_collectors
from collectors.etcd.maintenance import load_grpc
from collectors.etcd.rounds import EtcdCollector
from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from situation.etcd.members import EtcdMember, EtcdReading
from situation.readings import Reading, SourceState
from tests.real_etcd import Member, RealEtcd

Answer = Callable[[bytes, Any], Awaitable[bytes]]


def options_of(etcd: RealEtcd, **changed: Any) -> EtcdOptions:
    """The options that lead to a real etcd."""
    given: dict[str, Any] = {"endpoints": etcd.endpoints, "cacert": etcd.cacert, "cert": etcd.cert, "key": etcd.key}
    return EtcdOptions(**(given | changed))


def source_of(member: Member) -> str:
    return f"etcd/127.0.0.1:{member.client_port}"


def told(reading: Reading) -> EtcdMember:
    assert isinstance(reading.value, EtcdReading)
    return reading.value.member


@asynccontextmanager
async def rounds(options: EtcdOptions, wishes: EtcdWishes | None = None) -> AsyncIterator[EtcdCollector]:
    """The collector of members alone, to be turned by hand; closed at the end."""
    async with HttpReader() as http:
        collector = etcd_collectors(http, wishes or EtcdWishes(), options)[0]
        assert isinstance(collector, EtcdCollector)
        try:
            yield collector
        finally:
            await collector.aclose()


async def one_round(options: EtcdOptions, wishes: EtcdWishes | None = None) -> list[Reading]:
    """All readings of a first round, in their order, after the word that it starts."""
    async with rounds(options, wishes) as collector:
        started, *found = [reading async for reading in collector.collect()]
        assert started.state is SourceState.STARTING
        return found


async def member_reading(options: EtcdOptions) -> Reading:
    """The reading of the only member."""
    access, reading = await one_round(options)
    assert access.source == "etcd/access"
    return reading


@asynccontextmanager
async def grpc_member(status: Answer) -> AsyncGenerator[str, None]:
    """A member without TLS that answers Maintenance.Status with the bytes that `status` returns; yields its URL."""
    api = load_grpc().api
    server = api.aio.server()
    handler = api.unary_unary_rpc_method_handler(status)
    server.add_generic_rpc_handlers(
        (api.method_handlers_generic_handler("etcdserverpb.Maintenance", {"Status": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)
