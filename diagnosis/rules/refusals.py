"""Pods that the kubelet refused after they had a node, and failed pods that nobody replaces (L2-23, L5-11)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.container_facts import describe, exit_text, gravity, logs, siblings
from diagnosis.gpu_causes import cause_refs
from diagnosis.leftovers import is_failed, status_command, still_matters, told
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.findings import Command, Evidence, Layer, Severity
from situation.gpu.chain import chain_of
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import last_end
from situation.situation import Situation

_RESOURCE: Final = re.compile(
    r"Node didn't have enough resource: (?P<name>\S+), requested: (?P<requested>\d+), used: (?P<used>\d+), "
    r"capacity: (?P<capacity>\d+)"
)
_DEVICES: Final = re.compile(
    r"(?:number of devices unavailable for (?P<name>\S+?)\. "
    r"Requested: (?P<requested>\d+), Available: (?P<available>\d+)"
    r"|unregistered device|no healthy devices present|no longer healthy)"
)


@rule(
    "devices-refused",
    signature="L5-11",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods with reason UnexpectedAdmissionError whose message says that devices are missing or "
    "unhealthy.",
    look_alikes={"kubelet-refused": "reason OutOfnvidia.com/gpu: the devices are there, but taken"},
)
def devices_refused(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The kubelet refuses a pod because the node's GPUs or other devices are gone or unhealthy."""
    found = _DEVICES.search(pod.status.message) if is_failed(pod, "UnexpectedAdmissionError") else None
    if found is None:
        return CLEAR
    if (verdict := still_matters(pod, situation, now)) is not None:
        return verdict
    node = pod.spec.node_name
    title = f"is refused by node {node}: its devices are gone or unhealthy"
    if found["name"]:
        title = f"is refused by node {node}: wants {found['requested']} {found['name']}, {found['available']} available"
    return Fired(
        situation.workload_of(pod), title, (told(pod), *_pile(pod, situation)),
        (_pile_command(pod), status_command(pod)), severity=gravity(pod, situation, now),
        follows=(Ref("Node", "", node), *cause_refs(chain_of(node, situation, now), situation)), node=node,
    )  # fmt: skip


@rule(
    "kubelet-refused",
    signature="L2-23",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods whose message says `Pod was rejected`, or with reason OutOf..., TopologyAffinityError "
    "or NodeAffinity.",
    look_alikes={
        "devices-refused": "UnexpectedAdmissionError: devices are gone or unhealthy",
        "node-shutdown": "rejected because the node is shutting down",
    },
)
def kubelet_refused(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The kubelet refuses a pod that the scheduler, or the pod itself, put on its node."""
    reason = pod.status.reason
    known = reason.startswith("OutOf") or reason in (
        "TopologyAffinityError",
        "NodeAffinity",
        "UnexpectedAdmissionError",
    )
    if not is_failed(pod) or not (known or pod.status.message.startswith("Pod was rejected")):
        return CLEAR
    if (verdict := still_matters(pod, situation, now)) is not None:
        return verdict
    node = pod.spec.node_name
    if found := _RESOURCE.search(pod.status.message):
        free = max(0, int(found["capacity"]) - int(found["used"]))
        # The kubelet counts CPU in thousandths here (noderesources/fit, MilliCPU).
        unit = "m" if found["name"] == "cpu" else ""
        why = f"wants {found['requested']}{unit} {found['name']}, {free}{unit} of {found['capacity']}{unit} free"
    elif reason == "TopologyAffinityError":
        why = "no NUMA node can give it all its resources"
    else:
        why = reason or "rejected"
    return Fired(
        situation.workload_of(pod), f"is refused by node {node}: {why}", (told(pod), *_pile(pod, situation)),
        (status_command(pod), _pile_command(pod)), severity=gravity(pod, situation, now),
        follows=(Ref("Node", "", node),), node=node,
    )  # fmt: skip


def _pile(pod: Pod, situation: Situation) -> tuple[Evidence, ...]:
    """Say how many failed pods have piled up: a controller makes a new one each time."""
    failed = 1 + sum(other.status.phase == "Failed" for other in siblings(pod, situation))
    return (fact("pods", f"{failed} failed pods have piled up"),) if failed > 1 else ()


def _pile_command(pod: Pod) -> Command:
    return kubectl(
        "get", "pods", "--field-selector", "status.phase=Failed", "-o", "wide",
        purpose="how many were refused, and where?", namespace=pod.namespace,
    )  # fmt: skip


@rule(
    "pod-failed",
    signature="L1-23",
    layer=Layer.APPLICATION,
    severity=Severity.INFO,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods without a controller.",
    look_alikes={"job-failed": "a pod of a Job is judged with its Job"},
)
def pod_failed(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod that nobody replaces has failed."""
    if not is_failed(pod) or pod.metadata.controller is not None:
        return CLEAR
    ends = [(status, end) for status in pod.status.container_statuses if (end := last_end(status)) and end.exit_code]
    what = exit_text(ends[0][1]) if ends else pod.status.reason or "no exit code"
    name = ends[0][0].name if ends else (pod.spec.containers[0].name if pod.spec.containers else "")
    evidence = [fact("pods", f"container {status.name}: {exit_text(end)}", at=end.finished_at) for status, end in ends]
    return Fired(
        Ref("Pod", pod.namespace, pod.name), f"has failed ({what}) and nothing restarts it",
        tuple(evidence) or (told(pod),),
        (logs(pod, name, None, "why did it end?"), describe(pod, "what do the events say?")),
        node=pod.spec.node_name,
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (devices_refused, kubelet_refused, pod_failed)
