"""The components of this host, asked on loopback without an API server."""

import asyncio
import socket
from pathlib import Path

import pytest

from collectors.control_plane import local
from collectors.control_plane.local import COMPONENTS, LocalHealthPoll, check_components
from collectors.errors import AbsentError
from situation.local_health import LocalCheck, LocalHealth
from situation.readings import SourceState
from tests.collectors.harness import running
from tests.collectors.kubeconfigs import Certificates, Clock, needs_openssl, server_context
from tests.collectors.loopback import HANG, Loopback, http

API_SERVER, SCHEDULER, MANAGER, KUBELET = COMPONENTS
FROZEN = "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"


def port_of(server: Loopback) -> int:
    return int(server.url.rpartition(":")[2])


def manifest(folder: Path, name: str, port: int) -> None:
    (folder / "manifests").mkdir(exist_ok=True)
    text = f"spec:\n  containers:\n  - command:\n    - {name}\n    - --secure-port={port}\n"
    (folder / "manifests" / f"{name}.yaml").write_text(text)


@needs_openssl
async def test_a_control_plane_node_whose_etcd_stands_still(tmp_path: Path) -> None:
    """Its certificates are its own, and nobody's credentials are sent."""
    tls = server_context(Certificates(tmp_path))
    answers = {"/livez": http("ok"), "/readyz": http(FROZEN, "500 Internal Server Error"), "/healthz": http("ok")}
    async with Loopback(answers, tls=tls) as secure, Loopback({"/healthz": http("ok")}) as kubelet:
        for component in (API_SERVER, SCHEDULER):
            manifest(tmp_path, component.name, port_of(secure))
        components = (API_SERVER, SCHEDULER, MANAGER, KUBELET._replace(port=port_of(kubelet)))
        async with running(LocalHealthPoll(tmp_path, Clock(), components, "cp-1")) as heard:
            await heard.until_state(SourceState.LIVE, "control-plane/local")
    url = secure.url
    assert heard.situation.local_health == LocalHealth(
        "cp-1",
        (
            LocalCheck("kube-apiserver", f"{url}/livez?exclude=etcd", True),
            LocalCheck("kube-apiserver", f"{url}/readyz", False, "failed: etcd", ("etcd",)),
            LocalCheck("kube-scheduler", f"{url}/healthz", True),
            LocalCheck("kubelet", f"{kubelet.url}/healthz", True),
        ),
    ), "the controller-manager has no manifest here"
    assert [check.check for check in heard.situation.local_health.checks] == ["livez", "readyz", "healthz", "healthz"]
    assert secure.asked[0].query.get("exclude") in ("etcd", None)
    assert not any("authorization" in asked.headers for asked in secure.asked)


@pytest.mark.parametrize(
    ("answer", "healthy", "said"),
    [
        (http("ok"), True, ""),
        (http("", "500 Internal Server Error"), False, "it answers 500"),
        (http("no", "403 Forbidden"), None, "not to anonymous (403)"),
        (http("no", "401 Unauthorized"), None, "not to anonymous (401)"),
        (http("no", "404 Not Found"), None, "it answers 404"),
        (http("<html>"), None, "web page"),
        (http("welcome"), None, "is not what Kubernetes answers"),
        (http("x" * 2**18), None, "is not what Kubernetes answers"),
        (b"garbage\r\n\r\n", None, "no HTTP answer"),
        (HANG, False, "no answer within 0.2 s"),
    ],
)
async def test_answers(answer: bytes, healthy: bool | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CHECK_DEADLINE_S", 0.2 if answer == HANG else 5.0)
    async with Loopback({"/healthz": answer}) as server:
        (check,) = await check_components((KUBELET._replace(port=port_of(server)),))
    assert check.healthy is healthy
    assert said in check.text
    assert len(check.text) < 200


async def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else takes the port meanwhile
        (check,) = await check_components((SCHEDULER._replace(port=taken.getsockname()[1]),))
    assert (check.healthy, check.text) == (False, "nothing listens there (connection refused)")


async def test_plain_http_where_tls_is_expected() -> None:
    async with Loopback({"/healthz": http("ok")}) as server:
        (check,) = await check_components((SCHEDULER._replace(port=port_of(server)),))
    assert check.healthy is None
    assert check.text.startswith("no connection: ")


async def test_a_host_without_manifests_is_absent(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="no control plane node"):
        [reading async for reading in LocalHealthPoll(tmp_path, Clock()).collect()]


async def test_ports_that_are_none_are_not_taken(tmp_path: Path) -> None:
    manifest(tmp_path, "kube-scheduler", 99999)
    assert local.running_here(tmp_path / "manifests", (SCHEDULER,)) == (SCHEDULER,)


async def test_a_handshake_that_hangs_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped API server is asked every ten seconds: each time a file descriptor would be lost."""
    monkeypatch.setattr(local, "CHECK_DEADLINE_S", 0.2)
    closed = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        closed.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        (check,) = await check_components((SCHEDULER._replace(port=server.sockets[0].getsockname()[1]),))
        assert (check.healthy, check.text) == (False, "no answer within 0.2 s")
        async with asyncio.timeout(5):
            await closed.wait()
