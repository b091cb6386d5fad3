"""Ways to one model server: a URL, its pod's IP, the API server's pod proxy. Foreign failures are told apart here.

NobodyListensError  the connection was refused where the server should be
NoAnswerError       it was asked, and nothing came in time
WayClosedError      this way does not lead there, which says nothing of the server
"""

from time import monotonic
from typing import Final, NamedTuple, Protocol

import msgspec

from collectors.errors import (
    AbsentError,
    BadAnswerError,
    ForbiddenError,
    SourceError,
    ThrottledError,
    UnauthorizedError,
    UnreachableError,
)
from collectors.http import HttpReader, Tls
from collectors.http_failures import in_chain
from collectors.kubernetes.client import Client
from collectors.urls import without_password
from collectors.vllm.page import PAGE_LIMIT_BYTES
from collectors.vllm.wishes import Place
from situation.text import harmless

_SHOWN: Final = 200
_PASSED: Final = (400, 401, 403, 404, 500, 501, 502, 503, 504)
"""Statuses that may come from the API server or from the pod: their body tells."""
_UNREACHED: Final = "error trying to reach service"
_REFUSED: Final = "connection refused"
_NO_WAY: Final = (
    "i/o timeout",
    "no route to host",
    "network is unreachable",
    "deadline exceeded",
    "no agent available",
)
"""What the API server says of pods that it has no way to."""
_PROBE_S: Final = 1.0


class NobodyListensError(UnreachableError):
    """The connection was refused."""


class NoAnswerError(UnreachableError):
    """Asked, and nothing came in time."""


class WayClosedError(UnreachableError):
    """This way does not lead to the server."""


class Answer(NamedTuple):
    """What the server itself answered."""

    status: int
    body: bytes = b""
    said: str = ""
    """For messages, where the status is not 200: what was asked and what came."""


class Door(Protocol):
    """One way to one server."""

    origin: str
    """`url`, `proxy` or `pod-ip`."""
    shown: str
    """For messages and readings, without password."""

    async def get(self, path: str, deadline_s: float) -> Answer:
        """Ask for `path`. Raises NobodyListensError, NoAnswerError, WayClosedError, or another SourceError."""
        ...


class UrlDoor:
    """Straight to the server."""

    def __init__(self, base: str, http: HttpReader, tls: Tls | None = None, origin: str = "url") -> None:
        self.origin = origin
        self.shown = without_password(base)
        self._base = base
        self._http = http
        self._tls = tls

    async def get(self, path: str, deadline_s: float) -> Answer:
        url = f"{self._base}{path}"
        try:
            body = await self._http.get(url, deadline_s=deadline_s, limit_bytes=PAGE_LIMIT_BYTES, tls=self._tls)
        except SourceError as error:
            if error.status in (400, 401, 403, 404, 429) or error.status >= 500:
                return Answer(error.status, error.body, str(error))
            if in_chain(error, ConnectionRefusedError) is not None:
                raise NobodyListensError(str(error)) from error
            if in_chain(error, TimeoutError) is not None:
                raise NoAnswerError(str(error)) from error
            raise
        return Answer(200, body)


class Api:
    """The API server as a way: when it last answered, so that its own silence is not taken for a server's."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answered_at = 0.0

    async def answers(self, since: float) -> bool:
        """Tell whether it has answered anything since that moment, or does now."""
        if self.answered_at < since:
            try:
                await self.client.get("/version", deadline_s=_PROBE_S, renews=False)
            except SourceError:
                return False
            self.answered_at = monotonic()
        return True


class _Status(msgspec.Struct, frozen=True):
    kind: str = ""
    message: str = ""


class ProxyDoor:
    """Through the API server, which sends the request on to the pod."""

    origin = "proxy"

    def __init__(self, api: Api, place: Place) -> None:
        self._api = api
        self._place = place
        name = f"https:{place.pod}" if place.scheme == "https" else place.pod
        self.shown = f"/api/v1/namespaces/{place.namespace}/pods/{name}:{place.port}/proxy"

    async def get(self, path: str, deadline_s: float) -> Answer:
        api, began = self._api, monotonic()
        try:
            status, body = await api.client.get(
                f"{self.shown}{path}",
                deadline_s=deadline_s,
                accepted=_PASSED,
                limit_bytes=PAGE_LIMIT_BYTES,
                renews=False,
            )
        except ThrottledError:
            raise
        except SourceError as error:
            if isinstance(error, BadAnswerError) and "answered with" in str(error):
                raise  # a web page, or more than is read: the server's own
            if in_chain(error, TimeoutError) is None:
                raise WayClosedError(str(error)) from error
            if not await api.answers(began):
                raise WayClosedError(f"{self._name} was not reached: the API server itself is silent") from error
            raise NoAnswerError(f"{self._name} did not answer within {deadline_s:g} s") from error
        api.answered_at = monotonic()
        return Answer(200, body) if status == 200 else self._refusal(status, body, path)

    @property
    def _name(self) -> str:
        return f"{self._place.namespace}/{self._place.pod}:{self._place.port}"

    def _refusal(self, status: int, body: bytes, path: str) -> Answer:
        text = body[:2000].decode("utf-8", "replace").strip()
        message = _status_message(body)
        if message is None and not text.lower().startswith(_UNREACHED):
            said = ": a web page" if text.startswith("<") else f": {harmless(text)[:_SHOWN]}" if text else ""
            return Answer(status, body, f"{self._name}{path} answered {status}{said}")
        raise self._of_the_api(status, harmless(text if message is None else message)[:_SHOWN])

    def _of_the_api(self, status: int, message: str) -> SourceError:
        lower, name = message.lower(), self._name
        if _UNREACHED in lower:
            if _REFUSED in lower:
                return NobodyListensError(f"{name}: connection refused")
            kind = WayClosedError if any(part in lower for part in _NO_WAY) else UnreachableError
            return kind(f"the API server cannot reach {name}: {message}")
        if status == 401:
            return WayClosedError(f"{name} was not reached: the API server does not take your credentials (401)")
        if status == 403:
            return ForbiddenError(
                f"cannot reach the model servers in namespace {self._place.namespace} "
                f"(RBAC: verb get, resource pods/proxy): {message}"
            )
        if status == 404:
            return AbsentError(f"{name}: {message or 'not there'}")
        return WayClosedError(f"{name} was not reached: the API server answered {status}: {message}")


def _status_message(body: bytes) -> str | None:
    """Return the message of a Status, as the API server answers; None for what a pod says."""
    try:
        found = msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found.message if found.kind == "Status" else None


def leads_nowhere(error: SourceError) -> bool:
    """Tell whether an error speaks of the way, not of the server."""
    return isinstance(error, WayClosedError | ForbiddenError | ThrottledError | UnauthorizedError)
