"""Turns the lines of a watch into changes of one kind."""

from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from collectors.kubernetes.list_items import what_came
from collectors.kubernetes.lists import Decoder
from situation.decode import Name
from situation.kinds import ObjectKind
from situation.meta import KubernetesObject, ObjectKey
from situation.readings import Changed

O = TypeVar("O", bound=KubernetesObject)  # noqa: E741 - the usual letter for "object"

_CHANGES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ObjectLine(msgspec.Struct, Generic[O]):
    """A line whose object is of the kind that is watched, as nearly all are: decoded in one pass."""

    type: str
    object: O


class _BookmarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] = {}


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMeta


class WatchStatus(msgspec.Struct):
    """The Status object of an ERROR event."""

    code: int = 0
    message: str = ""
    reason: str = ""
    kind: str = ""


class WatchError(NamedTuple):
    """An ERROR event: the server ends the watch."""

    code: int
    body: bytes
    came: str = ""
    """No event at all: what came in place of events."""


_line: Final = msgspec.json.Decoder(_Line)
_bookmark: Final = msgspec.json.Decoder(_Bookmark)
_status: Final = msgspec.json.Decoder(WatchStatus)
_BAD_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_SHOWN_BYTES: Final = 200


class WatchLines:
    """Follows one kind through its watches: feeds on lines, keeps versions, gathers changes.

    Resource versions are compared as numbers (documented as comparable since Kubernetes 1.35; they always were
    revisions of etcd), so that an event that comes twice or late does not bring an older state back.

    What was known of an object ends with a change of it that cannot be decoded: it is no longer so.
    """

    def __init__(self, kind: ObjectKind) -> None:
        self.version = ""
        """Resume from here; empty before the first list."""
        self.synced = False
        """The server has said that all initial events are out."""
        self.skipped = 0
        """Lines since the last `take` that make no sense, or change nobody knows which object."""
        self.sound = 0
        """Lines of this watch that made sense; an ERROR event is none of them."""
        self.broken = 0
        """Lines of this watch that did not."""
        self.nonsense = b""
        """The beginning of the first of them that is no watch event at all, for people."""
        self._decoder = Decoder(kind)
        self._object_line = msgspec.json.Decoder(_ObjectLine[kind.type])  # type: ignore[name-defined]
        self._kind = kind
        self._known: dict[ObjectKey, int] = {}
        self._upserts: dict[ObjectKey, KubernetesObject] = {}
        self._removed: dict[ObjectKey, None] = {}
        self._broken: dict[ObjectKey, None] = {}

    def begin(self, objects: tuple[KubernetesObject, ...] = (), version: str = "") -> None:
        """Start anew from a list."""
        self.version, self.synced, self.skipped = version, False, 0
        self._upserts, self._removed, self._broken = {}, {}, {}
        self._known = {item.key: _number(item.metadata.resource_version) for item in objects}

    def open(self) -> None:
        """Begin a watch that goes on from `version`."""
        self.sound, self.broken, self.nonsense = 0, 0, b""

    def drop(self, lines: int) -> None:
        """Count lines that are left out."""
        self.skipped += lines
        self.broken += lines

    def add(self, raw: bytes) -> WatchError | None:
        """Take one line in; return the error if it is one. A line that makes no sense is counted in `skipped`."""
        try:
            line = self._object_line.decode(raw)
        except _BAD_JSON:
            return self._add_other(raw)
        if line.type not in _CHANGES:
            return self._add_other(raw)
        self._change(line.type, self._decoder.check(line.object, raw))
        return None

    def _add_other(self, raw: bytes) -> WatchError | None:
        """Take in what is no sound object: bookmarks, errors, objects with nulls, nonsense."""
        try:
            line = _line.decode(raw)
        except _BAD_JSON:
            failed = in_place_of_events(raw)
            if failed is None:
                self.nonsense = self.nonsense or raw[:_SHOWN_BYTES]
                self.drop(1)
            return failed
        match line.type:
            case type if type in _CHANGES:
                self._change(type, self._decoder.decode(bytes(line.object)))
            case "BOOKMARK":
                self._mark(line.object)
            case "ERROR":
                return _error(bytes(line.object))
            case _:
                self.drop(1)
        return None

    def take(self) -> Changed | None:
        """Return what was gathered since the last call, None if that is nothing."""
        if not (self._upserts or self._removed or self.skipped):
            return None
        upserts, removed, broken = tuple(self._upserts.values()), tuple(self._removed), tuple(self._broken)
        changed = Changed(self._kind.name, upserts, removed, self.skipped, broken)
        self._upserts, self._removed, self._broken, self.skipped = {}, {}, {}, 0
        return changed

    def _change(self, type: str, item: KubernetesObject | Name | None) -> None:
        """Take a change in; a Name for an object that could not be decoded, None where its name could not either."""
        if item is None:
            self.drop(1)
            return
        self.sound += 1
        version = item.resource_version if isinstance(item, Name) else item.metadata.resource_version
        if self._is_late(type, item.key, _number(version)):
            return
        for gathered in (self._upserts, self._removed, self._broken):
            gathered.pop(item.key, None)
        if type == "DELETED":
            self._known.pop(item.key, None)
            self._removed[item.key] = None
        else:
            self._known[item.key] = _number(version)
            self._put(item)
        self._advance(version)

    def _put(self, item: KubernetesObject | Name) -> None:
        if isinstance(item, Name):
            self._broken[item.key] = self._removed[item.key] = None
        else:
            self._upserts[item.key] = item

    def _is_late(self, type: str, key: ObjectKey, number: int) -> bool:
        """Tell whether a change is older than what is known."""
        known = self._known.get(key)
        if type == "DELETED":
            return bool(number) and number < (known or 0)
        if known is not None:
            return bool(number) and number <= known
        return type == "MODIFIED" and bool(number) and number <= _number(self.version)  # the object is gone

    def _mark(self, raw: msgspec.Raw) -> None:
        try:
            metadata = _bookmark.decode(raw).metadata
        except _BAD_JSON:
            self.drop(1)
            return
        self.sound += 1
        self.synced |= metadata.annotations.get(INITIAL_EVENTS_END) == "true"
        if metadata.resource_version and (self.version or self.synced):
            self.version = metadata.resource_version

    def _advance(self, version: str) -> None:
        # Initial events come in order of name: only the bookmark after them says where to resume.
        if self.version and _number(version) > _number(self.version):
            self.version = version


def _number(version: str) -> int:
    """Return a resource version as a number, 0 if it is none (then nothing is compared)."""
    return int(version) if version.isascii() and version.isdigit() else 0


def in_place_of_events(raw: bytes) -> WatchError | None:
    """Return the error for a line that is a Status by itself, as a gateway may send with 200; None for any other."""
    try:
        status = _status.decode(raw)
    except _BAD_JSON:
        return None
    return WatchError(status.code, raw, what_came(status.kind, raw)) if status.kind == "Status" else None


def _error(raw: bytes) -> WatchError:
    try:
        return WatchError(_status.decode(raw).code, raw)
    except _BAD_JSON:
        return WatchError(0, raw)
