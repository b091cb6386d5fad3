"""What each pane shows for a focus and a filter: pure functions from the Situation to rows."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from situation.cluster import Event
from situation.findings import Diagnosis, Finding, LayerState
from situation.focus import Focus, Relation
from situation.kinds import BY_NAME
from situation.meta import ObjectKey
from situation.namespaces import missing_namespace
from situation.network import Service
from situation.ordering import PodOrder
from situation.pods import Pod
from situation.readings import Source, SourceState
from situation.selectors import is_node_ready, pod_status_text
from situation.situation import Situation
from situation.store import involved_ref
from situation.workloads import selector_text
from widgets.glyphs import FINE, PARTLY, PARTLY_WORD, is_partly_judged
from widgets.nodes import NodeRow

EVENTS_SHOWN: Final = 200
"""Newest events listed; the rest is a filter away."""
_NAMESPACE_WORD: Final = "ns:"
_NAMESPACES_SHOWN: Final = 3


class Filter(msgspec.Struct, frozen=True):
    """What was typed after `/`: words that must all occur, and `ns:NAME`."""

    words: tuple[str, ...] = ()
    namespace: str = ""

    @property
    def is_empty(self) -> bool:
        return not self.words and not self.namespace

    @property
    def text(self) -> str:
        """The filter as it would be typed."""
        return " ".join((*([f"{_NAMESPACE_WORD}{self.namespace}"] if self.namespace else ()), *self.words))

    def passes(self, namespace: str, *texts: str) -> bool:
        """Tell whether an object of `namespace` with these texts is shown; letters' case does not matter."""
        if self.namespace and namespace != self.namespace:
            return False
        if not self.words:
            return True
        whole = "\n".join((namespace, *texts)).lower()
        return all(word in whole for word in self.words)


def parse_filter(text: str) -> Filter:
    """Read a filter line; the last `ns:` wins."""
    words, namespace = [], ""
    for word in text.split():
        if word.startswith(_NAMESPACE_WORD):
            namespace = word.removeprefix(_NAMESPACE_WORD)
        else:
            words.append(word.lower())
    return Filter(tuple(words), namespace)


def visible_pods(situation: Situation, order: PodOrder, relation: Relation, wanted: Filter) -> Sequence[ObjectKey]:
    """Return the keys of the pods to show, those that need a look first."""
    related = relation.pods
    if related is None and wanted.is_empty:
        return order.rows()
    found = [key for key in order if related is None or key in related]
    if wanted.is_empty:
        return found
    return [key for key in found if _passes(situation.pods[key], wanted)]


def _passes(pod: Pod, wanted: Filter) -> bool:
    return wanted.passes(pod.namespace, pod.name, pod.spec.node_name, pod_status_text(pod))


def visible_nodes(situation: Situation, order: PodOrder, relation: Relation, wanted: Filter) -> list[NodeRow]:
    """Return the nodes to show: not ready ones first, then those with pods that need a look, then by name."""
    unsettled = Counter(situation.pods[key].spec.node_name for key in order.unsettled_keys())
    words = Filter(wanted.words)  # nodes stand in no namespace
    counts = situation.sees_all_pods
    rows = [
        NodeRow(node, len(situation.pods_by_node.get(node.name)) if counts else None, unsettled[node.name])
        for node in situation.nodes.values()
        if (relation.nodes is None or node.name in relation.nodes)
        and (words.is_empty or words.passes("", node.name, *(f"{k}={v}" for k, v in node.metadata.labels.items())))
    ]
    return sorted(rows, key=lambda row: (is_node_ready(row.node), -row.unsettled, row.node.name))


def visible_events(situation: Situation, relation: Relation, wanted: Filter) -> list[Event]:
    """Return the newest events to show, newest first."""
    return heapq.nlargest(EVENTS_SHOWN, _events(situation, relation, wanted), key=_when)


def _when(event: Event) -> float:
    seen = event.last_seen
    return seen.timestamp() if seen else 0.0


def _events(situation: Situation, relation: Relation, wanted: Filter) -> Iterable[Event]:
    if relation.objects is None:
        found: Iterable[Event] = situation.events.values()
    else:
        found = (event for ref in relation.objects for event in situation.events_by_object.get(ref).values())
        if relation.namespaces:
            spaces = relation.namespaces
            found = (event for event in situation.events.values() if event.namespace in spaces)
    if wanted.is_empty:
        return found
    return (
        event
        for event in found
        if wanted.passes(involved_ref(event).namespace, event.reason, event.involved_object.name, event.message)
    )


def visible_causes(diagnosis: Diagnosis, wanted: Filter) -> tuple[Finding, ...]:
    """Return the causes that pass the filter, themselves or by a consequence."""
    if wanted.is_empty:
        return diagnosis.causes
    return tuple(
        cause
        for cause in diagnosis.causes
        if any(
            wanted.passes(finding.subject.namespace, finding.title, finding.subject.name)
            for finding in (cause, *cause.consequences)
        )
    )


def empty_causes_text(diagnosis: Diagnosis, situation: Situation, now: datetime, wanted: Filter) -> str:
    """Say why no cause is listed: nothing wrong, not known yet, or filtered away."""
    if diagnosis.causes and not wanted.is_empty:
        return f"no cause matches “{wanted.text}”{no_such_namespace(wanted, situation, now)}"
    pods = situation.source("pods")
    if pods.state is SourceState.STARTING:
        return "reading the cluster …"
    unknown = [layer for layer in diagnosis.layers if layer.status is LayerState.UNKNOWN]
    if unknown:
        return "nothing found, but could not tell: " + "; ".join(
            f"{item.layer.title} ({item.reason})" for item in unknown
        )
    partly = [layer for layer in diagnosis.layers if is_partly_judged(layer)]
    if partly:
        return f"{PARTLY} nothing wrong found, but judged only {PARTLY_WORD}: " + "; ".join(
            f"{item.layer.title} ({item.reason})" for item in partly
        )
    return f"{FINE} nothing wrong found in five layers"


def narrower(kind: str, situation: Situation) -> str:
    """Say what somebody can do who may not read a kind in all namespaces; empty where that is not the matter."""
    source = situation.source(kind)
    if source.state is not SourceState.FORBIDDEN or source.has_value or not situation.sees_all:
        return ""
    return "; -n NAMESPACE reads one namespace alone" if BY_NAME[kind].namespaced else ""


def nowhere(kind: str, situation: Situation, now: datetime) -> str:
    """Say that there can be none of a kind, because the one namespace that is read does not exist; else empty."""
    absent = missing_namespace(situation, now) if BY_NAME[kind].namespaced and situation.knows(kind) else ""
    return f": {absent}" if absent else ""


def empty_text(
    what: str, source: Source, now: datetime, focus: Focus, wanted: Filter, hint: str = "", unrelated: str = ""
) -> str:
    """Say why a table is empty: loading, forbidden, unreachable, filtered, nothing when last read, or truly nothing.

    `hint` is what else is known of a filter that nothing passes, `unrelated` why nothing relates to the focus.
    """
    state = source.state_at(now)
    if source.observed_at is None:
        if state is SourceState.STARTING:
            return f"reading {what} …"
        return f"{state.value}: {source.error}" if source.error else state.value
    then = "" if state is SourceState.LIVE else f" when last read; now {state.value}"
    if not wanted.is_empty:
        return f"no {what} match “{wanted.text}”{then}{hint}"
    if focus.is_cluster:
        return f"no {what}{then}"
    return (unrelated or f"no {what} relate to the focus") + then


def no_pod_matches(services: Sequence[Service]) -> str:
    """Say which of these Services select no pod; empty for none."""
    if not services:
        return ""
    first, others = services[0], len(services) - 1
    more = f", nor that of {others} more" if others else ""
    return f"no pod matches {selector_text(first.spec.selector)}, the selector of Service {first.name}{more}"


def no_such_namespace(wanted: Filter, situation: Situation, now: datetime) -> str:
    """Say that the filter's namespace does not exist, if that is known, and which names hold what was typed."""
    typed = wanted.namespace
    names = {name for _, name in situation.namespaces}
    if not typed or typed in names or situation.source("namespaces").state_at(now) is not SourceState.LIVE:
        return ""
    if situation.is_unread("namespaces", ("", typed)):
        return ""
    near = sorted(name for name in names if typed.lower() in name)[:_NAMESPACES_SHOWN]
    return f": there is no namespace “{typed}”" + (f", but {', '.join(near)}" if near else "")
