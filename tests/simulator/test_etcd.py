"""etcd in the simulator: a stock gRPC client and HTTP see what the tape says of each member."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc.aio
import pytest
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from simulator.cluster import Cluster, EtcdMember, Page
from simulator.etcd import Address, etcd_served

STATUS = {
    "header": {"clusterId": "77", "memberId": "11", "revision": "5", "raftTerm": "3"},
    "version": "3.5.1",
    "dbSize": "1048576",
    "dbSizeInUse": "524288",
    "leader": "11",
    "raftIndex": "9",
    "raftTerm": "3",
    "raftAppliedIndex": "9",
    "errors": ["memberID:11 alarm:NOSPACE "],
    "somethingNewer": "1",
}
SHORT_S = 0.3


@asynccontextmanager
async def one_member() -> AsyncIterator[tuple[EtcdMember, Address]]:
    cluster = Cluster()
    member = cluster.etcd["cp-1"] = EtcdMember()
    member.status = STATUS
    member.pages["/health"] = Page(503, '{"health":"false","reason":"ALARM NOSPACE"}')
    async with etcd_served(cluster) as (address,):
        yield member, address


async def status(address: Address, timeout_s: float = 5.0, *, waits: bool = False) -> rpc_pb2.StatusResponse:
    async with grpc.aio.insecure_channel(address.endpoint.removeprefix("http://")) as channel:
        stub = rpc_pb2_grpc.MaintenanceStub(channel)
        return await stub.Status(rpc_pb2.StatusRequest(), timeout=timeout_s, wait_for_ready=waits)


async def health(address: Address) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(f"{address.metrics_url}/health") as answer:
        return answer.status, await answer.text()


async def test_a_member_answers_as_the_tape_says() -> None:
    async with one_member() as (_, address):
        told = await status(address)
        assert (told.header.member_id, told.dbSize, told.leader, list(told.errors)) == (
            11, 1048576, 11, ["memberID:11 alarm:NOSPACE "],
        )  # fmt: skip
        assert await health(address) == (503, '{"health":"false","reason":"ALARM NOSPACE"}')


async def test_it_lists_members_and_alarms_while_there_is_a_leader() -> None:
    async with one_member() as (member, address):
        async with grpc.aio.insecure_channel(address.endpoint.removeprefix("http://")) as channel:
            listed = await rpc_pb2_grpc.ClusterStub(channel).MemberList(rpc_pb2.MemberListRequest(), timeout=5.0)
            assert [(item.ID, item.name) for item in listed.members] == [(11, "cp-1")]
            alarms = rpc_pb2_grpc.MaintenanceStub(channel).Alarm
            raised = await alarms(rpc_pb2.AlarmRequest(), timeout=5.0)
            assert [(item.memberID, item.alarm) for item in raised.alarms] == [(11, rpc_pb2.NOSPACE)]
            member.status = {**STATUS, "leader": "0"}
            with pytest.raises(grpc.aio.AioRpcError) as without_leader:
                await alarms(rpc_pb2.AlarmRequest(), timeout=SHORT_S)
            assert without_leader.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_member_that_hangs_takes_the_connection_and_says_nothing() -> None:
    async with one_member() as (member, address):
        member.goes_on.clear()
        with pytest.raises(grpc.aio.AioRpcError) as hung:
            await status(address, SHORT_S)
        assert hung.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        member.goes_on.set()
        assert (await status(address)).leader == 11


async def test_a_member_that_is_gone_refuses_and_comes_back_on_the_same_ports() -> None:
    async with one_member() as (member, address):
        member.is_down = True
        async with asyncio.timeout(5):
            while True:
                try:
                    await health(address)
                except aiohttp.ClientConnectorError:
                    break
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await status(address)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        member.is_down = False
        async with asyncio.timeout(5):
            while True:
                try:
                    assert (await health(address))[0] == 503
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0)
        assert (await status(address, waits=True)).leader == 11
