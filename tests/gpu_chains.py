"""Hand-made GPU chains for tests of what shows them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from situation.gpu.devices import GpuDevice
from situation.gpu.links import Component, Link, LinkState, NodeChain
from situation.meta import Ref
from situation.situation import Situation
from situation.store import Change
from tests.build import NOW

_PARTS = (
    Component.NFD,
    Component.OPERATOR,
    Component.DRIVER,
    Component.TOOLKIT,
    Component.VALIDATOR,
    Component.PLUGIN,
    Component.GFD,
    Component.DCGM,
    Component.EXPORTER,
    Component.MIG,
    Component.CAPACITY,
)
_GIB = 2**30
_AFTER_DRIVER = {
    Component.TOOLKIT: "waits 0/1",
    Component.VALIDATOR: "waits 0/4",
    Component.PLUGIN: "waits 0/1",
    Component.GFD: "",
    Component.EXPORTER: "",
    Component.MIG: "",
    Component.CAPACITY: "0 of 8",
}


class HandMadeFleet:
    """Stands where the Fleet stands: shows the chains that it is given."""

    def __init__(self, *chains: NodeChain) -> None:
        self.chains: dict[str, NodeChain] = {chain.node: chain for chain in chains}

    def update(self, situation: Situation, changes: Iterable[Change], now: datetime) -> frozenset[str]:
        return frozenset()


def fine(node: str) -> NodeChain:
    """A chain without fault; DCGM's own engine is not wanted."""
    links = []
    for component in _PARTS:
        state = LinkState.NOT_WANTED if component is Component.DCGM else LinkState.READY
        text = "8 of 8" if component is Component.CAPACITY else ""
        links.append(Link(component, state, text, pod=operand(component, node)))
    return NodeChain(node, tuple(links))


def crashing(node: str) -> NodeChain:
    """The driver crashes, and all that comes after it waits."""
    links = []
    for link in fine(node).links:
        if link.component is Component.DRIVER:
            link = Link(
                link.component,
                LinkState.FAILING,
                "crashes, exit 1 ×4",
                restarts=4,
                container="nvidia-driver-ctr",
                since=NOW - timedelta(seconds=92),
                pod=link.pod,
                owner=Ref("DaemonSet", "gpu-operator", "nvidia-driver-daemonset"),
            )
        elif link.component in _AFTER_DRIVER:
            text = _AFTER_DRIVER[link.component]
            link = Link(link.component, LinkState.WAITING, text, waits_for=Component.DRIVER, pod=link.pod)
        links.append(link)
    return NodeChain(node, tuple(links))


def operand(component: Component, node: str) -> Ref | None:
    """The pod of a component on a node; the capacity has none."""
    return None if component is Component.CAPACITY else Ref("Pod", "gpu-operator", f"nvidia-{component.value}-{node}")


def device(index: int = 0, **more: object) -> GpuDevice:
    """A busy H100."""
    values: dict[str, object] = {
        "uuid": f"GPU-{index}",
        "product": "NVIDIA H100 80GB HBM3",
        "memory_used_bytes": 61 * _GIB,
        "memory_total_bytes": 80 * _GIB,
        "utilization_ratio": 0.93,
        "temperature_c": 64.0,
        "power_w": 612.0,
        "power_limit_w": 700.0,
        "sm_clock_mhz": 1980.0,
        "ecc_corrected": 0,
        "ecc_uncorrected": 0,
        "last_xid": 0,
        "holders": (("inference", f"llama-{index}"),),
        **more,
    }
    return GpuDevice(index, **values)  # type: ignore[arg-type]
