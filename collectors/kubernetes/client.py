"""The only way to the API server: GET requests, with deadlines, credentials that renew themselves, and a meter."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

from collectors.errors import BadAnswerError, SourceError, UnauthorizedError, UnreachableError
from collectors.kubernetes.cluster_clock import ClusterClock
from collectors.kubernetes.credentials import Session, open_session
from collectors.kubernetes.exec_plugin import PLUGIN_DEADLINE_S
from collectors.kubernetes.failures import Target, error_for_status, foreign_errors, web_page
from collectors.kubernetes.kubeconfig import SERVICE_ACCOUNT, Kubeconfig, find_kubeconfig
from collectors.kubernetes.meter import Meter
from collectors.kubernetes.oidc import OIDC_DEADLINE_S, OidcLogin, is_oidc
from collectors.kubernetes.proxies import proxy_for

BODY_LIMIT_BYTES: Final = 64 * 2**20
ERROR_BODY_BYTES: Final = 64 * 2**10
PLUGIN_RETRY_S: Final = 30.0
"""After a failure, or a renewal that did not help, a plugin or issuer is left alone this long: some open a browser."""

_log = logging.getLogger(__name__)


async def connect(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    clock: ClusterClock | None = None,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    plugin_deadline_s: float = PLUGIN_DEADLINE_S,
    oidc_renew: bool = True,
) -> "Client":
    """Read the configuration and return a client; nothing is sent yet, and no exec plugin runs yet.

    `kubeconfig` and `context` are the command line's arguments, None for kubectl's defaults. `clock` is told how this
    machine's clock stands to the server's. `plugin_deadline_s` bounds what an exec plugin takes, and what an OpenID
    issuer does if it is less than OIDC_DEADLINE_S. With `oidc_renew` False no issuer is asked: kubectl renews the
    tokens in the file. Raises ConfigurationError.
    """

    def load() -> Kubeconfig:
        return find_kubeconfig(kubeconfig, context, environ, service_account)

    found = await asyncio.to_thread(load)
    client = Client(load, found, clock or ClusterClock(), environ, plugin_deadline_s, oidc_renew)
    await client.prepare()
    return client


class Answer:
    """The body of a successful answer while it streams in."""

    def __init__(self, response: Any, target: Target, url: str, meter: Meter) -> None:
        self.status: int = response.status
        self.content_type: str = response.headers.get("Content-Type", "")
        self.url = url
        self._content = response.content
        self._target = target
        self._meter = meter

    async def read(self, idle_s: float) -> bytes:
        """Return what has come, waiting at most `idle_s` seconds for it; empty at the end of the body.

        Raises TimeoutError when nothing came, and SourceError when the connection broke.
        """
        async with asyncio.timeout(idle_s):
            with foreign_errors(self._target):
                chunk: bytes = await self._content.readany()
        self._meter.received_bytes += len(chunk)
        return chunk


class Client:
    """Reads from one API server. There is no method that could change anything."""

    def __init__(
        self,
        load: Callable[[], Kubeconfig],
        kubeconfig: Kubeconfig,
        clock: ClusterClock,
        environ: Mapping[str, str],
        plugin_deadline_s: float,
        oidc_renew: bool,
    ) -> None:
        self.meter = Meter(clock)
        self.context = kubeconfig.context
        self.server = kubeconfig.server
        self.namespace = kubeconfig.namespace
        self.kubeconfig = kubeconfig.path
        self.streaming_lists = True
        """Set to False by the first reflector whose streaming list the server refuses: all kinds share the server."""
        self._load = load
        self.cluster_clock = clock
        self._clock = clock.own
        self._environ = environ
        self._plugin_deadline_s = plugin_deadline_s
        self._oidc = OidcLogin(environ, min(OIDC_DEADLINE_S, plugin_deadline_s), renews=oidc_renew)
        self._asks_for_credentials = "exec" in kubeconfig.user or is_oidc(kubeconfig.user)
        self._first = kubeconfig
        self._session: Session | None = None
        self._retired: Any = None
        self._renewal = asyncio.Lock()
        self._refusal: UnauthorizedError | None = None
        self._quiet_until = 0.0
        self._has_answered = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def target(self) -> Target:
        """What messages about the server name."""
        session = self._session
        return Target(session.kubeconfig, session.proxy) if session else Target(self._first)

    @property
    def proxy(self) -> str | None:
        """The proxy that leads to the server, None for a direct connection."""
        configured = self._first.cluster.get("proxy-url")
        return self.target.proxy or (str(configured) if configured else proxy_for(self.server, self._environ))

    async def close(self) -> None:
        """Close all connections."""
        for rest in (self._session.rest if self._session else None, self._retired):
            if rest is not None:
                await rest.close()

    async def prepare(self) -> None:
        """Load what needs nobody's answer, so that mistakes in files show at once. Raises ConfigurationError."""
        session = await self._open(self._first, may_ask=False)
        self._session = None if self._asks_for_credentials else session

    async def compare_clocks(self) -> None:
        """Ask something small, for the time that comes with the answer; what goes wrong is for others to tell."""
        with suppress(SourceError):
            await self.get("/version")

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        deadline_s: float = 10.0,
        accepted: tuple[int, ...] = (),
        limit_bytes: int = BODY_LIMIT_BYTES,
        renews: bool = True,
    ) -> tuple[int, bytes]:
        """Return status and whole body of a GET within `deadline_s` seconds. Raises SourceError.

        Statuses other than 200 are errors unless they are in `accepted`. `renews`: a 401 has the credentials renewed;
        not so where it may come from a pod behind the API server.
        """
        body = bytearray()
        ends = monotonic() + deadline_s
        async with self.stream(path, params, first_byte_s=deadline_s, accepted=accepted, renews=renews) as answer:
            try:
                while chunk := await answer.read(max(0.01, ends - monotonic())):
                    body += chunk
                    if len(body) > limit_bytes:
                        raise BadAnswerError(f"{answer.url} answered with more than {limit_bytes >> 20} MiB")
            except TimeoutError as error:
                raise UnreachableError(f"{answer.url} did not finish its answer within {deadline_s:g} s") from error
            return answer.status, bytes(body)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        first_byte_s: float = 10.0,
        accepted: tuple[int, ...] = (),
        watch: bool = False,
        renews: bool = True,
    ) -> AsyncIterator[Answer]:
        """Open a GET and give its answer as a stream; the connection is closed or reused on leaving.

        `first_byte_s`: seconds until the status line must be there. `watch` only tells the meter. Raises SourceError.
        """
        response, session = await self._request(path, params, first_byte_s, renews)
        target, url = Target(session.kubeconfig, session.proxy), f"{session.kubeconfig.server}{path}"
        try:
            if response.status != 200 and response.status not in accepted:
                raise await self._failure(response, url, target)
            if "text/html" in response.headers.get("Content-Type", ""):
                raise web_page(url)
            self.meter.open_watches += watch
            try:
                yield Answer(response, target, url, self.meter)
            finally:
                self.meter.open_watches -= watch
        finally:
            response.close()

    async def _request(
        self, path: str, params: Mapping[str, str] | None, first_byte_s: float, renews: bool
    ) -> tuple[Any, Session]:
        session = await self._current()
        response = await self._send(session, path, params, first_byte_s)
        if response.status != 401 or not renews:
            return response, session
        renewed = await self._renewed_after_rejection(session, response)
        if renewed is None:
            return response, session
        response.close()
        return await self._send(renewed, path, params, first_byte_s), renewed

    async def _renewed_after_rejection(self, session: Session, response: Any) -> Session | None:
        """Return a session with other credentials than those that were refused, None if there are no others."""
        try:
            renewed = await self._renew(session, rejected=True)
        except SourceError:
            response.close()
            raise
        return renewed if renewed.headers != session.headers or renewed.rest is not session.rest else None

    async def _send(self, session: Session, path: str, params: Mapping[str, str] | None, first_byte_s: float) -> Any:
        import aiohttp

        query = f"?{urlencode(params)}" if params else ""
        url = f"{session.kubeconfig.server}{path}{query}"
        self.meter.count_request()
        began, sent_at = monotonic(), self._clock()
        target = Target(session.kubeconfig, session.proxy, has_answered=self._has_answered)
        with foreign_errors(target, first_byte_s):
            async with asyncio.timeout(first_byte_s):
                answer = await session.rest.request(
                    "GET",
                    url,
                    headers=session.request_headers("application/json, */*;q=0.1"),
                    _request_timeout=aiohttp.ClientTimeout(total=None, sock_connect=first_byte_s),
                )
        self._has_answered = True
        self.meter.note_latency(monotonic() - began)
        self.meter.note_date(answer.response.headers.get("Date", ""), sent_at, self._clock())
        return answer.response

    async def _failure(self, response: Any, url: str, target: Target) -> SourceError:
        body = b""
        with foreign_errors(target, 5.0):
            async with asyncio.timeout(5.0):
                body = await response.content.read(ERROR_BODY_BYTES)
        if response.status == 429:
            self.meter.throttled += 1
        return error_for_status(response.status, body, response.headers, url, target)

    async def _current(self) -> Session:
        session, now = self._session, self._clock()
        if session is None or session.is_over(now):
            return await self._renew(session)
        if session.is_due(now):
            try:
                return await self._renew(session)
            except SourceError as error:
                _log.warning("credentials could not be renewed yet: %s", error)
        return session

    async def _renew(self, seen: Session | None, *, rejected: bool = False) -> Session:
        """Load configuration and credentials again, once for all who ask at the same time."""
        async with self._renewal:
            if self._session is not None and self._session is not seen:
                return self._session
            if self._asks_for_credentials and monotonic() < self._quiet_until:
                if self._refusal is not None:
                    raise UnauthorizedError(str(self._refusal))
                if seen is not None:
                    return seen
            self._refusal = None
            try:
                opened = await self._open(await asyncio.to_thread(self._load))
            except UnauthorizedError as error:
                self._refusal = error
                self._quiet_until = monotonic() + PLUGIN_RETRY_S
                raise
            if rejected:
                self._quiet_until = monotonic() + PLUGIN_RETRY_S
            if self._session is not None and self._session.rest is not opened.rest:
                await self._retire(self._session.rest)
            self._session = opened
            return opened

    async def _open(self, kubeconfig: Kubeconfig, *, may_ask: bool = True) -> Session:
        return await open_session(
            kubeconfig,
            self._clock(),
            self._session,
            oidc=self._oidc if may_ask else None,
            with_plugin=may_ask,
            plugin_deadline_s=self._plugin_deadline_s,
            environ=self._environ,
        )

    async def _retire(self, rest: Any) -> None:
        """Let open watches on an old transport end by themselves; close the one retired before it."""
        before, self._retired = self._retired, rest
        if before is not None:
            await before.close()
