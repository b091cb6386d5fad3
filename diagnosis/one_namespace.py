"""What cannot be judged while only one namespace is read: what hangs on pods of others."""

from datetime import datetime
from typing import Final

from diagnosis.rule import Rule
from situation.findings import Layer
from situation.gpu.survey import sees_operands
from situation.kinds import BY_NAME
from situation.namespaces import missing_namespace
from situation.situation import Situation

BEYOND: Final = frozenset({Layer.NETWORK, Layer.CONTROL_PLANE, Layer.NODE})
"""Layers that hang on pods of other namespaces than those of the applications: DNS, network plugins, operands."""

WITHIN: Final = frozenset({Layer.APPLICATION, Layer.SCHEDULING, Layer.NETWORK})
"""Layers of which nothing is seen where the one namespace that is read does not exist."""

_OWN: Final = frozenset({"cluster-dns-down"})
"""Rules of the layers above that judge what Kubernetes itself keeps in kube-system."""

_OF_ALL_PODS: Final = frozenset({"budget-blocks-eviction"})
"""Rules whose silence lets a node be drained: that asks pods, and budgets, of all namespaces."""

BY_THE_NODE: Final = frozenset(
    {"gpu-unhealthy", "gpus-shared-without-isolation", "node-out-of-memory", "node-rebooted"}
)
"""Rules of layer 5 that need pods or events only to add to what the node itself says."""


def only_part(situation: Situation) -> list[str]:
    """Return the doubt that what is in other namespaces leaves, if these are not read."""
    return [situation.part] if situation.part else []


def not_there(situation: Situation, now: datetime) -> list[str]:
    """Return the doubt that the layers WITHIN are under while that namespace does not exist: it may be made yet."""
    return [sentence] if (sentence := missing_namespace(situation, now)) else []


def looks_beyond(rule: Rule) -> bool:
    """Tell whether what a rule would find is in other namespaces than that of an application, or in them too."""
    if rule.id in _OF_ALL_PODS:
        return True
    if rule.layer not in (Layer.CONTROL_PLANE, Layer.NODE):
        return rule.id in _OWN
    kinds = (BY_NAME[name] for name in rule.needs)
    return any(kind.namespaced and not kind.fixed_namespace for kind in kinds)


def is_out_of_sight(rule: Rule, kind: str, situation: Situation) -> bool:
    """Tell whether a rule would take pods of another namespace for missing when it judges something of this kind."""
    return (
        rule.layer is Layer.NODE
        and kind not in ("Pod", "DaemonSet")
        and "pods" in rule.needs
        and rule.id not in BY_THE_NODE
        and not sees_operands(situation)
    )
