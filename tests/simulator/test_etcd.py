"""Members of a simulated etcd over the wire: gRPC, HTTP, TLS, and what becomes of them over time."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio
import pytest
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from simulator.cluster import Cluster
from simulator.etcd.state import EtcdState, Said
from simulator.etcd.way import EtcdWay
from simulator.pages import Page
from simulator.server import Simulator
from tape.etcd import EtcdServer

ROOT: Final = Path(__file__).parents[2]
PLAIN: Final = EtcdServer(certificate="", trusts="")
STATUS: Final = {
    "header": {"cluster_id": "17", "member_id": "8630161756594109333", "revision": "40", "raft_term": "7"},
    "version": "3.5.26",
    "dbSize": "2147483648",
    "dbSizeInUse": "20480",
    "leader": "8630161756594109333",
    "raftIndex": "51",
    "raftTerm": "7",
    "raftAppliedIndex": "50",
    "errors": ["memberID:8630161756594109333 alarm:NOSPACE "],
}
MEMBERS: Final = {"members": [{"ID": "8630161756594109333", "name": "cp-1", "clientURLs": ["https://10.0.0.11:2379"]}]}
ALARMS: Final = {"alarms": [{"memberID": "8630161756594109333", "alarm": "NOSPACE"}]}
DEADLINE_S: Final = 5.0
SHORT_S: Final = 0.3
"""For a call that is never answered."""


def member(server: EtcdServer = PLAIN) -> EtcdState:
    state = EtcdState("cp-1")
    state.server = server
    state.calls = {"status": Said(STATUS, ""), "members": Said(MEMBERS, ""), "alarms": Said(ALARMS, "")}
    state.pages = {
        "metrics": Page(text="etcd_server_has_leader 1\n"),
        "health": Page(503, '{"health":"false","reason":"ALARM NOSPACE"}'),
        "readyz": Page(text="[+]linearizable_read ok\nok\n"),
    }
    return state


@asynccontextmanager
async def served(state: EtcdState) -> AsyncIterator[Simulator]:
    cluster = Cluster()
    cluster.etcd[state.name] = state
    async with Simulator(cluster) as simulator:
        yield simulator


def content(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


@asynccontextmanager
async def channel(way: EtcdWay, **files: str) -> AsyncIterator[Any]:
    """A channel as a client opens it with the files it was told of, or with others."""
    scheme, _, target = way.endpoints[0].partition("://")
    options = (("grpc.use_local_subchannel_pool", 1),)
    if scheme == "http":
        opened = grpc.aio.insecure_channel(target, options=options)
    else:
        given = {"cacert": way.cacert, "key": way.key, "cert": way.cert, **files}
        contents = [content(given[name]) for name in ("cacert", "key", "cert")]
        opened = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*contents), options=options)
    async with opened:
        yield opened


async def status(way: EtcdWay, deadline_s: float = DEADLINE_S, **files: str) -> Any:
    async with channel(way, **files) as opened:
        return await rpc_pb2_grpc.MaintenanceStub(opened).Status(rpc_pb2.StatusRequest(), timeout=deadline_s)


async def failure(way: EtcdWay, deadline_s: float = DEADLINE_S, **files: str) -> Any:
    """The code of a status call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await status(way, deadline_s, **files)
    return raised.value


async def page(url: str, path: str, context: ssl.SSLContext | None = None) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url + path, ssl=context or True) as answer:
        return answer.status, await answer.text()


def client_context(way: EtcdWay) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=way.cacert)
    context.load_cert_chain(way.cert, way.key)
    return context


async def test_a_status_as_the_tape_has_it() -> None:
    async with served(member()) as simulator:
        answer = await status(simulator.cluster.etcd_way)
    assert (answer.header.member_id, answer.leader) == (8630161756594109333, 8630161756594109333)
    assert (answer.version, answer.dbSize, answer.dbSizeInUse) == ("3.5.26", 2**31, 20480)
    assert (answer.raftIndex, answer.raftAppliedIndex, answer.raftTerm, answer.isLearner) == (51, 50, 7, False)
    assert list(answer.errors) == ["memberID:8630161756594109333 alarm:NOSPACE "]


async def test_the_member_list_leads_here_and_alarms_have_their_kind() -> None:
    async with served(member()) as simulator:
        way = simulator.cluster.etcd_way
        async with channel(way) as opened:
            listed = await rpc_pb2_grpc.ClusterStub(opened).MemberList(rpc_pb2.MemberListRequest(), timeout=DEADLINE_S)
            alarms = await rpc_pb2_grpc.MaintenanceStub(opened).Alarm(rpc_pb2.AlarmRequest(), timeout=DEADLINE_S)
    assert [(item.name, list(item.clientURLs)) for item in listed.members] == [("cp-1", list(way.endpoints))]
    assert [item.alarm for item in alarms.alarms] == [rpc_pb2.NOSPACE]


async def test_pages_at_both_ports() -> None:
    async with served(member()) as simulator:
        way = simulator.cluster.etcd_way
        for url in (way.endpoints[0], way.metrics_urls[0]):
            assert await page(url, "/metrics") == (200, "etcd_server_has_leader 1\n")
            assert await page(url, "/health") == (503, '{"health":"false","reason":"ALARM NOSPACE"}')
            assert await page(url, "/readyz?verbose") == (200, "[+]linearizable_read ok\nok\n")
            assert await page(url, "/readyz") == (200, "ok\n")
            assert (await page(url, "/livez"))[0] == 404


async def test_an_error_of_the_tape_is_one_of_grpc() -> None:
    state = member()
    state.calls["status"] = Said(None, "UNAVAILABLE: etcdserver: no leader")
    async with served(state) as simulator:
        error = await failure(simulator.cluster.etcd_way)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")


@pytest.mark.parametrize("server", [PLAIN, EtcdServer()])
async def test_a_member_that_hangs_accepts_and_never_answers_and_goes_on_later(server: EtcdServer) -> None:
    state = member(server)
    async with served(state) as simulator:
        way = simulator.cluster.etcd_way
        async with channel(way) as opened:
            stub = rpc_pb2_grpc.MaintenanceStub(opened)
            assert (await stub.Status(rpc_pb2.StatusRequest(), timeout=DEADLINE_S)).raftTerm == 7
            state.server = EtcdServer("hangs", server.certificate, server.trusts)
            await simulator.follow_etcd()
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Status(rpc_pb2.StatusRequest(), timeout=SHORT_S)
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert (await failure(way, SHORT_S)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            waiting = asyncio.create_task(page(way.metrics_urls[0], "/metrics"))
            state.server = server
            await simulator.follow_etcd()
            assert await waiting == (200, "etcd_server_has_leader 1\n")
            assert (await stub.Status(rpc_pb2.StatusRequest(), timeout=DEADLINE_S)).raftTerm == 7


async def test_a_member_that_is_gone_refuses_and_comes_back_on_its_ports() -> None:
    state = member()
    async with served(state) as simulator:
        way = simulator.cluster.etcd_way
        state.server = EtcdServer("refuses", "", "")
        await simulator.follow_etcd()
        error = await failure(way)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "refused" in error.details()
        with pytest.raises(aiohttp.ClientConnectorError):
            await page(way.metrics_urls[0], "/metrics")
        state.server = PLAIN
        await simulator.follow_etcd()
        assert (await status(way)).raftTerm == 7


async def test_tls_on_the_client_port_only() -> None:
    async with served(member(EtcdServer())) as simulator:
        way = simulator.cluster.etcd_way
        assert way.endpoints[0].startswith("https://")
        assert (await status(way)).raftTerm == 7
        assert (await page(way.endpoints[0], "/metrics", client_context(way)))[0] == 200
        assert (await page(way.metrics_urls[0], "/metrics"))[0] == 200


async def test_who_has_no_certificate_or_one_of_another_authority_is_turned_away_and_told() -> None:
    state = member(EtcdServer())
    async with served(state) as simulator:
        way = simulator.cluster.etcd_way
        assert (await failure(way, cert="", key="")).code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises((ssl.SSLError, aiohttp.ClientError), match=r"(?i)certificate required"):
            await page(way.endpoints[0], "/metrics", ssl.create_default_context(cafile=way.cacert))
        state.server = EtcdServer(trusts="other")
        await simulator.follow_etcd()
        assert (await failure(way)).code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises((ssl.SSLError, aiohttp.ClientError), match=r"(?i)unknown ca"):
            await page(way.endpoints[0], "/metrics", client_context(way))


async def test_a_certificate_that_has_expired() -> None:
    state = member(EtcdServer())
    async with served(state) as simulator:
        way = simulator.cluster.etcd_way
        state.server = EtcdServer(certificate="expired")
        await simulator.follow_etcd()
        assert (await failure(way)).code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="certificate has expired"):
            await page(way.endpoints[0], "/metrics", client_context(way))
        assert (await page(way.metrics_urls[0], "/metrics"))[0] == 200


def test_without_etcd_nothing_of_grpc_is_imported() -> None:
    code = (
        "import asyncio, sys\n"
        "from simulator.scenarios import open_scenario\n"
        "from simulator.server import Simulator\n"
        "from simulator.show import Show\n"
        "import simulator.__main__, tui.demo\n"
        "async def main():\n"
        "    async with Simulator(Show(open_scenario('faults_a')).cluster):\n"
        "        print(sorted({name.partition('.')[0] for name in sys.modules} & {'grpc', 'aetcd', 'google'}))\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
