"""The simulated cluster: objects by resource, with resource versions and the history that watches read."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_OID, uuid5

import msgspec

from simulator.etcd.state import EtcdState
from simulator.etcd.way import EtcdWay
from simulator.pages import Page
from situation.kinds import BY_NAME, KINDS, ObjectKind
from situation.meta import KubernetesObject, ObjectKey
from tape.format import PageName

Manifest = dict[str, Any]

DEFAULT_HISTORY: Final = 1000
DEFAULT_GRACE_S: Final = 30
"""Of what is deleted (core/v1, terminationGracePeriodSeconds)."""
READY_TEXT: Final = "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]informer-sync ok\n[+]shutdown ok\nreadyz check passed\n"


SERVED: Final = (
    *KINDS,
    ObjectKind("configmaps", "ConfigMap", "v1", KubernetesObject),
    ObjectKind("secrets", "Secret", "v1", KubernetesObject),
)
"""All kinds that are served. The last two are always empty: Midwatch never reads them, but offers kubectl commands."""


class Stored(NamedTuple):
    """One object as it goes over the wire."""

    key: ObjectKey
    version: int
    tail: bytes
    """Its JSON without the opening brace: list items and watch objects differ only in what stands before."""

    def manifest(self) -> Manifest:
        """Decode it."""
        found: Manifest = msgspec.json.decode(b"{" + self.tail)
        return found


class Change(NamedTuple):
    """One entry of the history."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    version: int
    new: Stored
    """The object after the change; for DELETED its last state, at the version of the deletion."""
    old: Stored | None


class Table:
    """All objects of one resource and the latest changes to them."""

    def __init__(self, kind: ObjectKind, history: int) -> None:
        self.kind = kind
        self.objects: dict[ObjectKey, Stored] = {}
        self.oldest_version = 0
        """Watches from before this version have expired."""
        self._changes: deque[Change] = deque()
        self._history = history
        self._order: list[ObjectKey] | None = None
        self._listeners: set[Callable[[], None]] = set()

    @property
    def watch_prefix(self) -> bytes:
        """What stands before `Stored.tail` in a watch event's object."""
        return f'{{"kind":"{self.kind.kind}","apiVersion":"{self.kind.group_version}",'.encode()

    def ordered(self) -> list[Stored]:
        """Return all objects by namespace and name, as the API server lists them."""
        return [self.objects[key] for key in self.keys()]

    def keys(self) -> list[ObjectKey]:
        """Return all keys in that order. Not to be changed."""
        if self._order is None:
            self._order = sorted(self.objects)
        return self._order

    def changes_after(self, version: int) -> list[Change] | None:
        """Return the changes after `version`, oldest first; None if the history does not reach back so far."""
        if version < self.oldest_version:
            return None
        start = bisect_right(self._changes, version, key=lambda change: change.version)
        return [self._changes[index] for index in range(start, len(self._changes))]

    def record(self, change: Change) -> None:
        """Apply a change, remember it and tell the listeners."""
        key = change.new.key
        if change.type == "DELETED":
            del self.objects[key]
            self._order = None
        else:
            if change.old is None:
                self._order = None
            self.objects[key] = change.new
        self._changes.append(change)
        self.limit_history(self._history)
        for listener in tuple(self._listeners):
            listener()

    def limit_history(self, length: int) -> None:
        """Keep at most `length` changes from now on."""
        self._history = length
        while len(self._changes) > length:
            self.oldest_version = self._changes.popleft().version

    def forget_history(self, version: int) -> None:
        """Drop the history: watches from before `version` expire."""
        self._changes.clear()
        self.oldest_version = version

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each change."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)


class GpuFacts(msgspec.Struct, frozen=True):
    """What the exporter of a node shows of one GPU beyond what the objects tell. None: made up."""

    xid: int = 0
    """The last Xid that was reported, 0 for none."""
    lost: bool = False
    """Fallen off the bus: nothing else can be read of it."""
    utilization_ratio: float | None = None
    """0 to 1, around which it moves."""
    memory_used_mib: int | None = None


class Cluster:
    """The state that the simulator serves. Every `put` and `delete` is a watch event with its own resource version."""

    def __init__(self, history: int = DEFAULT_HISTORY) -> None:
        self.version: Manifest = {"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"}
        """Answer of `/version`."""
        self.readyz: tuple[int, str] = (200, READY_TEXT)
        """HTTP status and verbose text of `/readyz`."""
        self.logs: dict[str, str] = {}
        """Container logs: `namespace/pod` or `namespace/pod/container` to text."""
        self.ended_logs: dict[str, str] = {}
        """The same of the run before the one that `logs` is of."""
        self.log_runs: dict[str, int] = {}
        """The same to how often the container had been restarted when `logs` was told."""
        self.pages: dict[PageName, Page] = {}
        """What pods answer through the API server's proxy, as far as it was recorded."""
        self.gpus: dict[str, Mapping[int, GpuFacts]] = {}
        """By node and index, what exporters are to show."""
        self.livez: tuple[int, str] | None = None
        """As `readyz`, for `/livez`; None: it says the same."""
        self.metrics: Page | None = None
        """The API server's own `/metrics`; None: it has none."""
        self.etcd: dict[str, EtcdState] = {}
        """The members of etcd by name, as they are now."""
        self.etcd_way = EtcdWay()
        """How they are reached, while a simulator serves them."""
        self._version = 1
        self._tables: dict[str, Table] = {}
        for kind in SERVED:
            self._tables.setdefault(_resource_key(kind), Table(kind, history))

    @property
    def resource_version(self) -> int:
        """The version of the latest change."""
        return self._version

    @property
    def tables(self) -> Iterable[Table]:
        """One table for each resource."""
        return self._tables.values()

    def table(self, kind_name: str) -> Table:
        """Return the table of a kind (`ObjectKind.name`). Raises KeyError for a kind that Midwatch does not read."""
        return self._tables[_resource_key(BY_NAME[kind_name])]

    def table_at(self, group_version: str, resource: str) -> Table | None:
        """Return the table behind an API path, or None."""
        return self._tables.get(f"{group_version}/{resource}")

    def put(self, kind_name: str, manifest: Mapping[str, Any]) -> int:
        """Add or replace an object; `uid` and `creationTimestamp` are filled in if missing. Returns its version."""
        table = self.table(kind_name)
        metadata = dict(manifest.get("metadata", {}))
        key = (metadata.get("namespace", "") if table.kind.namespaced else "", metadata["name"])
        old = table.objects.get(key)
        self._version += 1
        if "uid" not in metadata or "creationTimestamp" not in metadata:
            _complete(metadata, table.kind, key, old)
        metadata["resourceVersion"] = str(self._version)
        if "deletionTimestamp" in metadata:  # never without the other, which kubectl counts on
            metadata.setdefault("deletionGracePeriodSeconds", DEFAULT_GRACE_S)
        body = {"metadata": metadata, **{name: manifest[name] for name in manifest if name not in _ENVELOPE}}
        new = Stored(key, self._version, msgspec.json.encode(body)[1:])
        table.record(Change("ADDED" if old is None else "MODIFIED", self._version, new, old))
        return self._version

    def delete(self, kind_name: str, namespace: str, name: str) -> int:
        """Remove an object. Returns the version of the deletion. Raises KeyError if there is no such object."""
        table = self.table(kind_name)
        old = table.objects[namespace, name]
        self._version += 1
        manifest = old.manifest()
        manifest["metadata"]["resourceVersion"] = str(self._version)
        gone = Stored(old.key, self._version, msgspec.json.encode(manifest)[1:])
        table.record(Change("DELETED", self._version, gone, old))
        return self._version

    def get(self, kind_name: str, namespace: str, name: str) -> Manifest | None:
        """Return a copy of an object's manifest, or None."""
        found = self.table(kind_name).objects.get((namespace, name))
        return found.manifest() if found else None

    def compact(self) -> None:
        """Forget all history: watches from before now expire, as after an etcd compaction."""
        for table in self._tables.values():
            table.forget_history(self._version)

    def limit_history(self, length: int) -> None:
        """Keep at most `length` changes for each resource."""
        for table in self._tables.values():
            table.limit_history(length)


_ENVELOPE: Final = frozenset({"kind", "apiVersion", "metadata"})


def _resource_key(kind: ObjectKind) -> str:
    return f"{kind.group_version}/{kind.resource}"


def _complete(metadata: Manifest, kind: ObjectKind, key: ObjectKey, old: Stored | None) -> None:
    before = old.manifest()["metadata"] if old else {}
    made_uid = str(uuid5(NAMESPACE_OID, f"{kind.kind}/{key[0]}/{key[1]}"))
    metadata.setdefault("uid", before.get("uid", made_uid))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata.setdefault("creationTimestamp", before.get("creationTimestamp", now))
