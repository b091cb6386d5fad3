"""Who holds how much of one GPU resource on which node: worked out once a round, however many pods wait for it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from diagnosis.placement import allocatable, wanted
from situation.cluster import Node
from situation.gpu.by_claim import has_lost_gpus
from situation.gpu.offer import gpu_resources
from situation.gpu.requests import is_gpu
from situation.meta import Ref
from situation.pods import Pod
from situation.quantity import parse_quantity
from situation.selectors import is_finished
from situation.situation import Situation

WHOLE: Final = "nvidia.com/gpu"
MIG: Final = "nvidia.com/mig-"
SHARED: Final = ".shared"


class Holder(msgspec.Struct, frozen=True):
    """The pods of one workload that hold some of it."""

    workload: Ref
    pods: int
    amount: float


class Account(msgspec.Struct, frozen=True):
    """One node that has the resource, or would have it if its chain of GPU operands worked."""

    node: Node
    capacity: float | None
    """None when the node does not have the key."""
    allocatable: float
    allocated: float
    """By the requests of the unfinished pods on it; Kubernetes keeps no such number."""
    holders: tuple[Holder, ...]
    """Largest first."""
    broken: bool
    """It has GPUs and offers none at all: its chain is broken, or every GPU is unhealthy."""

    free: float
    lost: bool
    """Offers less than it has."""

    @property
    def whole(self) -> float | None:
        """How much it offers when all is well; None if nothing tells. Without a capacity its labels are asked."""
        if self.capacity:
            return self.capacity
        labels = self.node.metadata.labels
        count, replicas = labels.get(f"{WHOLE}.count", ""), labels.get(f"{WHOLE}.replicas", "1")
        known = self.broken and count.isdigit() and replicas.isdigit() and int(count) > 0
        return float(int(count) * max(1, int(replicas))) if known else None if self.broken else self.allocatable


class _Stock(NamedTuple):
    """What a node says of one resource; `capacity` and `broken` as in an Account."""

    node: Node
    capacity: float | None
    allocatable: float
    broken: bool


class Ledger(msgspec.Struct, frozen=True):
    """All nodes that have one resource, by name, and who waits for it."""

    resource: str
    accounts: tuple[Account, ...]
    waiting_pods: int
    waiting_amount: float


def gpus_wanted(pod: Pod) -> dict[str, float]:
    """Return the GPU resources that a pod requests, with the amounts."""
    asked = {
        name: None
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for name in (*container.resources.requests, *container.resources.limits)
        if is_gpu(name)
    }
    return {name: amount for name in asked if (amount := wanted(pod, name))}


def ledger_of(resource: str, situation: Situation) -> Ledger:
    """Return the ledger of one resource, the same one for all who ask in a round."""
    return situation.once(("gpu ledger", resource), lambda: _ledger(resource, situation))


def _ledger(resource: str, situation: Situation) -> Ledger:
    stocks = situation.while_same(
        ("nodes", "daemonsets"), ("gpu stocks", resource), lambda: tuple(_stocks(resource, situation))
    )
    accounts = []
    for node, capacity, offered, broken in stocks:
        holders = holders_of(situation.gpu_pods_by_node.get(node.name).values(), resource, situation)
        taken = sum(holder.amount for holder in holders)
        free, lost = max(0.0, offered - taken), broken or offered < (capacity or 0.0)
        accounts.append(Account(node, capacity, offered, taken, holders, broken, free, lost))
    waiting = [amount for pod in situation.unscheduled_pods.get(True).values() if (amount := wanted(pod, resource))]
    return Ledger(resource, tuple(accounts), len(waiting), sum(waiting))


def _stocks(resource: str, situation: Situation) -> Iterator[_Stock]:
    """Yield what each node that has the resource, or should have it, tells of it, by the node's name."""
    for node in sorted(situation.nodes.values(), key=lambda node: node.name):
        raw = node.status.capacity.get(resource)
        capacity = None if raw is None else parse_quantity(raw) or 0.0
        offered = allocatable(node, resource)
        broken = not offered and has_lost_gpus(node, situation)
        if capacity is None and not offered and not (broken and would_bring(node, resource)):
            continue
        if capacity == 0 and not broken and not offered:
            continue  # the key outlives another MIG layout or another name: nothing is wrong with this node
        yield _Stock(node, capacity, offered, broken)


def would_bring(node: Node, resource: str) -> bool:
    """Tell whether a node that offers nothing would offer this resource, by what its capacity and labels say."""
    keys, labels = gpu_resources(node.status.capacity), node.metadata.labels
    if keys:
        return resource in keys
    layout = labels.get("nvidia.com/mig.config", "")
    if resource == WHOLE:
        return labels.get("nvidia.com/mig.strategy") != "mixed" or layout in ("", "all-disabled")
    return f"{resource}.count" in labels or (resource.startswith(MIG) and resource.removeprefix(MIG) in layout)


def holders_of(pods: Iterable[Pod], resource: str, situation: Situation) -> tuple[Holder, ...]:
    """Return who of these pods holds how much of a resource, by workload, the largest first."""
    found: defaultdict[Ref, list[float]] = defaultdict(list)
    for pod in pods:
        if (amount := wanted(pod, resource)) and not is_finished(pod):
            found[workload_of(pod, situation)].append(amount)
    return tuple(sorted(_holders(found.items()), key=lambda holder: (-holder.amount, holder.workload)))


def _holders(found: Iterable[tuple[Ref, list[float]]]) -> Iterator[Holder]:
    for workload, amounts in found:
        yield Holder(workload, len(amounts), sum(amounts))


def merged(accounts: Iterable[Account]) -> tuple[Holder, ...]:
    """Return the holders of several nodes together, the largest first."""
    pods: defaultdict[Ref, int] = defaultdict(int)
    amounts: defaultdict[Ref, float] = defaultdict(float)
    for account in accounts:
        for holder in account.holders:
            pods[holder.workload] += holder.pods
            amounts[holder.workload] += holder.amount
    found = (Holder(workload, pods[workload], amount) for workload, amount in amounts.items())
    return tuple(sorted(found, key=lambda holder: (-holder.amount, holder.workload)))


def workload_of(pod: Pod, situation: Situation) -> Ref:
    """Return the workload of a pod, looked up once a round for all pods of the same owner."""
    owner = pod.metadata.controller
    if owner is None:
        return situation.workload_of(pod)
    key = (pod.metadata.namespace, owner.kind, owner.name)
    known: dict[tuple[str, str, str], Ref] = situation.once("workloads", dict)
    found = known.get(key)
    if found is None:
        found = known[key] = situation.workload_of(pod)
    return found


def holder_text(holder: Holder) -> str:
    """Return `4 by ml/train ×2`."""
    times = f" ×{holder.pods}" if holder.pods > 1 else ""
    return f"{holder.amount:.10g} by {holder.workload.namespace}/{holder.workload.name}{times}"
