"""Answers over gRPC that the etcd of the tests does not give: other versions, refused users, no answer."""

import asyncio
import re
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import pytest

from collectors.etcd.collect import EtcdOptions
from collectors.etcd.credentials import Files, load
from collectors.etcd.maintenance import load_grpc, translated
from situation.etcd.members import MemberStatus
from situation.readings import SourceState
from tests.build import NOW
from tests.collectors.etcd_rounds import grpc_member, member_reading, one_round, told
from tests.collectors.kubeconfigs import Certificates, needs_openssl
from tests.collectors.loopback import HANG, Loopback, http


def answer(version: str, **fields: Any) -> bytes:
    messages = load_grpc().messages
    header = messages.ResponseHeader(cluster_id=7, member_id=2**63 + 5, revision=40, raft_term=3)
    return bytes(messages.StatusResponse(header=header, version=version, dbSize=4096, **fields).SerializeToString())


def varint(field: int, value: int) -> bytes:
    encoded, value = bytearray([field << 3]), value
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


async def status_of(sent: bytes) -> MemberStatus:
    async def status(request: bytes, context: Any) -> bytes:
        return sent

    async with grpc_member(status) as url:
        reading = await member_reading(EtcdOptions(endpoints=(url,)))
    found = told(reading)
    assert reading.state is SourceState.LIVE
    assert found.status is not None, found.status_error
    return found.status


async def test_an_older_etcd_leaves_fields_out() -> None:
    assert await status_of(answer("3.3.27", leader=9)) == MemberStatus(
        2**63 + 5, 7, "3.3.27", 4096, None, None, leader=9, revision=40
    )


@pytest.mark.parametrize(
    ("version", "quota", "expected"),
    [
        ("3.6.6", 2**31, 2**31),
        ("3.7.0-rc.1", 8 * 2**30, 8 * 2**30),
        ("3.6.5", 2**31, 2**31),  # which of them is believed the Situation decides
        ("3.6.7", 0, None),
        ("3.6.7", 2**64 - 1, -1),
    ],
)
async def test_the_quota_of_newer_ones_is_told_as_they_say_it(version: str, quota: int, expected: int | None) -> None:
    storage_version = b"\x5a\x033.6"  # field 11, which nobody reads
    unknown = b"\xfa\x07\x02ab" + varint(12, quota)  # field 127 and the quota
    status = await status_of(answer(version, dbSizeInUse=2048) + storage_version + unknown)
    assert (status.quota_bytes, status.db_in_use_bytes) == (expected, 2048)


async def test_errors_of_a_member_are_harmless_text() -> None:
    errors = ["etcdserver: no leader", "memberID:8630161756594109333 alarm:NOSPACE ", "odd\x1b[2J"]
    status = await status_of(answer("3.5.1", errors=errors, isLearner=True, raftIndex=5, raftAppliedIndex=4))
    assert status.errors == ("etcdserver: no leader", "memberID:8630161756594109333 alarm:NOSPACE", "odd␛[2J")
    assert (status.is_learner, status.raft_index, status.applied_index) == (True, 5, 4)


@pytest.mark.parametrize(
    ("code", "state", "said"),
    [
        ("UNAUTHENTICATED", SourceState.UNAUTHORIZED, r"wants a login \(etcdserver: x\).*whose common name is a user"),
        ("PERMISSION_DENIED", SourceState.FORBIDDEN, r"does not allow it to this user \(etcdserver: x\).*role root"),
        ("UNIMPLEMENTED", SourceState.UNREACHABLE, "answered UNIMPLEMENTED: etcdserver: x"),
    ],
)
async def test_users_that_may_not_ask(code: str, state: SourceState, said: str) -> None:
    async def status(request: bytes, context: Any) -> bytes:
        await context.abort(getattr(load_grpc().api.StatusCode, code), "etcdserver: x")
        return b""

    async with grpc_member(status) as url:
        reading = await member_reading(EtcdOptions(endpoints=(url,)))
    member = told(reading)
    assert reading.state is state and not member.answers
    assert re.fullmatch(f"{url} {said}.*", member.status_error), member.status_error


async def test_a_member_that_takes_the_call_and_never_answers() -> None:
    async def status(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with grpc_member(status) as url:
        reading = await member_reading(EtcdOptions(endpoints=(url,)))
    assert told(reading).status_error == f"{url} did not answer within 1.5 s"


async def test_what_is_not_etcd_behind_a_port() -> None:
    answers = {"/metrics": http("<html>hello"), "/health": http("fine"), "/readyz": HANG}
    async with Loopback(answers) as server:
        member = told(await member_reading(EtcdOptions(endpoints=(server.url,))))
    assert not member.answers
    assert member.status_error.startswith(server.url)
    assert member.page_error.startswith(f"{server.url}/metrics is a web page")
    assert member.health_error == f"{server.url}/health does not answer as etcd does: fine"


async def test_checks_of_readyz_and_a_page_with_an_error() -> None:
    answers = {
        "/metrics": http("broken", "500 Internal Server Error"),
        "/health": http('{"health":"true","reason":""}'),
        "/readyz": http("[+]serializable_read ok\n[-]data_corruption failed: alarm\n", "503 Service Unavailable"),
    }
    async with Loopback(answers) as server:
        reading = await member_reading(
            EtcdOptions(endpoints=("http://127.0.0.1:1",), metrics_urls=(f"{server.url}/metrics",))
        )
    member = told(reading)
    assert member.health is not None and member.health.healthy
    assert member.health.failed_checks == ("data_corruption",)
    assert member.page_error == f"{server.url}/metrics answered 500: broken"
    assert member.status_error == "cannot connect to http://127.0.0.1:1: connection refused"
    assert (reading.state, reading.error) == (SourceState.LIVE, member.status_error)


async def test_without_a_leader_the_checks_that_would_hang_are_not_asked_for() -> None:
    health = http('{"health":"false","reason":"RAFT NO LEADER"}', "503 Service Unavailable")
    async with Loopback({"/health": health, "/readyz": HANG}) as server:
        member = told(await member_reading(EtcdOptions(endpoints=(server.url,))))
        assert "/readyz" not in {asked.path for asked in server.asked}
    assert member.health is not None and member.health.reason == "RAFT NO LEADER"
    assert member.health_error == ""


async def test_a_name_that_does_not_resolve() -> None:
    _, reading = await one_round(EtcdOptions(endpoints=("https://etcd.invalid:2379",)))
    assert reading.source == "etcd/etcd.invalid:2379"
    assert reading.state is SourceState.UNREACHABLE
    assert "its name cannot be resolved" in told(reading).status_error


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (
            "ipv4:x: Hostname Verification Check failed.",
            "certificate of https://m:2379 is not accepted: it is for another",
        ),
        ("SSL_ERROR_SSL: error:10000415:SSLV3_ALERT_CERTIFICATE_EXPIRED", "does not accept our certificate"),
        ("SSL routines: TLSV1_ALERT_UNKNOWN_CA", "does not accept our certificate"),
        ("last error: UNAVAILABLE: gone\x07", "cannot connect to https://m:2379: UNAVAILABLE: gone␇"),
    ],
)
def test_words_of_the_library(details: str, said: str) -> None:
    error = translated("UNAVAILABLE", details, "https://m:2379", 1.5, load(Files(), NOW))
    assert said in str(error)


@needs_openssl
async def test_a_refusal_in_tls_1_3_comes_after_the_handshake(tmp_path: Path) -> None:
    """As newer versions speak it; the etcd of these tests has TLS 1.2."""
    certificates = Certificates(tmp_path)
    cert, key = certificates.issue("server")
    cacert = str(tmp_path / "ca.pem")
    command = ("openssl", "s_server", "-tls1_3", "-Verify", "1", "-verify_return_error", "-CAfile", cacert)
    process = await asyncio.create_subprocess_exec(
        *command, "-cert", cert, "-key", key, "-alpn", "h2,http/1.1", "-www", "-accept", "127.0.0.1:0",
        stdout=PIPE, stderr=DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        await process.stdout.readuntil(b"ACCEPT ")
        port = (await process.stdout.readline()).decode().rpartition(":")[2].strip()
        reading = await member_reading(EtcdOptions(endpoints=(f"https://127.0.0.1:{port}",), cacert=cacert))
    finally:
        process.kill()
        await process.wait()
    member = told(reading)
    assert reading.state is SourceState.UNAUTHORIZED
    for error in (member.status_error, member.health_error, member.page_error):
        assert "does not accept our certificate: it wants one from its clients" in error
