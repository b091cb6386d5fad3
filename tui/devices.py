"""Whose GPUs and model servers are asked first: of nodes in focus, with findings, gravest first, and to be seen."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from situation.findings import Diagnosis, Finding
from situation.focus import EVERYTHING, Focus, related
from situation.pods import Pod
from situation.serving.view import MODEL_SERVER, pod_of_server
from situation.situation import Situation

FIRST_NODES: Final = 64
_PODS_LOOKED_AT: Final = 32
"""Of one finding: a cause may have thousands of pods as members."""


def nodes_first(
    situation: Situation, diagnosis: Diagnosis, focus: Focus = EVERYTHING, visible: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the names of the nodes that matter most now, at most FIRST_NODES, and those of `visible` after them.

    `visible` are the nodes in rows on the screen, in that order.
    """
    nodes = dict.fromkeys(_in_focus(situation, diagnosis, focus))
    for cause in diagnosis.causes:
        for finding in (cause, *cause.consequences):
            nodes |= dict.fromkeys(_nodes_of(finding, situation))
        if len(nodes) >= FIRST_NODES:
            break
    return tuple(dict.fromkeys((*islice(nodes, FIRST_NODES), *visible)))


def _in_focus(situation: Situation, diagnosis: Diagnosis, focus: Focus) -> Iterator[str]:
    if focus.is_cluster:
        return
    if focus.ref is not None and focus.ref.kind == "Node":
        yield focus.ref.name
        return
    yield from sorted(related(focus, situation, diagnosis).nodes or ())


def _nodes_of(finding: Finding, situation: Situation) -> Iterator[str]:
    if finding.node:
        yield finding.node
    for ref in (finding.subject, *finding.members[:_PODS_LOOKED_AT]):
        if ref.kind == "Node":
            yield ref.name
        elif ref.kind in ("Pod", MODEL_SERVER) and isinstance(pod := situation.get(pod_of_server(ref) or ref), Pod):
            if pod.spec.node_name:
                yield pod.spec.node_name
