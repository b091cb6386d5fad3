"""The Situation: every reading with its age and state, and the cluster's objects with their relations."""

from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from situation.api_memory import ApiServerMemory
from situation.api_server import READYZ, ApiServerReading, Liveness
from situation.certificates import Certificate, Certificates
from situation.derived import Derived
from situation.etcd.members import Alarm, EtcdAccess, EtcdAlarms, EtcdMembership, EtcdReading, ListedMember
from situation.etcd.memory import EtcdMemory
from situation.gpu.devices import GpuReading, NodeDevices
from situation.gpu.memory import believed, remembering
from situation.gpu.offer import MIG_CONFIG
from situation.kinds import BY_NAME, KINDS
from situation.local_health import LocalHealth
from situation.log_reads import LogRead, LogReads
from situation.meta import KubernetesObject, ObjectKey, Ref
from situation.readings import (
    Changed,
    Configured,
    Listed,
    OwnLoad,
    Readiness,
    Reading,
    ServerClock,
    ServerVersion,
    Source,
    SourceState,
    Value,
)
from situation.relations import Relations, by_time
from situation.renewals import LEASES, NODE_LEASES, STANDSTILL, Renewals
from situation.scheduler import SchedulerLoad
from situation.server_clock import cluster_now, measured
from situation.serving.memory import ServingMemory
from situation.serving.readings import ServerReading
from situation.store import Change
from situation.unread import unread_after

T = TypeVar("T")

_STRANGERS_KEPT: Final = 64
"""Nodes with GPUs that the cluster does not have (any more), or that may not be read."""


class Situation(Relations):
    """All that is known now. Readings are folded in with `apply`; everything else only looks."""

    def __init__(self) -> None:
        super().__init__()
        self.derived = Derived()
        """What was worked out from all this and is asked for again in the same round; empty after each reading."""
        self._lasting = Derived()
        """What was worked out from the objects of a few kinds, by what stands for the question."""
        self.sources: dict[str, Source] = {}
        self.version: ServerVersion | None = None
        self.readiness: Readiness | None = None
        self.etcd_failing_since: datetime | None = None
        """Since when the API server's own checks find in each answer that etcd does not work."""
        self.answering_since: datetime | None = None
        """When the API server's checks were answered again, after they had not been; None: they always were."""
        self.renewals = Renewals()
        self.mig_asked_at: dict[str, datetime] = {}
        """When another MIG layout was asked for, by node name; only where that was seen to happen."""
        self.own_load = OwnLoad()
        self.configured = Configured()
        self.server_clock: ServerClock | None = None
        """Our clock against the API server's; `situation.server_clock` tells whether it is still to be believed."""
        self.devices: dict[str, NodeDevices] = {}
        """GPUs by node name, as they were read last by the most trusted way."""
        self.etcd = EtcdMemory()
        """etcd's members, by the endpoints that were asked."""
        self.etcd_list: tuple[ListedMember, ...] = ()
        """The member list; empty if it was never read (source `etcd/members`)."""
        self.etcd_alarms: tuple[Alarm, ...] = ()
        """The alarm list as read last (source `etcd/alarms`); members tell theirs in their status too."""
        self.etcd_access = EtcdAccess()
        self.api_server = ApiServerMemory()
        self.liveness: Liveness | None = None
        self.local_health: LocalHealth | None = None
        """The components on this host, asked on loopback; None where this is no control plane node."""
        self.scheduler: SchedulerLoad | None = None
        """How long it takes for a pod; None where no Prometheus tells."""
        self.serving = ServingMemory()
        """Model servers, by key."""
        self.logs = LogReads()
        """Logs that somebody read on request."""
        self._certificates: dict[str, tuple[Certificate, ...]] = {}
        self._devices_by_origin: dict[str, dict[str, NodeDevices]] = {}

    def apply(self, reading: Reading) -> list[Change]:
        """Fold a reading in and return what it changed, in order."""
        self.derived.clear()
        if isinstance(reading.value, LogRead):
            return self._take_log(reading.value)
        before = self.source(reading.source)
        self._note_source(reading)
        match reading.value:
            case Listed() | Changed() as objects:
                # A live kind with an error is polled: nobody saw the time between two lists.
                seen_from = before.observed_at if before.state is SourceState.LIVE else None
                return self._take_objects(objects, reading.observed_at, seen_from, is_polled=bool(reading.error))
            case ServerVersion() as version:
                self.version = version
            case Readiness() as readiness:
                self.readiness = readiness
                fails = any(check.startswith("etcd") for check in readiness.failed_checks)
                self.etcd_failing_since = (self.etcd_failing_since or reading.observed_at) if fails else None
            case OwnLoad() as load:
                self.own_load = load
            case ServerClock() as clock:
                self.server_clock = clock
            case Configured() as configured:
                self.configured = configured
            case GpuReading() as gpus:
                return self._take_devices(gpus)
            case ServerReading() as server:
                self.serving.take(server)
            case other:
                self._take_control_plane(reading.source, other)
        return []

    def _take_objects(
        self, value: Listed | Changed, at: datetime, seen_from: datetime | None, *, is_polled: bool
    ) -> list[Change]:
        changes = self._replace_all(value) if isinstance(value, Listed) else self._change(value)
        if value.kind == "nodes":
            self._note_layouts(changes, at)
        if value.kind in (LEASES, NODE_LEASES):
            there = cluster_now(self, at) if measured(self, at) is not None else None
            was_seen = seen_from is not None and at - seen_from < STANDSTILL
            self.renewals.take(value.kind, changes, there, is_polled=is_polled, is_seen=was_seen)
        return changes

    def _note_layouts(self, changes: list[Change], at: datetime) -> None:
        for change in changes:
            if change.new is None:
                self.mig_asked_at.pop(change.ref.name, None)
            elif change.old is not None and _layout(change.old) != _layout(change.new):
                self.mig_asked_at[change.ref.name] = at

    def set_back(self, now: datetime) -> None:
        """Take all that was said for said by `now`: a clock was set back, and what lies ahead would never grow old."""
        self.sources = {
            name: msgspec.structs.replace(source, observed_at=source.observed_at and min(source.observed_at, now))
            for name, source in self.sources.items()
        }
        self.answering_since = self.answering_since and min(self.answering_since, now)
        self.etcd_failing_since = self.etcd_failing_since and min(self.etcd_failing_since, now)
        self.mig_asked_at = {name: min(at, now) for name, at in self.mig_asked_at.items()}
        self.renewals.set_back(now)
        self._lasting = Derived()
        self.devices.clear()  # they are read again soon, and what they told before would count as newer
        self._devices_by_origin.clear()

    def _put(self, name: str, key: ObjectKey, new: KubernetesObject | None) -> Change:
        change = super()._put(name, key, new)
        if name == "pods" and change.old is not None and _is_another(change.old, new):
            self.serving.forget_pod(key)
        return change

    def _take_control_plane(self, source: str, value: Value | None) -> None:
        match value:
            case EtcdReading() as member:
                self.etcd.take(member)
            case EtcdMembership(members):
                self.etcd_list = members
            case EtcdAlarms(alarms):
                self.etcd_alarms = alarms
            case EtcdAccess() as access:
                self.etcd_access = access
            case ApiServerReading() as scrape:
                self.api_server.take(scrape)
            case Liveness() as liveness:
                self.liveness = liveness
            case Certificates(certificates):
                self._certificates[source] = certificates
            case LocalHealth() as local:
                self.local_health = local
            case SchedulerLoad() as load:
                self.scheduler = load

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All certificates that any source has seen, those that are served first."""
        found = [item for source in sorted(self._certificates) for item in self._certificates[source]]
        return tuple(sorted(found, key=lambda item: not item.is_served))

    def certificate_source(self, item: Certificate) -> str:
        """Return the name of the source that told of a certificate."""
        return next(
            (source for source, known in self._certificates.items() if item in known), "control-plane/certificate-files"
        )

    def _note_source(self, reading: Reading) -> None:
        before = self.sources.get(reading.source) or Source(reading.source)
        live = reading.state is SourceState.LIVE
        if reading.source == READYZ and live and before.state is not SourceState.STARTING:
            last = before.observed_at
            if last is None or reading.observed_at - last >= STANDSTILL:  # one poll that fails is no time away
                self.answering_since = reading.observed_at
        skipped, broken = unread_after(reading.value, before)
        if isinstance(reading.value, Listed | Changed) and (skipped, broken) != (before.skipped, before.broken):
            self._revisions[reading.value.kind] += 1  # what may be there is asked for together with what is
        self.sources[reading.source] = Source(
            reading.source,
            reading.state,
            reading.error,
            reading.observed_at if live else before.observed_at,
            reading.fresh_for_s,
            skipped,
            broken,
        )

    def _take_devices(self, reading: GpuReading) -> list[Change]:
        """Keep what each way to a node's GPUs brought; a node whose GPUs changed counts as changed itself."""
        changes: list[Change] = []
        for item in reading.nodes:
            ways = self._devices_by_origin.setdefault(item.node, {})
            ways[item.origin] = remembering(ways.get(item.origin), item)
            self.devices[item.node] = believed(ways)
            if (node := self.node(item.node)) is not None:
                changes.append(Change(Ref("Node", "", item.node), node, node))
        if len(self.devices) > 2 * len(self.nodes) + _STRANGERS_KEPT:
            for name in [name for name in self.devices if self.node(name) is None]:
                del self.devices[name], self._devices_by_origin[name]
        return changes

    def _take_log(self, read: LogRead) -> list[Change]:
        """Keep a log that was read; its pod counts as changed. It is no source: it is never read again by itself."""
        self.logs.take(read)
        pod = self.pods.get((read.namespace, read.pod))
        return [Change(Ref("Pod", read.namespace, read.pod), pod, pod)] if pod is not None else []

    def _replace_all(self, listed: Listed) -> list[Change]:
        table = self._tables[listed.kind]
        if not table and listed.kind != "events":  # of which only so many are kept
            return self._fill(listed.kind, listed.objects)
        seen = {item.key for item in listed.objects} if listed.is_whole else table.keys() - set(listed.broken)
        changes = [self._put(listed.kind, key, None) for key in [key for key in table if key not in seen]]
        for item in by_time(listed.objects) if listed.kind == "events" else listed.objects:
            before = table.get(item.key)
            if before is None or not _same_version(before, item):
                changes.append(self._put(listed.kind, item.key, item))
        return changes

    def _change(self, changed: Changed) -> list[Change]:
        changes = [self._put(changed.kind, item.key, item) for item in changed.upserts]
        changes += [self._put(changed.kind, key, None) for key in changed.removed if key in self._tables[changed.kind]]
        return changes

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for `key` since the last reading, or call it: many pods ask the same question."""
        return self.derived.once(key, make)

    def while_same(self, kinds: tuple[str, ...], key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for `key` while no object of these kinds came, changed or went, or call it.

        For what is asked every round and costs a walk over all objects of kinds that seldom change. `make` must look
        at nothing else.
        """
        return self._lasting.at(key, self.revision(*kinds), make)

    def objects(self) -> Iterator[KubernetesObject]:
        """Yield all objects of all kinds."""
        for table in self._tables.values():
            yield from table.values()

    def listed(self) -> Iterator[Reading]:
        """Yield one reading for each kind of objects that has been read, with all of them, as of now."""
        for kind in KINDS:
            source = self.source(kind.name)
            if source.observed_at is not None:
                objects, unnamed = tuple(self._tables[kind.name].values()), source.skipped - len(source.broken)
                listed = Listed(kind.name, objects, unnamed, broken=tuple(sorted(source.broken)))
                yield Reading(kind.source, SourceState.LIVE, source.observed_at, listed, fresh_for_s=source.fresh_for_s)

    # What is known of the sources

    def source(self, name: str) -> Source:
        """Return a source by kind name (`pods`) or full name (`kubernetes/pods`); `starting` if it never spoke."""
        full = BY_NAME[name].source if name in BY_NAME else name
        return self.sources.get(full) or Source(full)

    def knows(self, *names: str) -> bool:
        """Tell whether each of these kinds has been read at least once (its last value may be stale)."""
        return all(self.source(name).has_value for name in names)

    def is_unread(self, name: str, key: ObjectKey) -> bool:
        """Tell whether there may be an object of this kind and key though none is known: one could not be decoded."""
        source = self.source(name)
        return key in source.broken or source.skipped > len(source.broken)

    def has_unread(self, name: str, namespace: str = "") -> bool:
        """Tell whether there may be more objects of this kind in a namespace than are known: some were not decoded."""
        source = self.source(name)
        return source.skipped > len(source.broken) or any(where == namespace for where, _ in source.broken)

    @property
    def sees_all(self) -> bool:
        """Tell whether all namespaces are read, so that what was not found in any is not there."""
        return not self.configured.only_namespace

    @property
    def sees_all_pods(self) -> bool:
        """Tell whether the pods of all namespaces are read: else none may be counted by node."""
        return self.sees_all and self.knows("pods")

    @property
    def part(self) -> str:
        """Say that only a part is read; empty where all is."""
        return "" if self.sees_all else f"only namespace {self.configured.only_namespace} is read"

    def sees(self, namespace: str) -> bool:
        """Tell whether objects of this namespace are read, as far as RBAC allows."""
        return self.configured.only_namespace in ("", namespace)


def _layout(node: KubernetesObject) -> str:
    return node.metadata.labels.get(MIG_CONFIG, "")


def _is_another(old: KubernetesObject, new: KubernetesObject | None) -> bool:
    return new is None or new.metadata.uid != old.metadata.uid


def _same_version(before: KubernetesObject, after: KubernetesObject) -> bool:
    version = after.metadata.resource_version
    if version:
        return before.metadata.resource_version == version and before.metadata.uid == after.metadata.uid
    return msgspec.structs.asdict(before) == msgspec.structs.asdict(after)
