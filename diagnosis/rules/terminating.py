"""Layer 5: pods that do not finish terminating (L5-17)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, on_node, said_by
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.clock import age_text
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_node_ready
from situation.situation import Situation

OVERDUE_S: Final = 60.0
"""deletionTimestamp already holds the grace period; a kubelet that lives needs seconds more to clean up."""


def _commands(pod: Pod) -> tuple[Command, ...]:
    return (
        kubectl(
            "get", "pod", pod.name, "-o", "jsonpath={.metadata.finalizers}{.spec.nodeName}",
            purpose="what holds it: a finalizer, or its node?", namespace=pod.namespace,
        ),
        kubectl("describe", "pod", pod.name, purpose="what do its events say?", namespace=pod.namespace),
    )  # fmt: skip


@rule(
    "stuck-terminating",
    signature="L5-17",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="deletionTimestamp (which holds the grace period), finalizers, the pod's node, FailedKillPod events.",
    look_alikes={
        "node-unreachable": "there the node is silent; the pod follows it",
        "node-runtime-down": "FailedKillPod: the runtime does not stop the container",
        "a long grace period": "deletionTimestamp lies in the future until it is over",
    },
)  # fmt: skip
def stuck_terminating(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod is still there a minute after its grace period ended."""
    deleted = pod.metadata.deletion_timestamp
    if deleted is None:
        return CLEAR
    if wait := wait_until(deleted, OVERDUE_S, now):
        return wait
    node = situation.node(pod.spec.node_name) if pod.spec.node_name else None
    failed = situation.events_of(pod, "Pod", "FailedKillPod")
    down = node is not None and not is_node_ready(node)
    evidence: list[Evidence] = [
        fact("pods", f"{pod.name} should have been gone by {deleted:%Y-%m-%d %H:%M:%S}", at=deleted)
    ]
    layer, commands = Layer.NODE, _commands(pod)
    if down:
        why = f"its node {pod.spec.node_name} is not Ready"
    elif pod.metadata.finalizers:
        why, layer = f"finalizer {pod.metadata.finalizers[0]}", Layer.CONTROL_PLANE
        evidence.append(fact("pods", f"finalizers: {', '.join(pod.metadata.finalizers)}"))
        evidence.append(_node_line(pod, node is not None))
    elif failed:
        why = "the runtime cannot stop it"
        commands += (on_node(pod.spec.node_name, "crictl", "ps", "-a", purpose="does the runtime answer?"),)
    else:
        why = f"its kubelet does not finish on {pod.spec.node_name}" if pod.spec.node_name else "nothing says why"
        evidence.append(_node_line(pod, node is not None))
    evidence += [said_by(event) for event in failed[-1:]]
    return Fired(
        situation.workload_of(pod),
        f"has pods stuck Terminating for {age_text(deleted, now)}: {why}"
        if situation.workload_of(pod).kind != "Pod"
        else f"is stuck Terminating for {age_text(deleted, now)}: {why}",
        tuple(evidence),
        commands,
        layer=layer,
        follows=(Ref("Node", "", pod.spec.node_name),) if down else (),
        node=pod.spec.node_name,
    )


def _node_line(pod: Pod, known: bool) -> Evidence:
    if not pod.spec.node_name:
        return fact("pods", "it never had a node", Mark.EXCLUDES)
    if known:
        return fact("nodes", f"node {pod.spec.node_name} is Ready", Mark.EXCLUDES)
    return fact("nodes", f"node {pod.spec.node_name} is not known: it may be gone", Mark.OPEN)


RULES: Final[tuple[Rule, ...]] = (stuck_terminating,)
