"""Manifests of a cluster with the GPU Operator: nodes, operands, custom resources, node feature discovery."""

from collections.abc import Mapping
from typing import Any, Final

from tests.build import Manifest, ago, meta, node, pod
from tests.diagnosis.objects import daemonset, ready_condition

DAY: Final = 86400.0
OPERATOR: Final = "gpu-operator"
DRIVER: Final = "nvidia-driver-daemonset"
TOOLKIT: Final = "nvidia-container-toolkit-daemonset"
VALIDATOR: Final = "nvidia-operator-validator"
PLUGIN: Final = "nvidia-device-plugin-daemonset"
GFD: Final = "gpu-feature-discovery"
MIG_MANAGER: Final = "nvidia-mig-manager"
EXPORTER: Final = "nvidia-dcgm-exporter"
CRASHING: Final[Manifest] = {"restartCount": 6, "ready": False,
                             "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                             "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": ago(60),
                                                          "finishedAt": ago(40)}}}  # fmt: skip
SEEN: Final = {"feature.node.kubernetes.io/pci-10de.present": "true", "nvidia.com/gpu.present": "true"}
OPERANDS: Final = ("driver", "container-toolkit", "device-plugin", "gpu-feature-discovery", "dcgm-exporter",
                   "operator-validator")  # fmt: skip


def deploy(value: str = "true", *operands: str) -> dict[str, str]:
    """Return the deploy labels of these operands, of the usual ones if none is named."""
    return {f"nvidia.com/gpu.deploy.{name}": value for name in operands or OPERANDS}


def gpu_node(
    name: str = "gpu-1",
    gpus: str | None = "8",
    allocatable: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    seen: bool = True,
    resource: str = "nvidia.com/gpu",
    age_s: float = DAY,
    ready: str = "True",
    spec: Manifest | None = None,
) -> Manifest:
    """Return a node with GPUs; `gpus` None for a capacity that was never there."""

    def offer(count: str | None) -> Manifest:
        return {"cpu": "64", "memory": "512Gi", "pods": "110", **({resource: count} if count is not None else {})}

    made = node(
        name,
        labels={**(SEEN if seen else {}), **(labels or {})},
        status={"capacity": offer(gpus), "allocatable": offer(gpus if allocatable is None else allocatable)},
        conditions=ready_condition(ready, age_s=age_s),
        spec=spec or {},
    )
    made["metadata"]["creationTimestamp"] = ago(age_s)
    return made


def operand(of: str, on: str = "gpu-1", *, ready: bool = True, age_s: float = DAY, **fields: Any) -> Manifest:
    """Return the pod of an operand on a node; its container bears the operand's name."""
    labels = {
        "app": of,
        "app.kubernetes.io/managed-by": "gpu-operator",
        **({"app.kubernetes.io/component": "nvidia-driver"} if of == DRIVER else {}),
    }
    made = pod(f"{of}-{on}", namespace=OPERATOR, owner=f"DaemonSet/{of}", labels=labels, node=on, ready=ready,
               age_s=age_s, **fields)  # fmt: skip
    made["spec"]["containers"][0]["name"] = of
    made["status"]["containerStatuses"][0]["name"] = of
    return made


def operand_set(of: str, *, desired: int = 1, ready: int | None = None, **fields: Any) -> Manifest:
    """Return the DaemonSet of an operand."""
    made = daemonset(of, namespace=OPERATOR, desired=desired, ready=desired if ready is None else ready,
                     labels={"app": of}, **fields)  # fmt: skip
    made["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "gpu-operator"
    made["status"]["updatedNumberScheduled"] = desired
    return made


def nfd_set(*, tolerations: list[Manifest] | None = None, namespace: str = OPERATOR) -> Manifest:
    """Return the DaemonSet of node feature discovery's worker."""
    labels = {"app.kubernetes.io/name": "node-feature-discovery", "role": "worker"}
    made = daemonset("nfd-worker", namespace=namespace, desired=1, ready=1, labels=labels)
    made["spec"]["template"]["spec"]["tolerations"] = tolerations or []
    return made


def nfd_worker(on: str = "gpu-1", *, namespace: str = OPERATOR, ready: bool = True) -> Manifest:
    return pod(f"nfd-worker-{on}", namespace=namespace, owner="DaemonSet/nfd-worker", node=on, ready=ready, age_s=DAY,
               labels={"app.kubernetes.io/name": "node-feature-discovery", "role": "worker"})  # fmt: skip


def conditions(reason: str, message: str = "", *, error: bool = True, age_s: float = 3600) -> list[Manifest]:
    """Return the pair of conditions as the operator sets them."""
    at = {"lastTransitionTime": ago(age_s)}
    if not error:
        return [{"type": "Ready", "status": "True", "reason": reason, "message": message, **at},
                {"type": "Error", "status": "False", "reason": "Ready", **at}]  # fmt: skip
    return [{"type": "Ready", "status": "False", "reason": "Error", **at},
            {"type": "Error", "status": "True", "reason": reason, "message": message, **at}]  # fmt: skip


RECONCILED: Final = conditions(
    "Reconciled", "ClusterPolicy is ready as all resources have been successfully reconciled", error=False
)


def custom(kind: str, name: str, state: str, said: list[Manifest] | None, *, age_s: float = DAY,
           spec: Manifest | None = None) -> Manifest:  # fmt: skip
    version = "nvidia.com/v1" if kind == "ClusterPolicy" else "nvidia.com/v1alpha1"
    return {"apiVersion": version, "kind": kind, "metadata": meta(name, "", age_s=age_s, generation=1),
            "spec": spec or {},
            "status": {"state": state, "namespace": OPERATOR, "conditions": said or []}}  # fmt: skip


def policy(state: str = "ready", said: list[Manifest] | None = None, *, name: str = "cluster-policy",
           **fields: Any) -> Manifest:  # fmt: skip
    return custom("ClusterPolicy", name, state, RECONCILED if said is None else said, **fields)


def driver_resource(state: str = "ready", said: list[Manifest] | None = None, *, name: str = "default",
                    selector: Mapping[str, str] | None = None) -> Manifest:  # fmt: skip
    return custom("NVIDIADriver", name, state, said, spec={"nodeSelector": dict(selector or {})})


def devices(on: str = "gpu-1", count: int = 8, *, driver: str = "gpu.nvidia.com") -> Manifest:
    """Return a ResourceSlice of a node."""
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": meta(f"{on}-gpus", ""),
            "spec": {"driver": driver, "nodeName": on, "pool": {"name": on, "generation": 1, "resourceSliceCount": 1},
                     "devices": [{"name": f"gpu-{number}"} for number in range(count)]}}  # fmt: skip


def user(name: str = "train-1", on: str = "gpu-1", gpus: str = "1", *, namespace: str = "shop",
         labels: Mapping[str, str] | None = None, resource: str = "nvidia.com/gpu") -> Manifest:  # fmt: skip
    """Return a running pod that holds GPUs."""
    return pod(name, namespace=namespace, node=on, labels=labels, age_s=DAY,
               container={"resources": {"limits": {resource: gpus}}})  # fmt: skip


def budget(allowed: int = 0, *, namespace: str = "shop", app: str = "web") -> Manifest:
    return {"kind": "PodDisruptionBudget", "metadata": meta("guard", namespace),
            "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
                       "expectedPods": 1}}  # fmt: skip
