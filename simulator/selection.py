"""Field and label selectors of list and watch requests."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from simulator.cluster import Stored
from simulator.statuses import bad_request
from situation.kinds import ObjectKind
from situation.meta import SelectorRequirement

_SUPPORTED: Final[Mapping[str, frozenset[str]]] = {
    "Pod": frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    "Event": frozenset(
        {
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
    "Node": frozenset({"spec.unschedulable"}),
    "Namespace": frozenset({"status.phase"}),
    "Job": frozenset({"status.successful"}),
    "ReplicaSet": frozenset({"status.replicas"}),
}
_ALWAYS: Final = frozenset({"metadata.name", "metadata.namespace"})
_COMMAS: Final = re.compile(r",(?![^(]*\))")
_SET: Final = re.compile(r"^\s*(\S+)\s+(in|notin)\s*\(([^)]*)\)\s*$")


class FieldTerm(NamedTuple):
    path: str
    value: str
    equal: bool


class Selection(NamedTuple):
    """Which objects a request is about."""

    namespace: str
    fields: tuple[FieldTerm, ...] = ()
    labels: tuple[SelectorRequirement, ...] = ()

    @property
    def is_everything(self) -> bool:
        return not (self.namespace or self.fields or self.labels)

    def takes(self, stored: Stored) -> bool:
        """Tell whether the object is selected."""
        if self.namespace and stored.key[0] != self.namespace:
            return False
        if not self.fields and not self.labels:
            return True
        manifest = stored.manifest()
        found = manifest["metadata"].get("labels") or {}
        return all((_field(manifest, term.path) == term.value) is term.equal for term in self.fields) and all(
            requirement.matches(found) for requirement in self.labels
        )


def parse_selection(kind: ObjectKind, namespace: str, query: Mapping[str, str]) -> Selection:
    """Read `fieldSelector` and `labelSelector`. Raises StatusError 400 for what the API server refuses."""
    return Selection(
        namespace,
        tuple(_field_terms(kind, query.get("fieldSelector", ""))),
        tuple(_label_term(term) for term in _COMMAS.split(query.get("labelSelector", "")) if term.strip()),
    )


def _field_terms(kind: ObjectKind, text: str) -> list[FieldTerm]:
    terms = []
    for term in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term)
        if match is None:
            raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in _ALWAYS and path not in _SUPPORTED.get(kind.kind, frozenset()):
            raise bad_request(f"field label not supported: {path}")
        terms.append(FieldTerm(path, value, operator != "!="))
    return terms


def _label_term(term: str) -> SelectorRequirement:
    if found := _SET.match(term):
        values = tuple(value.strip() for value in found[3].split(","))
        return SelectorRequirement(found[1], "In" if found[2] == "in" else "NotIn", values)
    key, operator, value = re.fullmatch(r"([^=!]*)(==|!=|=|)(.*)", term.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
    if operator:
        return SelectorRequirement(key.strip(), "NotIn" if operator == "!=" else "In", (value.strip(),))
    if value.startswith("!"):
        return SelectorRequirement(value[1:].strip(), "DoesNotExist")
    if not key.strip() or " " in key.strip():
        raise bad_request(f"unable to parse requirement: {term.strip()!r}")
    return SelectorRequirement(key.strip(), "Exists")


def _field(manifest: Mapping[str, Any], path: str) -> str:
    if path == "source":
        path = "source.component"
    value: Any = manifest
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return "false" if path == "spec.unschedulable" else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
