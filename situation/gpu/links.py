"""The GPU Operator's chain on one node: what each component does now, and what it waits for."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from situation.meta import Ref


class Component(StrEnum):
    """A link of the chain. The order is the one in which links wait for each other, as it is drawn."""

    NFD = "nfd"
    """Node feature discovery: finds the GPU on the PCI bus and labels the node."""
    OPERATOR = "operator"
    DRIVER = "driver"
    TOOLKIT = "toolkit"
    VALIDATOR = "validator"
    """Its driver and toolkit steps: these open the gate for all that follow."""
    PLUGIN = "device-plugin"
    GFD = "gfd"
    DCGM = "dcgm"
    EXPORTER = "dcgm-exporter"
    MIG = "mig-manager"
    MPS = "mps"
    DRA_DRIVER = "dra-driver"
    CHECKS = "checks"
    """The validator's CUDA and plugin steps, which need the device plugin."""
    CAPACITY = "capacity"
    """The GPUs that the node offers to pods."""


class LinkState(StrEnum):
    """What a link does on one node."""

    READY = "ready"
    FAILING = "failing"
    """Broken itself: nothing before it explains it."""
    WAITING = "waiting"
    """For another link, named in `Link.waits_for`."""
    STARTING = "starting"
    """Not ready, and still within the time that it may take; judged again at `Link.until`."""
    PAUSED = "paused"
    """On purpose: a driver upgrade or a MIG change is under way."""
    PREINSTALLED = "pre-installed"
    """The host brings it (driver, toolkit)."""
    NOT_WANTED = "not wanted"
    """Switched off, or not of use on this node."""
    ABSENT = "absent"
    """Wanted, but nothing of it is there."""
    UNKNOWN = "unknown"


BROKEN: Final = frozenset({LinkState.FAILING, LinkState.ABSENT})
"""A link in one of these is a cause: nothing before it on its node explains it."""


class Link(msgspec.Struct, frozen=True, gc=False):
    """One component on one node."""

    component: Component
    state: LinkState
    text: str = ""
    """In few words: `crashes, exit 1 ×4`, `waits 0/4`, `host driver`, `8 of 8`."""
    waits_for: Component | None = None
    since: datetime | None = None
    """When this state began, as far as the objects tell."""
    until: datetime | None = None
    """Until when a STARTING link may take."""
    restarts: int = 0
    container: str = ""
    """The container, init or main, that decides the state."""
    pod: Ref | None = None
    owner: Ref | None = None
    """The DaemonSet or Deployment, where one is known."""


class NodeChain(msgspec.Struct, frozen=True, gc=False):
    """All links of a node, in order."""

    node: str
    links: tuple[Link, ...]

    @property
    def broken(self) -> Link | None:
        """The first link that fails or is missing: the cause of all that waits after it."""
        return next((link for link in self.links if link.state in BROKEN), None)

    def link(self, component: Component) -> Link | None:
        return next((link for link in self.links if link.component is component), None)

    def cause_of(self, link: Link) -> Link | None:
        """Follow what a link waits for to the one that fails or is missing; None if nothing before it is broken."""
        for _ in self.links:
            if link.state is not LinkState.WAITING or link.waits_for is None:
                break
            if (before := self.link(link.waits_for)) is None:
                return None
            link = before
        return link if link.state in BROKEN else None
