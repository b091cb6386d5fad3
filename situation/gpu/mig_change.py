"""A change of a node's MIG layout that is under way: until when it may take.

The MIG manager stops the operands that use the GPUs, changes the layout and lets them come back. Where it gives up
waiting for them it neither says so nor undoes what it did (GPU Operator, MIG manager).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from situation.cluster import Node
from situation.gpu.components import DEPLOY, component_of
from situation.gpu.links import Component
from situation.gpu.offer import MIG_STATE, Offer, gpu_offer
from situation.gpu.operand_pods import DRIVER_START
from situation.meta import find_condition
from situation.pods import Pod

SHUTDOWN: Final = timedelta(seconds=300)
"""The MIG manager waits up to 5 minutes for each operand that it stops (GPU Operator, MIG manager)."""
APPLY: Final = timedelta(seconds=600)
"""Ours: a change on a node that just came back, from a reboot that it needed, is given ten minutes."""
TAKEN_UP: Final = timedelta(seconds=30)
"""Ours: for so long after a layout was asked for, the state `failed` may be that of the layout before. The manager
takes a second or two to set `pending`; one that is slow to see the label has time, a change that fails takes longer."""
UNDER_WAY: Final = frozenset({"pending", "rebooting"})
"""Values of the state's label while the manager works, or believes to."""
_PLUGIN: Final = f"{DEPLOY}device-plugin"

_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


def mig_change_due(node: Node, pods: Iterable[Pod]) -> datetime | None:
    """Return when a change that is under way hangs, None if there is none, or none that took the node's GPUs away.

    `pods` are the operands on the node: those that were told to stop may take their time. A node that tells no time at
    all has hung since the beginning of time: nothing can be waited for.
    """
    offer = gpu_offer(node) if node.metadata.labels.get(MIG_STATE) in UNDER_WAY else Offer.ALL
    pods = tuple(pods)
    if offer not in (Offer.GONE, Offer.NEVER) or _has_plugin(node, pods) or _gives_by_claim(pods):
        return None
    ready, created = find_condition(node.status.conditions, "Ready"), node.metadata.creation_timestamp
    dues = [told + SHUTDOWN for pod in pods if (told := pod.metadata.deletion_timestamp) is not None]
    if ready is not None and ready.last_transition_time is not None:
        dues.append(ready.last_transition_time + APPLY)
    if created is not None:
        dues.append(created + (DRIVER_START + APPLY if offer is Offer.NEVER else APPLY))
    return max(dues, default=_ALWAYS)


def _gives_by_claim(pods: Iterable[Pod]) -> bool:
    """Tell whether no device plugin gives the GPUs out: that the node offers none is then no sign of a change."""
    return any(component_of(pod) is Component.DRA_DRIVER for pod in pods)


def _has_plugin(node: Node, pods: Iterable[Pod]) -> bool:
    """Tell whether the device plugin is where it was: the first thing that a change does is to stop it."""
    return not node.metadata.labels.get(_PLUGIN, "").startswith("paused") and any(
        component_of(pod) is Component.PLUGIN and pod.metadata.deletion_timestamp is None for pod in pods
    )
