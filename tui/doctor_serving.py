"""The doctor's lines on model servers: which are found, how each is reached, what is missing. Nothing needs them."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from situation.clock import utc_now
from situation.kinds import BY_NAME
from situation.readings import Listed, Reading, SourceState
from situation.serving.readings import LEFT_OUT, WAYS, ModelServer, ServerReading
from situation.situation import Situation
from tui.doctor_devices import Line, one_pass

if TYPE_CHECKING:
    from collectors.kubernetes.client import Client
    from collectors.vllm.options import VllmOptions

NAME: Final = "model servers"
_LINES: Final = 8
"""So many servers get a line of their own."""


async def serving_lines(client: "Client | None", namespace: str | None, options: "VllmOptions | None") -> list[Line]:
    """Ask the model servers once; without a client only those at URLs, and the Prometheus."""
    return [line async for line in _lines(client, namespace, options)]


async def _lines(client: "Client | None", namespace: str | None, options: "VllmOptions | None") -> AsyncIterator[Line]:
    from collectors.errors import AbsentError, SourceError
    from collectors.http import HttpReader
    from collectors.vllm.collect import vllm_collectors
    from collectors.vllm.options import VllmOptions
    from collectors.vllm.wishes import VllmWishes

    ways = options or VllmOptions()
    wishes = VllmWishes(ways.pods, ways.skipped)
    try:
        pods = await _pods(client, namespace)
    except SourceError as error:
        pods = Reading(BY_NAME["pods"].source, SourceState.UNREACHABLE, utc_now())
        yield None, NAME, f"not looked for: {error}"
    situation = Situation()
    situation.apply(pods)
    wishes.tell(situation)
    async with HttpReader() as http:
        try:
            collectors = vllm_collectors(client, http, wishes, ways)
        except SourceError as error:
            yield None, NAME, str(error)
            return
        for collector in collectors:
            readings, failure = await one_pass(collector)
            servers = [item.value.server for item in readings if isinstance(item.value, ServerReading)]
            if isinstance(failure, AbsentError):
                yield True, NAME, f"none: {failure}"
            elif failure is not None and not servers:
                yield None, NAME, str(failure)
            else:
                for line in server_lines(servers, len(wishes.places), readings[-1].error if readings else ""):
                    yield line


async def _pods(client: "Client | None", namespace: str | None) -> Reading:
    from collectors.kubernetes.lists import list_cached

    pods, now = BY_NAME["pods"], utc_now()
    if client is None:
        return Reading(pods.source, SourceState.UNREACHABLE, now)
    found = await list_cached(client, pods, namespace)
    return Reading(pods.source, SourceState.LIVE, now, Listed("pods", found.objects))


def server_lines(servers: Iterable[ModelServer], known: int, error: str = "") -> Iterator[Line]:
    """Yield what there is to say of servers that were asked, out of `known` ones; those that fail come first."""
    found = list(servers)
    asked = sorted(
        (server for server in found if server.origin != LEFT_OUT),
        key=lambda server: (server.page is not None, server.key),
    )
    if left_out := len(found) - len(asked):
        yield True, NAME, f"{left_out} left out by the configuration (vllm_skipped_pods)"
    if not asked and (error or not left_out):
        yield (None if error else True), NAME, error or (f"{known} found, none asked" if known else "none found")
        return
    for server in asked[:_LINES]:
        yield _line(server)
    rest = asked[_LINES:]
    if rest:
        ways = Counter(WAYS.get(server.origin, server.origin) for server in rest if server.page is not None)
        told = [f"{count} answer {way}" for way, count in ways.most_common()]
        silent = sum(server.page is None for server in rest)
        told += [f"{silent} do not answer"] if silent else []
        yield (None if silent else True), NAME, f"{len(rest)} more: {', '.join(told)}"
    if known > len(asked):
        yield True, NAME, f"{known - len(asked)} more are found, and asked in later rounds"


def _line(server: ModelServer) -> Line:
    page = server.page
    if page is None:
        why = server.page_error or server.health_error
        return None, NAME, why if server.key in why else f"{server.key}: {why}"
    kind = f"{server.software.value} {server.version}".rstrip()
    models = ", ".join(dict.fromkeys(engine.model for engine in page.engines if engine.model))
    told = f"{server.key}: {kind}, {WAYS.get(server.origin, server.origin)}"
    lacking = ""
    if not page.engines and not page.routed:
        lacking = "; its page has no metrics of an engine: are statistics disabled?"
    return (None if lacking else True), NAME, f"{told}{f', serves {models}' if models else ''}{lacking}"
