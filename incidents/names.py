"""Finds the names of things in the cluster in a text, while the cluster is still known: later, nobody can tell them."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from incidents.entries import Entry, Name
from situation.kinds import KINDS
from situation.meta import CLUSTER, Ref
from situation.pods import Pod
from situation.situation import Situation
from situation.workloads import WORKLOAD_KINDS

TOKEN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""What may be a name, or hold one: names of Kubernetes objects are of letters, digits, dashes and dots."""
_PUBLIC: Final = frozenset({"Event", "Lease", "PriorityClass", "RuntimeClass"})
"""Kinds whose names tell nothing of a cluster: they are the same in all, or stand in no text."""
_KINDS: Final = tuple(kind for kind in KINDS if kind.kind not in _PUBLIC)
_KEPT: Final = 200
"""Names of one entry at most."""


def sort_of(kind: str) -> str:
    """Return what a kind counts as: `namespace`, `node`, `pod`, `workload`, or itself in small letters."""
    return "workload" if kind in WORKLOAD_KINDS else kind.lower()


def names_in(entry: Entry, more: Iterable[Ref], situation: Situation) -> tuple[Name, ...]:
    """Return the names of namespaces, nodes, pods, workloads and images that the texts of an entry hold.

    `more` are objects the entry is about besides its subject.
    """
    refs = [ref for ref in (entry.subject, *more) if ref is not None and ref != CLUSTER]
    found: dict[Name, None] = {}
    for ref in refs[:_KEPT]:
        found.update(dict.fromkeys(_of_ref(ref, situation)))
    told = (entry.text, entry.way, entry.where, *(line.text for line in entry.evidence), *entry.follows)
    texts = (*told, *entry.sources)
    tokens = dict.fromkeys(token for text in texts for token in TOKEN.findall(text))
    namespaces = {ref.namespace for ref in refs} | {token for token in tokens if ("", token) in situation.namespaces}
    tables = [(sort_of(kind.kind), table) for kind in _KINDS if (table := situation.table(kind.name))]
    for token in tokens:
        keys = [("", token), *((namespace, token) for namespace in namespaces)]
        found.update((Name(sort, token), None) for sort, table in tables if any(key in table for key in keys))
    return tuple(found)[:_KEPT]


def _of_ref(ref: Ref, situation: Situation) -> Iterator[Name]:
    if ref.namespace:
        yield Name("namespace", ref.namespace)
    if ref.name:
        yield Name(sort_of(ref.kind), ref.name)
    item = situation.get(ref)
    for pod in (item,) if isinstance(item, Pod) else situation.pods_of(ref)[:1]:
        if pod.spec.node_name:
            yield Name("node", pod.spec.node_name)
        workload = situation.workload_of(pod)
        yield Name(sort_of(workload.kind), workload.name)
        for container in pod.spec.containers:
            yield Name("image", container.image)
