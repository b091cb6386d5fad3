"""What is asked now and then: the server's version and its readiness checks."""

import re
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from time import monotonic
from typing import Final

import msgspec

from collectors.errors import BadAnswerError, SourceError, UnreachableError
from collectors.kubernetes.client import Client
from collectors.kubernetes.failures import web_page
from situation.readings import Readiness, Reading, ServerVersion, SourceState
from situation.text import harmless

POLL_DEADLINE_S: Final = 10.0
READYZ_FRESH_S: Final = 30.0
_FAILED: Final = re.compile(r"^\[-\](\S+)", re.MULTILINE)
_PASSED: Final = re.compile(r"^\[\+\]\S+", re.MULTILINE)


class _Version(msgspec.Struct, rename="camel"):
    git_version: str


def parse_version(body: bytes, server: str) -> ServerVersion:
    """Parse the body of `/version`. Raises BadAnswerError, which names the URL of the `server`."""
    try:
        return ServerVersion(harmless(msgspec.json.decode(body, type=_Version).git_version))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadAnswerError(f"{server}/version is not what Kubernetes answers: {error}") from error


def parse_readiness(status: int, body: bytes, url: str) -> Readiness:
    """Parse the body of `/readyz?verbose`: lines `[+]name ok` and `[-]name failed: ...`. Raises BadAnswerError.

    A body without such lines (a server that ends its shutdown) is believed by its status. `url` is what errors call
    it: `/livez` and `/healthz` answer alike.
    """
    text = body.decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        raise web_page(url)
    failed = tuple(dict.fromkeys(harmless(name) for name in _FAILED.findall(text)))
    if not failed and not _PASSED.search(text) and text.strip() != "ok" and status == 200:
        raise BadAnswerError(f"{url} is not what Kubernetes answers")
    return Readiness(status == 200 and not failed, failed)


class VersionPoll:
    """Source `kubernetes/version`."""

    name = "kubernetes/version"
    pause_s = 300.0
    deadline_s = 60.0

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock

    async def collect(self) -> AsyncGenerator[Reading, None]:
        _, body = await self._client.get("/version", deadline_s=POLL_DEADLINE_S)
        version = parse_version(body, self._client.server)
        yield Reading(self.name, SourceState.LIVE, self._clock(), version, fresh_for_s=2 * self.pause_s)


class ReadyzPoll:
    """Source `kubernetes/readyz`. A 500 with its list of checks is an answer, not an error."""

    name = "kubernetes/readyz"
    pause_s = 10.0
    deadline_s = 60.0

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self.etcd_fails = False
        """What the last answer said of etcd; events are then not listed, as they are read from there."""
        self.silent_since: float | None = None
        """When it was asked last, if it did not answer that (`time.monotonic`); None while it answers, whatever."""

    async def collect(self) -> AsyncGenerator[Reading, None]:
        began = monotonic()
        try:
            status, body = await self._client.get(
                "/readyz", {"verbose": ""}, deadline_s=POLL_DEADLINE_S, accepted=(500,)
            )
        except SourceError as error:
            self.silent_since = began if isinstance(error, UnreachableError) else None
            raise
        self.silent_since = None
        readiness = parse_readiness(status, body, f"{self._client.server}/readyz")
        self.etcd_fails = any(check.startswith("etcd") for check in readiness.failed_checks)
        yield Reading(self.name, SourceState.LIVE, self._clock(), readiness, fresh_for_s=READYZ_FRESH_S)
