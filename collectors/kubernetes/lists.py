"""Lists of a kind from the API server's watch cache, decoded while they stream in."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import msgspec

from collectors.errors import (
    AbsentError,
    BadAnswerError,
    ExpiredError,
    ForbiddenError,
    UnreachableError,
    WatchForbiddenError,
)
from collectors.kubernetes.client import Client
from collectors.kubernetes.list_items import CutListError, ListSplitter
from situation.decode import BadObjectError, Name, checked, decode_object, name_of
from situation.kinds import ObjectKind
from situation.meta import KubernetesObject, ObjectKey
from situation.sharing import Sharing

FIRST_BYTE_S: Final = 10.0
BODY_IDLE_S: Final = 15.0
SLICE_S: Final = 0.004
"""Decoding gives the event loop back after this long, so that the screen stays alive."""
EVENT_PAGE: Final = 500
EVENT_PAGES: Final = 20
"""Pages of events read at most: they come from etcd itself, in order of name and not of time. As many events as are
kept (`situation.store.EVENT_LIMIT`)."""
_WARNINGS: Final = "type!=Normal"
_OTHERS: Final = "type=Normal"


class Slicer:
    """Keeps decoding from holding the event loop for long."""

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s
        self._began = monotonic()

    def is_over(self) -> bool:
        """Tell whether the slice is used up; call it often."""
        return monotonic() - self._began >= self._slice_s

    async def rest(self) -> None:
        """Let others run, then begin a new slice."""
        await asyncio.sleep(0)
        self._began = monotonic()


class ObjectList(msgspec.Struct, frozen=True):
    """One list, or a page of it."""

    objects: tuple[KubernetesObject, ...]
    resource_version: str
    """From here on it can be watched."""
    skipped: int
    """Items of unknown name that could not be decoded, and what had to be left out and may matter."""
    continue_token: str = ""
    """Asks for the next page; empty where this is the last."""
    remaining: int = 0
    """Items after this page, where the server tells."""
    is_whole: bool = True
    """Nothing had to be left out."""
    broken: tuple[ObjectKey, ...] = ()
    """Names of items that could not be decoded."""


class Decoder:
    """Decodes objects of one kind; for those that cannot be it returns their name, and raises nothing."""

    def __init__(self, kind: ObjectKind) -> None:
        self._kind = kind
        self._sharing = Sharing()

    def decode(self, raw: bytes) -> KubernetesObject | Name | None:
        """Return the object; for a bad one its name, or None where that cannot be read either."""
        try:
            return self._shared(decode_object(raw, self._kind))
        except (BadObjectError, RecursionError):
            return name_of(raw)

    def check(self, item: KubernetesObject, raw: bytes) -> KubernetesObject | None:
        """Do for an object that is decoded already, from some part of `raw`, what `decode` does afterwards."""
        try:
            return self._shared(checked(item, self._kind, raw))
        except BadObjectError:  # it has no name
            return None

    def _shared(self, item: KubernetesObject) -> KubernetesObject:
        self._sharing.share(item)
        return item


async def list_one(client: Client, kind: ObjectKind, namespace: str | None) -> ObjectList:
    """Return one object, if there is any, and the version to watch from: asks little, to find out what is allowed.

    Without a resource version: with one, the server ignores the limit and sends everything. Raises SourceError.
    """
    return await _list(client, kind, namespace, {"limit": "1"})


async def list_cached(client: Client, kind: ObjectKind, namespace: str | None, selector: str = "") -> ObjectList:
    """Return objects of a kind as the server's watch cache has them (`resourceVersion=0`). Raises SourceError.

    All of them, or those that a label selector in the API's own notation selects.
    """
    params = {"resourceVersion": "0"} | ({"labelSelector": selector} if selector else {})
    return await _list(client, kind, namespace, params)


async def list_events(client: Client, kind: ObjectKind, namespace: str | None) -> ObjectList:
    """Return events; the version is that of the first page. Raises SourceError.

    Where one page does not hold all, warnings are read before others, EVENT_PAGES pages of both at most. Only warnings
    that are left out are counted as skipped: verdicts stand on them.
    """
    first = await _list(client, kind, namespace, {"limit": str(EVENT_PAGE)})
    if not first.continue_token:
        return first
    warnings, pages_left = await _read_pages(client, kind, namespace, _WARNINGS, EVENT_PAGES)
    others, _ = await _read_pages(client, kind, namespace, _OTHERS, pages_left)
    objects, skipped = warnings.objects + others.objects, warnings.skipped + others.skipped
    broken = warnings.broken + others.broken
    if not warnings.is_whole:
        skipped += max(1, len(first.objects) + len(first.broken) + first.remaining - len(objects) - len(broken))
    is_whole = warnings.is_whole and others.is_whole
    return ObjectList(objects, first.resource_version, skipped, is_whole=is_whole, broken=broken)


async def _read_pages(
    client: Client, kind: ObjectKind, namespace: str | None, selector: str, pages: int
) -> tuple[ObjectList, int]:
    """Return what a field selector selects, from `pages` pages at most, and how many are left."""
    objects: list[KubernetesObject] = []
    broken: list[ObjectKey] = []
    skipped, version, params = 0, "", {"limit": str(EVENT_PAGE), "fieldSelector": selector}
    is_whole = False
    while pages and not is_whole:
        pages -= 1
        try:
            page = await _list(client, kind, namespace, params)
        except ExpiredError:
            break  # the snapshot that the pages belong to is gone
        objects += page.objects
        broken += page.broken
        skipped, version = skipped + page.skipped, version or page.resource_version
        params["continue"], is_whole = page.continue_token, not page.continue_token
    return ObjectList(tuple(objects), version, skipped, is_whole=is_whole, broken=tuple(broken)), pages


async def _list(client: Client, kind: ObjectKind, namespace: str | None, params: dict[str, str]) -> ObjectList:
    splitter, slicer, found = ListSplitter(), Slicer(), _Found(kind)
    path = kind.path(namespace)
    with refusals_named(kind, namespace, "list"):
        async with client.stream(path, params, first_byte_s=FIRST_BYTE_S) as answer:
            try:
                while chunk := await answer.read(BODY_IDLE_S):
                    await _decode(splitter.feed(chunk), found, slicer)
            except TimeoutError as error:
                raise UnreachableError(
                    f"{answer.url} sent nothing for {BODY_IDLE_S:g} s in the middle of a list"
                ) from error
            try:
                rest = splitter.finish()
            except CutListError as error:
                raise BadAnswerError(f"{answer.url}: {error}") from error
            await _decode(rest, found, slicer)
    return ObjectList(
        tuple(found.objects),
        splitter.resource_version,
        found.skipped,
        splitter.continue_token,
        splitter.remaining,
        broken=tuple(found.broken),
    )


class _Found:
    """The items of a list, as far as they came."""

    def __init__(self, kind: ObjectKind) -> None:
        self.objects: list[KubernetesObject] = []
        self.broken: list[ObjectKey] = []
        self.skipped = 0
        self._decoder = Decoder(kind)

    def add(self, raw: bytes) -> None:
        match self._decoder.decode(raw):
            case None:
                self.skipped += 1
            case Name(key):
                self.broken.append(key)
            case item:
                self.objects.append(item)


async def _decode(items: list[bytes], found: _Found, slicer: Slicer) -> None:
    for raw in items:
        found.add(raw)
        if slicer.is_over():
            await slicer.rest()


@contextmanager
def refusals_named(kind: ObjectKind, namespace: str | None, verb: str) -> Iterator[None]:
    """Turn 403 and 404 inside into messages that name the verb, the kind and the namespace."""
    group = kind.group_version.rpartition("/")[0]
    resource = f"{kind.resource}.{group}" if group else kind.resource
    try:
        yield
    except AbsentError as error:
        raise AbsentError(f"the server has no {resource} ({kind.group_version})") from error
    except ForbiddenError as error:
        scope = (kind.fixed_namespace or namespace) if kind.namespaced else None
        where = f" in namespace {scope}" if scope else " in all namespaces" if kind.namespaced else ""
        refused = WatchForbiddenError if verb == "watch" else ForbiddenError
        raise refused(f"cannot {verb} {kind.resource}{where} (RBAC: verb {verb}, resource {resource})") from error
