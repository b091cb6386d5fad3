"""Layer 5: pods that do not finish terminating (L5-17), and those that wait for a driver of devices to let them go."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, on_node, pods_on, said_by
from diagnosis.gpu_facts import CLAIMS, SLICES, operator_namespace, unready_owners
from diagnosis.on_demand import read_lately
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from situation.clock import age_text
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.gpu.operator import ResourceClaim
from situation.meta import Ref
from situation.pods import Pod
from situation.readings import SourceState
from situation.selectors import is_finished, is_node_ready, is_ready, pod_status_text
from situation.situation import Situation

OVERDUE_S: Final = 60.0
"""deletionTimestamp already holds the grace period; a kubelet that lives needs seconds more to clean up."""


NVIDIA_DRIVERS: Final = frozenset({"gpu.nvidia.com", "compute-domain.nvidia.com"})
"""Drivers of the kubelet plugin of NVIDIA, as allocated claims name them (gpu_operator 1.4)."""
_READABLE: Final = frozenset({SourceState.STARTING, SourceState.LIVE, SourceState.STALE})
"""In any other state of their source the ResourceSlices will not be read soon: all pods of the node must do."""


@rule(
    "device-driver-gone",
    signature="L5-16 L5-17",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods", "nodes"),
    looks_at="pods that should have been gone for a minute, their ResourceClaims (which driver gave the devices, "
    "whether the pod is still a user), the kubelet plugin of that driver on the node, its ResourceSlices.",
    look_alikes={
        "stuck-terminating": "the driver of its devices runs on the node, or it has no devices by claim",
        "node-unreachable": "there the node is silent; the pod follows it",
    },
)
def device_driver_gone(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod cannot end: the driver that must take its devices back does not run on its node any more."""
    deleted = pod.metadata.deletion_timestamp
    if deleted is None or not pod.spec.resource_claims or pod.metadata.finalizers or is_finished(pod):
        return CLEAR
    if wait := wait_until(deleted, OVERDUE_S, now):
        return wait
    node = situation.node(pod.spec.node_name)
    if node is None or not is_node_ready(node):
        return CLEAR
    if read_lately(CLAIMS, situation, now) is None:
        return Unknown("the ResourceClaims are not known", wants=CLAIMS)
    held = {claim.name: drivers for claim in _claims_of(pod, situation) if (drivers := _drivers(claim))}
    driver = next((name for drivers in held.values() for name in drivers), "")
    plugin = _plugin_on(node.name, situation)
    if not driver or (plugin is not None and is_ready(plugin)):
        return CLEAR
    if plugin is None and (situation.source("pods").skipped or situation.has_unread(SLICES)):
        return Unknown("not all pods and ResourceSlices could be decoded", wants=SLICES)
    if plugin is None:  # one of another name would publish devices: the kubelet deletes those of a driver that went
        are_needed = not situation.sees_all or situation.source(SLICES).state in _READABLE
        if read_lately(SLICES, situation, now) is None and are_needed:
            return Unknown("the ResourceSlices are not known", wants=SLICES)
        if any(item.spec.driver == driver for item in situation.devices_by_node.get(node.name).values()):
            return CLEAR
    about = situation.workload_of(pod)
    return Fired(
        about,
        f"{'is' if about.kind == 'Pod' else 'has pods'} stuck Terminating for {age_text(deleted, now)}: "
        f"driver {driver} does not run on {node.name}",
        (
            fact("pods", f"{pod.name} should have been gone by {deleted:%Y-%m-%d %H:%M:%S}", at=deleted),
            *(fact(CLAIMS, f"claim {name} of {', '.join(drivers)} is still in use by it")
              for name, drivers in held.items()),
            _runs(plugin, driver, node.name, situation),
            _node_line(pod, known=True),
        ),
        (
            pods_on(node.name, purpose="does the driver's kubelet plugin run on it?",
                    namespace=plugin.namespace if plugin else operator_namespace(situation)),
            kubectl("get", CLAIMS, *held, "-o", "wide", purpose="who holds the devices?", namespace=pod.namespace),
            kubectl("get", "node", node.name, "--show-labels", purpose="is the label for the DRA driver gone?"),
        ),
        follows=(*(unready_owners((plugin,)) if plugin else ()), Ref("Node", "", node.name)),
        follows_only=("gpu-link-broken", "gpu-devices-not-published"),
        node=node.name,
        wants=f"{CLAIMS} {SLICES}",
    )  # fmt: skip


def _runs(plugin: Pod | None, driver: str, node: str, situation: Situation) -> Evidence:
    """Return what tells that the driver does not run; with one namespace read its devices, not its pod, do."""
    if plugin is not None:
        return fact("pods", f"{plugin.name}: {pod_status_text(plugin)}")
    if situation.sees_all:
        return fact("pods", f"no kubelet plugin of {driver} on {node}")
    return fact(SLICES, f"{driver} publishes no device of {node}")


def _claims_of(pod: Pod, situation: Situation) -> Iterator[ResourceClaim]:
    """Yield the claims that a pod still is a user of: those it names, and those made for it from templates."""
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    for asked in pod.spec.resource_claims:
        name = asked.resource_claim_name or made.get(asked.name, "")
        claim = situation.table(CLAIMS).get((pod.namespace, name))
        if isinstance(claim, ResourceClaim) and any(
            user.resource == "pods" and user.name == pod.name for user in claim.status.reserved_for
        ):
            yield claim


def _drivers(claim: ResourceClaim) -> tuple[str, ...]:
    """Return which of NVIDIA's drivers gave the devices of a claim."""
    allocation = claim.status.allocation
    given = [result.driver for result in allocation.devices.results] if allocation is not None else []
    return tuple(sorted(NVIDIA_DRIVERS.intersection(given)))


def _plugin_on(node: str, situation: Situation) -> Pod | None:
    """Return the pod that is the driver on a node, of the operator's stack or of the driver's own chart."""
    for pod in situation.pods_by_node.get(node).values():
        owner = pod.metadata.controller
        if owner is not None and "nvidia-dra-driver" in owner.name and owner.name.endswith("kubelet-plugin"):
            return pod
    return None


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


RULES: Final[tuple[Rule, ...]] = (device_driver_gone, stuck_terminating)
