"""What a collector says: a reading with its state and age, and the values that readings carry."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from situation.api_server import ApiServerReading, Liveness
from situation.certificates import Certificates
from situation.etcd.members import EtcdAccess, EtcdAlarms, EtcdMembership, EtcdReading
from situation.gpu.devices import GpuReading
from situation.local_health import LocalHealth
from situation.log_reads import LogRead
from situation.meta import KubernetesObject, ObjectKey
from situation.scheduler import SchedulerLoad
from situation.serving.readings import ServerReading

NOT_GIVEN: Final = ("not in the", "not read")
"""One of these starts the error of a kind that a dump or recording does not hold, or that nobody asked for; the cluster
may have it."""


class SourceState(StrEnum):
    """How far a source can be believed right now."""

    STARTING = "starting"
    """Nothing heard yet."""
    LIVE = "live"
    STALE = "stale"
    """The last value is older than the source promised; nothing newer came."""
    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    ABSENT = "absent"
    """The server, or the dump, has no such thing. Normal for optional kinds."""
    UNAUTHORIZED = "unauthorized"
    """The server does not accept the credentials (any more)."""


class Listed(msgspec.Struct, frozen=True):
    """All objects of a kind: replaces what was known of it."""

    kind: str
    """`ObjectKind.name`."""
    objects: tuple[KubernetesObject, ...]
    skipped: int = 0
    """Objects of unknown name that could not be decoded, and those that had to be left out."""
    is_whole: bool = True
    """No object was left out: what is known and not among these is gone."""
    broken: tuple[ObjectKey, ...] = ()
    """Names of objects that are there and could not be decoded."""


class Changed(msgspec.Struct, frozen=True):
    """Some objects of a kind came, changed or went."""

    kind: str
    upserts: tuple[KubernetesObject, ...] = ()
    removed: tuple[ObjectKey, ...] = ()
    skipped: int = 0
    """Objects of unknown name that could not be decoded."""
    broken: tuple[ObjectKey, ...] = ()
    """Names of objects that are there and could not be decoded; what was known of them is removed as well."""


class ServerVersion(msgspec.Struct, frozen=True):
    git_version: str
    """`v1.36.2`."""

    @property
    def minor(self) -> int:
        """The minor version, 0 if it cannot be read."""
        parts = self.git_version.lstrip("v").split(".")
        return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


class Readiness(msgspec.Struct, frozen=True):
    """Answer of `/readyz?verbose`."""

    ready: bool
    failed_checks: tuple[str, ...] = ()
    """Names of the checks marked `[-]`, for example `etcd`."""


class OwnLoad(msgspec.Struct, frozen=True):
    """What Midwatch itself costs the API server."""

    requests: int = 0
    """Since the start, watches included."""
    requests_per_s: float = 0.0
    """Over the last minute."""
    open_watches: int = 0
    received_bytes: int = 0
    throttled: int = 0
    """Answers 429 since the start."""
    latency_s: float | None = None
    """Median time to the first byte of the last answers; None before the first."""


class ServerClock(msgspec.Struct, frozen=True):
    """Our clock compared with the API server's, by the `Date` of one answer (RFC 9110, section 6.6.1)."""

    ahead_s: float
    """How far ours is ahead of the server's; negative: behind."""
    within_s: float
    """It may be off by so much either way: dates have whole seconds, and the answer took its time."""
    taken_off_s: float = 0.0
    """So much of it is taken off all times already: readings are dated, and judged, by the server's clock."""


CONFIGURED: Final = "midwatch/configuration"


class Configured(msgspec.Struct, frozen=True):
    """What the person who runs us says of the cluster, and how much of it is to be read."""

    gpu_operator_namespace: str = ""
    only_namespace: str = ""
    """The one namespace that is read, with what has no namespace; empty: all are."""


Value = (
    Listed
    | Changed
    | ServerVersion
    | Readiness
    | OwnLoad
    | ServerClock
    | Configured
    | GpuReading
    | EtcdReading
    | EtcdMembership
    | EtcdAlarms
    | EtcdAccess
    | ApiServerReading
    | Liveness
    | Certificates
    | LocalHealth
    | SchedulerLoad
    | ServerReading
    | LogRead
)


class Reading(msgspec.Struct, frozen=True):
    """One statement of one source."""

    source: str
    state: SourceState
    observed_at: datetime
    value: Value | None = None
    """None confirms (`live`) or casts doubt on (any other state) the last value."""
    error: str = ""
    """For people: what failed, with the URL or name it failed on, and what to do.

    A live reading has one where less works than could: a kind that is polled because watching it is forbidden.
    """
    fresh_for_s: float = 150.0
    """How long a live reading stays true without word; then the source counts as stale."""


class Source(msgspec.Struct, frozen=True):
    """A source as the Situation knows it."""

    name: str
    state: SourceState = SourceState.STARTING
    error: str = ""
    observed_at: datetime | None = None
    """When the value was last confirmed; None if there never was one."""
    fresh_for_s: float = 150.0
    skipped: int = 0
    """Objects of the present value that could not be decoded, or had to be left out."""
    broken: frozenset[ObjectKey] = frozenset()
    """The names of those among them whose names are known."""

    @property
    def is_own(self) -> bool:
        """Tell whether it is this program itself: its load, its clock, its configuration."""
        return self.name.startswith("midwatch/")

    @property
    def has_value(self) -> bool:
        return self.observed_at is not None

    def state_at(self, now: datetime) -> SourceState:
        """The state, with a live value that went unconfirmed for too long turned stale."""
        if self.state is SourceState.LIVE and self.observed_at is not None:
            if (now - self.observed_at).total_seconds() > self.fresh_for_s:
                return SourceState.STALE
        return self.state

    def age_s(self, now: datetime) -> float | None:
        """Seconds since the value was last confirmed; never negative."""
        return None if self.observed_at is None else max(0.0, (now - self.observed_at).total_seconds())
