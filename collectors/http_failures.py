"""What goes wrong with HTTP to all that is not the API server, in our errors and in words for people."""

import socket
import ssl
from typing import TYPE_CHECKING, Final

from collectors.errors import (
    AbsentError,
    BadAnswerError,
    ConfigurationError,
    ForbiddenError,
    RefusedError,
    SourceError,
    ThrottledError,
    UnauthorizedError,
    UnreachableError,
)
from collectors.urls import without_password
from situation.text import harmless

if TYPE_CHECKING:
    import httpx

    from collectors.http import Tls

_SHOWN: Final = 200
_THROTTLED_WAIT_S: Final = 15.0


def translated(error: Exception, shown: str, tls: "Tls | None") -> SourceError:
    """Return our error for one of httpx or of TLS; `shown` is the URL as people may see it."""
    import httpx

    if (certificate := in_chain(error, ssl.SSLCertVerificationError)) is not None:
        said = getattr(certificate, "verify_message", "") or str(certificate)
        hint = "this machine's CAs are asked, SSL_CERT_FILE can name others" if tls is None else tls.hint
        return BadAnswerError(f"certificate of {shown} is not accepted: {harmless(said)}; {hint}")
    if (failure := in_chain(error, ssl.SSLError)) is not None:
        if tls is not None and is_refusal(str(failure)):
            return UnauthorizedError(f"{shown} does not accept our certificate: {tls.refused}")
        if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error):
            return BadAnswerError(f"TLS with {shown} failed: it does not speak TLS; should its URL begin with http://?")
        return BadAnswerError(f"TLS with {shown} failed: {harmless(str(error))[:_SHOWN]}")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | ValueError):
        return ConfigurationError(f"not a usable URL: {shown}: {harmless(str(error))[:_SHOWN]}")
    if isinstance(error, httpx.ProxyError):
        return BadAnswerError(f"the proxy for {shown} refuses: {harmless(str(error))[:_SHOWN]}")
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(f"cannot connect to {shown}: {_why(error)}")
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return BadAnswerError(
            f"{shown} does not answer in HTTP, or breaks off in the middle: {harmless(str(error))[:_SHOWN]}"
        )
    return UnreachableError(f"request to {shown} failed: {harmless(str(error))[:_SHOWN] or type(error).__name__}")


def is_refusal(said: str) -> bool:
    """Tell whether a TLS library speaks of an alert that refuses a client's certificate (RFC 8446, section 6.2)."""
    upper = said.upper().replace(" ", "_")
    return "ALERT" in upper and any(reason in upper for reason in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED"))


def in_chain(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """Return the first of `kind` among an error and those behind it; of several at once the last one is followed."""
    while error is not None and not isinstance(error, kind):
        several = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        error = several[-1] if several else error.__cause__ or error.__context__
    return error


def _why(error: Exception) -> str:
    if in_chain(error, socket.gaierror) is not None:
        return "its name cannot be resolved"
    if in_chain(error, ConnectionRefusedError) is not None:
        return "connection refused"
    return harmless(str(error)).lower()[:_SHOWN] or "no connection"


def error_for_status(response: "httpx.Response", body: bytes, shown: str) -> SourceError:
    """Return our error for an answer whose status was not wanted."""
    status = response.status_code
    text = body[:2000].decode("utf-8", "replace").strip()
    said = "" if not text else ": a web page" if text.startswith("<") else f": {harmless(text)[:_SHOWN]}"
    match status:
        case 401:
            return UnauthorizedError(f"{shown} does not accept the credentials, or wants some (401){said}")
        case 403:
            return ForbiddenError(f"{shown} forbids the verb GET (403){said}")
        case 404:
            return AbsentError(f"{shown} is not there (404){said}")
        case 429:
            return ThrottledError(f"{shown} asks to wait (429)", _THROTTLED_WAIT_S)
    if 300 <= status < 400:
        place = without_password(response.headers.get("Location", ""))
        return BadAnswerError(f"{shown} sends elsewhere ({status} to {place}): is a login page in between?")
    if 400 <= status < 500:
        return RefusedError(f"{shown} answered {status}{said}")
    return UnreachableError(f"{shown} answered {status}{said}")
