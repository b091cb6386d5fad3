"""Manifests around the GPU Operator: its custom resources, devices of dynamic allocation, pods that hold GPUs."""

from collections.abc import Mapping
from typing import Any, Final

from tests.build import Manifest, ago, meta, pod
from tests.gpu_objects import DAY, NAMESPACE


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
            "status": {"state": state, "namespace": NAMESPACE, "conditions": said or []}}  # fmt: skip


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


def dra_chart(
    *containers: str, on: str = "gpu-1", name: str = "nvidia-dra-driver-gpu", broken: Manifest | None = None
) -> list[Manifest]:
    """Return DaemonSet and pod of the DRA driver's own chart, with containers for GPUs and ComputeDomains unless told
    otherwise; `broken` is the status of the last of them."""
    names = containers or ("compute-domains", "gpus")
    space, labels = name, {"app.kubernetes.io/name": name, f"{name}-component": "kubelet-plugin"}
    made = pod(f"{name}-kubelet-plugin-{on}", namespace=space, owner=f"DaemonSet/{name}-kubelet-plugin", labels=labels,
               node=on, ready=broken is None, age_s=DAY)  # fmt: skip
    up = {"ready": True, "restartCount": 0, "state": {"running": {"startedAt": ago(DAY)}}}
    made["spec"]["containers"] = [{"name": item} for item in names]
    made["status"]["containerStatuses"] = [
        {"name": item, **(broken if broken is not None and item == names[-1] else up)} for item in names
    ]
    daemonset = {
        "kind": "DaemonSet",
        "metadata": meta(f"{name}-kubelet-plugin", space, age_s=DAY, labels=labels, generation=1),
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"nvidia.com/gpu.present": "true"},
                    "containers": [{"name": item} for item in names],
                },
            },
        },
        "status": {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "updatedNumberScheduled": 1,
                   "numberReady": 0 if broken else 1, "observedGeneration": 1},
    }  # fmt: skip
    return [daemonset, made]


def device_claim(name: str = "train-1-gpu", by: str = "train-1", *, driver: str = "gpu.nvidia.com",
                 namespace: str = "shop") -> Manifest:  # fmt: skip
    """Return a ResourceClaim with a device of that driver, reserved for the pod `by`; for none if that is empty."""
    given = {"devices": {"results": [{"request": "gpu", "driver": driver, "pool": "gpu-1", "device": "gpu-0"}]}}
    users = [{"resource": "pods", "name": by, "uid": f"uid-{by}"}] if by else []
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": meta(name, namespace),
            "spec": {}, "status": {"allocation": given, "reservedFor": users}}  # fmt: skip


def claimant(late_s: float = 300, *, name: str = "train-1", claim: str = "train-1-gpu") -> Manifest:
    """Return a pod with a claim made from a template, whose grace period ended `late_s` seconds ago."""
    made = pod(name, node="gpu-1", spec={"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]},
               status={"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": claim}]})  # fmt: skip
    made["metadata"]["deletionTimestamp"] = ago(late_s)
    return made


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
