"""Manifests of the GPU Operator's parts: DaemonSets, operands' pods and GPU nodes, healthy unless told otherwise."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.build import Manifest, ago, meta, node, pod

NAMESPACE: Final = "gpu-operator"
DAY: Final = 86400.0

DRIVER: Final = "nvidia-driver-daemonset"
TOOLKIT: Final = "nvidia-container-toolkit-daemonset"
VALIDATOR: Final = "nvidia-operator-validator"
PLUGIN: Final = "nvidia-device-plugin-daemonset"
GFD: Final = "gpu-feature-discovery"
DCGM: Final = "nvidia-dcgm"
EXPORTER: Final = "nvidia-dcgm-exporter"
MIG: Final = "nvidia-mig-manager"
MPS: Final = "nvidia-device-plugin-mps-control-daemon"
DRA: Final = "nvidia-dra-driver-kubelet-plugin"
NFD_WORKER: Final = "gpu-operator-node-feature-discovery-worker"

RUNTIME_CLASS: Final = frozenset({VALIDATOR, PLUGIN, GFD, DCGM, EXPORTER, MIG, MPS})
INITS: Final[Mapping[str, tuple[str, ...]]] = {
    DRIVER: ("k8s-driver-manager",),
    TOOLKIT: ("driver-validation",),
    VALIDATOR: ("driver-validation", "toolkit-validation", "cuda-validation", "plugin-validation"),
    PLUGIN: ("toolkit-validation",),
    GFD: ("toolkit-validation",),
    DCGM: ("toolkit-validation",),
    EXPORTER: ("toolkit-validation",),
    MIG: ("toolkit-validation",),
    MPS: ("toolkit-validation", "mps-control-daemon-mounts"),
    DRA: ("driver-validation",),
}
MAIN: Final[Mapping[str, str]] = {
    DRIVER: "nvidia-driver-ctr",
    TOOLKIT: "nvidia-container-toolkit-ctr",
    VALIDATOR: "nvidia-operator-validator",
    PLUGIN: "nvidia-device-plugin",
    GFD: "gpu-feature-discovery",
    DCGM: "nvidia-dcgm-ctr",
    EXPORTER: "nvidia-dcgm-exporter",
    MIG: "nvidia-mig-manager",
    MPS: "mps-control-daemon-ctr",
    DRA: "gpus",
    NFD_WORKER: "worker",
}
DEPLOY: Final[Mapping[str, str]] = {
    DRIVER: "driver",
    TOOLKIT: "container-toolkit",
    VALIDATOR: "operator-validator",
    PLUGIN: "device-plugin",
    GFD: "gpu-feature-discovery",
    DCGM: "dcgm",
    EXPORTER: "dcgm-exporter",
    MIG: "mig-manager",
    MPS: "device-plugin",
    DRA: "dra-driver",
}
SEEN: Final = {"feature.node.kubernetes.io/pci-10de.present": "true", "nvidia.com/gpu.present": "true"}
"""What NFD says of a node with a GPU, and the operator after it."""
USUAL: Final = (DRIVER, TOOLKIT, VALIDATOR, PLUGIN, GFD, EXPORTER, MIG)
"""The operands of a default installation on MIG-capable GPUs."""


def operand_labels(name: str) -> dict[str, str]:
    labels = {"app": name, "app.kubernetes.io/managed-by": "gpu-operator", "helm.sh/chart": "gpu-operator-v26.7.0"}
    if name == DRIVER:
        labels["app.kubernetes.io/component"] = "nvidia-driver"
    if name == NFD_WORKER:
        labels |= {"app.kubernetes.io/name": "node-feature-discovery", "role": "worker"}
    return labels


def gpu_node(
    gpus: int | None = 8,
    name: str = "gpu-1",
    *,
    allocatable: int | None = None,
    age_s: float = DAY,
    labels: Mapping[str, str | None] | None = None,
    of: Iterable[str] = USUAL,
    **over: Any,
) -> Manifest:
    """Return a node that NFD, the operator and GFD have labelled for the operands `of`; a label of None is left out.

    `gpus` None stands for a node whose device plugin never registered.
    """
    all_labels: dict[str, str | None] = {
        **SEEN,
        **{f"nvidia.com/gpu.deploy.{DEPLOY[item]}": "true" for item in of},
        **({"nvidia.com/gpu.count": str(gpus), "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "nvidia.com/gpu.replicas": "1", "nvidia.com/mig.capable": "true"} if gpus is not None else {}),
        **(labels or {}),
    }  # fmt: skip
    return _node(gpus, name, allocatable, age_s, all_labels, **over)


def bare_node(
    gpus: int | None = 8,
    name: str = "gpu-1",
    *,
    allocatable: int | None = None,
    age_s: float = DAY,
    labels: Mapping[str, str] | None = None,
    seen: bool = True,
    resource: str = "nvidia.com/gpu",
    ready: str = "True",
    **over: Any,
) -> Manifest:
    """Return a node with GPUs and, apart from `labels`, none but NFD's labels; `seen` False: not even those."""
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": ago(age_s), "lastHeartbeatTime": ago(350)}
    return _node(gpus, name, allocatable, age_s, {**(SEEN if seen else {}), **(labels or {})}, resource,
                 conditions=[condition], **over)  # fmt: skip


def _node(
    gpus: int | None,
    name: str,
    allocatable: int | None,
    age_s: float,
    labels: Mapping[str, str | None],
    resource: str = "nvidia.com/gpu",
    **over: Any,
) -> Manifest:
    def offer(count: int | None) -> Manifest:
        return {"cpu": "64", "memory": "512Gi", "pods": "110", **({resource: str(count)} if count is not None else {})}

    made = node(
        name,
        labels={key: value for key, value in labels.items() if value is not None},
        status={"capacity": offer(gpus), "allocatable": offer(gpus if allocatable is None else allocatable)},
        **over,
    )
    made["metadata"]["creationTimestamp"] = ago(age_s)
    return made


def deploy(value: str = "true", *operands: str) -> dict[str, str]:
    """Return the deploy labels of these operands, of the usual ones if none is named."""
    return {f"nvidia.com/gpu.deploy.{name}": value for name in operands or map(DEPLOY.__getitem__, USUAL)}


def operand_set(
    name: str,
    *,
    desired: int = 1,
    current: int | None = None,
    ready: int | None = None,
    age_s: float = DAY,
    select: Mapping[str, str] | None = None,
    tolerations: Sequence[Manifest] = ({"key": "nvidia.com/gpu", "operator": "Exists"},),
    namespace: str = NAMESPACE,
) -> Manifest:
    """Return the DaemonSet of an operand with the node selector that the operator gives it."""
    labels = operand_labels(name)
    selector = {f"nvidia.com/gpu.deploy.{DEPLOY[name]}": "true"} if name in DEPLOY else {}
    if name == MPS:
        selector["nvidia.com/mps.capable"] = "true"
    return {
        "kind": "DaemonSet",
        "metadata": meta(name, namespace, age_s=age_s, labels=labels, generation=1),
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": selector if select is None else dict(select),
                    "tolerations": list(tolerations),
                    "initContainers": [{"name": init} for init in INITS.get(name, ())],
                    "containers": [{"name": MAIN[name]}],
                },
            },
        },
        "status": {
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": desired if current is None else current,
            "updatedNumberScheduled": desired,
            "numberReady": desired if ready is None else ready,
            "observedGeneration": 1,
        },
    }


def ran(age_s: float = 60, exit_code: int = 0, ran_s: float = 5, reason: str = "") -> Manifest:
    """Return the state of a container that ended `age_s` ago."""
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "startedAt": ago(age_s + ran_s),
            "finishedAt": ago(age_s),
        }
    }


def crashing(restarts: int = 4, exit_code: int = 1, ended_s: float = 40, reason: str = "") -> Manifest:
    """Return the status of a container in CrashLoopBackOff."""
    return {
        "ready": False,
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}},
        "lastState": ran(ended_s, exit_code, reason=reason),
    }


def waiting_for(reason: str, message: str = "") -> Manifest:
    """Return the status of a container that waits for a reason of its own: `ImagePullBackOff`."""
    return {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}


def operand_pod(
    name: str,
    node_name: str = "gpu-1",
    *,
    init: str = "",
    since_s: float = DAY / 2,
    age_s: float = DAY,
    ready: bool = True,
    broken: Manifest | None = None,
    started: bool = True,
    owner: str = "",
) -> Manifest:
    """Return an operand's pod: ready for `since_s`, or in the step `init` for that long.

    `broken` is the status of that step, or of the main container. `ready=False` runs without being ready,
    `started=False` has no sandbox.
    """
    inits = INITS.get(name, ())
    stuck = inits.index(init) if init else len(inits)
    statuses: list[Manifest] = []
    for number, item in enumerate(inits):
        if number < stuck and started:
            status: Manifest = {"ready": True, "state": ran(since_s)}
        elif number == stuck and started:
            status = broken or {"ready": False, "state": {"running": {"startedAt": ago(since_s)}}}
        else:
            status = {"ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
        statuses.append({"name": item, "restartCount": 0, **status})
    if init or not started:
        main: Manifest = {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    else:
        main = {"ready": ready, "restartCount": 0, "state": {"running": {"startedAt": ago(since_s)}}, **(broken or {})}
    is_up = ready and not init and broken is None and started
    spec: Manifest = {
        "nodeName": node_name,
        "initContainers": [{"name": item} for item in inits],
        "containers": [{"name": MAIN[name]}],
    }
    if name in RUNTIME_CLASS:
        spec["runtimeClassName"] = "nvidia"
    conditions: list[Manifest] = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(age_s)},
        {"type": "PodReadyToStartContainers", "status": "True" if started else "False"},
        {"type": "Ready", "status": "True" if is_up else "False", "lastTransitionTime": ago(since_s)},
    ]
    return {
        "kind": "Pod",
        "metadata": meta(
            f"{name}-{node_name}", NAMESPACE, age_s=age_s, owner=f"DaemonSet/{owner or name}",
            labels=operand_labels(name),
        ),
        "spec": spec,
        "status": {
            "phase": "Pending" if init or not started else "Running",
            "startTime": ago(min(age_s, since_s) if not started else age_s),
            "conditions": conditions,
            "initContainerStatuses": statuses,
            "containerStatuses": [{"name": MAIN[name], **main}],
            **({"podIP": "10.0.0.9"} if started else {}),
        },
    }  # fmt: skip


def operand(of: str, on: str = "gpu-1", *, ready: bool = True, age_s: float = DAY, **fields: Any) -> Manifest:
    """Return an operand's pod with one container that bears its name, and `fields` as `tests.build.pod` takes them.

    For the rules that see a pod of an operand; `operand_pod` has the containers that the chain is read from.
    """
    made = pod(f"{of}-{on}", namespace=NAMESPACE, owner=f"DaemonSet/{of}", labels=operand_labels(of), node=on,
               ready=ready, age_s=age_s, **fields)  # fmt: skip
    made["spec"]["containers"][0]["name"] = of
    made["status"]["containerStatuses"][0]["name"] = of
    return made


def waiting_pods(node_name: str = "gpu-1", since_s: float = 600, age_s: float = 3600) -> list[Manifest]:
    """Return the six operands that wait when there is no driver."""
    return [
        operand_pod(TOOLKIT, node_name, init="driver-validation", since_s=since_s, age_s=age_s),
        operand_pod(VALIDATOR, node_name, init="driver-validation", since_s=since_s, age_s=age_s),
        *(operand_pod(name, node_name, init="toolkit-validation", since_s=since_s, age_s=age_s)
          for name in (PLUGIN, GFD, EXPORTER, MIG)),
    ]  # fmt: skip


def operands(node_name: str = "gpu-1", *, without: Iterable[str] = (), of: Iterable[str] = USUAL) -> list[Manifest]:
    """Return ready pods of the operands, some left out."""
    left_out = set(without)
    return [operand_pod(name, node_name) for name in of if name not in left_out]


def operand_sets(desired: int = 1, of: Iterable[str] = USUAL) -> list[Manifest]:
    return [operand_set(name, desired=desired) for name in of]


def operator(*, ready: int = 1) -> Manifest:
    """Return the operator's Deployment."""
    return {
        "kind": "Deployment",
        "metadata": meta("gpu-operator", NAMESPACE, age_s=DAY, labels={"app": "gpu-operator"}),
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "gpu-operator"}}},
        "status": {"replicas": 1, "readyReplicas": ready, "updatedReplicas": 1, "observedGeneration": 0},
    }


def nfd_set(*, tolerations: Sequence[Manifest] = (), namespace: str = NAMESPACE) -> Manifest:
    """Return the DaemonSet of node feature discovery's worker."""
    return operand_set(NFD_WORKER, tolerations=tolerations, namespace=namespace)


def nfd_worker(on: str = "gpu-1", *, ready: bool = True, namespace: str = NAMESPACE) -> Manifest:
    return pod(f"nfd-worker-{on}", namespace=namespace, owner=f"DaemonSet/{NFD_WORKER}", node=on, ready=ready,
               age_s=DAY, labels=operand_labels(NFD_WORKER))  # fmt: skip


def named(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest under another name."""
    return {**manifest, "metadata": {**manifest["metadata"], "name": name}}


def labelled(manifest: Manifest, **labels: str) -> Manifest:
    """Return the manifest with other labels instead of its own."""
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}
