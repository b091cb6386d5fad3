"""Renews the id-token of a kubeconfig's `auth-provider` section named `oidc`, as kubectl does.

The official client has a requestor for this (`kubernetes.aio.config.openid`, seen in version 37), which cannot be used:
without `idp-certificate-authority-data` it does not verify the issuer's certificate, so anybody in between is handed
the refresh token; with it, it gives aiohttp a file name for a TLS context, which is refused. It also knows no
`idp-certificate-authority`, wants a client secret and a new refresh token where OpenID Connect makes both optional, and
has no deadline. So discovery and the token request (OpenID Connect Core 1.0, section 12) are done here.

The user's kubeconfig is never written: new tokens live in memory. Where the issuer replaces the refresh token with each
use, the one in the file is spent by that, which is logged: kubectl will then ask for a login. Who cannot have that
leaves the renewal to kubectl: then the issuer is never asked, and the file is read again for what kubectl put there.
"""

import asyncio
import base64
import binascii
import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import msgspec

from collectors.errors import BadAnswerError, ConfigurationError, SourceError, UnauthorizedError
from collectors.kubernetes.failures import OIDC_LOGIN, Target, foreign_errors
from collectors.kubernetes.kubeconfig import Kubeconfig
from collectors.kubernetes.proxies import is_loopback, proxy_for
from situation.text import harmless

OIDC_DEADLINE_S: Final = 10.0
"""For discovery and the token request together."""
OR_ALLOW: Final = "or allow it with `oidc_renew = true` in the configuration file"
LIFE_MIN: Final = timedelta(seconds=10)
"""A new token that seems to live no longer says more about this machine's clock than about itself."""
ANSWER_LIMIT_BYTES: Final = 2**20
_SAID_SHOWN: Final = 200
_BASE64_QUANTUM: Final = 4

_log = logging.getLogger(__name__)


class OidcConfig(msgspec.Struct, frozen=True):
    """The `config` of the section; keys as in `kubectl config set-credentials --auth-provider-arg`."""

    kubeconfig: Kubeconfig
    issuer: str
    client_id: str
    client_secret: str
    id_token: str
    refresh_token: str
    authority: str
    """File with the issuer's CA; like kubectl, relative to the working directory."""
    authority_data: str
    """The same, base64 of PEM."""

    @property
    def who(self) -> str:
        return f"user {self.kubeconfig.user_name!r} of {self.kubeconfig.path}"


class Tokens(msgspec.Struct, frozen=True):
    """What is used now, and what stood in the file when it was got."""

    id_token: str
    refresh_token: str
    filed: tuple[str, str]
    """id-token and refresh-token of the file: when they change, somebody has logged in again."""
    expires_at: datetime | None
    """The end of the id-token, None if it is not known: then it is used until it is refused."""


class _Claims(msgspec.Struct):
    exp: float | None = None


class _Discovery(msgspec.Struct):
    token_endpoint: str
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None


class _Answer(msgspec.Struct):
    id_token: str | None = None
    refresh_token: str | None = None
    error: str | None = None
    error_description: str | None = None


def expiry_of(token: str) -> datetime | None:
    """Return the claim `exp` of a JSON Web Token (RFC 7519, section 4.1.4), None if it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % _BASE64_QUANTUM))
        exp = msgspec.json.decode(claims, type=_Claims).exp
        return None if exp is None else datetime.fromtimestamp(exp, UTC)
    except (binascii.Error, msgspec.MsgspecError, ValueError, OverflowError, OSError, RecursionError):
        return None


def is_oidc(user: Mapping[str, Any]) -> bool:
    """Tell whether a kubeconfig user logs in through an OpenID issuer."""
    provider = user.get("auth-provider")
    return isinstance(provider, dict) and provider.get("name") == "oidc"


def read_oidc(section: Mapping[str, Any], kubeconfig: Kubeconfig) -> OidcConfig:
    """Read an `auth-provider` section. Raises ConfigurationError if it holds no token at all."""
    config = section.get("config")
    texts = {str(key): str(value) for key, value in config.items() if value} if isinstance(config, dict) else {}
    found = OidcConfig(
        kubeconfig,
        texts.get("idp-issuer-url", "").rstrip("/"),
        texts.get("client-id", ""),
        texts.get("client-secret", ""),
        texts.get("id-token", ""),
        texts.get("refresh-token", ""),
        texts.get("idp-certificate-authority", ""),
        texts.get("idp-certificate-authority-data", ""),
    )
    if not found.id_token and not found.refresh_token:
        raise ConfigurationError(f"{found.who}: auth-provider 'oidc' holds no token: {OIDC_LOGIN}")
    return found


class OidcLogin:
    """Holds the tokens of one user while the program runs; survives a session that could not be opened."""

    def __init__(self, environ: Mapping[str, str], deadline_s: float = OIDC_DEADLINE_S, *, renews: bool = True) -> None:
        """`renews` False: the issuer is left alone, and only what stands in the file is used."""
        self._environ = environ
        self._renews = renews
        self._deadline_s = deadline_s
        self._held: Tokens | None = None
        self._spent: UnauthorizedError | None = None
        """The issuer's word that the refresh token held is no good: it is not asked again with the same one."""
        self._told_rotation = False

    async def tokens(self, config: OidcConfig, in_use: str, now: datetime) -> Tokens:
        """Return tokens other than the id-token `in_use` (empty: none is), which ends soon or was refused.

        Those in the file come first: kubectl may have renewed them. The issuer is asked only when they do not help.
        Raises UnauthorizedError that says how to log in again.
        """
        filed = (config.id_token, config.refresh_token)
        held = self._held
        if held is None or held.filed != filed:
            held, self._spent = Tokens(config.id_token, config.refresh_token, filed, expiry_of(config.id_token)), None
            self._held = held
        ends = held.expires_at
        if held.id_token and held.id_token != in_use and (ends is None or now < ends):
            return held
        if not held.refresh_token or not self._renews:
            until = f" (valid until {ends:%Y-%m-%d %H:%M:%S} UTC)" if ends else ""
            refused = f"the id-token of {config.who}{until} is expired or not accepted"
            if held.refresh_token:
                by_kubectl = f"run `{config.kubeconfig.login}`, {OR_ALLOW}"
                raise UnauthorizedError(f"{refused}, and renewing it is left to kubectl: {by_kubectl}")
            raise UnauthorizedError(f"{refused}, and there is no refresh-token: {OIDC_LOGIN}")
        try:
            if self._spent is not None:
                raise UnauthorizedError(str(self._spent))
            answer = await _refresh(config, held.refresh_token, self._environ, self._deadline_s)
        except UnauthorizedError as error:
            self._spent = error
            raise UnauthorizedError(f"the id-token of {config.who} cannot be renewed: {error}; {OIDC_LOGIN}") from error
        except SourceError as error:
            raise UnauthorizedError(
                f"the id-token of {config.who} cannot be renewed: {error}; if that does not pass, {OIDC_LOGIN}"
            ) from error
        if answer.refresh_token and answer.refresh_token != held.refresh_token and not self._told_rotation:
            self._told_rotation = True
            _log.warning("%s: the issuer replaced the refresh token; kubectl may ask for a login", config.who)
        id_token = str(answer.id_token)
        ends = expiry_of(id_token)
        if ends is not None and ends <= now + LIFE_MIN:
            # Believing it would have us ask the issuer again for each request.
            _log.warning("the issuer's new id-token ends at %s: is the clock of this machine right?", ends)
            ends = None
        self._held = Tokens(id_token, answer.refresh_token or held.refresh_token, filed, ends)
        return self._held


async def _refresh(config: OidcConfig, refresh_token: str, environ: Mapping[str, str], deadline_s: float) -> _Answer:
    """Ask the issuer for a new id-token. Raises SourceError."""
    import aiohttp

    for key, value in (("idp-issuer-url", config.issuer), ("client-id", config.client_id)):
        if not value:
            raise ConfigurationError(f"{key} is missing in its auth-provider section")
    if not _keeps_secrets(config.issuer):
        raise ConfigurationError(f"idp-issuer-url must be an https:// URL, not {harmless(config.issuer)}")
    cluster = {"server": config.issuer, "certificate-authority": config.authority or config.authority_data}
    proxy = proxy_for(config.issuer, environ)
    issuer = Kubeconfig(config.kubeconfig.path, config.kubeconfig.context, "", cluster, {})
    with foreign_errors(Target(issuer, proxy), deadline_s):
        async with asyncio.timeout(deadline_s):
            context = await asyncio.to_thread(_tls, config)
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, headers={"Accept": "application/json"}) as session:
                url = f"{config.issuer}/.well-known/openid-configuration"
                async with session.get(url, proxy=proxy, allow_redirects=False) as response:
                    discovery = _parsed_discovery(response.status, await _body(response), url)
                url = discovery.token_endpoint
                headers, form = _identification(config, discovery.token_endpoint_auth_methods_supported)
                form |= {"grant_type": "refresh_token", "refresh_token": refresh_token}
                async with session.post(
                    url, data=form, headers=headers, proxy=proxy_for(url, environ), allow_redirects=False
                ) as response:
                    return _parsed_answer(response.status, await _body(response), url)


def _tls(config: OidcConfig) -> ssl.SSLContext:
    try:
        authority = base64.b64decode(config.authority_data).decode("ascii") if config.authority_data else None
        context = ssl.create_default_context(cafile=None if authority else config.authority or None, cadata=authority)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot use the issuer's certificate authority: {error}") from error
    # As for the API server: kubectl does not check certificates as strictly as OpenSSL's strict mode does.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _keeps_secrets(url: str) -> bool:
    """Tell whether a refresh token may be sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


async def _body(response: Any) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            raise BadAnswerError(f"{response.url} answered with more than {ANSWER_LIMIT_BYTES >> 20} MiB")
    return bytes(body)


def _identification(config: OidcConfig, methods: tuple[str, ...] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return headers and form fields that name the client (RFC 6749, section 2.3.1)."""
    if not config.client_secret:
        return {}, {"client_id": config.client_id}
    if methods and "client_secret_basic" not in methods:
        return {}, {"client_id": config.client_id, "client_secret": config.client_secret}
    pair = f"{quote_plus(config.client_id)}:{quote_plus(config.client_secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}


def _parsed_discovery(status: int, body: bytes, url: str) -> _Discovery:
    if status != 200:
        raise BadAnswerError(f"{url} answered {status}")
    try:
        discovery = msgspec.json.decode(body, type=_Discovery)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswerError(f"{url} is no OpenID discovery document: {harmless(str(error))}") from error
    if not _keeps_secrets(discovery.token_endpoint):
        raise BadAnswerError(f"{url} names a token endpoint that is not https://")
    return discovery


def _parsed_answer(status: int, body: bytes, url: str) -> _Answer:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswerError(f"{url} answered {status}, and not in JSON: is a login page in between?") from error
    said = harmless(": ".join(text for text in (answer.error, answer.error_description) if text))[:_SAID_SHOWN]
    if answer.error == "invalid_grant":
        raise UnauthorizedError(f"{url} does not accept the refresh-token ({said})")
    if status != 200 or said:
        raise BadAnswerError(f"{url} answered {status}" + (f": {said}" if said else ""))
    if not answer.id_token:
        raise BadAnswerError(f"{url} gave no id-token: the login was without the scope openid, or it renews none")
    return answer
