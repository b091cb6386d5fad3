"""HTTP to all that is not the API server: exporters, Prometheus. GET only; httpx is imported with the first request.

Foreign exceptions become our errors in `http_failures`. Certificates are checked against those that this
machine trusts (`SSL_CERT_FILE` names others), or as a `Tls` says.
"""

import asyncio
import logging
import ssl
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from collectors.errors import BadAnswerError, ConfigurationError, UnreachableError
from collectors.http_failures import error_for_status, translated
from collectors.urls import without_password
from situation.version import USER_AGENT

if TYPE_CHECKING:
    import httpx

BODY_LIMIT_BYTES: Final = 16 * 2**20
_TOKEN_LIMIT: Final = 64 * 2**10
_TIMEOUT_S: Final = 30.0
_CONNECTIONS: Final = 100
_IDLE_CONNECTIONS: Final = 20
"""With TLS. Others are not kept: a new one costs little, and a server that closes idle ones after 5 s, as uvicorn does,
might do so while we ask it again after 5 s."""
_KEPT_S: Final = 30.0
"""Idle connections are kept so long: a handshake with certificates costs more than all else of a small request."""


@dataclass(frozen=True, eq=False)
class Tls:
    """How some servers are asked: with CAs and a client certificate of their own, and never through a proxy."""

    context: ssl.SSLContext | None
    """None: with the CAs that this machine trusts, which are loaded only for a server that speaks TLS."""
    hint: str
    """What to do about a server certificate that is not accepted: `--etcd-cacert names the CA`."""
    refused: str
    """What to do where the server does not accept our client certificate, or wants one."""


class Handshake:
    """Closes a connection whose TLS handshake was given up: httpx leaves it open when it is cancelled meanwhile.

    A server that hangs is asked again and again, and would cost a file descriptor each time.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    async def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Take in what httpx tells of its work (its extension `trace`)."""
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith("start_tls.complete"):
            self._stream = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await self._stream.aclose()


def check_url(url: str, option: str) -> str:
    """Return `url` if it is one that can be asked. Raises ConfigurationError naming `option`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        shown = without_password(url)
        raise ConfigurationError(f"{option} {shown!r}: not a URL; write it as http://HOST:PORT or https://HOST:PORT")
    return url


def with_path(url: str, path: str) -> str:
    """Return `url` with `path` put after its own path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


class HttpReader:
    """Reads from any server. Connections are kept while it is entered."""

    def __init__(self) -> None:
        self._clients: dict[tuple[Tls | None, bool], httpx.AsyncClient] = {}
        """By what they are asked with, and whether over TLS."""
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tls in {tls for tls, _ in self._clients}:
            await self.forget(tls)

    async def forget(self, tls: Tls | None) -> None:
        """Close the connections that were opened with `tls`: it is not going to be used again."""
        for is_secure in (False, True):
            client = self._clients.pop((tls, is_secure), None)
            if client is not None:
                await client.aclose()

    async def _opened(self, tls: Tls | None, is_secure: bool) -> "httpx.AsyncClient":
        """Open a client, one for all that ask at the same time."""
        async with self._opening:
            client = self._clients.get((tls, is_secure))
            if client is None:
                client = await asyncio.to_thread(_open_client, tls, is_secure)
                self._clients[tls, is_secure] = client
            return client

    async def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        deadline_s: float,
        token_file: Path | None = None,
        limit_bytes: int = BODY_LIMIT_BYTES,
        tls: Tls | None = None,
        answers: Collection[int] = (200,),
    ) -> bytes:
        """Return the body of a GET, `deadline_s` seconds after certificates and token were read. Raises SourceError.

        User and password in the URL are sent as basic authentication; `token_file` holds a bearer token, read anew
        each time because tokens are renewed. `answers` are the statuses whose bodies are wanted; others are errors.
        """
        shown = without_password(url)
        plain, user = _split_user(url)
        headers = {}
        if token_file is not None:
            headers["Authorization"] = f"Bearer {await asyncio.to_thread(_token, token_file)}"
        is_secure = plain.startswith("https")
        client = self._clients.get((tls, is_secure)) or await self._opened(tls, is_secure)
        import httpx  # now that a thread has

        handshake = Handshake()
        traced = {"trace": handshake.note} if is_secure else {}
        try:
            async with asyncio.timeout(deadline_s), handshake:
                async with client.stream(
                    "GET", plain, params=params, headers=headers, auth=user, extensions=traced
                ) as response:
                    body = await _body(response, limit_bytes, shown)
        except TimeoutError as error:
            raise UnreachableError(f"{shown} did not answer within {deadline_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            raise translated(error, shown, tls) from error
        if response.status_code not in answers:
            failure = error_for_status(response, body, shown)
            failure.status, failure.body = response.status_code, body
            raise failure
        if "text/html" in response.headers.get("Content-Type", ""):
            raise BadAnswerError(f"{shown} answered with a web page: is a proxy or login page in between?")
        return body


def prepare_httpx() -> None:
    """Make httpx cheaper; to be called before its first import. `None` in `sys.modules`: not there, do not search."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command line, which has pygments loaded
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log each request
    if "sniffio" not in sys.modules and find_spec("sniffio") is None:
        # httpcore looks for it with each request, and a search that finds nothing costs a third of all its time.
        sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]


def _open_client(tls: Tls | None, is_secure: bool) -> "httpx.AsyncClient":
    """Open a client; slow (it loads all certificates), so it is done in a thread."""
    from urllib.request import getproxies

    prepare_httpx()
    import httpx

    from collectors.plain_http import plain_transport

    is_plain = not is_secure and (tls is not None or not {"http", "all"} & getproxies().keys())
    context = tls.context if tls is not None else None
    return httpx.AsyncClient(
        transport=plain_transport() if is_plain else None,
        verify=False if is_plain else context or ssl.create_default_context(),  # a transport of ours knows no TLS
        trust_env=tls is None and not is_plain,
        limits=httpx.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_IDLE_CONNECTIONS if is_secure else 0,
            keepalive_expiry=_KEPT_S,
        ),
        headers={"User-Agent": USER_AGENT},
        timeout=_TIMEOUT_S,
        follow_redirects=False,
    )


def _split_user(url: str) -> tuple[str, tuple[str, str] | None]:
    """Take user and password out of a URL."""
    parts = urlsplit(url)
    authority = parts.netloc.rpartition("@")[2]
    if authority == parts.netloc:
        return url, None
    user = (unquote(parts.username or ""), unquote(parts.password or ""))
    return urlunsplit(parts._replace(netloc=authority)), user


async def _body(response: "httpx.Response", limit_bytes: int, shown: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit_bytes:
            raise BadAnswerError(f"{shown} answered with more than {limit_bytes / 2**20:g} MiB: not read")
    return bytes(body)


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(_TOKEN_LIMIT).decode("ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the token: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a token") from error
    if not token or any(character.isspace() for character in token):
        raise ConfigurationError(f"{path}: not a token: it must be one word")
    return token
