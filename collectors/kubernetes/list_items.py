"""Splits a list answer of the API into its items while it streams in, without holding the whole body."""

from typing import Any, Final

import msgspec

from situation.text import harmless

_ITEMS: Final = b'"items":['
_SEPARATOR: Final = b'},{"metadata"'


class CutListError(ValueError):
    """The body ended in the middle, or is no list."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int = 0


class _Document(msgspec.Struct):
    metadata: _ListMeta | None = None
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    kind: str = ""


class _Status(msgspec.Struct):
    """What the API answers in place of a list where it cannot; with 200, somebody in between lost the code."""

    code: int = 0
    message: str = ""


_document: Final = msgspec.json.Decoder(_Document)
_status: Final = msgspec.json.Decoder(_Status)
_MESSAGE_SHOWN: Final = 200
_raw: Final = msgspec.json.Decoder(msgspec.Raw)


class ListSplitter:
    """Give it the body in chunks of any size with `feed`, then call `finish`; both return raw items.

    An item ends at the first `}` before `,{"metadata"` where its bytes decode: a proper prefix of a JSON object is
    never a complete JSON object. Where that separator does not occur (items that begin with another key, white space),
    the items come out of `finish` together.
    """

    def __init__(self) -> None:
        self.resource_version = ""
        self.continue_token = ""
        self.remaining = 0
        """Objects that come after this page; 0 also where the server does not tell (lists with selectors)."""
        self._buffer = bytearray()
        self._searched = 0
        self._head: bytes | None = None
        """All before the first item, once that is known."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; return the items that are complete."""
        self._buffer += chunk
        if self._head is None and not self._find_head():
            return []
        items: list[bytes] = []
        start = 0
        while (found := self._buffer.find(_SEPARATOR, max(start, self._searched))) >= 0:
            self._searched = found + 1
            item = bytes(self._buffer[start : found + 1])
            if _is_complete(item):
                items.append(item)
                start = found + 2
        self._searched = max(self._searched, len(self._buffer) - len(_SEPARATOR) + 1)
        if start:
            del self._buffer[:start]
            self._searched = max(0, self._searched - start)
        return items

    def finish(self) -> list[bytes]:
        """Return the remaining items. Raises CutListError when the body is incomplete or no list."""
        body = (self._head or b"") + bytes(self._buffer)
        self._buffer.clear()
        try:
            document = _document.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CutListError(f"not a complete list: {error}") from error
        if document.items is msgspec.UNSET:  # null stands for an empty list, but a list has items
            raise CutListError(f"not a list but {what_came(document.kind, body)}")
        if document.metadata is not None:
            self.resource_version = document.metadata.resource_version
            self.continue_token = document.metadata.continue_
            self.remaining = document.metadata.remaining_item_count
        return [bytes(item) for item in document.items or ()]

    def _find_head(self) -> bool:
        """Look for the items of the list itself, not for the text `"items":[` somewhere deeper."""
        while (found := self._buffer.find(_ITEMS, self._searched)) >= 0:
            end = found + len(_ITEMS)
            self._searched = found + 1
            head = bytes(self._buffer[:end])
            if _closes_with_no_items(head):
                self._head = head
                del self._buffer[:end]
                self._searched = 0
                return True
        self._searched = max(self._searched, len(self._buffer) - len(_ITEMS) + 1, 0)
        return False


def _is_complete(item: bytes) -> bool:
    try:
        _raw.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def what_came(kind: str, body: bytes) -> str:
    """Name what came in place of a list or a watch: its kind, and the code and message of a Status."""
    try:
        status = _status.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        status = _Status()
    said = ", ".join(filter(None, (str(status.code or ""), harmless(status.message)[:_MESSAGE_SHOWN])))
    name = harmless(kind) or "an object without kind"
    return f"{name}: {said}" if said else name


def _closes_with_no_items(head: bytes) -> bool:
    try:
        document: Any = msgspec.json.decode(head + b"]}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("items") == []
