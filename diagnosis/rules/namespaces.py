"""Layer 4: namespaces that do not finish terminating (L4-12)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, shorten
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.clock import age_text
from situation.cluster import Namespace
from situation.findings import Layer, Severity
from situation.meta import CLUSTER, Ref
from situation.situation import Situation

_STUCK: Final = {
    "NamespaceDeletionDiscoveryFailure": ("an aggregated API does not answer", 60.0),
    "NamespaceDeletionGroupVersionParsingFailure": ("an API group cannot be parsed", 60.0),
    "NamespaceFinalizersRemaining": ("finalizers remain", 300.0),
    "NamespaceContentRemaining": ("objects remain", 300.0),
    "NamespaceDeletionContentFailure": ("its objects cannot be deleted", 300.0),
}
"""Condition -> words and how long it may last, seconds: pods may use up their grace period (30 s by default), a failed
discovery never helps itself."""


@rule(
    "namespace-stuck",
    signature="L4-12",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Namespace",
    needs=("namespaces",),
    looks_at="phase Terminating, the age of deletionTimestamp and the namespace's conditions.",
    look_alikes={"a namespace being deleted": "its pods are given five minutes"},
)
def namespace_stuck(namespace: Namespace, situation: Situation, now: datetime) -> Verdict:
    """A namespace does not finish terminating."""
    deleted = namespace.metadata.deletion_timestamp
    if deleted is None or namespace.status.phase != "Terminating":
        return CLEAR
    held = [item for item in namespace.status.conditions if item.type in _STUCK and item.status == "True"]
    held.sort(key=lambda item: list(_STUCK).index(item.type))
    words, budget_s = _STUCK[held[0].type] if held else ("nothing says why", 300.0)
    if wait := wait_until(deleted, budget_s, now):
        return wait
    discovery = bool(held) and held[0].type == "NamespaceDeletionDiscoveryFailure"
    status = kubectl(
        "get", "namespace", namespace.name, "-o", "jsonpath={.status.conditions}", purpose="what holds the namespace?"
    )
    services = kubectl("get", "apiservices", purpose="which aggregated API is not Available?")
    left = kubectl("get", "all", purpose="what is left in it?", namespace=namespace.name)
    return Fired(
        Ref("Namespace", "", namespace.name),
        f"is stuck Terminating for {age_text(deleted, now)}: {words}",
        (
            fact("namespaces", f"deleted at {deleted:%H:%M:%S}", at=deleted),
            *(fact("namespaces", f"{item.type} {item.reason}: {shorten(item.message, 240)}",
                   at=item.last_transition_time) for item in held),
        ),
        (status, services if discovery else left),
        follows=(CLUSTER,) if discovery else (),
        follows_only=("aggregated-api-down",),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (namespace_stuck,)
