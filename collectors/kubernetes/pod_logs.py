"""Logs of containers, read once when somebody asks: the end of the present run and of the one before it."""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Final
from urllib.parse import quote

from collectors.errors import AbsentError, ForbiddenError, RefusedError, SourceError, UnreachableError
from collectors.kubernetes.client import Client
from situation.logs import LogLine, LogRun, LogTarget, PodLog
from situation.readings import SourceState
from situation.text import harmless

LINES: Final = 200
LIMIT_BYTES: Final = 512 * 1024
DEADLINE_S: Final = 10.0
LINE_CHARS: Final = 2000
"""The rest of a longer line is left out."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]{0,20}m")
"""Only colours are taken away: what they say is lost on us, and shown as marks they would drown the text."""
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ?")
_WAITING: Final = re.compile(r"is waiting to start(?:: (?P<reason>.*))?")
_NO_POD: Final = re.compile(r'pods "[^"]*" not found')


async def read_pod_log(client: Client, target: LogTarget, clock: Callable[[], datetime]) -> PodLog:
    """Read both runs at once. Each may fail on its own: nothing is raised for what the cluster says."""
    previous, current = await asyncio.gather(
        _read_run(client, target, previous=True), _read_run(client, target, previous=False)
    )
    return PodLog(target, previous, current, clock())


async def _read_run(client: Client, target: LogTarget, *, previous: bool) -> LogRun:
    try:
        body, cut = await _read(client, target, previous=previous)
    except SourceError as error:
        return _failed(error, target)
    return LogRun(parse_log(body), cut=cut)


async def _read(client: Client, target: LogTarget, *, previous: bool) -> tuple[bytes, str]:
    """Return what came within deadline and limit, and why the end is missing if it is. Raises SourceError."""
    params = {"tailLines": str(LINES), "limitBytes": str(LIMIT_BYTES), "timestamps": "true"}
    if target.container:
        params["container"] = target.container
    if previous:
        params["previous"] = "true"
    body = bytearray()
    ends = monotonic() + DEADLINE_S
    async with client.stream(log_path(target.namespace, target.pod), params, first_byte_s=DEADLINE_S) as answer:
        try:
            while len(body) < LIMIT_BYTES and (chunk := await answer.read(max(0.01, ends - monotonic()))):
                body += chunk
        except TimeoutError as error:
            if not body:
                raise UnreachableError(f"{answer.url} sent nothing within {DEADLINE_S:g} s") from error
            return bytes(body), f"after {DEADLINE_S:g} s"
    return bytes(body[:LIMIT_BYTES]), f"after {LIMIT_BYTES >> 10} KiB" if len(body) >= LIMIT_BYTES else ""


def log_path(namespace: str, pod: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/log"


def parse_log(body: bytes) -> tuple[LogLine, ...]:
    """Return the last LINES lines of an answer, harmless, each with its time stamp if it has one."""
    text = body.decode("utf-8", "replace")
    lines = text.removesuffix("\n").split("\n") if text else []
    return tuple(_line(line.removesuffix("\r")) for line in lines[-LINES:])


def _line(raw: str) -> LogLine:
    at, start = None, 0
    if (stamp := _STAMP.match(raw)) is not None:
        try:
            at, start = datetime.fromisoformat(stamp[1]), stamp.end()
        except ValueError:
            pass  # looks like a time and is none: a word of the line
    text = _COLOUR.sub("", raw[start : start + 2 * LINE_CHARS])
    return LogLine(harmless(text if len(text) <= LINE_CHARS else f"{text[:LINE_CHARS]}…"), at)


def _failed(error: SourceError, target: LogTarget) -> LogRun:
    """Say what a refusal means for this run (wordings: kubelet, validateContainerLogStatus)."""
    said = str(error)
    if isinstance(error, ForbiddenError):
        where = f"in namespace {target.namespace}"
        return LogRun(state=error.state, said=f"cannot get pods/log {where} (RBAC: verb get, resource pods/log)")
    if isinstance(error, AbsentError) and _NO_POD.search(said):
        return LogRun(state=SourceState.ABSENT, said=f"pod {target.pod} is gone")
    if isinstance(error, RefusedError):
        if "previous terminated container" in said and "not found" in said:
            return LogRun(state=SourceState.ABSENT, said="there is no previous run")
        if (waiting := _WAITING.search(said)) is not None:
            reason = f": {waiting['reason']}" if waiting["reason"] else ""
            return LogRun(state=SourceState.ABSENT, said=f"it has not started{reason}")
        if "is not valid for pod" in said:
            return LogRun(state=SourceState.ABSENT, said=f"pod {target.pod} has no container {target.container}")
    return LogRun(state=error.state, said=said)
