"""A generated fleet of GPU nodes: the GPU Operator with nine components on each node, all in order."""

from collections.abc import Iterator
from typing import Any, Final

from simulator.cluster import Manifest
from simulator.gpu_labels import gpu_node_labels
from simulator.gpu_operator import (
    DCGM,
    NAMESPACE,
    OPERANDS,
    Maker,
    daemonset,
    operand_pod,
)
from simulator.templates import ManifestMaker

COMPONENTS: Final = (*OPERANDS, DCGM)


class _FleetMaker:
    """Ages of a generated cluster for the operator's objects."""

    def __init__(self, make: ManifestMaker) -> None:
        self._make = make

    def manifest(self, kind: str, name: str, namespace: str = "", age_s: float = 0, **fields: Any) -> Manifest:
        labels, owner = fields.pop("labels", None), fields.pop("owner", "")
        owner_kind, _, owner_name = owner.partition("/")
        controller = (owner_kind, owner_name) if owner else None
        extra = {"labels": labels} if labels else {}
        return {"kind": kind, "metadata": self._make.meta(name, namespace, age_s, owner=controller, **extra), **fields}

    def at(self, t: float) -> str:
        return self._make.ago(-t)


def gpu_fleet(make: ManifestMaker, nodes: int) -> Iterator[Manifest]:
    """Yield the objects of `nodes` GPU nodes: Node, lease and nine pods each, and the DaemonSets; nothing for 0."""
    if nodes <= 0:
        return
    maker: Maker = _FleetMaker(make)
    yield maker.manifest("Namespace", NAMESPACE, age_s=90 * 86400, status={"phase": "Active"})
    yield maker.manifest("RuntimeClass", "nvidia", age_s=90 * 86400, handler="nvidia")
    for operand in COMPONENTS:
        yield daemonset(maker, operand, nodes, nodes, nodes)
    for index in range(nodes):
        name = f"gpu-{index:04}"
        node = make.node(name, has_gpus=True, is_ready=True)
        node["metadata"]["labels"] |= gpu_node_labels()
        yield node
        yield make.lease(name, "kube-node-lease", name, 40)
        for operand in COMPONENTS:
            pod = operand_pod(maker, operand, name)
            make.fill_up(pod)
            yield pod
