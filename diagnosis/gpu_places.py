"""The nodes that have a GPU resource, as one waiting pod sees them."""

from enum import StrEnum

import msgspec

from diagnosis.gpu_ledger import Account, Ledger, ledger_of
from diagnosis.placement import affinity_terms, is_condition, is_cordoned, selects, untolerated
from situation.cluster import Node
from situation.pods import Pod
from situation.situation import Situation


class Reach(StrEnum):
    """What keeps the pod from a node, GPUs aside."""

    OPEN = "open"
    CORDONED = "cordoned"
    DOWN = "not ready"
    TAINTED = "tainted"
    UNSELECTED = "not selected"


class Place(msgspec.Struct, frozen=True):
    account: Account
    reach: Reach
    taint: str = ""
    """`key=value:effect` of the first taint that the pod does not tolerate."""

    def would_fit(self, wants: float) -> bool:
        """Tell whether the pod would fit if the node offered all that it has."""
        account = self.account
        back = self.free_if_whole
        return account.lost and account.free < wants and (back is None or back >= wants)

    @property
    def free_if_whole(self) -> float | None:
        """GPUs that would be free if the node offered all that it has; None if that is not known."""
        whole = self.account.whole
        return None if whole is None else max(0.0, whole - self.account.allocated)


class View(msgspec.Struct, frozen=True):
    """All that a pod's answer rests on; the same for all pods that ask for the same nodes."""

    ledger: Ledger
    places: tuple[Place, ...]
    open: tuple[Place, ...]

    def at(self, reach: Reach) -> list[Place]:
        return [place for place in self.places if place.reach is reach]

    @property
    def taken(self) -> list[Account]:
        """The nodes that take the pod, GPUs aside."""
        return [place.account for place in self.open]


class Chances(msgspec.Struct, frozen=True):
    """Where a pod that asks for so many GPUs could go, or could if something were put right."""

    offering: tuple[Place, ...]
    """Take the pod, and offer as many; free or not."""
    roomy: tuple[Place, ...]
    """Of these, those that have as many free."""
    lost: tuple[Place, ...]
    """Take the pod, and would have as many free if they offered all they have."""


def view_of(pod: Pod, resource: str, situation: Situation) -> View:
    """Return the nodes that have a resource as `pod` sees them. Pods with equal demands on nodes share one View."""
    spec = pod.spec
    affinity = msgspec.json.encode(affinity_terms(pod))
    key = ("gpu view", resource, tuple(sorted(spec.node_selector.items())), affinity, spec.tolerations)
    return situation.once(key, lambda: _view(pod, ledger_of(resource, situation)))


def _view(pod: Pod, ledger: Ledger) -> View:
    places = tuple(_place(pod, account) for account in ledger.accounts)
    return View(ledger, places, tuple(place for place in places if place.reach is Reach.OPEN))


def chances(view: View, wants: float, situation: Situation) -> Chances:
    """Return where a pod with this View could go; the same for all pods that want as many."""
    return situation.once(("gpu chances", id(view), wants), lambda: _chances(view, wants))


def _chances(view: View, wants: float) -> Chances:
    offering = tuple(place for place in view.open if place.account.allocatable >= wants)
    roomy = tuple(place for place in offering if place.account.free >= wants)
    lost = tuple(place for place in view.open if place.would_fit(wants))
    lost = lost or tuple(place for place in view.at(Reach.CORDONED) if place.would_fit(wants))
    return Chances(offering, roomy, lost)


def _place(pod: Pod, account: Account) -> Place:
    node = account.node
    if not selects(pod, node):
        return Place(account, Reach.UNSELECTED)
    if is_cordoned(node):
        return Place(account, Reach.CORDONED)
    taints = untolerated(pod, node)
    if not taints:
        return Place(account, Reach.OPEN)
    if all(map(is_condition, taints)):
        return Place(account, Reach.DOWN)
    return Place(account, Reach.TAINTED, taint_text(node, pod))


def taint_text(node: Node, pod: Pod) -> str:
    """Return the first taint of a node, but those of its own state, that keeps the pod away."""
    taint = next(taint for taint in untolerated(pod, node) if not is_condition(taint))
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"
