"""GET of collections and single objects."""

import base64
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from simulator.cluster import Cluster, Stored, Table
from simulator.selection import Selection
from simulator.statuses import StatusError, bad_request, not_found
from simulator.tables import table_of, wants_table

CHUNK_OBJECTS: Final = 150
"""Objects joined into one write: about 1 MB for pods of a real cluster."""


class _Continue(msgspec.Struct):
    """What a `continue` token says."""

    version: int
    after: tuple[str, str]


async def answer_list(
    request: web.Request, cluster: Cluster, table: Table, selection: Selection, query: Mapping[str, str]
) -> web.StreamResponse:
    """Answer a list request, in pages if `limit` asks for them; a list at `resourceVersion=0` ignores the limit.

    Pages show the present state, not that of the first page. Raises StatusError.
    """
    found = _selected(table, selection)
    metadata: dict[str, object] = {"resourceVersion": str(cluster.resource_version)}
    from_cache = query.get("resourceVersion") == "0" and "continue" not in query
    limit = 0 if from_cache else _number(query, "limit")
    if token := query.get("continue"):
        found = _rest(found, token, table)
    if limit and len(found) > limit:
        if not selection.fields and not selection.labels:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
        metadata["continue"] = _token(cluster.resource_version, found[-1])
    if wants_table(request):
        return web.json_response(body=msgspec.json.encode(table_of(table.kind, found, metadata, request)))
    return await _stream(request, table, found, metadata)


def answer_object(request: web.Request, table: Table, namespace: str, name: str) -> web.Response:
    """Answer the GET of one object. Raises StatusError 404."""
    stored = table.objects.get((namespace, name))
    if stored is None:
        raise not_found(table.kind, name)
    if wants_table(request):
        metadata = {"resourceVersion": str(stored.version)}
        return web.json_response(body=msgspec.json.encode(table_of(table.kind, [stored], metadata, request)))
    return web.json_response(body=table.watch_prefix + stored.tail)


def check_version(cluster: Cluster, query: Mapping[str, str]) -> None:
    """Refuse a version that lies in the future, as after a restored etcd. Raises StatusError 504."""
    wanted = _number(query, "resourceVersion")
    if wanted > cluster.resource_version:
        message = f"Timeout: Too large resource version: {wanted}, current: {cluster.resource_version}"
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        raise StatusError(504, "Timeout", message, causes=causes, retryAfterSeconds=1)


async def _stream(
    request: web.Request, table: Table, found: list[Stored], metadata: dict[str, object]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    head = f'{{"kind":"{table.kind.kind}List","apiVersion":"{table.kind.group_version}","metadata":'.encode()
    separator = head + msgspec.json.encode(metadata) + b',"items":['
    for start in range(0, len(found), CHUNK_OBJECTS):
        tails = [stored.tail for stored in found[start : start + CHUNK_OBJECTS]]
        await response.write(separator + b"{" + b",{".join(tails))
        separator = b","
    await response.write_eof(b"]}\n" if found else separator + b"]}\n")
    return response


def _selected(table: Table, selection: Selection) -> list[Stored]:
    found = table.ordered()
    return found if selection.is_everything else [stored for stored in found if selection.takes(stored)]


def _token(version: int, last: Stored) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Continue(version, last.key))).decode()


def _rest(found: list[Stored], token: str, table: Table) -> list[Stored]:
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(token), type=_Continue)
    except (ValueError, msgspec.DecodeError) as error:
        raise bad_request("continue key is not valid") from error
    if place.version < table.oldest_version:
        raise StatusError(410, "Expired", "The provided continue parameter is too old to display a consistent list")
    return [stored for stored in found if stored.key > place.after]


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or "0"
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"Invalid value for {name}: {text!r}")
    return int(text)
