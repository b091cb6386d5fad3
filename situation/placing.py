"""Whether a pod spec or a template allows a node: labels, affinity and taints, as the scheduler sees them.

Follows the filters NodeAffinity and TaintToleration of kube-scheduler.
"""

from situation.affinity import NodeSelectorTerm, Toleration
from situation.cluster import Node, Taint
from situation.pods import PodSpec


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Tell whether a toleration covers a taint (core/v1, Toleration.ToleratesTaint)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (
        toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value
    )


def affinity_terms(spec: PodSpec) -> tuple[NodeSelectorTerm, ...]:
    """Return the terms of the required node affinity; a node must meet one of them."""
    affinity = spec.affinity
    if affinity is None or affinity.node_affinity is None or affinity.node_affinity.required is None:
        return ()
    return affinity.node_affinity.required.node_selector_terms


def selects(spec: PodSpec, node: Node) -> bool:
    """Tell whether a node has the labels (and name) that the node selector and required affinity ask for."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    terms = affinity_terms(spec)
    return not terms or any(_term_matches(term, node) for term in terms)


def _term_matches(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.name}
    return all(item.matches(node.metadata.labels) for item in term.match_expressions) and all(
        item.matches(fields) for item in term.match_fields
    )


def target_node(spec: PodSpec) -> str:
    """Return the node that a DaemonSet's pod is made for before it is bound, empty for other pods."""
    for term in affinity_terms(spec):
        for field in term.match_fields:
            if field.key == "metadata.name" and field.operator == "In" and field.values:
                return field.values[0]
    return ""
