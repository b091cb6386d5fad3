"""Reads a dump of a cluster: what `kubectl get -o json`, `-o yaml` or `kubectl cluster-info dump` wrote."""

import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from collectors.dump_files import Document, Head, find_files, kinds_held, read_documents
from collectors.errors import DumpError
from collectors.new_events import NEW_EVENTS, NewEvent
from collectors.newest import newest_time
from situation.clock import duration_text, utc_now
from situation.decode import BadObjectError, decode_object, name_of
from situation.kinds import BY_NAME, KINDS, NAMES_OF, ObjectKind, kind_of
from situation.meta import KubernetesObject, ObjectKey
from situation.readings import Listed, Reading, ServerVersion, SourceState
from situation.store import EVENT_LIMIT
from situation.text import harmless

_KINDS_NAMED: Final = 8
_CLOCKS_AGREE: Final = timedelta(seconds=60)
_JUST_BEFORE: Final = timedelta(minutes=10)
"""Kubelets write their status every 5 minutes: a dump of a cluster that lives has such a time stamp."""
_FAR_OFF: Final = timedelta(days=1)


class Dump(msgspec.Struct, frozen=True):
    """A dump as readings; kinds that are not in it are absent."""

    readings: tuple[Reading, ...]
    now: datetime
    """The newest time stamp in it: the time it shows."""
    notes: tuple[str, ...]
    """For people: what was passed over."""


class _Place(msgspec.Struct, frozen=True):
    namespace: str = ""


class _Identity(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    metadata: _Place = _Place()


class _Versions(msgspec.Struct, rename="camel"):
    git_version: str = ""
    server_version: "_Versions | None" = None


_identity: Final = msgspec.json.Decoder(_Identity)


def read_dump(path: str | Path) -> Dump:
    """Read a file, or all JSON and YAML files of a folder.

    Raises DumpError, naming the file, when there is nothing to read in it. In a folder a broken file becomes a note.
    """
    root = Path(path)
    files, notes = find_files(root)
    gathered = _Gathered()
    broken: list[DumpError] = []
    for file in files:
        try:
            for document in read_documents(file):
                gathered.add(document)
        except DumpError as error:
            broken.append(error)
            gathered.miss(file)
    if not gathered.found_any:
        if broken:
            raise broken[0]
        raise DumpError(f"{root}: no Kubernetes objects that Midwatch reads in it{gathered.unknown_text(': ')}")
    if broken and not root.is_dir():
        raise broken[0]
    notes += [f"skipped {error}" for error in broken]
    now, doubts = _now(gathered, _written_at(files))
    return Dump(tuple(gathered.readings(now)), now, (*notes, *doubts, *gathered.notes()))


def _written_at(files: Sequence[Path]) -> datetime:
    """Return when the newest of the files was written; what comes through a pipe is written now."""
    found = [file.stat() for file in files]
    if any(not stat.S_ISREG(file.st_mode) for file in found):
        return utc_now()
    return datetime.fromtimestamp(max(file.st_mtime for file in found), UTC)


def _now(gathered: "_Gathered", written: datetime) -> tuple[datetime, list[str]]:
    """Return the time that a dump shows, its newest time stamp, and what is to be said of that.

    A stamp from after the files were written is of a wrong clock, where others are from just before that, or where it
    is more than a day off. Else the clock of the machine that wrote them may be the wrong one.
    """
    newest = gathered.newest()
    if newest is None:
        return written, ["no time stamps in it: taken to be as old as its files"]
    before = gathered.newest(written + _CLOCKS_AGREE)
    if newest <= written + _CLOCKS_AGREE or before is None:
        return newest, []
    if written - before > _JUST_BEFORE and newest - written < _FAR_OFF:
        return newest, []
    off = duration_text((newest - before).total_seconds())
    return before, [f"some clock was {off} ahead: time stamps from after the files were written are not taken for now"]


class _Gathered:
    """Objects by kind, as they are found."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[ObjectKey, KubernetesObject]] = {}
        self._skipped: Counter[str] = Counter()
        """Objects that cannot be decoded, by kind; those whose names can be read are in `_broken`."""
        self._broken: defaultdict[str, dict[ObjectKey, None]] = defaultdict(dict)
        self._unknown: Counter[str] = Counter()
        self._missed: dict[str, Path] = {}
        """Kinds of which a file that is broken held some, by name, and the file."""
        self._version: ServerVersion | None = None

    @property
    def found_any(self) -> bool:
        return bool(self._objects) or self._version is not None

    def add(self, document: Document) -> None:
        """Take one document in: an object, a list, or the answer of `kubectl version`."""
        raw, head = document
        if head is None:
            self._unknown["documents that are no objects"] += 1
        elif head.items is not None:
            self._add_items(head)
        elif head.kind:
            self._add_object(raw, head.kind, head.api_version)
        elif (version := _server_version(raw)) is not None:
            self._version = version
        else:
            self._unknown["objects without kind"] += 1

    def _add_items(self, head: Head) -> None:
        item_kind = head.kind.removesuffix("List")
        one_kind = _kind(item_kind, head.api_version) if item_kind else None
        if one_kind is not None:
            # An empty list is knowledge too. Leases are two kinds: which one, their namespace says.
            self._objects.setdefault(one_kind.name, {})
            if one_kind.kind != "Lease":
                for item in head.items or ():
                    self._put(bytes(item), one_kind)
                return
        for item in head.items or ():
            self._add_object(bytes(item), item_kind, head.api_version if item_kind else "")

    def _add_object(self, raw: bytes, kind_name: str, api_version: str) -> None:
        try:
            identity = _identity.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._skipped[kind_name or "objects"] += 1
            return
        manifest_kind = identity.kind or kind_name
        kind = _kind(manifest_kind, identity.api_version or api_version, identity.metadata.namespace)
        if kind is None:
            self._unknown[harmless(manifest_kind) or "objects without kind"] += 1
            return
        self._put(raw, kind)

    def _put(self, raw: bytes, kind: ObjectKind) -> None:
        objects = self._objects.setdefault(kind.name, {})
        try:
            item = decode_object(raw, kind)
        except (BadObjectError, RecursionError):
            if (name := name_of(raw)) is not None:
                self._broken[kind.name][name.key] = None
            else:
                self._skipped[kind.name] += 1
            return
        objects[item.key] = item.as_event() if isinstance(item, NewEvent) else item

    def miss(self, file: Path) -> None:
        """Take in that a file is broken: what it held is not known."""
        names = (name for kind in kinds_held(file) for name in NAMES_OF.get(kind, ()))
        self._missed |= dict.fromkeys(names, file)

    def newest(self, until: datetime | None = None) -> datetime | None:
        """Return the newest time stamp, by `until` if that is given."""
        times = [newest_time(item, until) for objects in self._objects.values() for item in objects.values()]
        return max((time for time in times if time is not None), default=None)

    def readings(self, now: datetime) -> Iterator[Reading]:
        """Yield a reading for every source of a cluster."""
        live = SourceState.LIVE
        for kind in KINDS:
            if kind.name in self._objects:
                objects = tuple(self._objects[kind.name].values())
                skipped = self._skipped[kind.name] + (kind.name in self._missed)
                listed = Listed(kind.name, objects, skipped, broken=tuple(self._broken[kind.name]))
                yield Reading(kind.source, live, now, listed)
            elif kind.name in self._missed:
                error = f"not in the dump as far as it can be read: {self._missed[kind.name]} is broken"
                yield Reading(kind.source, SourceState.ABSENT, now, error=error)
            else:
                yield Reading(kind.source, SourceState.ABSENT, now, error="not in the dump")
        if self._version is not None:
            yield Reading("kubernetes/version", live, now, self._version)
        else:
            yield Reading("kubernetes/version", SourceState.ABSENT, now, error="not in the dump")
        yield Reading("kubernetes/readyz", SourceState.ABSENT, now, error="not in the dump")

    def notes(self) -> Iterator[str]:
        if (events := len(self._objects.get("events", ()))) > EVENT_LIMIT:
            yield f"of {events} events the newest {EVENT_LIMIT} are looked at"
        for file in dict.fromkeys(self._missed.values()):
            names = sorted(name for name, missed in self._missed.items() if missed == file)
            yield f"not known as a whole, as {file} held some: {', '.join(names)}"
        skipped = self._skipped + Counter({name: len(keys) for name, keys in self._broken.items()})
        for name, count in sorted(skipped.items()):
            what = BY_NAME[name].kind if name in BY_NAME else "" if name == "objects" else harmless(name)
            yield f"skipped {count} broken {what} {'object' if count == 1 else 'objects'}".replace("  ", " ")
        if self._unknown:
            yield f"not read{self.unknown_text(': ')}"

    def unknown_text(self, before: str) -> str:
        """Return the kinds that Midwatch does not read with their number, empty if there are none."""
        if not self._unknown:
            return ""
        most = self._unknown.most_common(_KINDS_NAMED)
        more = len(self._unknown) - len(most)
        return before + ", ".join(f"{name} ×{count}" for name, count in most) + (f", {more} more kinds" if more else "")


def _kind(manifest_kind: str, api_version: str, namespace: str = "") -> ObjectKind | None:
    """Return the entry for a kind, None for one of the same name in another API group."""
    kind = kind_of(manifest_kind, namespace)
    if kind is None or not api_version:
        return kind
    for known in (kind, NEW_EVENTS):
        if known.kind == manifest_kind and _group(known.group_version) == _group(api_version):
            return known
    return None


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _server_version(document: bytes) -> ServerVersion | None:
    """Read `kubectl get --raw /version` or `kubectl version -o json`."""
    try:
        versions = msgspec.json.decode(document, type=_Versions)
    except msgspec.DecodeError:
        return None
    text = versions.server_version.git_version if versions.server_version else versions.git_version
    return ServerVersion(harmless(text)) if text else None
