"""GPUs that a node gives out by resource claims (DRA) and not by a device plugin: so it offers none as a resource."""

from typing import Final

from situation.cluster import Node
from situation.gpu.links import Component
from situation.gpu.offer import GpuCount, Offer, count_gpus
from situation.gpu.survey import survey
from situation.placing import selects
from situation.situation import Situation

LOST: Final = (Offer.NEVER, Offer.GONE, Offer.STOPPED)
"""What a node offers of GPUs whose device plugin has lost them, and one that never had any."""


def gives_by_claim(node: Node, situation: Situation) -> bool:
    """Tell whether a DRA driver's DaemonSet is for a node, and no device plugin's.

    The stack of the operator says so by the node's labels as well, which `gpu_offer` reads. The chart of the driver
    alone sets none, and the operator may go on to label the node for the device plugin that its policy switches off.
    """
    found = survey(situation).daemonsets
    drivers, plugins = found.get(Component.DRA_DRIVER, ()), found.get(Component.PLUGIN, ())
    return any(selects(item.spec.template.spec, node) for item in drivers) and not any(
        selects(item.spec.template.spec, node) for item in plugins
    )


def count_expected(node: Node, situation: Situation) -> GpuCount:
    """Count a node's GPUs; NONE is its offer too where they are given out by claims."""
    count = count_gpus(node)
    return count._replace(offer=Offer.NONE) if count.offer in LOST and gives_by_claim(node, situation) else count


def has_lost_gpus(node: Node, situation: Situation) -> bool:
    """Tell whether a node offers no GPU to pods though its device plugin should."""
    return count_expected(node, situation).offer in LOST
