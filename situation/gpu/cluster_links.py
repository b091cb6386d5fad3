"""The two links that belong to the cluster and show on each node: node feature discovery and the operator."""

from datetime import datetime, timedelta
from typing import Final

from situation.cluster import Node
from situation.gpu.components import component_of
from situation.gpu.links import Component, Link, LinkState
from situation.gpu.missing_pods import ABSENT_AFTER, untolerated
from situation.gpu.offer import PRESENT, is_seen
from situation.gpu.operand_pods import Own, read_pod, resting_link
from situation.gpu.survey import Survey
from situation.indexes import controller_ref
from situation.meta import Ref
from situation.placing import selects
from situation.pods import Pod
from situation.selectors import is_ready
from situation.situation import Situation

LABELS: Final = timedelta(seconds=300)
"""NFD looks at a node each minute, and the operator acts on its labels at once; five minutes are ample. Ours."""

_FEATURES: Final = "feature.node.kubernetes.io/"


def nfd_link(node: Node, found: Survey, worker: Pod | None, situation: Situation, now: datetime) -> Link:
    """Judge NFD on a node by its labels and its worker's pod; labels may come from an NFD that we do not see."""
    labelled = any(key.startswith(_FEATURES) for key in node.metadata.labels)
    if worker is None:
        return _without_worker(node, found, now, labelled)
    if labelled and (resting := resting_link(Component.NFD, worker)) is not None:
        return resting
    own = read_pod(Component.NFD, worker, situation, now)
    link = _of_pod(Component.NFD, worker, own)
    if own.state is LinkState.STARTING and labelled:
        return Link(Component.NFD, LinkState.READY, "worker restarts", pod=link.pod, owner=link.owner)
    if own.state is not LinkState.READY or labelled:
        return link
    due = own.since + LABELS if own.since else None
    if due is not None and now < due:
        return _changed(link, LinkState.STARTING, "its labels are on their way", due)
    return _changed(link, LinkState.FAILING, "has no master" if found.nfd_down else "sets no labels here", None)


def _without_worker(node: Node, found: Survey, now: datetime, labelled: bool) -> Link:
    if labelled:
        return Link(Component.NFD, LinkState.READY, "labels are there")
    workers = found.daemonsets.get(Component.NFD, ())
    if not workers:
        return Link(Component.NFD, LinkState.NOT_WANTED, "none found")
    owner = Ref("DaemonSet", workers[0].namespace, workers[0].name)
    created = node.metadata.creation_timestamp
    if created is not None and now < (due := created + ABSENT_AFTER):
        return Link(Component.NFD, LinkState.STARTING, "its worker is yet to come", until=due, owner=owner)
    if (taint := untolerated(workers[0], node)) is not None:
        return Link(Component.NFD, LinkState.ABSENT, f"does not tolerate taint {taint.key}", owner=owner)
    if not selects(workers[0].spec.template.spec, node):
        return Link(Component.NFD, LinkState.ABSENT, "its DaemonSet does not select the node", owner=owner)
    return Link(Component.NFD, LinkState.UNKNOWN, "no worker, and its DaemonSet misses none", owner=owner)


def operator_link(node: Node, found: Survey, situation: Situation, now: datetime) -> Link:
    """Judge the operator by its Deployment, and by whether it has labelled this node."""
    operator = found.operator
    if operator is None:
        if not found.operator_known:
            return Link(Component.OPERATOR, LinkState.UNKNOWN, "Deployments not read")
        return Link(Component.OPERATOR, LinkState.NOT_WANTED, "none found")
    owner = Ref("Deployment", *operator.key)
    if operator.spec.replicas == 0:
        return _stopped(node, now, owner)
    if operator.status.ready_replicas:
        return _operator_labels(node, found, now, owner)
    pods = situation.pods_by_label.get((operator.namespace, "app", "gpu-operator")).values()
    mine = [pod for pod in pods if component_of(pod) is Component.OPERATOR]
    if any(map(is_ready, mine)):
        return _operator_labels(node, found, now, owner)
    if not mine and situation.has_unread("pods", operator.namespace):
        return Link(Component.OPERATOR, LinkState.UNKNOWN, "a pod could not be decoded", owner=owner)
    if not mine:
        return Link(Component.OPERATOR, LinkState.ABSENT, "has no pod", owner=owner)
    newest = max(mine, key=lambda pod: (pod.metadata.deletion_timestamp is None, pod.name))
    link = _of_pod(Component.OPERATOR, newest, read_pod(Component.OPERATOR, newest, situation, now))
    return Link(link.component, link.state, link.text, None, link.since, link.until, link.restarts, link.container,
                link.pod, owner)  # fmt: skip


def _stopped(node: Node, now: datetime, owner: Ref) -> Link:
    """Somebody stopped the operator: what runs goes on, and a node that joins after that gets no operand."""
    if PRESENT in node.metadata.labels or not is_seen(node.metadata.labels) or _due(node, now) is not None:
        return Link(Component.OPERATOR, LinkState.NOT_WANTED, "scaled to 0", owner=owner)
    return Link(Component.OPERATOR, LinkState.FAILING, "is scaled to 0 and has not labelled the node", owner=owner)


def _due(node: Node, now: datetime) -> datetime | None:
    """Return until when a node that just joined may lack its labels, None once it may not."""
    created = node.metadata.creation_timestamp
    return due if created is not None and now < (due := created + LABELS) else None


def _operator_labels(node: Node, found: Survey, now: datetime, owner: Ref) -> Link:
    if PRESENT in node.metadata.labels or not is_seen(node.metadata.labels) or not found.installed:
        return Link(Component.OPERATOR, LinkState.READY, owner=owner)
    if (due := _due(node, now)) is not None:
        return Link(Component.OPERATOR, LinkState.STARTING, "its labels are on their way", until=due, owner=owner)
    return Link(Component.OPERATOR, LinkState.FAILING, "has not labelled the node", owner=owner)


def _of_pod(component: Component, pod: Pod, own: Own) -> Link:
    return Link(component, own.state, own.text, None, own.since, own.until, own.restarts, own.container,
                Ref("Pod", *pod.key), controller_ref(pod))  # fmt: skip


def _changed(link: Link, state: LinkState, text: str, until: datetime | None) -> Link:
    return Link(link.component, state, text, None, link.since, until, link.restarts, link.container, link.pod,
                link.owner)  # fmt: skip
