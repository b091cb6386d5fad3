"""Nodes that came back: what is said of their pods is corrected within seconds, and no fault of theirs until then."""

from datetime import datetime, timedelta
from typing import Final

from situation.meta import find_condition
from situation.pods import Pod
from situation.situation import Situation

RETURN: Final = timedelta(seconds=30)
"""The kubelet writes anew what the node controller wrote of its pods within two of its rounds of 10 s (kubelet, status
manager), and asks readiness probes again: three of their default periods. Ours."""


def back_at(pod: Pod, situation: Situation) -> datetime | None:
    """Return when a pod's readiness is its own again after its node became Ready; None while that is not Ready."""
    node = situation.node(pod.spec.node_name) if pod.spec.node_name else None
    condition = find_condition(node.status.conditions, "Ready") if node is not None else None
    if condition is None or condition.status != "True" or condition.last_transition_time is None:
        return None
    return condition.last_transition_time + RETURN
