"""From a kubeconfig to a transport with credentials, through the official client's configuration and REST layer."""

import asyncio
import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collectors.errors import BadAnswerError, ConfigurationError
from collectors.kubernetes.client_import import import_client
from collectors.kubernetes.exec_plugin import PLUGIN_DEADLINE_S, PluginCredentials, run_plugin
from collectors.kubernetes.failures import client_certificate
from collectors.kubernetes.kubeconfig import Kubeconfig
from collectors.kubernetes.oidc import OidcLogin, read_oidc
from collectors.kubernetes.proxies import check_proxy, proxy_for
from situation.text import harmless
from situation.version import USER_AGENT

if TYPE_CHECKING:
    from multidict import CIMultiDict

POOL_SIZE: Final = 96
"""Connections allowed: above the number of watches and polls, or they wait for each other."""
READ_BUFFER_BYTES: Final = 2**18
"""Measured with 70 MB of pods: larger buffers leave the processor's cache before they are decoded."""
EARLY: Final = timedelta(seconds=60)
"""Credentials are renewed this long before they expire, or after nine tenths of a shorter life."""
_PLACE_SHOWN: Final = 200
TOKEN_FILE_LIFE: Final = timedelta(seconds=60)
"""Token files are rotated in place; client-go reads them again this often."""


class Session(msgspec.Struct, frozen=True):
    """One way to reach the server: a transport, the headers that identify us, and until when."""

    generation: int
    kubeconfig: Kubeconfig
    rest: Any
    """`kubernetes.aio.client.rest.RESTClientObject`."""
    transport_key: tuple[object, ...]
    headers: dict[str, str]
    groups: tuple[str, ...]
    proxy: str | None
    opened_at: datetime
    expires_at: datetime | None
    is_hard_expiry: bool
    """The credentials really end then; else they are only read again."""

    def request_headers(self, accept: str) -> "CIMultiDict[str]":
        """Return fresh headers; the REST layer adds to them."""
        from multidict import CIMultiDict

        headers: CIMultiDict[str] = CIMultiDict(self.headers)
        headers["Accept"] = accept
        for group in self.groups:
            headers.add("Impersonate-Group", group)
        return headers

    def is_due(self, now: datetime) -> bool:
        """Tell whether the credentials should be renewed."""
        if self.expires_at is None:
            return False
        early = min(EARLY, (self.expires_at - self.opened_at) / 10) if self.is_hard_expiry else timedelta(0)
        return now >= self.expires_at - early

    def is_over(self, now: datetime) -> bool:
        """Tell whether the credentials cannot be used any more."""
        return self.is_hard_expiry and self.expires_at is not None and now >= self.expires_at


async def open_session(
    kubeconfig: Kubeconfig,
    now: datetime,
    before: Session | None = None,
    *,
    oidc: OidcLogin | None = None,
    with_plugin: bool = True,
    plugin_deadline_s: float = PLUGIN_DEADLINE_S,
    environ: Mapping[str, str] = os.environ,
) -> Session:
    """Load all that `kubeconfig` names and build a session; the transport of `before` is kept if it still fits.

    `oidc` renews the tokens of an OpenID user; without it no issuer is asked, and without `with_plugin` no exec plugin
    runs, but all else is loaded, to find mistakes at once. Raises ConfigurationError, and UnauthorizedError if a plugin
    or an issuer gives no credentials.
    """
    await asyncio.to_thread(import_client)
    user, found = dict(kubeconfig.user), PluginCredentials()
    plugin = user.pop("exec", None)
    where = f"{kubeconfig.path}: user {kubeconfig.user_name!r}"
    if isinstance(plugin, dict) and with_plugin and not (user.get("token") or user.get("tokenFile")):
        found = await run_plugin(plugin, kubeconfig.cluster, where, kubeconfig.login, plugin_deadline_s)
        user |= _plugin_user(found)
    ends_at = found.expires_at
    if ends_at is not None and ends_at.tzinfo is None:
        raise ConfigurationError(f"{where}: the exec plugin's expirationTimestamp has no time zone")
    read_again_at = None
    if (token_file := user.pop("tokenFile", None)) and not user.get("token"):
        user["token"] = _read_token(Path(str(token_file)), where)
        read_again_at = now + TOKEN_FILE_LIFE
    ends_at = await _take_provider(user, kubeconfig, oidc, before, now) or ends_at
    configuration = await _configuration(kubeconfig, user)
    proxy = configuration.proxy or proxy_for(kubeconfig.server, environ)
    if proxy:
        named = f"{kubeconfig.path}: cluster of context {kubeconfig.context!r}: proxy-url"
        check_proxy(proxy, named if configuration.proxy else "HTTPS_PROXY or HTTP_PROXY")
    configuration.proxy = proxy
    transport_key = (tuple(sorted(map(repr, kubeconfig.cluster.items()))), client_certificate(user), proxy)
    if before is not None and before.transport_key == transport_key:
        rest = before.rest
    else:
        rest = await asyncio.to_thread(_rest, configuration, kubeconfig)
    return Session(
        generation=before.generation + 1 if before else 1,
        kubeconfig=kubeconfig,
        rest=rest,
        transport_key=transport_key,
        headers=_headers(configuration, kubeconfig),
        groups=tuple(str(group) for group in user.get("as-groups") or ()),
        proxy=proxy,
        opened_at=now,
        expires_at=read_again_at or ends_at,
        is_hard_expiry=read_again_at is None and ends_at is not None,
    )


def _plugin_user(found: PluginCredentials) -> dict[str, str]:
    user: dict[str, str] = {}
    if found.token:
        user["token"] = found.token
    if found.certificate:
        user["client-certificate-data"] = base64.b64encode(found.certificate.encode()).decode()
        user["client-key-data"] = base64.b64encode(found.key.encode()).decode()
    return user


def _read_token(path: Path, where: str) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{where}: cannot read the token file {path}: {error}") from error
    if not token:
        raise ConfigurationError(f"{where}: the token file {path} is empty")
    return token


async def _take_provider(
    user: dict[str, Any], kubeconfig: Kubeconfig, oidc: OidcLogin | None, before: Session | None, now: datetime
) -> datetime | None:
    """Use the token that an `auth-provider` section leads to, and return when it ends, if that is known.

    Only OpenID tokens are renewed: kubectl dropped the other providers for exec plugins. The file is read again after a
    401.
    """
    provider = user.pop("auth-provider", None)
    if not isinstance(provider, dict) or user.get("token"):
        return None
    if provider.get("name") != "oidc":
        user["token"] = _provider_token(provider, kubeconfig)
        return None
    openid = read_oidc(provider, kubeconfig)
    if oidc is None:
        return None
    in_use = before.headers.get("Authorization", "").removeprefix("Bearer ") if before else ""
    tokens = await oidc.tokens(openid, in_use, now)
    user["token"] = tokens.id_token
    return tokens.expires_at


def _provider_token(provider: Mapping[str, Any], kubeconfig: Kubeconfig) -> str:
    config = provider.get("config") or {}
    token = config.get("id-token") or config.get("access-token") if isinstance(config, dict) else None
    if not token:
        raise ConfigurationError(
            f"{kubeconfig.path}: user {kubeconfig.user_name!r}: auth-provider {provider.get('name')!r} holds no token: "
            f"run `{kubeconfig.login}` to log in, or use the provider's exec plugin"
        )
    return str(token)


async def _configuration(kubeconfig: Kubeconfig, user: dict[str, Any]) -> Any:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config_from_dict

    configuration = Configuration()
    configuration.connection_pool_maxsize = POOL_SIZE
    # Proxies are found by proxies.py, for the reasons given there. kubectl does not check certificates as strictly as
    # newer versions of OpenSSL's strict mode do.
    configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": READ_BUFFER_BYTES}
    configuration.disable_strict_ssl_verification = True
    configuration.trace_configs = [_without_redirects()]
    tree = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": kubeconfig.cluster}],
        "users": [{"name": "it", "user": user}],
    }
    try:
        await load_kube_config_from_dict(tree, client_configuration=configuration)
    except ConfigException as error:
        raise ConfigurationError(f"{kubeconfig.path}: {error}") from error
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{kubeconfig.path}: certificate or key data is not base64: {error}") from error
    return configuration


def _without_redirects() -> Any:
    """Refuse to be sent elsewhere: the API server never does that, login pages and proxies do."""
    from aiohttp import TraceConfig

    async def refuse(session: object, context: object, redirect: Any) -> None:
        answer = redirect.response
        place = harmless(str(answer.headers.get("Location", "another place")))[:_PLACE_SHOWN]
        answer.close()
        raise BadAnswerError(
            f"{redirect.url} answered {answer.status} and sends us to {place}: is a proxy or a login page in between?"
        )

    trace = TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


def _headers(configuration: Any, kubeconfig: Kubeconfig) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT}
    if token := configuration.api_key.get("BearerToken"):
        if not str(token).isprintable():
            raise ConfigurationError(f"{kubeconfig.path}: the token of user {kubeconfig.user_name!r} holds line breaks")
        headers["Authorization"] = str(token)
    if kubeconfig.cluster.get("disable-compression"):
        headers["Accept-Encoding"] = "identity"
    if name := kubeconfig.user.get("as"):
        headers["Impersonate-User"] = str(name)
    if uid := kubeconfig.user.get("as-uid"):
        headers["Impersonate-Uid"] = str(uid)
    return headers


def _rest(configuration: Any, kubeconfig: Kubeconfig) -> Any:
    from kubernetes.aio.client.rest import RESTClientObject

    try:
        return RESTClientObject(configuration)
    except (ssl.SSLError, OSError, ValueError) as error:
        wrong = _unusable(configuration, kubeconfig) or f"cannot use its certificates or key: {error}"
        raise ConfigurationError(f"{kubeconfig.path} (context {kubeconfig.context}): {wrong}") from error


def _unusable(configuration: Any, kubeconfig: Kubeconfig) -> str:
    """Say which certificate or key of the kubeconfig cannot be used, and why; empty if each can by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority = _named(kubeconfig.cluster, "certificate-authority")
    if configuration.ssl_ca_cert:
        try:
            context.load_verify_locations(configuration.ssl_ca_cert)
        except (ssl.SSLError, OSError) as error:
            return f"{authority} holds no usable certificate: {_said(error)}"
    if configuration.cert_file:
        pair = " and ".join(_named(kubeconfig.user, name) for name in ("client-certificate", "client-key"))
        try:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        except (ssl.SSLError, OSError) as error:
            return f"{pair} cannot be used together: {_said(error)}"
    return ""


def _named(section: Mapping[str, Any], key: str) -> str:
    """Name a certificate or key as it stands in the kubeconfig: inline data go before a file."""
    data = f"{key}-data"
    return data if section.get(data) else f"{key} {section.get(key)}"


def _said(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else error.strerror or str(error)
