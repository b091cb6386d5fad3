"""What the diagnosis says: findings with evidence and next commands, causes with their consequences."""

from datetime import datetime
from enum import IntEnum, StrEnum

import msgspec

from situation.logs import LogTarget
from situation.meta import Ref


class Layer(IntEnum):
    """The five layers an incident is worked through, from the container down to the hardware."""

    APPLICATION = 1
    SCHEDULING = 2
    NETWORK = 3
    CONTROL_PLANE = 4
    NODE = 5

    @property
    def title(self) -> str:
        return ("application", "scheduling", "network", "control plane", "node and GPU")[self - 1]


class Severity(StrEnum):
    CRITICAL = "critical"
    """Users are hurt, or a workload is down."""
    WARNING = "warning"
    """Degraded, or about to break."""
    INFO = "info"
    """Worth knowing; never counts as broken."""

    @property
    def rank(self) -> int:
        """0 is the gravest."""
        return (Severity.CRITICAL, Severity.WARNING, Severity.INFO).index(self)


class Mark(StrEnum):
    """What a line of evidence does for the finding."""

    SUPPORTS = "supports"
    EXCLUDES = "excludes"
    """Shows that a look-alike is not the case."""
    OPEN = "open"
    """Could not be told from here; says what would tell."""


class Evidence(msgspec.Struct, frozen=True):
    text: str
    source: str
    """Name of the source, for example `kubernetes/pods`."""
    observed_at: datetime | None = None
    """When the fact was true: an event's last occurrence, else None for "as fresh as its source"."""
    mark: Mark = Mark.SUPPORTS


class Effect(StrEnum):
    READ = "read"
    MUTATING = "mutating"
    DISRUPTIVE = "disruptive"


class Command(msgspec.Struct, frozen=True):
    """An argument vector to be copied, never run. Rendering adds the context (`playbooks.commands.render`)."""

    argv: tuple[str, ...]
    """For kubectl without `--context` and `-n`: these come from the target and `namespace`."""
    purpose: str
    """What it finds out, as a question or a short phrase."""
    namespace: str = ""
    effect: Effect = Effect.READ
    where: str = "here"
    """`here`, `node X` or `pod X`."""
    log: LogTarget | None = None
    """The container whose log it prints, where that is what it does."""


class Finding(msgspec.Struct, frozen=True):
    """Something wrong with one subject, proven by evidence."""

    rule: str
    signature: str
    """Row of the fault catalogue, for example `L1-01`."""
    layer: Layer
    severity: Severity
    subject: Ref
    title: str
    evidence: tuple[Evidence, ...]
    next: tuple[Command, ...]
    members: tuple[Ref, ...] = ()
    """The objects that show it, for example the crashing pods of a Deployment."""
    node: str = ""
    consequences: tuple["Finding", ...] = ()
    part: str = ""
    """Tells findings of one rule about one subject apart that follow from different causes."""
    as_of: datetime | None = None
    """Set when a source it rests on is not live, or etcd takes no writes: the state is history since then."""

    @property
    def key(self) -> str:
        """Stable identity while the fault lasts."""
        return f"{self.rule}:{self.subject}" + (f"<{self.part}" if self.part else "")

    @property
    def count(self) -> int:
        """How many objects show it."""
        return max(1, len(self.members))

    @property
    def log(self) -> LogTarget | None:
        """The container whose log tells more, if a next command prints one."""
        return next((command.log for command in self.next if command.log is not None), None)

    @property
    def explains(self) -> int:
        """How many objects its consequences cover."""
        return sum(consequence.count for consequence in self.consequences)


class LayerState(StrEnum):
    OK = "ok"
    FINDINGS = "findings"
    UNKNOWN = "unknown"


class LayerStatus(msgspec.Struct, frozen=True):
    layer: Layer
    status: LayerState
    reason: str = ""
    """Why unknown; or, with another status, what of the layer could not be judged."""
    severity: Severity | None = None
    """The gravest cause in it."""
    causes: int = 0
    fault: str = ""
    """The part of the reason that is an error of ours: the state of no source shows it."""


class Diagnosis(msgspec.Struct, frozen=True):
    causes: tuple[Finding, ...] = ()
    """Ranked: gravest first, then by how much they explain."""
    layers: tuple[LayerStatus, ...] = ()
    wanted: frozenset[str] = frozenset()
    """Names of on-demand kinds that some rule asked for."""
    judged_at: datetime | None = None

    def find(self, key: str) -> Finding | None:
        """Return the cause or consequence with that key."""
        for cause in self.causes:
            if cause.key == key:
                return cause
            for consequence in cause.consequences:
                if consequence.key == key:
                    return consequence
        return None
