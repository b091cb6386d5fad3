"""Layer 5: nodes whose GPUs the operator does not see, or whose GPU labels do not arrive (gpu_operator 2.1 to 2.4)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.gpu_causes import broken_refs
from diagnosis.gpu_facts import (
    FEATURE,
    gpu_signs,
    has_operator,
    is_discovered,
    is_nfd_worker,
    named,
    nfd_workloads,
    operands_on,
    operator_namespace,
    policies,
    ready_since,
)
from diagnosis.placement import is_condition
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.cluster import Node, Taint
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.gpu.components import DEPLOY
from situation.gpu.offer import PRODUCT, gpu_resources
from situation.logs import log_target
from situation.meta import Ref, find_condition
from situation.placing import tolerates
from situation.pods import Pod
from situation.selectors import is_node_ready, is_ready, pod_status_text
from situation.situation import Situation
from situation.workloads import DaemonSet

DISCOVERY_S: Final = 300.0
"""Node feature discovery labels a node within a minute or two of its start; five are ample (gpu_operator 2.1)."""
LABELS_S: Final = 300.0
"""GPU feature discovery writes its labels every 60 s, and NFD takes them over as often (gpu_operator 1.6, edge 13)."""
TIMESTAMP: Final = "nvidia.com/gfd.timestamp"
GFD: Final = "gpu-feature-discovery"
_REPELLING: Final = ("NoSchedule", "NoExecute")


def _workers(situation: Situation) -> list[DaemonSet]:
    return [item for item in situation.daemonsets.values() if is_nfd_worker(item)]


def _worker_on(node: Node, situation: Situation) -> Pod | None:
    return next((pod for pod in situation.pods_by_node.get(node.name).values() if is_nfd_worker(pod)), None)


def _kept_away(node: Node, situation: Situation) -> tuple[Taint, ...]:
    """Return the taints that keep every worker of node feature discovery off a node."""
    workers = _workers(situation)
    if not workers:
        return ()
    return tuple(
        taint
        for taint in node.spec.taints
        if taint.effect in _REPELLING
        and not is_condition(taint)
        and taint.key != "node.kubernetes.io/unschedulable"  # DaemonSets tolerate a cordon
        and not any(
            tolerates(toleration, taint) for worker in workers for toleration in worker.spec.template.spec.tolerations
        )
    )


def _worker_evidence(node: Node, situation: Situation) -> Evidence:
    worker = _worker_on(node, situation)
    if worker is not None:
        return fact("pods", f"{worker.name} runs on it: {pod_status_text(worker)}")
    return fact("pods", "no worker of node feature discovery runs on it")


def _commands(node: Node, situation: Situation) -> tuple[Command, ...]:
    namespace = next((ref.namespace for ref in nfd_workloads(situation)), operator_namespace(situation))
    return (
        kubectl("get", "pods", "-l", "app.kubernetes.io/name=node-feature-discovery", "-o", "wide",
                purpose="does node feature discovery run, and on this node?", namespace=namespace),
        kubectl("get", "node", node.name, "--show-labels", purpose="which labels of features and GPUs are there?"),
    )  # fmt: skip


INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
"""Well-known label: the cloud's name for the sort of machine."""


@rule(
    "gpu-node-not-discovered",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="the PCI labels of node feature discovery, other signs of a GPU (capacity once offered, product, "
    "accelerator and taint), taints that its worker does not tolerate.",
    look_alikes={
        "node-gpus-lost": "the operator sees the GPU there, and an operand fails",
        "GPUs given out by a cloud's own device plugin": "they are offered: silent",
    },
)
def gpu_node_not_discovered(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node shows signs of a GPU, but node feature discovery does not say so: the operator deploys nothing on it."""
    labels = node.metadata.labels
    if is_discovered(node) or labels.get(f"{DEPLOY}operands") == "false" or not is_node_ready(node):
        return CLEAR
    signs = (*gpu_signs(node), *_same_machine(node, situation))
    offered = any(gpu_resources(node.status.allocatable).values())
    if not signs or offered or not has_operator(situation):
        return CLEAR
    ready = find_condition(node.status.conditions, "Ready")
    for since in (node.metadata.creation_timestamp, ready.last_transition_time if ready else None):
        if wait := wait_until(since, DISCOVERY_S, now):
            return wait
    taints = _kept_away(node, situation)
    worker = _worker_on(node, situation)
    if worker is None and taints:
        title = f"has a GPU, but feature discovery does not tolerate its taint {taints[0].key}"
    elif worker is None or not is_ready(worker):
        title = "has a GPU, but node feature discovery does not run on it"
    else:
        title = "seems to have a GPU, but node feature discovery does not see it"
    return Fired(
        Ref("Node", "", node.name),
        title,
        (
            *(fact("nodes", sign) for sign in signs[:3]),
            _worker_evidence(node, situation),
            fact("nodes", f"no label {FEATURE}pci-10de.present"),
        ),
        _commands(node, situation),
        follows=tuple(nfd_workloads(situation)),
        node=node.name,
    )


def _same_machine(node: Node, situation: Situation) -> Iterator[str]:
    """Yield that another node of the same instance type has GPUs."""
    sort = node.metadata.labels.get(INSTANCE_TYPE)
    for other in situation.nodes.values() if sort else ():
        if other.metadata.labels.get(INSTANCE_TYPE) == sort and is_discovered(other):
            yield f"instance type {sort}, as {other.name}, which has GPUs"
            return


def _gfd_since(node: Node, situation: Situation) -> tuple[Pod, datetime | None] | None:
    """Return GPU feature discovery's pod on a node and since when it is ready, None if it is not."""
    gfd = named(operands_on(node.name, situation), GFD)
    return (gfd, ready_since(gfd)) if gfd is not None and is_ready(gfd) else None


@rule(
    "gpu-labels-missing",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="the label nvidia.com/gpu.product of nodes on which GPU feature discovery is ready.",
    look_alikes={
        "node-agent-not-ready": "GPU feature discovery itself fails",
        "a node that just came": "five minutes are given",
    },
)
def gpu_labels_missing(node: Node, situation: Situation, now: datetime) -> Verdict:
    """GPU feature discovery runs on a node, but node feature discovery does not set its labels."""
    if not is_discovered(node) or PRODUCT in node.metadata.labels or not is_node_ready(node):
        return CLEAR
    if (found := _gfd_since(node, situation)) is None:
        return CLEAR
    gfd, since = found
    if wait := wait_until(since, LABELS_S, now):
        return wait
    nobody = not any(PRODUCT in other.metadata.labels for other in situation.nodes.values())
    inside = any(ref.namespace == gfd.namespace for ref in nfd_workloads(situation))
    guess = (
        (fact("nodes", "no node has them: a node feature discovery of your own needs extraLabelNs: nvidia.com",
              Mark.OPEN),)
        if nobody and not inside
        else ()
    )  # fmt: skip
    return Fired(
        Ref("Node", "", node.name),
        "lacks the labels that GPU feature discovery found",
        (fact("nodes", f"no label {PRODUCT}"), fact("pods", f"{gfd.name} is ready", at=since),
         _worker_evidence(node, situation), *guess),
        (
            *_commands(node, situation),
            kubectl("logs", gfd.name, "-c", GFD, "--tail=50", purpose="does it write its labels?",
                    namespace=gfd.namespace, log=log_target(gfd)),
        ),
        follows=(*nfd_workloads(situation), *broken_refs(node.name, situation, now)),
        node=node.name,
    )  # fmt: skip


@rule(
    "gpu-labels-stale",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="the label nvidia.com/gfd.timestamp against the start of GPU feature discovery on the node.",
    look_alikes={"an old time stamp": "it is taken when GPU feature discovery starts, so its age alone means nothing"},
)
def gpu_labels_stale(node: Node, situation: Situation, now: datetime) -> Verdict:
    """The GPU labels of a node are older than its GPU feature discovery: they no longer arrive."""
    stamp = node.metadata.labels.get(TIMESTAMP, "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 10 or not is_node_ready(node):
        return CLEAR
    if (found := _gfd_since(node, situation)) is None:
        return CLEAR
    gfd, since = found
    status = next((item for item in gfd.status.container_statuses if item.name == GFD), None)
    started = status.state.running.started_at if status and status.state.running else None
    written = datetime.fromtimestamp(int(stamp), UTC)
    if started is None or written >= started:
        return CLEAR
    for time in (started, since):
        if wait := wait_until(time, LABELS_S, now):
            return wait
    return Fired(
        Ref("Node", "", node.name),
        "has GPU labels from before GPU feature discovery started: they no longer arrive",
        (
            fact("nodes", f"{TIMESTAMP} says {written:%Y-%m-%d %H:%M:%S}", at=written),
            fact("pods", f"{gfd.name} started {started:%Y-%m-%d %H:%M:%S}", at=started),
            _worker_evidence(node, situation),
        ),
        _commands(node, situation),
        follows=tuple(nfd_workloads(situation)),
        node=node.name,
    )


@rule(
    "gpu-operands-off",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="Node",
    needs=("nodes",),
    looks_at="labels nvidia.com/gpu.deploy.* with the value false.",
    look_alikes={"gpu-operands-left-paused": "the operator's own parts paused them, and nobody took that back"},
)
def gpu_operands_off(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Somebody switched operands off on nodes with a GPU, by label."""
    if not is_discovered(node):
        return CLEAR
    off = sorted(name for name, value in node.metadata.labels.items() if name.startswith(DEPLOY) and value == "false")
    if not off:
        return CLEAR
    policy = next(iter(policies(situation)), None)
    return Fired(
        Ref("ClusterPolicy", "", policy.name) if policy else Ref("Node", "", node.name),
        "run without some operands: switched off by label" if policy else "runs without some operands: off by label",
        (fact("nodes", f"{node.name}: " + ", ".join(f"{name}=false" for name in off[:4])),),
        (kubectl("get", "node", node.name, "--show-labels", purpose="what else is set on it?"),),
        node=node.name,
        who=(node.name,),
    )


RULES: Final[tuple[Rule, ...]] = (
    gpu_node_not_discovered,
    gpu_labels_missing,
    gpu_labels_stale,
    gpu_operands_off,
)
