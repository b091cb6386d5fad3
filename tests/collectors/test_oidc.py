"""OpenID users: tokens renewed at a real issuer on loopback, and never a word into the user's kubeconfig."""

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from collectors.errors import ConfigurationError, UnauthorizedError
from collectors.kubernetes import client as client_module
from collectors.kubernetes.collect import kubernetes_collectors
from collectors.kubernetes.oidc import expiry_of
from simulator.server import Simulator
from situation.clock import utc_now
from situation.readings import SourceState
from tests.build import pod
from tests.collectors.harness import reflecting, running
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

PODS = "/api/v1/pods"


def jwt(expires: datetime, name: str = "t") -> str:
    claims = {"iss": "it", "jti": name, "exp": int(expires.timestamp())}
    parts = [base64.urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode() for part in ({}, claims)]
    return ".".join([*parts, "c2ln"])


class Issuer:
    """Gives the tokens in `gives` one after another, for `accepts` only; the API server takes the newest."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.url = ""
        self.accepts = "refresh-1"
        self.gives: list[str] = []
        self.discovery: dict[str, Any] = {}
        """Laid over the true document."""
        self.answer: tuple[int, str] | None = None
        """Status and body that take the place of a token."""
        self.next_refresh = ""
        self.hangs = False
        self.asked: list[dict[str, str]] = []
        """Form and Authorization header of each token request."""

    async def discover(self, request: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "token_endpoint": f"{self.url}/token", **self.discovery})

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append({**form, "authorization": request.headers.get("Authorization", "")})
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.answer:
            return web.Response(status=self.answer[0], text=self.answer[1])
        if form["grant_type"] != "refresh_token" or form["refresh_token"] != self.accepts:
            said = {"error": "invalid_grant", "error_description": "Token is not active"}
            return web.json_response(said, status=400)
        self.simulator.token = self.gives.pop(0)
        answer = {"id_token": self.simulator.token, "token_type": "Bearer", "scope": None}
        if self.next_refresh:
            self.accepts = self.next_refresh
            answer["refresh_token"] = self.next_refresh
        return web.json_response(answer)


@asynccontextmanager
async def serving(issuer: Issuer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    app = web.Application()
    app.router.add_get("/realm/.well-known/openid-configuration", issuer.discover)
    app.router.add_post("/realm/token", issuer.token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    issuer.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/realm"
    try:
        yield issuer
    finally:
        await runner.cleanup()


@pytest.fixture
async def issuer(simulator: Simulator) -> AsyncIterator[Issuer]:
    async with serving(Issuer(simulator)) as found:
        yield found


def user(issuer: Issuer, id_token: str = "", refresh: str = "refresh-1", **more: str) -> dict[str, Any]:
    config = {"idp-issuer-url": issuer.url, "client-id": "kube", "id-token": id_token, "refresh-token": refresh}
    return {"auth-provider": {"name": "oidc", "config": {**config, **more}}}


async def test_a_good_token_is_used_and_the_issuer_left_alone(issuer: Issuer, tmp_path: Path) -> None:
    issuer.simulator.token = jwt(datetime.now(UTC) + timedelta(hours=1))
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, issuer.simulator.token))
    async with await connected(file) as client:
        assert (await client.get(PODS))[0] == 200
    assert not issuer.asked


@pytest.mark.parametrize("filed", ["", "expired"])
async def test_at_the_start_an_expired_or_missing_token_is_renewed_once(
    issuer: Issuer, tmp_path: Path, filed: str
) -> None:
    clock = Clock()
    issuer.gives = [jwt(clock.now + timedelta(hours=1))]
    old = jwt(clock.now - timedelta(hours=1)) if filed else ""
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, old))
    before = file.read_bytes()
    async with await connected(file, clock) as client:
        assert not issuer.asked, "nothing is sent before it is needed"
        await asyncio.gather(*(client.get(PODS) for _ in range(5)))
    assert issuer.asked == [
        {"grant_type": "refresh_token", "refresh_token": "refresh-1", "client_id": "kube", "authorization": ""}
    ]
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["kubeconfig"]


async def test_mid_run_it_is_renewed_before_it_ends_with_the_newest_refresh_token(
    issuer: Issuer, tmp_path: Path
) -> None:
    clock = Clock()
    first = issuer.simulator.token = jwt(clock.now + timedelta(minutes=5), "first")
    issuer.gives = [jwt(clock.now + timedelta(minutes=5 * count), str(count)) for count in (2, 3)]
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, first))
    before = file.read_bytes()
    async with await connected(file, clock) as client:
        await client.get(PODS)
        issuer.next_refresh = "refresh-2"
        clock.now += timedelta(minutes=4, seconds=45)
        await client.get(PODS)
        clock.now += timedelta(minutes=5)
        await client.get(PODS)
    assert [request["refresh_token"] for request in issuer.asked] == ["refresh-1", "refresh-2"]
    assert file.read_bytes() == before


async def test_a_replaced_refresh_token_is_told_once(
    issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.next_refresh = "refresh-2"
    issuer.gives = [jwt(datetime.now(UTC) + timedelta(minutes=5))]
    async with await connected(kubeconfig(tmp_path, issuer.simulator.url, user(issuer))) as client:
        await client.get(PODS)
    (record,) = [record for record in caplog.records if record.name == "collectors.kubernetes.oidc"]
    assert "the issuer replaced the refresh token; kubectl may ask for a login" in record.getMessage()
    assert "refresh-2" not in caplog.text


async def test_after_a_401_it_is_renewed_and_collectors_go_on(issuer: Issuer, tmp_path: Path) -> None:
    """The issuer's keys were replaced: a token is refused although it has not ended."""
    filed = issuer.simulator.token = jwt(datetime.now(UTC) + timedelta(hours=1), "filed")
    issuer.gives = [jwt(datetime.now(UTC) + timedelta(hours=1), "new")]
    issuer.simulator.cluster.put("pods", pod("web-1"))
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, filed))
    async with await connected(file) as client, reflecting(client) as heard:
        await heard.until_pods("web-1")
        issuer.simulator.token = "nobody has this one"
        issuer.simulator.cluster.put("pods", pod("web-2"))
        await issuer.simulator.cut()
        await heard.until_pods("web-1", "web-2")
        assert SourceState.UNAUTHORIZED not in {reading.state for reading in heard.readings}
    assert len(issuer.asked) == 1


async def test_a_clock_that_runs_ahead_does_not_make_us_ask_for_each_request(issuer: Issuer, tmp_path: Path) -> None:
    clock = Clock()
    issuer.gives = [jwt(clock.now - timedelta(minutes=5), name) for name in ("one", "two")]
    async with await connected(kubeconfig(tmp_path, issuer.simulator.url, user(issuer)), clock) as client:
        for _ in range(3):
            assert (await client.get(PODS))[0] == 200
        assert len(issuer.asked) == 1
        issuer.simulator.token = "nobody has this one"
        assert (await client.get(PODS))[0] == 200, "renewed after the 401"
    assert len(issuer.asked) == 2


async def test_what_kubectl_renewed_in_the_file_comes_first(issuer: Issuer, tmp_path: Path) -> None:
    clock = Clock()
    filed = issuer.simulator.token = jwt(clock.now + timedelta(minutes=5), "filed")
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, filed))
    async with await connected(file, clock) as client:
        await client.get(PODS)
        issuer.simulator.token = jwt(clock.now + timedelta(hours=1), "by kubectl")
        kubeconfig(tmp_path, issuer.simulator.url, user(issuer, issuer.simulator.token, "refresh-2"))
        clock.now += timedelta(minutes=4, seconds=45)
        await client.get(PODS)
    assert not issuer.asked


async def test_a_client_secret_is_sent_the_way_the_issuer_takes_it(issuer: Issuer, tmp_path: Path) -> None:
    secret = user(issuer, **{"client-secret": "s e:c"})
    for methods in (None, ["client_secret_post"]):
        issuer.discovery = {"token_endpoint_auth_methods_supported": methods}
        issuer.gives = [jwt(datetime.now(UTC) + timedelta(hours=1))]
        async with await connected(kubeconfig(tmp_path, issuer.simulator.url, secret)) as client:
            await client.get(PODS)
    basic, post = issuer.asked
    assert base64.b64decode(basic["authorization"].removeprefix("Basic ")) == b"kube:s+e%3Ac"
    assert "client_secret" not in basic
    assert (post["authorization"], post["client_secret"]) == ("", "s e:c")


LOGIN = "log in again with the tool that wrote these tokens"


async def test_a_refused_refresh_token_is_not_sent_twice_and_a_login_helps(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PLUGIN_RETRY_S", 0.0)
    issuer.accepts = "refresh-2"
    issuer.gives = [jwt(datetime.now(UTC) + timedelta(hours=1))]
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer))
    async with await connected(file) as client:
        for _ in range(3):
            with pytest.raises(UnauthorizedError) as raised:
                await client.get(PODS)
        said = f"{issuer.url}/token does not accept the refresh-token (invalid_grant: Token is not active)"
        assert str(raised.value).startswith(
            f"the id-token of user 'u' of {file} cannot be renewed: {said}; {LOGIN}, or put new ones there with"
        )
        assert len(issuer.asked) == 1
        kubeconfig(tmp_path, issuer.simulator.url, user(issuer, refresh="refresh-2"))
        assert (await client.get(PODS))[0] == 200


async def test_where_the_renewal_is_kubectls_the_issuer_is_left_alone(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PLUGIN_RETRY_S", 0.0)
    ends = datetime.now(UTC) - timedelta(hours=1)
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, jwt(ends)))
    async with await connected(file, oidc_renew=False) as client:
        with pytest.raises(UnauthorizedError) as raised:
            await client.get(PODS)
        assert str(raised.value) == (
            f"the id-token of user 'u' of {file} (valid until {ends:%Y-%m-%d %H:%M:%S} UTC) is expired or not "
            f"accepted, and renewing it is left to kubectl: run `kubectl --kubeconfig {file} --context prod get ns`, "
            "or allow it with `oidc_renew = true` in the configuration file"
        )
        issuer.simulator.token = jwt(datetime.now(UTC) + timedelta(hours=1), "by kubectl")
        kubeconfig(tmp_path, issuer.simulator.url, user(issuer, issuer.simulator.token, "refresh-2"))
        assert (await client.get(PODS))[0] == 200
    assert not issuer.asked


async def test_without_refresh_token_it_says_how_to_log_in(issuer: Issuer, tmp_path: Path) -> None:
    ends = datetime.now(UTC) - timedelta(hours=1)
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, jwt(ends), ""))
    error = await error_of(file)
    assert isinstance(error, UnauthorizedError)
    assert str(error).startswith(
        f"the id-token of user 'u' of {file} (valid until {ends:%Y-%m-%d %H:%M:%S} UTC) is expired or not accepted, "
        f"and there is no refresh-token: {LOGIN}"
    )
    assert not issuer.simulator.requests
    with pytest.raises(ConfigurationError, match="auth-provider 'oidc' holds no token: log in again"):
        await connected(kubeconfig(tmp_path, issuer.simulator.url, user(issuer, "", "")))


async def test_an_unreachable_issuer_is_asked_seldom_and_the_token_used_to_its_end(
    issuer: Issuer, tmp_path: Path
) -> None:
    clock = Clock()
    issuer.simulator.token = jwt(clock.now + timedelta(minutes=5))
    nowhere = {"idp-issuer-url": "http://127.0.0.1:1/realm"}
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer, issuer.simulator.token, **nowhere))
    async with await connected(file, clock) as client:
        await client.get(PODS)
        clock.now += timedelta(minutes=4, seconds=45)
        assert (await client.get(PODS))[0] == 200
        clock.now += timedelta(minutes=1)
        with pytest.raises(UnauthorizedError) as raised:
            await client.get(PODS)
    assert "cannot connect to http://127.0.0.1:1/realm: connection refused; if that does not pass, log in" in str(
        raised.value
    )


async def test_an_issuer_that_hangs_holds_up_no_other_source(issuer: Issuer, tmp_path: Path) -> None:
    issuer.hangs = True
    file = kubeconfig(tmp_path, issuer.simulator.url, user(issuer))
    async with await connected(file, plugin_deadline_s=1.0) as client:
        async with running(*kubernetes_collectors(client, clock=utc_now)) as heard:
            await heard.until(lambda: heard.situation.source("midwatch/load").has_value)
            source = await heard.until_state(SourceState.UNAUTHORIZED)
            await heard.until_state(SourceState.UNAUTHORIZED, "nodes")
    assert f"{issuer.url} did not answer within 1 s" in source.error
    assert len(issuer.asked) == 1


WRONG: dict[str, tuple[dict[str, Any], tuple[int, str] | None, str]] = {
    "plain token endpoint": ({"token_endpoint": "http://issuer.example/token"}, None, "not https://"),
    "no token endpoint": ({"token_endpoint": None}, None, "is no OpenID discovery document"),
    "login page": ({}, (200, "<html>"), "/token answered 200, and not in JSON"),
    "moved": ({}, (302, "{}"), "/token answered 302"),
    "no id-token": ({}, (200, '{"access_token":"a"}'), "gave no id-token"),
    "client refused": ({}, (401, '{"error":"invalid_client"}'), "/token answered 401: invalid_client"),
    "too much": ({}, (200, "x" * 2**21), "more than 1 MiB"),
    "line break": ({}, (200, '{"id_token":"a\\nb"}'), "holds line breaks"),
    "escape": ({}, (400, '{"error":"\\u001b[2J"}'), "␛[2J"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_an_issuer_does_wrong_is_said(issuer: Issuer, tmp_path: Path, case: str) -> None:
    issuer.discovery, issuer.answer, said = WRONG[case]
    error = await error_of(kubeconfig(tmp_path, issuer.simulator.url, user(issuer)))
    assert said in str(error)
    assert not issuer.simulator.requests


@pytest.mark.parametrize("missing", ["idp-issuer-url", "client-id"])
async def test_missing_keys_are_named(issuer: Issuer, tmp_path: Path, missing: str) -> None:
    error = await error_of(kubeconfig(tmp_path, issuer.simulator.url, user(issuer, **{missing: ""})))
    assert f"{missing} is missing in its auth-provider section" in str(error)


async def test_a_plain_issuer_elsewhere_gets_no_refresh_token(issuer: Issuer, tmp_path: Path) -> None:
    there = {"idp-issuer-url": "http://issuer.example"}
    error = await error_of(kubeconfig(tmp_path, issuer.simulator.url, user(issuer, **there)))
    assert "idp-issuer-url must be an https:// URL, not http://issuer.example" in str(error)


@needs_openssl
@pytest.mark.parametrize("key", ["idp-certificate-authority", "idp-certificate-authority-data"])
async def test_the_issuers_certificate_is_verified(simulator: Simulator, tmp_path: Path, key: str) -> None:
    (tmp_path / "tls").mkdir()
    certificates = Certificates(tmp_path / "tls")
    authority = str(certificates.folder / "ca.pem")
    value = authority if key == "idp-certificate-authority" else encoded(authority)
    async with serving(Issuer(simulator), server_context(certificates)) as issuer:
        issuer.gives = [jwt(datetime.now(UTC) + timedelta(hours=1))]
        file = kubeconfig(tmp_path, simulator.url, user(issuer))
        assert f"certificate of {issuer.url} is not signed by" in str(await error_of(file))
        assert not issuer.asked, "the refresh token did not leave"
        kubeconfig(tmp_path, simulator.url, user(issuer, **{key: "bad"}))
        assert "cannot use the issuer's certificate authority" in str(await error_of(file))
        kubeconfig(tmp_path, simulator.url, user(issuer, **{key: value}))
        async with await connected(file) as client:
            assert (await client.get(PODS))[0] == 200


@pytest.mark.parametrize("token", ["", "midwatch-demo", "a.b.c", "a.e30.c", "a.W10.c", "a.eyJleHAiOjFlOTl9.c", "é.é.é"])
def test_a_token_that_does_not_tell_its_end(token: str) -> None:
    assert expiry_of(token) is None
