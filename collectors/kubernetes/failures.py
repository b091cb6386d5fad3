"""The one place where foreign exceptions and HTTP statuses become our errors, with messages for people."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from collectors.errors import (
    AbsentError,
    BadAnswerError,
    ConfigurationError,
    ExpiredError,
    ForbiddenError,
    RefusedError,
    SourceError,
    ThrottledError,
    UnauthorizedError,
    UnreachableError,
)
from collectors.kubernetes.certificates import not_after
from collectors.kubernetes.exec_plugin import login_hint
from collectors.kubernetes.kubeconfig import Kubeconfig
from collectors.urls import without_password
from situation.clock import utc_now
from situation.text import harmless

OIDC_LOGIN: Final = (
    "log in again with the tool that wrote these tokens, or put new ones there with `kubectl config set-credentials`"
)
"""kubectl itself cannot log in to an OpenID issuer: it only renews what is in the file."""
_BODY_SHOWN: Final = 200
_THROTTLED_WAIT_S: Final = 1.0
"""What client-go waits when a 429 comes without Retry-After."""

_WANTS_TLS: Final = "sent an http request to an https server"
"""What a TLS port of Go's net/http answers to plain HTTP (server.go, `conn.serve`)."""
_ISSUER_UNKNOWN: Final = {18, 19, 20, 21}
"""OpenSSL's X509_V_ERR_*: self-signed (in chain), no local issuer, unable to verify the leaf."""
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_WRONG_NAME: Final = {62, 64}


class Target(msgspec.Struct, frozen=True):
    """What a message has to name: the server, and where its address and credentials came from."""

    kubeconfig: Kubeconfig
    proxy: str | None = None
    has_answered: bool = True
    """Whether the server has answered anything in HTTP yet."""

    @property
    def is_plain(self) -> bool:
        return self.server.startswith("http://")

    @property
    def server(self) -> str:
        return self.kubeconfig.server

    @property
    def origin(self) -> str:
        config = self.kubeconfig
        return "the pod's service account" if config.in_cluster else f"{config.path} (context {config.context})"


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    kind: str = ""


@contextmanager
def foreign_errors(target: Target, waited_s: float | None = None) -> Iterator[None]:
    """Turn what aiohttp, ssl and the system raise inside into a SourceError; `waited_s` is named on a timeout."""
    import aiohttp
    from aiohttp.http import HttpProcessingError

    try:
        yield
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise translated(error, target, waited_s) from error


def translated(error: Exception, target: Target, waited_s: float | None = None) -> SourceError:
    """Return our error for a foreign one that a request to `target` raised."""
    import aiohttp

    server = target.server
    if isinstance(error, TimeoutError | aiohttp.ServerTimeoutError):
        waited = f" within {waited_s:g} s" if waited_s else " in time"
        return UnreachableError(f"{server} did not answer{waited}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return _bad_certificate(getattr(error, "certificate_error", error), target)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return BadAnswerError(f"cannot connect to the proxy {_proxy(target)} for {server}: {_why(error)}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        said = f"{error.status} {error.message}"
        return BadAnswerError(f"the proxy {_proxy(target)} refused to connect to {server}: {said}")
    if (expired := expired_client_certificate(target)) is not None:
        return UnauthorizedError(expired)
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return BadAnswerError(f"TLS with {server} failed: {_tls_reason(error)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UnreachableError(f"cannot connect to {server}: {_why(error)}")
    if isinstance(error, aiohttp.InvalidURL):
        return ConfigurationError(f"{target.origin}: not a valid server URL: {server}")
    if isinstance(error, aiohttp.ClientResponseError):
        return BadAnswerError(f"{server} does not answer in HTTP: {harmless(error.message)[:_BODY_SHOWN]}")
    return _broken_off(error, target)


def _broken_off(error: Exception, target: Target) -> SourceError:
    import aiohttp

    server = target.server
    is_closed = isinstance(error, aiohttp.ServerDisconnectedError) or getattr(error, "errno", 0) == errno.ECONNRESET
    if is_closed and target.is_plain and not target.has_answered:
        return UnreachableError(
            f"{server} closed the connection without an answer: does it speak TLS? Its URL begins with http://"
        )
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionError):
        return UnreachableError(f"{server} closed the connection in the middle of an answer")
    if isinstance(error, OSError):
        return UnreachableError(f"connection to {server} failed: {_why(error)}")
    return BadAnswerError(f"request to {server} failed: {harmless(str(error)) or type(error).__name__}")


def error_for_status(status: int, body: bytes, headers: Mapping[str, str], url: str, target: Target) -> SourceError:
    """Return the error that an HTTP status, or the code of an ERROR event in a watch, stands for.

    Meaning of the codes: Kubernetes API conventions, "HTTP Status codes". `body` may be a Status object or any text.
    """
    said = _message(body)
    suffix = f": {said}" if said else ""
    match status:
        case 400 if target.is_plain and _WANTS_TLS in said.lower():
            return BadAnswerError(f"{target.server} speaks TLS, and its URL begins with http://")
        case 401:
            return UnauthorizedError(_rejected(target))
        case 403:
            # The API server's own sentence names user, verb and resource or path; what a proxy says does not.
            is_whole = "forbidden: " in said and " cannot " in said
            return ForbiddenError(said if is_whole else f"{url}: forbidden{suffix}")
        case 404:
            return AbsentError(f"{url}: not there{suffix}")
        case 407:
            # No API server answers that (RFC 9110, section 15.5.8): a proxy does, and the server is not heard.
            return BadAnswerError(f"a proxy on the way to {target.server} wants credentials (407){suffix}")
        case 410:
            return ExpiredError(f"{url}: resource version expired{suffix}")
        case 429:
            wait_s = retry_after(headers) or _THROTTLED_WAIT_S
            return ThrottledError(f"{target.server} is busy and asks to wait {wait_s:g} s (429)", wait_s)
    if "Too large resource version" in said:
        # The server is behind the version we resume from: etcd was restored, or a member of a cluster lags (client-go).
        return ExpiredError(f"{url}: {said}")
    answer = f"{url} answered {status} {_phrase(status)}".rstrip()
    if 400 <= status < 500:
        return RefusedError(f"{answer}{suffix}")
    if status >= 500:
        return UnreachableError(f"{answer}{suffix}", retry_after(headers))
    return BadAnswerError(f"{answer}: is a proxy or a login page in between?")


def web_page(url: str) -> BadAnswerError:
    """Return the error for HTML where the API should answer."""
    return BadAnswerError(
        f"{url} answered with a web page, not the Kubernetes API: is a proxy or login page in between?"
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, section 10.2.3), None without a usable one."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - utc_now()).total_seconds())


def expired_client_certificate(target: Target) -> str | None:
    """Return a message if the client certificate in use is no longer valid, else None."""
    user = target.kubeconfig.user
    pem = client_certificate(user)
    expires = not_after(pem) if pem else None
    if expires is None or expires > utc_now():
        return None
    name = user.get("client-certificate") or f"in {target.origin}"
    return f"client certificate {name} expired on {expires:%Y-%m-%d %H:%M} UTC: get a new one"


def client_certificate(user: Mapping[str, object]) -> bytes:
    """Return the PEM of a kubeconfig user's client certificate, empty without one."""
    import base64
    import binascii

    try:
        if data := user.get("client-certificate-data"):
            return base64.b64decode(str(data))
        if name := user.get("client-certificate"):
            return Path(str(name)).read_bytes()
    except (binascii.Error, ValueError, OSError):
        return b""
    return b""


def _rejected(target: Target) -> str:
    if (expired := expired_client_certificate(target)) is not None:
        return expired
    config = target.kubeconfig
    who = (
        f"user {config.user_name!r} of {target.origin}" if config.user_name and not config.in_cluster else target.origin
    )
    plugin = config.user.get("exec")
    if isinstance(plugin, dict):
        return f"credentials expired or not accepted for {who}: {login_hint(str(plugin.get('command')), config.login)}"
    if not config.user:
        return f"{target.server} wants credentials, but the context of {target.origin} names no user"
    if isinstance(provider := config.user.get("auth-provider"), dict):
        if provider.get("name") == "oidc":
            return f"credentials expired or not accepted for {who}: {OIDC_LOGIN}"
        return f"credentials expired or not accepted for {who}: run `{config.login}` to renew them"
    return f"credentials expired or not accepted for {who}: log in again, or put a new token in its place"


def _bad_certificate(error: Exception, target: Target) -> SourceError:
    server = target.server
    code = getattr(error, "verify_code", 0)
    if code in _ISSUER_UNKNOWN:
        authority = "the CA in" if _has_authority(target) else "a CA this machine trusts (none is given in)"
        return BadAnswerError(f"certificate of {server} is not signed by {authority} {target.origin}")
    if code == _EXPIRED:
        return BadAnswerError(f"certificate of {server} has expired: renew it, and check the clock of this machine")
    if code == _NOT_YET_VALID:
        return BadAnswerError(f"certificate of {server} is not valid yet: check the clock of this machine")
    said = (getattr(error, "verify_message", "") or str(error)).rstrip(".")
    if code in _WRONG_NAME:
        return BadAnswerError(
            f"certificate of {server} is for another name: {said}; "
            f"tls-server-name in {target.origin} can name the right one"
        )
    return BadAnswerError(f"certificate of {server} is not accepted: {said}")


def _proxy(target: Target) -> str:
    return without_password(target.proxy or "")


def _has_authority(target: Target) -> bool:
    cluster = target.kubeconfig.cluster
    return bool(cluster.get("certificate-authority-data") or cluster.get("certificate-authority"))


def _tls_reason(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    reason = getattr(inner, "reason", None) or str(inner)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "it does not speak TLS; should its URL begin with http://?"
    return harmless(str(reason)).replace("_", " ").lower()


def _why(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    if isinstance(inner, socket.gaierror) or type(error).__name__ == "ClientConnectorDNSError":
        return "its name cannot be resolved"
    number = inner.errno if isinstance(inner, OSError) else None
    if number == errno.ECONNREFUSED:
        return "connection refused"
    if number:
        return os.strerror(number).lower()
    return harmless(str(inner)) or type(inner).__name__


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _message(body: bytes) -> str:
    try:
        text = msgspec.json.decode(body, type=_Status).message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        if text.startswith("<"):
            return "a web page"
    return harmless(text)[:_BODY_SHOWN]
