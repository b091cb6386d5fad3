"""The end of the chain: the GPUs that a node offers to pods."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from situation.cluster import Node
from situation.gpu.links import Component, Link, LinkState
from situation.gpu.offer import PRESENT, GpuCount, Offer, paused_why
from situation.gpu.operand_pods import DRIVER_START
from situation.meta import find_condition

REGISTER: Final = timedelta(seconds=120)
"""After the device plugin or its node came back, its resource needs seconds to register; two minutes are ample."""
_NOBODY: Final = (LinkState.NOT_WANTED, LinkState.UNKNOWN)
"""States of a device plugin of which nobody can say that it should give out the node's GPUs."""


def capacity_link(
    node: Node,
    count: GpuCount,
    links: Mapping[Component, Link],
    find_blocker: Callable[[], Component | None],
    now: datetime,
) -> Link:
    """Judge what a node offers by the kubelet's arithmetic; `find_blocker` finds the nearest link not there yet."""
    component, (total, usable, offer) = Component.CAPACITY, count
    is_unasked = offer is Offer.NEVER and node.metadata.labels.get(PRESENT) != "true"
    if offer is Offer.NONE or (is_unasked and links[Component.PLUGIN].state in _NOBODY):
        through_dra = links[Component.DRA_DRIVER].state is not LinkState.NOT_WANTED
        return Link(component, LinkState.NOT_WANTED, "through DRA" if through_dra else "none offered")
    text = "none" if offer is Offer.NEVER else f"{usable:.0f} of {total:.0f}"
    if offer is Offer.ALL:
        ready = find_condition(node.status.conditions, "Ready")
        if ready is not None and ready.status != "True":  # no pod comes to it, and what it says of GPUs is of before
            return Link(component, LinkState.UNKNOWN, f"{text}, node not Ready")
        return Link(component, LinkState.READY, text)
    if offer is Offer.PARTLY:
        return Link(component, LinkState.FAILING, text)
    if paused_why(node.metadata.labels):
        return Link(component, LinkState.PAUSED, text)
    if (blocker := find_blocker()) is not None:
        return Link(component, LinkState.WAITING, text, waits_for=blocker)
    due = _due(node, links[Component.PLUGIN], offer)
    if due is not None and now < due:
        return Link(component, LinkState.STARTING, text, until=due)
    return Link(component, LinkState.FAILING, text)


def _due(node: Node, plugin: Link, offer: Offer) -> datetime | None:
    """Return until when the GPUs may be away: the node joined or came back, or the plugin just got ready."""
    ready, created = find_condition(node.status.conditions, "Ready"), node.metadata.creation_timestamp
    times = [ready.last_transition_time if ready else None, created, plugin.since]
    dues = [time + REGISTER for time in times if time is not None]
    if offer is Offer.NEVER and plugin.state is not LinkState.READY and created is not None:
        dues.append(created + DRIVER_START)
    return max(dues, default=None)
