"""Pods that were made because their workload lost others with a node: a burst of them is one cause."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from situation.cluster import Node
from situation.indexes import controller_ref
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_finished, is_node_ready
from situation.situation import Situation

_FOLLOWED: Final = 50
"""Nodes that are followed: in a large outage each of hundreds of pods asks for them."""


def down_since(node: Node) -> datetime | None:
    """Return since when a node is not Ready; None for one that is, or if nobody knows since when."""
    condition = find_condition(node.status.conditions, "Ready")
    return condition.last_transition_time if condition is not None and not is_node_ready(node) else None


def lost_nodes(pod: Pod, situation: Situation) -> tuple[Ref, ...]:
    """Return the nodes that went down, with a pod of the same owner on them, before this one was made."""
    owner, made_at = controller_ref(pod), pod.metadata.creation_timestamp
    if owner is None or owner.kind == "Node" or made_at is None:
        return ()
    lost = situation.once(("lost with a node", owner), lambda: dict(_lost(owner, situation)))
    return tuple(islice((Ref("Node", "", name) for name, since in lost.items() if since <= made_at), _FOLLOWED))


def _lost(owner: Ref, situation: Situation) -> Iterator[tuple[str, datetime]]:
    for pod in situation.pods_by_owner.get(owner).values():
        node = situation.node(pod.spec.node_name) if pod.spec.node_name and not is_finished(pod) else None
        if node is not None and (since := down_since(node)) is not None:
            yield node.name, since
