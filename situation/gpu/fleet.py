"""The chains of all GPU nodes, kept up as the cluster changes: the cost follows what changed."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from situation.gpu.chain import chain_of, is_gpu_node
from situation.gpu.links import LinkState, NodeChain
from situation.gpu.touched import concerns_all, nodes_of
from situation.situation import Situation
from situation.store import Change

RECHECK: Final = timedelta(seconds=10)
"""A node whose chain is not at rest is judged again this often: a container outlives its last crash, a budget ends."""

_UNSETTLED: Final = frozenset({LinkState.FAILING, LinkState.ABSENT, LinkState.WAITING, LinkState.STARTING})
_KINDS: Final = ("nodes", "pods", "daemonsets", "deployments", "events")


class Fleet:
    """The chain of every GPU node. One Fleet belongs to one Situation; it is told of each change, as the engine is."""

    def __init__(self) -> None:
        self._chains: dict[str, NodeChain] = {}
        self._due: dict[str, datetime] = {}
        self._known: tuple[bool, ...] = ()
        """Which kinds have been read; a kind that comes or goes changes everything."""

    @property
    def chains(self) -> Mapping[str, NodeChain]:
        """Chains by node name."""
        return MappingProxyType(self._chains)

    def update(self, situation: Situation, changes: Iterable[Change], now: datetime) -> frozenset[str]:
        """Judge the nodes that `changes` concern or whose time has come; return those whose chain is another now."""
        known = tuple(situation.knows(name) for name in _KINDS)
        concerned = set[str]()
        everything = known != self._known
        self._known = known
        for change in changes:
            if not everything:
                everything = concerns_all(change, situation)
                concerned.update(nodes_of(change, situation))
        if everything:
            concerned = set(self._chains) | {name for _, name in situation.nodes}
        else:
            concerned.update(name for name, due in self._due.items() if due <= now)
        return frozenset(name for name in concerned if self._judge(name, situation, now))

    def _judge(self, name: str, situation: Situation, now: datetime) -> bool:
        """Judge one node anew; tell whether its chain changed."""
        before = self._chains.pop(name, None)
        self._due.pop(name, None)
        node = situation.node(name)
        chain = chain_of(name, situation, now) if node is not None and is_gpu_node(node) else None
        if chain is None:
            return before is not None
        self._chains[name] = chain
        if not _UNSETTLED.isdisjoint([link.state for link in chain.links]):
            dues = [link.until for link in chain.links if link.state is LinkState.STARTING and link.until is not None]
            self._due[name] = min((*dues, now + RECHECK))
        return chain != before
