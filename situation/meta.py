"""What every Kubernetes object shares: reference, metadata, conditions, selectors.

All object types decode straight from the API's JSON: only fields that somebody reads, `camelCase` on the wire; a
missing field takes its default. `null` is not accepted here; the decoder drops nulls before it gives up on an object.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec


class Ref(NamedTuple):
    """Names one object: kind as in manifests (`Pod`), namespace (empty when cluster-scoped), name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"


ObjectKey = tuple[str, str]
"""(namespace, name)."""

CLUSTER = Ref("Cluster", "", "")
"""The subject of findings about the cluster as a whole: the API server, the scheduler, the controller manager."""


Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""One without a zone, which no comparison would take, is left to the decoder: it reads it as UTC."""


class Wire(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Base of everything decoded from the API: frozen, slim, invisible to the cyclic garbage collector."""


class OwnerReference(Wire, frozen=True):
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Annotations(Wire, frozen=True):
    """The only annotations that are read; all others are dropped at decode."""

    scrape: str = msgspec.field(default="", name="prometheus.io/scrape")
    scrape_port: str = msgspec.field(default="", name="prometheus.io/port")
    scrape_path: str = msgspec.field(default="", name="prometheus.io/path")
    scrape_scheme: str = msgspec.field(default="", name="prometheus.io/scheme")
    istio_inject: str = msgspec.field(default="", name="sidecar.istio.io/inject")


_NO_ANNOTATIONS = Annotations()


class ObjectMeta(Wire, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    """When it is to be gone: of a pod, when it was deleted and its grace period."""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: Annotations = _NO_ANNOTATIONS
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if any."""
        for owner in self.owner_references:
            if owner.controller:
                return owner
        return None


class Condition(Wire, frozen=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: Time | None = None
    last_heartbeat_time: Time | None = None
    observed_generation: int = 0


class SelectorRequirement(Wire, frozen=True):
    key: str
    operator: str
    """In, NotIn, Exists, DoesNotExist; in node affinity also Gt and Lt."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` meet this requirement (semantics of apimachinery's label selectors)."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                try:
                    have, want = int(value or ""), int(self.values[0])
                except (ValueError, IndexError):
                    return False
                return have > want if self.operator == "Gt" else have < want
        return False


class LabelSelector(Wire, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[SelectorRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` meet all of it; an empty selector matches everything."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


class KubernetesObject(Wire, frozen=True):
    """Base of the top-level types; `kind` and `apiVersion` are absent in list items and therefore not read."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name): identity within a kind."""
        return (self.metadata.namespace, self.metadata.name)


def find_condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    """Return the condition of that type, or None."""
    for condition in conditions:
        if condition.type == kind:
            return condition
    return None


Quantities = dict[str, str | int | float]
"""Resource name to quantity, as sent; read with `parse_quantity`."""

IntOrString = int | str

Json = dict[str, Any]
