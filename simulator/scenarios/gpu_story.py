"""What GPU incidents are made of: a cluster with the GPU Operator on it, and how it changes.

The cluster is one control-plane node, one node without GPUs, and GPU nodes. Whatever is put before `begin` was there
all along; what is put later is a watch event. The DaemonSets' counts follow from nodes and pods.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from simulator.gpu_operator import (
    DEPLOY,
    HEALTHY,
    NAMESPACE,
    NFD_IMAGE,
    OPERANDS,
    WORKER,
    Operand,
    Step,
    daemonset,
    nfd_labels,
    operand_pod,
    pod_name,
)
from simulator.scenarios.gpu_objects import cuda_validator, deployment
from simulator.scenarios.story import Manifest, Story, event_of, lease_of, node_of, pod_of
from tape.format import GPUS_PREFIX, LOGS_SOURCE, READYZ_SOURCE, VERSION_SOURCE, Frame

OTHERS: Final = ("cp-1", "cpu-1")
MPS: Final = Operand(
    "nvidia-device-plugin-mps-control-daemon",
    "device-plugin",
    ("toolkit-validation", "mps-control-daemon-mounts"),
    ("mps-control-daemon-ctr",),
    "nvcr.io/nvidia/k8s-device-plugin:v0.19.0",
)
RENEW_EVERY_S: Final = 10.0
_CHECKS: Final = ("ping", "log", "etcd", "informer-sync", "poststarthook/rbac/bootstrap-roles", "shutdown")


class GpuStory(Story):
    """A story about GPU nodes."""

    def __init__(self) -> None:
        super().__init__()
        self._now: dict[tuple[str, str, str], Manifest] = {}
        self._has_begun = False

    def put(self, t: float, *manifests: Manifest) -> None:
        """Objects as they are from `t` on."""
        for manifest in manifests:
            name = _name(manifest)
            if self._has_begun:
                self.change(float(t), manifest, "MODIFIED" if name in self._now else "ADDED")
            self._now[name] = manifest

    def remove(self, t: float, *manifests: Manifest) -> None:
        """Objects that are gone at `t`."""
        for manifest in manifests:
            self.change(float(t), self._now.pop(_name(manifest)), "DELETED")

    def get(self, kind: str, name: str, namespace: str = "") -> Manifest:
        """An object as it is now."""
        return self._now[kind, namespace, name]

    def has(self, manifest: Manifest) -> bool:
        """Tell whether an object is there, just so."""
        return self._now.get(_name(manifest)) == manifest

    def names(self, kind: str) -> list[str]:
        """Names of all objects of a kind."""
        return [name for other, _, name in self._now if other == kind]

    def begin(self) -> None:
        """End the past: the lists at t=0."""
        self._count(0.0)
        self.start(list(self._now.values()))
        ready = "".join(f"[+]{check} ok\n" for check in _CHECKS)
        self.say(Frame(0.0, VERSION_SOURCE, body={"major": "1", "minor": "36", "gitVersion": "v1.36.2"}))
        self.say(Frame(0.0, READYZ_SOURCE, status=200, text=f"{ready}readyz check passed\n"))
        self._has_begun = True

    def log(self, t: float, pod: Manifest, text: str, container: str = "") -> None:
        """What a container has printed by `t`."""
        metadata = pod["metadata"]
        place = "/".join(filter(None, (metadata["namespace"], metadata["name"], container)))
        self.say(Frame(float(t), LOGS_SOURCE, text=text, pod=place))

    def gpus(self, t: float, node: str, facts: Mapping[int, Mapping[str, Any]]) -> None:
        """What the exporter shows of single GPUs."""
        self.say(
            Frame(float(t), f"{GPUS_PREFIX}{node}", body={str(number): dict(fact) for number, fact in facts.items()})
        )

    def event(self, t: float, about: Manifest, reason: str, message: str, **over: Any) -> None:
        """An event about an object; repeated ones count up."""
        self.put(t, event_of(self, about, reason, message, t, **over))

    def operand(self, t: float, operand: Operand, node: str, step: Step = HEALTHY, salt: str = "") -> Manifest:
        """Put an operand's pod on a node, and count its DaemonSet again."""
        pod = operand_pod(self, operand, node, step, salt)
        self.put(t, pod)
        self._count(t, (operand,))
        return pod

    def operand_gone(self, t: float, operand: Operand, node: str, salt: str = "") -> None:
        """Take an operand's pod away, and count its DaemonSet again."""
        self.remove(t, self.get("Pod", pod_name(operand.name, node, salt), NAMESPACE))
        self._count(t, (operand,))

    def node(self, t: float, name: str, labels: Mapping[str, str | None] | None = None, **over: Any) -> Manifest:
        """Change a node: labels (None takes one away), and `gpus`, its capacity and allocatable of them."""
        node = self.get("Node", name)
        metadata, status = dict(node["metadata"]), dict(node["status"])
        merged = {**metadata["labels"], **(labels or {})}
        metadata["labels"] = {key: value for key, value in merged.items() if value is not None}
        if "gpus" in over:
            for key, count in zip(("capacity", "allocatable"), over["gpus"], strict=True):
                status[key] = {**status[key], "nvidia.com/gpu": str(count)}
        changed = {**node, "metadata": metadata, "status": status, "spec": {**node["spec"], **over.get("spec", {})}}
        self.put(t, changed)
        self._count(t)
        return changed

    def _count(self, t: float, operands: Iterable[Operand] = (*OPERANDS, MPS)) -> None:
        """Put the DaemonSets whose counts have changed."""
        nodes = [item for (kind, _, _), item in self._now.items() if kind == "Node"]
        pods = [item for (kind, _, _), item in self._now.items() if kind == "Pod"]
        for operand in operands:
            wanted = sum(_wants(operand, node) for node in nodes)
            mine = [pod for pod in pods if pod["metadata"]["name"].rpartition("-")[0] == operand.name]
            ready = sum(pod["status"]["conditions"][2]["status"] == "True" for pod in mine)
            made = daemonset(self, operand, wanted, len(mine), ready)
            if self._now.get(_name(made)) != made:
                self.put(t, made)


def _wants(operand: Operand, node: Manifest) -> bool:
    """Tell whether a DaemonSet places a pod on a node."""
    if operand is MPS:
        return False  # it asks for nvidia.com/mps.capable=true as well
    if operand.deploy:
        return bool(node["metadata"]["labels"].get(f"{DEPLOY}{operand.deploy}") == "true")
    return all(taint["key"] == "nvidia.com/gpu" for taint in node["spec"].get("taints", []))


def _name(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def gpu_cluster(story: GpuStory, *nodes: Manifest) -> None:
    """Put a healthy cluster with these GPU nodes; model servers and `begin` are to follow."""
    names = [node["metadata"]["name"] for node in nodes]
    for name in ("kube-system", NAMESPACE, "serving"):
        story.put(0, story.manifest("Namespace", name, status={"phase": "Active"}))
    story.put(0, *(node_of(story, name, is_control_plane=name == "cp-1") for name in OTHERS), *nodes)
    story.put(0, *_control_plane(story))
    for name in ("nvidia", "nvidia-cdi", "nvidia-legacy"):
        story.put(0, story.manifest("RuntimeClass", name, handler=name))
    for name, value in (("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)):
        story.put(0, story.manifest("PriorityClass", name, value=value))
    for name in (
        "gpu-operator",
        "gpu-operator-node-feature-discovery-master",
        "gpu-operator-node-feature-discovery-gc",
    ):
        story.put(0, *_controller(story, name))
    story.operand(0, WORKER, "cpu-1")
    for name in names:
        for operand in OPERANDS:
            story.operand(0, operand, name)
        story.put(0, cuda_validator(story, name))
    story.put(0, *_leases(story, 0, (*OTHERS, *names)))


def _control_plane(story: Story) -> Iterator[Manifest]:
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        labels = {"component": name, "tier": "control-plane"}
        image = f"registry.k8s.io/{name}:v1.36.2"
        yield pod_of(
            story, f"{name}-cp-1", "kube-system", "cp-1", labels=labels, owner="Node/cp-1", container=name, image=image,
            host_network=True,
        )  # fmt: skip
    yield pod_of(story, "coredns-0", "kube-system", "cpu-1", labels={"k8s-app": "kube-dns"}, container="coredns")


def _controller(story: Story, name: str) -> Iterator[Manifest]:
    """A Deployment of one pod that the operator's chart brings."""
    role = name.rpartition("-")[2]
    labels = {"app": "gpu-operator", "app.kubernetes.io/component": "gpu-operator"}
    image = "nvcr.io/nvidia/gpu-operator:v26.7.0"
    if role != "operator":
        labels, image = dict(nfd_labels(role)), NFD_IMAGE
    container = name if role == "operator" else role
    yield from deployment(story, name, NAMESPACE, labels, [("cpu-1", {"container": container, "image": image})])


def _leases(story: GpuStory, t: float, nodes: Iterable[str]) -> Iterator[Manifest]:
    """The leases as renewed at `t`."""
    for name in ("kube-controller-manager", "kube-scheduler"):
        yield lease_of(story, name, "kube-system", f"cp-1_{name}", t)
    yield lease_of(story, "apiserver-cp-1", "kube-system", "apiserver-cp-1", t)
    for node in nodes:
        yield lease_of(story, node, "kube-node-lease", node, t)


def keep_renewing(story: GpuStory, end: float) -> None:
    """Renew all leases until `end`: those of the control plane every 10 s, those of nodes every 30 s."""
    nodes = story.names("Node")
    for step in range(1, int(end / RENEW_EVERY_S) + 1):
        t = step * RENEW_EVERY_S
        story.put(t, *_leases(story, t, nodes if step % 3 == 0 else ()))
