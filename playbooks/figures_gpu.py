"""Figures of the GPU Operator's chain, link by link: of the nodes that are meant, else of all GPU nodes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from playbooks.facts import Facts
from playbooks.figure import Figure, Found, Kind, Unsure, first_names, unread, unseen
from situation.gpu.links import BROKEN, Component, Link, LinkState, NodeChain
from situation.gpu.requests import asks_for_nvidia
from situation.selectors import is_finished
from situation.workloads import PodDisruptionBudget

_DRIVER_STEP: Final = "driver-validation"
"""The validator's init container that runs nvidia-smi."""
_STATES: Final = {
    LinkState.STARTING: "still starts",
    LinkState.PAUSED: "is paused on purpose",
    LinkState.UNKNOWN: "is not known",
}


def _chains(facts: Facts) -> Sequence[NodeChain] | Unsure:
    """Return the chains that are meant."""
    if unsure := unread(facts, "nodes", "pods", "daemonsets"):
        return unsure
    if facts.chains is None:
        return Unsure("the chains of GPU nodes are not followed here")
    if not facts.chains:
        return Unsure("no GPU node is seen: nothing is labelled as one")
    meant = [facts.chains[name] for name in dict.fromkeys(_nodes_meant(facts)) if name in facts.chains]
    return meant or list(facts.chains.values())


def _nodes_meant(facts: Facts) -> Iterator[str]:
    for ref in facts.about:
        if ref.kind == "Node":
            yield ref.name
        elif ref.kind == "Pod" and (pod := facts.situation.pods.get((ref.namespace, ref.name))) is not None:
            yield pod.spec.node_name


def _ready(component: Component, word: str) -> Callable[[Facts], Found | Unsure]:
    """Tell whether a link is in order: false where it is broken itself, unknown while it only waits or starts."""

    def find(facts: Facts) -> Found | Unsure:
        chains = _chains(facts)
        if isinstance(chains, Unsure):
            return chains
        wanted = [
            (chain, link)
            for chain in chains
            if (link := chain.link(component)) is not None and link.state is not LinkState.NOT_WANTED
        ]
        if not wanted:
            return Unsure(f"no {word} is wanted on {first_names(chain.node for chain in chains)}")
        if broken := [(chain, link) for chain, link in wanted if link.state in BROKEN]:
            said = broken[0][1].text or broken[0][1].state.value
            return Found(False, f"{word} on {first_names(chain.node for chain, _ in broken)}: {said}")
        if open_ones := [(chain, why) for chain, link in wanted if (why := _doubt(chain, link))]:
            why = open_ones[0][1]
            return Unsure(f"{word} {why} on {first_names(chain.node for chain, other in open_ones if other == why)}")
        return Found(True, f"{word} in order on {first_names(chain.node for chain, _ in wanted)}")

    return find


_BESIDE: Final = {
    Component.GFD: "GPU feature discovery",
    Component.DCGM: "DCGM",
    Component.EXPORTER: "DCGM exporter",
    Component.MIG: "MIG manager",
    Component.MPS: "MPS",
}
"""Links that offer GPUs to nobody, with the words for them."""


def _beside(facts: Facts) -> Found | Unsure:
    """Tell whether all of them that are wanted are in order: what is broken goes before what is not known."""
    chains = _chains(facts)
    if isinstance(chains, Unsure):
        return chains
    wanted = {component: word for component, word in _BESIDE.items() if _is_wanted(component, chains)}
    answers = [_ready(component, word)(facts) for component, word in wanted.items()]
    broken = next((answer for answer in answers if isinstance(answer, Found) and not answer.value), None)
    unsure = next((answer for answer in answers if isinstance(answer, Unsure)), None)
    if (said := broken or unsure) is not None:
        return said
    names = ", ".join(wanted.values())
    return Found(True, f"{names} in order" if names else "none of these links is wanted here")


def _is_wanted(component: Component, chains: Sequence[NodeChain]) -> bool:
    links = (chain.link(component) for chain in chains)
    return any(link is not None and link.state is not LinkState.NOT_WANTED for link in links)


def _doubt(chain: NodeChain, link: Link) -> str:
    """Return why it is not known that a link which is not broken works; empty if it does."""
    if link.state is LinkState.READY:
        return ""
    if link.state is LinkState.PREINSTALLED:
        return "" if _is_validated(chain) else "is the host's, and the validator has not said that it works"
    if link.state is LinkState.WAITING:
        return f"waits for {link.waits_for.value}" if link.waits_for is not None else "waits"
    return _STATES.get(link.state, link.state.value)


def _is_validated(chain: NodeChain) -> bool:
    validator = chain.link(Component.VALIDATOR)
    return validator is not None and validator.state is LinkState.READY


def _driver_answers(facts: Facts) -> Found | Unsure:
    """The driver pod's startup probe and the validator's first step run nvidia-smi (GPU Operator)."""
    chains = _chains(facts)
    if isinstance(chains, Unsure):
        return chains
    failed = [chain.node for chain in chains if _runs_and_fails(chain)]
    if failed:
        return Found(False, f"the validator's {_DRIVER_STEP} fails on {first_names(failed)}")
    ready = _ready(Component.DRIVER, "driver")(facts)
    if isinstance(ready, Unsure):
        return ready
    if not ready.value:
        return Unsure(ready.text)
    return Found(True, f"nvidia-smi answered when the driver came up on {first_names(chain.node for chain in chains)}")


def _runs_and_fails(chain: NodeChain) -> bool:
    """Tell whether nvidia-smi fails although the driver, or that of the host, is there."""
    driver, validator = chain.link(Component.DRIVER), chain.link(Component.VALIDATOR)
    if driver is None or validator is None or driver.state not in (LinkState.READY, LinkState.PREINSTALLED):
        return False
    return validator.state is LinkState.FAILING and validator.container == _DRIVER_STEP


def _evictable(facts: Facts) -> Found | Unsure:
    """Tell whether every pod that holds GPUs may be evicted now, as far as disruption budgets say."""
    if unsure := unread(facts, "poddisruptionbudgets"):
        return unsure
    chains = _chains(facts)
    if isinstance(chains, Unsure):
        return chains
    situation, nodes = facts.situation, [chain.node for chain in chains]
    holders = [
        pod
        for node in nodes
        for pod in situation.gpu_pods_by_node.get(node).values()
        if asks_for_nvidia(pod) and not is_finished(pod)
    ]
    for budget in situation.table("poddisruptionbudgets").values():
        if not isinstance(budget, PodDisruptionBudget) or budget.status.disruptions_allowed > 0:
            continue
        for pod in holders:
            selector = budget.spec.selector
            if pod.namespace == budget.namespace and selector is not None and selector.matches(pod.metadata.labels):
                return Found(False, f"{budget.namespace}/{budget.name} allows no eviction of {pod.name} now")
    if unsure := unseen(facts):
        return unsure
    if not holders:
        return Found(True, f"no pod holds a GPU of {first_names(nodes)}")
    return Found(True, f"no budget keeps the pods with GPUs on {first_names(nodes)}")


def _link(component: Component, word: str, meaning: str) -> Figure:
    return Figure(Kind.FLAG, f"whether {meaning}; unknown while it waits or starts", _ready(component, word))


GPU_FIGURES: Final = {
    "gpu.nfd_ready": _link(Component.NFD, "node feature discovery", "node feature discovery works on the GPU nodes"),
    "gpu.operator_ready": _link(Component.OPERATOR, "operator", "the operator runs and has labelled the GPU nodes"),
    "gpu.driver_ready": _link(Component.DRIVER, "driver", "the driver is loaded on the GPU nodes"),
    "gpu.driver_answers": Figure(
        Kind.FLAG, "whether nvidia-smi answered when the driver came up on the GPU nodes", _driver_answers
    ),
    "gpu.toolkit_ready": _link(Component.TOOLKIT, "toolkit", "the container toolkit works on the GPU nodes"),
    "gpu.validator_ready": _link(
        Component.VALIDATOR, "validator", "the validator's driver and toolkit steps are through on the GPU nodes"
    ),
    "gpu.plugin_ready": _link(Component.PLUGIN, "device plugin", "the device plugin works on the GPU nodes"),
    "gpu.holders_evictable": Figure(
        Kind.FLAG, "whether the disruption budgets let every pod that holds a GPU be evicted now", _evictable
    ),
    "gpu.beside_ready": Figure(
        Kind.FLAG,
        "whether feature discovery, DCGM, its exporter, the MIG manager and MPS work on the GPU nodes, where wanted",
        _beside,
    ),
    "gpu.checks_ready": _link(
        Component.CHECKS, "validation of CUDA", "the validator's CUDA and plugin steps are through on the GPU nodes"
    ),
}
