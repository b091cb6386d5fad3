"""Credentials: exec plugins, token files, certificates, and their renewal."""

import base64
import os
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from collectors.errors import BadAnswerError, ConfigurationError, UnauthorizedError, UnreachableError
from collectors.kubernetes.certificates import not_after
from simulator.server import Simulator
from tests.collectors.kubeconfigs import (
    Certificates,
    Clock,
    connected,
    encoded,
    error_of,
    kubeconfig,
    needs_openssl,
    server_context,
)
from tests.collectors.loopback import Loopback, http

V1 = "client.authentication.k8s.io/v1"


def plugin(folder: Path, code: str, name: str = "aws", **fields: Any) -> dict[str, Any]:
    """Return a user whose exec plugin is a Python program."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{code}\n")
    file.chmod(0o755)
    return {"exec": {"command": str(file), "apiVersion": V1, **fields}}


def giving(token: str, expires: str | None = None) -> str:
    status = {"token": token, **({"expirationTimestamp": expires} if expires else {})}
    return f"print(json.dumps({ {'apiVersion': V1, 'kind': 'ExecCredential', 'status': status}!r}))"


async def test_plugin_gives_the_token_and_is_asked_once(simulator: Simulator, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write('x')\nassert sys.stdin.read() == ''\n" + giving("midwatch-demo")
    async with await connected(kubeconfig(tmp_path, simulator.url, plugin(tmp_path, code))) as client:
        assert not log.exists(), "nothing runs before it is needed"
        for _ in range(3):
            assert (await client.get("/api/v1/pods"))[0] == 200
    assert log.read_text() == "x"


async def test_plugin_cannot_take_keys_from_the_terminal(simulator: Simulator, tmp_path: Path) -> None:
    """Our own standard input is a pipe here in which nothing ever comes: reading it would hang."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        user = plugin(tmp_path, "sys.stdin.read()\n" + giving("midwatch-demo"))
        file = kubeconfig(tmp_path, simulator.url, user)
        async with await connected(file, plugin_deadline_s=5) as client:
            assert (await client.get("/api/v1/pods"))[0] == 200
    finally:
        os.dup2(before, 0)
        for handle in (before, reading, writing):
            os.close(handle)


async def test_plugin_gets_environment_and_cluster(simulator: Simulator, tmp_path: Path) -> None:
    code = (
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        f"ok = info['spec']['cluster']['server'] == {simulator.url!r} and info['spec']['interactive'] is False\n"
        "ok = ok and os.environ['PROFILE'] == 'night' and sys.argv[1:] == ['get', 'token']\n"
        "ok or sys.exit('wrong: ' + json.dumps(info))\n" + giving("midwatch-demo")
    )
    user = plugin(
        tmp_path,
        code,
        args=["get", "token"],
        env=[{"name": "PROFILE", "value": "night"}],
        provideClusterInfo=True,
    )
    async with await connected(kubeconfig(tmp_path, simulator.url, user)) as client:
        assert (await client.get("/api/v1/pods"))[0] == 200


PLUGINS: dict[str, tuple[str, str]] = {
    "fails": (
        "sys.exit('Error loading SSO Token: expired')",
        "failed with exit code 1: Error loading SSO Token: expired",
    ),
    "silent": ("sys.exit(3)", "failed with exit code 3: it said nothing; renew with: aws sso login"),
    "hangs": ("time.sleep(60)", "did not answer within 0.5 s"),
    "child holds the pipe": ("os.fork() or time.sleep(60)\ntime.sleep(60)", "did not answer within 0.5 s"),
    "garbage": ("print('Opening browser...')", "printed no ExecCredential"),
    "no status": (f"print(json.dumps({{'apiVersion': {V1!r}, 'kind': 'ExecCredential'}}))", "with a status"),
    "other version": (
        "print(json.dumps({'apiVersion': 'x', 'kind': 'ExecCredential', 'status': {}}))",
        "update the plugin",
    ),
    "empty status": (
        f"print(json.dumps({{'apiVersion': {V1!r}, 'kind': 'ExecCredential', 'status': {{}}}}))",
        "neither a token nor a certificate",
    ),
    "line break in the token": (giving("a\nX-Evil: 1"), "holds line breaks"),
}


@pytest.mark.parametrize("case", PLUGINS)
async def test_what_a_plugin_does_wrong_is_said(simulator: Simulator, tmp_path: Path, case: str) -> None:
    code, said = PLUGINS[case]
    file = kubeconfig(tmp_path, simulator.url, plugin(tmp_path, code))
    error = await error_of(file, plugin_deadline_s=0.5 if "answer within" in said else 20.0)
    assert said in str(error)
    if "log in again" in str(error):
        assert str(error).endswith(
            f"run `kubectl --kubeconfig {file} --context prod get ns` in a terminal to log in again ({file}: user 'u')"
        )
    assert not simulator.requests


async def test_missing_plugin(simulator: Simulator, tmp_path: Path) -> None:
    user = {"exec": {"command": "no-such-login", "apiVersion": V1, "installHint": "see the wiki"}}
    error = await error_of(kubeconfig(tmp_path, simulator.url, user))
    assert isinstance(error, UnauthorizedError)
    assert str(error).startswith("exec plugin 'no-such-login' not found: install it")
    assert str(error).endswith("see the wiki")


@pytest.mark.parametrize("section", [{}, {"command": "x"}, {"command": "x", "apiVersion": "v1"}])
async def test_plugin_sections_that_cannot_be_run(
    simulator: Simulator, tmp_path: Path, section: dict[str, Any]
) -> None:
    error = await error_of(kubeconfig(tmp_path, simulator.url, {"exec": section}))
    assert isinstance(error, ConfigurationError)
    assert f"{tmp_path / 'kubeconfig'}: user 'u': exec:" in str(error)


async def test_plugin_runs_again_before_its_token_expires(simulator: Simulator, tmp_path: Path) -> None:
    clock = Clock()
    expires = (clock.now + timedelta(minutes=15)).isoformat()
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write('x')\n" + giving("midwatch-demo", expires)
    async with await connected(kubeconfig(tmp_path, simulator.url, plugin(tmp_path, code)), clock) as client:
        await client.get("/version")
        clock.now += timedelta(minutes=13)
        await client.get("/version")
        assert log.read_text() == "x"
        clock.now += timedelta(minutes=1, seconds=30)
        await client.get("/version")
        assert log.read_text() == "xx"


async def test_a_token_that_still_holds_is_used_when_renewal_fails(simulator: Simulator, tmp_path: Path) -> None:
    clock = Clock()
    expires = (clock.now + timedelta(minutes=15)).isoformat()
    code = "os.path.exists(__file__ + '.used') and sys.exit('no')\nopen(__file__ + '.used', 'w')\n"
    user = plugin(tmp_path, code + giving("midwatch-demo", expires))
    async with await connected(kubeconfig(tmp_path, simulator.url, user), clock) as client:
        await client.get("/version")
        clock.now += timedelta(minutes=14, seconds=30)
        assert (await client.get("/api/v1/pods"))[0] == 200
        clock.now += timedelta(minutes=1)
        with pytest.raises(UnauthorizedError, match="failed with exit code 1"):
            await client.get("/api/v1/pods")


async def test_plugin_runs_again_after_a_401_but_not_on_each(simulator: Simulator, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write('x')\n" + giving("revoked")
    async with await connected(kubeconfig(tmp_path, simulator.url, plugin(tmp_path, code))) as client:
        for _ in range(5):
            with pytest.raises(UnauthorizedError, match="renew with: aws sso login"):
                await client.get("/api/v1/pods")
    assert log.read_text() == "xx"


async def test_token_file_is_read_again(simulator: Simulator, tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "token").write_text("midwatch-demo\n")
    async with await connected(kubeconfig(tmp_path, simulator.url, {"tokenFile": "token"}), clock) as client:
        await client.get("/api/v1/pods")
        simulator.token = "rotated"
        (tmp_path / "token").write_text("rotated\n")
        clock.now += timedelta(seconds=61)
        await client.get("/api/v1/pods")
    assert [r.headers["Authorization"] for r in simulator.requests] == ["Bearer midwatch-demo", "Bearer rotated"]


async def test_empty_token_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigurationError, match=r"the token file .*/token is empty"):
        await connected(kubeconfig(tmp_path, "http://127.0.0.1:1", {"tokenFile": "token"}))


async def test_token_of_another_provider_is_used_as_it_is(simulator: Simulator, tmp_path: Path) -> None:
    user = {"auth-provider": {"name": "gcp", "config": {"access-token": "midwatch-demo"}}}
    async with await connected(kubeconfig(tmp_path, simulator.url, user)) as client:
        assert (await client.get("/api/v1/pods"))[0] == 200
    with pytest.raises(ConfigurationError, match="auth-provider 'gcp' holds no token"):
        await connected(kubeconfig(tmp_path, simulator.url, {"auth-provider": {"name": "gcp"}}))


async def test_impersonation_and_no_user(simulator: Simulator, tmp_path: Path) -> None:
    user = {"token": "midwatch-demo", "as": "viewer", "as-groups": ["night", "watch"]}
    async with await connected(kubeconfig(tmp_path, simulator.url, user)) as client:
        await client.get("/api/v1/pods")
    assert simulator.requests[0].headers["Impersonate-User"] == "viewer"
    error = await error_of(kubeconfig(tmp_path, simulator.url, {}))
    assert "wants credentials" in str(error)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("certificate-authority-data", "AAAAA", "certificate-authority-data: not base64: "),
        (
            "certificate-authority-data",
            base64.b64encode(b"none").decode(),
            "certificate-authority-data: no certificate or key in PEM in it",
        ),
        (
            "certificate-authority-data",
            base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode(),
            "certificate-authority-data holds no usable certificate: ",
        ),
        ("certificate-authority", "ca.pem", "certificate-authority {folder}/ca.pem holds no usable certificate: "),
        ("certificate-authority", "gone.pem", "certificate-authority: cannot read {folder}/gone.pem: No such file"),
    ],
)
async def test_broken_certificates_are_named_by_key_and_file(tmp_path: Path, key: str, value: str, said: str) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    file = kubeconfig(tmp_path, "https://127.0.0.1:1", {}, {key: value})
    with pytest.raises(ConfigurationError) as raised:
        await connected(file)
    assert str(raised.value).startswith(str(file))
    assert said.format(folder=tmp_path) in str(raised.value)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("authority"))


async def serve(context: ssl.SSLContext | None) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1.36.2"})

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    await runner.cleanup()


@needs_openssl
async def test_tls_with_client_certificate(certificates: Certificates, tmp_path: Path) -> None:
    context = server_context(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.folder / "ca.pem")
    certificate, key = certificates.issue("somebody")
    user = {
        "client-certificate-data": encoded(certificate),
        "client-key-data": encoded(key),
    }
    cluster = {"certificate-authority": str(certificates.folder / "ca.pem")}
    async for url in serve(context):
        async with await connected(kubeconfig(tmp_path, url, user, cluster)) as client:
            assert (await client.get("/version"))[0] == 200


@needs_openssl
async def test_certificate_of_another_authority_names_the_context(certificates: Certificates, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Certificates(tmp_path / "other")
    async for url in serve(server_context(certificates)):
        file = kubeconfig(tmp_path, url, {}, {"certificate-authority": "other/ca.pem"})
        error = await error_of(file)
        assert isinstance(error, BadAnswerError)
        assert str(error) == f"certificate of {url} is not signed by the CA in {file} (context prod)"
        file = kubeconfig(tmp_path, url, {}, {"insecure-skip-tls-verify": True})
        async with await connected(file) as client:
            assert (await client.get("/version"))[0] == 200


@needs_openssl
async def test_server_certificates_that_do_not_fit(certificates: Certificates, tmp_path: Path) -> None:
    cluster = {"certificate-authority": str(certificates.folder / "ca.pem")}
    async for url in serve(server_context(certificates, "elsewhere", host="DNS:elsewhere.example")):
        error = await error_of(kubeconfig(tmp_path, url, {}, cluster))
        assert "is for another name" in str(error)
        named = {**cluster, "tls-server-name": "elsewhere.example"}
        async with await connected(kubeconfig(tmp_path, url, {}, named)) as client:
            assert (await client.get("/version"))[0] == 200
    async for url in serve(server_context(certificates, "old", days="-1")):
        assert "has expired" in str(await error_of(kubeconfig(tmp_path, url, {}, cluster)))


@needs_openssl
async def test_expired_client_certificate_is_named_with_its_date(
    certificates: Certificates, simulator: Simulator, tmp_path: Path
) -> None:
    """The API server answers 401 to it; TLS itself succeeds."""
    certificate, key = certificates.issue("late", days="-1")
    error = await error_of(kubeconfig(tmp_path, simulator.url, {"client-certificate": certificate, "client-key": key}))
    expired = not_after(base64.b64decode(encoded(certificate)))
    assert expired is not None
    assert f"client certificate {certificate} expired on {expired:%Y-%m-%d}" in str(error)
    assert abs(expired - datetime.now(UTC) + timedelta(days=1)) < timedelta(minutes=5)


@needs_openssl
async def test_wrong_scheme(certificates: Certificates, tmp_path: Path) -> None:
    async for url in serve(None):
        error = await error_of(kubeconfig(tmp_path, url.replace("http:", "https:"), {}))
        assert "does not speak TLS" in str(error)
    async for url in serve(server_context(certificates)):
        plain = url.replace("https:", "http:")
        error = await error_of(kubeconfig(tmp_path, plain, {}))
        assert isinstance(error, UnreachableError)
        assert str(error) == (
            f"{plain} closed the connection without an answer: does it speak TLS? Its URL begins with http://"
        )


async def test_what_a_server_in_go_answers_to_plain_http_on_its_tls_port(tmp_path: Path) -> None:
    said = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    async with Loopback({"/api/v1/pods": said}) as server:
        error = await error_of(kubeconfig(tmp_path, server.url, {}))
        assert str(error) == f"{server.url} speaks TLS, and its URL begins with http://"


async def test_a_server_that_has_answered_in_plain_http_is_not_asked_for_tls(tmp_path: Path) -> None:
    async with (
        Loopback({"/version": http("{}"), "/api/v1/pods": b""}) as server,
        await connected(kubeconfig(tmp_path, server.url, {})) as client,
    ):
        await client.get("/version")
        with pytest.raises(UnreachableError, match="closed the connection in the middle of an answer"):
            await client.get("/api/v1/pods")


async def test_unreachable_servers(tmp_path: Path) -> None:
    refused = await error_of(kubeconfig(tmp_path, "http://127.0.0.1:1", {}))
    assert str(refused) == "cannot connect to http://127.0.0.1:1: connection refused"
    unknown = await error_of(kubeconfig(tmp_path, "http://no-such-host.invalid:1", {}))
    assert "name cannot be resolved" in str(unknown)
    proxied = await error_of(
        kubeconfig(tmp_path, "http://10.0.0.1:1", {}, {"proxy-url": "http://u:secret@127.0.0.1:1"})
    )
    assert str(proxied) == "cannot connect to the proxy http://127.0.0.1:1 for http://10.0.0.1:1: connection refused"


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", b"\xff" * 100])
def test_what_is_no_certificate_has_no_expiry(pem: bytes) -> None:
    assert not_after(pem) is None
