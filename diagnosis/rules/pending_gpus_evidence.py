"""The numbers behind "why is this GPU pod Pending": a few lines for a thousand nodes, the most telling nodes first."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import nsmallest
from typing import Final

from diagnosis.commands import counted, fact, shorten
from diagnosis.gpu_ledger import WHOLE, Account, Holder, gpus_wanted, holder_text, ledger_of, merged, workload_of
from diagnosis.gpu_places import Place, Reach, View, view_of
from diagnosis.gpu_use import Use, use_of
from diagnosis.placement import wanted
from situation.findings import Evidence, Mark
from situation.gpu.by_claim import gives_by_claim
from situation.gpu.offer import paused_why
from situation.gpu.requests import is_nvidia
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation

ROWS: Final = 5
"""Nodes with a line of their own; one more line sums up the rest."""
HOLDERS: Final = 3
"""Workloads named per line."""


def table(view: View, wants: float, situation: Situation, rows: int = ROWS) -> tuple[Evidence, ...]:
    """Return a line for each of the most telling nodes, and one that sums up all others."""
    key = ("gpu table", id(view), wants, rows)
    return situation.once(key, lambda: tuple(_table(view, wants, rows, by_all=situation.sees_all)))


def _table(view: View, wants: float, rows: int, *, by_all: bool) -> Iterator[Evidence]:
    shown = nsmallest(rows, view.places, key=lambda place: _relevance(place, wants))
    for place in shown:
        yield fact("nodes", _row(place, by_all=by_all))
    if len(shown) < len(view.places):
        named = {place.account.node.name for place in shown}
        others = (place for place in view.places if place.account.node.name not in named)
        states = Counter(_word(place, wants, by_all=by_all) for place in others)
        parts = ", ".join(f"{count} {word}" for word, count in states.most_common())
        yield fact("nodes", f"and {sum(states.values())} more: {parts}")


def _relevance(place: Place, wants: float) -> tuple[int, float, float, str]:
    account, reachable = place.account, place.reach is not Reach.UNSELECTED
    if account.lost and reachable:
        rank = 0
    elif account.free >= wants:
        rank = 1
    else:
        rank = 2 if reachable else 3
    return (rank, -account.free, -account.allocatable, account.node.name)


def _row(place: Place, *, by_all: bool) -> str:
    account = place.account
    has = "absent" if account.capacity is None else f"{account.capacity:.10g}"
    text = f"{account.node.name}: capacity {has}, allocatable {account.allocatable:.10g}"
    if by_all:
        text += f", allocated {account.allocated:.10g}"
    if by_all and account.holders:
        text += f": {holders_text(account.holders)}"
    notes = [f"taint {place.taint}" if place.taint else place.reach.value] if place.reach is not Reach.OPEN else []
    if account.lost and (why := paused_why(account.node.metadata.labels)):
        notes.append(f"away {why}")
    return f"{text} ({'; '.join(notes)})" if notes else text


def holders_text(holders: tuple[Holder, ...]) -> str:
    """Return `4 by ml/train ×2, 3 by shop/llm ×3 and 1 more workload`."""
    more = len(holders) - HOLDERS
    text = ", ".join(map(holder_text, holders[:HOLDERS]))
    return f"{text} and {counted(more, 'more workload')}" if more > 0 else text


def _word(place: Place, wants: float, *, by_all: bool) -> str:
    account = place.account
    if place.reach is Reach.UNSELECTED:
        return place.reach.value
    if account.lost:
        return "offer none" if account.broken else "unhealthy"
    if place.reach is not Reach.OPEN:
        return place.reach.value
    if account.allocatable < wants:
        return "too small"
    if not by_all:
        return "large enough"
    if account.free >= wants:
        return "with room"
    return "partly free" if account.free else "full"


def even_whole(view: View, wants: float) -> Iterator[Evidence]:
    """Yield that nodes that offer less than they have are not why: the pod would not fit on them whole either."""
    lost = [place for place in view.open if place.account.lost and place.free_if_whole is not None]
    if not lost:
        return
    best = max(lost, key=lambda place: (place.free_if_whole or 0.0, place.account.node.name))
    name, free = best.account.node.name, best.free_if_whole or 0.0
    if free < wants:
        text = f"its lost GPUs are not why: with all of them {name} would have {free:.10g} of {wants:.10g} free"
        yield fact("nodes", text, Mark.EXCLUDES)


def holders(accounts: list[Account], resource: str) -> Iterator[Evidence]:
    """Yield who holds most of it over all these nodes; on one node the node's own line says it."""
    if sum(bool(account.holders) for account in accounts) > 1:
        yield fact("pods", f"{resource} on these nodes is held: {holders_text(merged(accounts))}")


def use(use: Use, accounts: list[Account], resource: str) -> Iterator[Evidence]:
    """Yield how many of the allocated GPUs are busy, the biggest idle holders first, and what is not measured."""
    source = f"gpu/{use.origin or 'devices'}"
    if not use.measured:
        yield fact("nodes", "allocated is not busy: how busy their holders keep them is not measured", Mark.OPEN)
        return
    if use.idle:
        named = [f"{idle} of {have} of {ref.namespace}/{ref.name}" for ref, idle, have in use.idle_by[:HOLDERS]]
        more = len(use.idle_by) - HOLDERS
        whose = f": {', '.join(named)}" + (f" and {counted(more, 'more workload')}" if more > 0 else "")
        text = f"allocated but idle: {use.idle} of {use.measured} below 5 % at the reading"
        yield Evidence(text + (whose if named else ""), source, use.observed_at)
    else:
        text = f"allocated and busy: none of {use.measured} below 5 % at the reading"
        yield Evidence(text, source, use.observed_at, Mark.EXCLUDES)
    if use.shared:
        text = f"shared by several pods: {use.shared} of {use.measured}; which of them uses a GPU is not measured"
        yield Evidence(text, source, use.observed_at, Mark.OPEN)
    allocated = sum(account.allocated for account in accounts)
    if resource == WHOLE and use.measured < allocated and not any(map(sharing, accounts)):
        unmeasured = f"{allocated - use.measured:.10g} of {allocated:.10g}"
        yield fact("nodes", f"use not measured for {unmeasured} allocated", Mark.OPEN)


def sharing(account: Account, resource: str = WHOLE) -> tuple[str, int] | None:
    """Return how a node shares each GPU (or MIG device) and by how many; None when it does not (gpu_operator 2.4)."""
    labels = account.node.metadata.labels
    prefix = resource if resource.startswith("nvidia.com/mig-") else WHOLE
    strategy, replicas = labels.get(f"{prefix}.sharing-strategy", ""), labels.get(f"{prefix}.replicas", "")
    if strategy in ("", "none") or not replicas.isdigit() or int(replicas) < 2:
        return None
    return strategy, int(replicas)


def sharing_lines(accounts: Iterable[Account], several: bool, resource: str) -> Iterator[Evidence]:
    """Yield what the numbers mean where GPUs are shared (playbook: GPU sharing)."""
    kinds = Counter(found for account in accounts if (found := sharing(account, resource)))
    for (strategy, replicas), count in kinds.most_common(2):
        text = f"{counted(count, 'node')} with {strategy}: the numbers are shares, {replicas} of each GPU"
        yield fact("nodes", f"{text}, without isolation of memory")
    if kinds and several:
        yield fact("nodes", "several shares may be of the same GPU: they bring no more memory or speed")


def demand(view: View, *, by_all: bool) -> Iterator[Evidence]:
    """Yield what all waiting pods want together, when this is not the only one."""
    ledger = view.ledger
    if by_all and ledger.waiting_pods > 1:
        yield fact("pods", f"{ledger.waiting_pods} pods wait for {ledger.waiting_amount:.10g} {ledger.resource} in all")


def occupation(view: View, wants: float, situation: Situation, now: datetime) -> tuple[Evidence, ...]:
    """Return who holds the GPUs of the nodes that take the pod, whether they use them, and what shares are."""
    key = ("gpu occupation", id(view), wants > 1, now)
    return situation.once(key, lambda: tuple(_occupation(view, wants > 1, situation, now)))


def _occupation(view: View, several: bool, situation: Situation, now: datetime) -> Iterator[Evidence]:
    resource, accounts = view.ledger.resource, view.taken
    yield from holders(accounts, resource)
    yield from use(measured_use(view, situation, now), accounts, resource)
    yield from sharing_lines(accounts, several, resource)


def measured_use(view: View, situation: Situation, now: datetime) -> Use:
    """Return the use of the GPUs of the nodes that take the pod."""
    return situation.once(("gpu use", id(view), now), lambda: use_of(view.taken, situation, now))


def gpu_numbers(pod: Pod, situation: Situation) -> list[Evidence]:
    """Return the numbers per node for a pod that wants GPUs and is kept away by something else than GPUs."""
    lines: list[Evidence] = []
    for resource, wants in list(gpus_wanted(pod).items())[:1]:
        view = view_of(pod, resource, situation)
        lines += [fact("pods", f"it wants {wants:.10g} {resource}"), *table(view, wants, situation, 3)]
    return lines


def gang_numbers(pod: Pod, situation: Situation) -> list[Evidence]:
    """Return the numbers for a pod whose scheduler places a whole group or nothing, and says so in its own words."""
    resource = next(iter(gpus_wanted(pod)), "")
    if not resource:
        return []
    workload, view = workload_of(pod, situation), view_of(pod, resource, situation)
    amounts = situation.once(("gpu gang", workload, resource), lambda: _gang(workload, resource, situation))
    lines = gpu_numbers(pod, situation)
    if (pods := amounts.total()) > 1:
        total = sum(amount * count for amount, count in amounts.items())
        text = f"{pods} pods of {workload.name} wait for {total:.10g} {resource} in all"
        if situation.sees_all and len(amounts) == 1:
            text += f": enough is free for {_share(_room_for(view, next(iter(amounts)), situation), pods)} of them"
        lines.insert(0, fact("pods", text))
    return lines


def by_claim(resource: str, situation: Situation) -> str:
    """Say which nodes give out their GPUs by resource claims, empty if none does."""
    found = [node.name for node in situation.nodes.values() if gives_by_claim(node, situation)]
    if not found or not is_nvidia(resource):
        return ""
    names = shorten(", ".join(sorted(found)), 100)
    return f"a DRA driver gives out the GPUs of {names}: a pod gets them by a ResourceClaim, not as {resource}"


def _share(some: int, of: int) -> str:
    return "none" if not some else "all" if some >= of else str(some)


def _room_for(view: View, wants: float, situation: Situation) -> int:
    """Return how many pods that want as many fit, each whole on one node: what is left on several fits none."""
    key = ("gpu room", id(view), wants)
    return situation.once(key, lambda: sum(int(account.free // wants) for account in view.taken))


def _gang(workload: Ref, resource: str, situation: Situation) -> Counter[float]:
    """Return how many pods of a workload that have no node want which amount."""
    waiting = (pod for pod in situation.pods_of(workload) if not pod.spec.node_name and not is_finished(pod))
    return Counter(amount for pod in waiting if (amount := wanted(pod, resource)))


def quota_numbers(namespace: str, resource: str, situation: Situation) -> list[Evidence]:
    """Return who holds a GPU resource in a namespace whose quota is used up, and how much of it is free at all."""
    accounts = ledger_of(resource, situation).accounts
    own = tuple(holder for holder in merged(accounts) if holder.workload.namespace == namespace)
    lines = [fact("pods", f"{resource} in {namespace} is held: {holders_text(own)}")] if own else []
    if situation.sees_all and (free := sum(account.free for account in accounts)):
        lines.append(fact("nodes", f"{free:.10g} {resource} free on the nodes: only the quota refuses", Mark.EXCLUDES))
    return lines
