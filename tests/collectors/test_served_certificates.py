"""Certificates in TLS handshakes: of any version, of servers that refuse us, of a real etcd."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.control_plane import served
from collectors.control_plane.certificate_files import CertificateFiles
from collectors.control_plane.handshake import certificate_in, served_certificate
from collectors.control_plane.hints import CertificateHints
from collectors.control_plane.served import ServedCertificates, local_servers
from collectors.errors import AbsentError, UnreachableError
from collectors.kubernetes.certificates import validity
from situation.certificates import Certificate, Certificates, renewed_but_not_served
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW
from tests.collectors.harness import running
from tests.collectors.kubeconfigs import Certificates as Authority
from tests.collectors.kubeconfigs import Clock, connected, kubeconfig, needs_openssl, server_context
from tests.collectors.loopback import HANG, Loopback, http
from tests.etcd_objects import page, silence, status, tell
from tests.real_etcd import RealEtcd

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    yield Authority(tmp_path_factory.mktemp("authority"))


def der_of(authority: Authority, name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert((authority.folder / f"{name}.pem").read_text())


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def readings(collector: ServedCertificates) -> list[Reading]:
    return [reading async for reading in collector.collect()]


async def certificates(collector: ServedCertificates) -> tuple[Certificate, ...]:
    (reading,) = await readings(collector)
    assert isinstance(reading.value, Certificates)
    return reading.value.certificates


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("wants_client", [False, True])
async def test_the_leaf_is_read_whatever_the_server_wants(
    authority: Authority, version: ssl.TLSVersion, wants_client: bool
) -> None:
    """Up to TLS 1.2 a server that wants a client certificate ends the handshake before it is done."""
    tls = server_context(authority)
    tls.minimum_version = tls.maximum_version = version
    if wants_client:
        tls.load_verify_locations(authority.folder / "ca.pem")
        tls.verify_mode = ssl.CERT_REQUIRED
    async with quiet_loopback(tls) as server:
        found = await served_certificate("127.0.0.1", port_of(server.url), deadline_s=5)
    assert found == der_of(authority, "server")


def quiet_loopback(tls: ssl.SSLContext) -> Loopback:
    """A TLS server; that handshakes fail on its side is what is wanted here, not for its log."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    return Loopback(tls=tls)


async def test_an_expired_certificate_is_read_like_any_other(authority: Authority) -> None:
    async with quiet_loopback(server_context(authority, "old", days="-1")) as server:
        found = await served_certificate("localhost", port_of(server.url), deadline_s=5)
    valid = validity(found)
    assert valid is not None
    assert valid.not_after < datetime.now(UTC)


async def test_the_name_that_is_asked_for(authority: Authority) -> None:
    """A server for several names shows the one that the kubeconfig's tls-server-name asks for."""
    asked: list[str | None] = []
    tls = server_context(authority)
    tls.sni_callback = lambda connection, name, context: asked.append(name)
    async with quiet_loopback(tls) as server:
        await served_certificate("127.0.0.1", port_of(server.url), deadline_s=5, server_name="kube.example")
        await served_certificate("127.0.0.1", port_of(server.url), deadline_s=5)
    assert asked == ["kube.example", None], "an address is no name"


@pytest.mark.parametrize(
    ("answer", "said"),
    [(HANG, "no TLS handshake with 127.0.0.1:.* within 0.3 s"), (http("plain"), "it does not speak TLS")],
)
async def test_servers_without_tls(answer: bytes, said: str) -> None:
    async with PlainServer(answer) as server:
        with pytest.raises(UnreachableError, match=said):
            await served_certificate("127.0.0.1", server.port, deadline_s=0.3 if answer == HANG else 5)


class PlainServer:
    """Takes a connection, says one thing, or nothing."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.port = 0

    async def __aenter__(self) -> "PlainServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._ended.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ended = asyncio.Event()
        if self.answer != HANG:
            writer.write(self.answer)
        while await reader.read(1000):
            pass
        writer.close()
        self._ended.set()


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match=r"cannot connect to 127\.0\.0\.1:"):
            await served_certificate("127.0.0.1", taken.getsockname()[1], deadline_s=5)
    with pytest.raises(UnreachableError, match=r"cannot connect to no\.such\.host\.invalid:1"):
        await served_certificate("no.such.host.invalid", 1, deadline_s=5)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x16\x03\x03\x00\x20", b"\x16\x03\x03\x00\x20\x0b\x00\x00\x10"]))
def test_garbage_has_no_certificate_but_never_raises(garbage: bytes, start: bytes) -> None:
    assert isinstance(certificate_in(start + garbage), bytes)


async def test_a_real_etcd_shows_its_certificate_to_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RealEtcd(tmp_path, size=1) as etcd:
        collector = ServedCertificates(None, lambda: etcd.endpoints, Clock())
        (found,) = await certificates(collector)
        valid = validity(await asyncio.to_thread(Path(etcd.server_cert).read_bytes))
        assert valid is not None
        assert found == Certificate("etcd-server", etcd.endpoints[0], valid.not_after, valid.not_before, is_served=True)
        etcd.pause(etcd.members[0])
        monkeypatch.setattr(served, "HANDSHAKE_DEADLINE_S", 0.3)
        with pytest.raises(UnreachableError, match="no TLS handshake"):
            await readings(ServedCertificates(None, lambda: etcd.endpoints, Clock()))


async def test_api_server_and_etcd_in_one_reading(authority: Authority, tmp_path: Path) -> None:
    async with quiet_loopback(server_context(authority)) as server:
        cluster = {"insecure-skip-tls-verify": True}
        async with await connected(kubeconfig(tmp_path, server.url, {"token": "t"}, cluster)) as client:
            endpoints = [f"127.0.0.1:{port_of(server.url)}", "https://127.0.0.1:1", "https://[bad", "http://plain:2379"]
            async with running(ServedCertificates(client, lambda: endpoints, Clock())) as heard:
                await heard.until_state(SourceState.LIVE, "control-plane/certificates")
    found = heard.situation.certificates
    assert [(item.name, item.place, bool(item.error)) for item in found] == [
        ("apiserver", server.url, False),
        ("etcd-server", f"https://127.0.0.1:{port_of(server.url)}", False),
        ("etcd-server", "https://127.0.0.1:1", True),
        ("etcd-server", "https://[bad", True),
    ]
    assert all(item.is_served for item in found)
    assert server.asked == [], "nothing is sent"


async def test_they_are_read_every_five_minutes_and_when_the_members_change(authority: Authority) -> None:
    clock = Clock()
    async with quiet_loopback(server_context(authority)) as server:
        endpoints = [server.url]
        collector = ServedCertificates(None, lambda: endpoints, clock)
        assert len(await certificates(collector)) == 1
        assert await readings(collector) == []
        endpoints.append(server.url.replace("127.0.0.1", "localhost"))
        assert len(await certificates(collector)) == 2
        clock.now += timedelta(minutes=5)
        assert len(await certificates(collector)) == 2
        clock.now -= timedelta(hours=1)
        assert len(await certificates(collector)) == 2, "a clock that was set back stops nothing"


async def test_a_server_that_failed_is_asked_again_soon(authority: Authority) -> None:
    clock = Clock()
    async with quiet_loopback(server_context(authority)) as server:
        collector = ServedCertificates(None, lambda: [server.url, "https://127.0.0.1:1"], clock)
        assert [bool(item.error) for item in await certificates(collector)] == [False, True]
        assert await readings(collector) == []
        clock.now += timedelta(seconds=30)
        assert len(await certificates(collector)) == 2


async def test_a_hint_is_followed_at_once_but_not_all_the_time(authority: Authority) -> None:
    clock, hints = Clock(), [0]
    async with quiet_loopback(server_context(authority)) as server:
        collector = ServedCertificates(None, lambda: [server.url], clock, hint=lambda: hints[-1])
        assert len(await certificates(collector)) == 1
        hints.append(1)
        assert await readings(collector) == [], "read a moment ago"
        clock.now += timedelta(seconds=10)
        assert len(await certificates(collector)) == 1
        clock.now += timedelta(seconds=10)
        assert await readings(collector) == [], "the hint was followed"


def test_what_hints_at_another_certificate() -> None:
    hints, known, turns = CertificateHints(), Situation(), []
    steps: list[Callable[[], object]] = [
        lambda: tell(known, 1, ago_s=7, page=page()),
        lambda: tell(known, 1, ago_s=6, status=status()),
        lambda: silence(known, 1, ago_s=5),
        lambda: tell(known, 1, ago_s=4, page=page()),
        lambda: tell(known, 1, ago_s=3, page=page(started_at=2.0)),
        lambda: tell(known, 1, ago_s=2, state=SourceState.UNAUTHORIZED, error="certificate has expired"),
        lambda: tell(known, 1, ago_s=1, state=SourceState.UNAUTHORIZED, error="certificate has expired"),
        lambda: known.apply(Reading("kubernetes/readyz", SourceState.UNREACHABLE, NOW, error="x509: expired")),
        lambda: known.apply(Reading("kubernetes/readyz", SourceState.UNREACHABLE, NOW, error="connection refused")),
    ]
    for step in steps:
        step()
        hints.tell(known, NOW)
        turns.append(hints.turn)
    assert turns == [0, 0, 0, 1, 2, 3, 3, 4, 4], "back, restarted, expired, expired at the API server"


async def test_through_a_proxy_it_is_not_read_and_says_so(authority: Authority, tmp_path: Path) -> None:
    said = "certificate of https://10.0.0.1:6443 is not read through the proxy http://proxy.example:3128"
    cluster = {"proxy-url": "http://user:secret@proxy.example:3128"}
    file = kubeconfig(tmp_path, "https://10.0.0.1:6443", {"token": "t"}, cluster)
    async with quiet_loopback(server_context(authority)) as etcd, await connected(file) as client:
        api_server, _ = await certificates(ServedCertificates(client, lambda: [etcd.url], Clock()))
        assert api_server.error == said
        with pytest.raises(AbsentError, match=said):
            await readings(ServedCertificates(client, tuple, Clock()))


async def test_this_nodes_servers_are_compared_with_their_files(authority: Authority, tmp_path: Path) -> None:
    """The API server was not restarted after its certificate was renewed."""
    renewed, _ = authority.issue("renewed", days="300")
    (tmp_path / "manifests").mkdir()
    (tmp_path / "pki").mkdir()
    shutil.copy(renewed, tmp_path / "pki" / "apiserver.crt")
    async with quiet_loopback(server_context(authority)) as server:
        (tmp_path / "manifests" / "kube-apiserver.yaml").write_text(f"- --secure-port={port_of(server.url)}\n")
        local = ServedCertificates(None, tuple, Clock(), lambda: local_servers(tmp_path)[:1], "cp-1")
        files = CertificateFiles(tmp_path, tmp_path / "kubelet", Clock(), "cp-1")
        async with running(local, files) as heard:
            await heard.until_state(SourceState.LIVE, local.name)
            await heard.until_state(SourceState.LIVE, files.name)
    (found,) = renewed_but_not_served(heard.situation.certificates)
    assert (found.served.place, found.served.node) == (server.url, "cp-1")
    assert found.file.place == str(tmp_path / "pki" / "apiserver.crt")
    elsewhere = [msgspec.structs.replace(found.served, node=""), found.file]
    assert renewed_but_not_served(elsewhere) == (), "it may be another node's process"
    assert renewed_but_not_served([found.served, msgspec.structs.replace(found.file, not_after=None)]) == ()


def test_servers_of_this_host(tmp_path: Path) -> None:
    assert local_servers(tmp_path) == ()
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "kube-apiserver.yaml").touch()
    assert [server.name for server in local_servers(tmp_path)] == ["apiserver", "kubelet-server"]
    (tmp_path / "manifests" / "etcd.yaml").touch()
    assert [server.url for server in local_servers(tmp_path)] == [
        "https://127.0.0.1:6443",
        "https://127.0.0.1:2379",
        "https://127.0.0.1:10250",
    ]


@pytest.mark.parametrize("host", [".", "a" * 70, "x..y"])
async def test_what_cannot_be_a_name(host: str) -> None:
    with pytest.raises(UnreachableError, match="not a usable name"):
        await served_certificate(host, 1, deadline_s=5)


async def test_without_any_server_with_tls_it_is_absent(tmp_path: Path) -> None:
    async with await connected(kubeconfig(tmp_path, "http://127.0.0.1:8001", {"token": "t"})) as client:
        with pytest.raises(AbsentError) as raised:
            await readings(ServedCertificates(client, tuple, Clock()))
    assert raised.value.retry_after_s == 30.0
