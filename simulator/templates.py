"""Manifests of a generated cluster."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from simulator.cluster import Manifest
from simulator.wire import stamp_text

NAMESPACES: Final = ("shop", "search", "payments", "ml-serving", "ml-training", "data", "platform", "batch")
APPS: Final = ("api", "worker", "frontend", "cache", "indexer", "gateway", "vllm", "embedder", "scheduler", "mailer")
GPU_SHARE: Final = 0.25
CRASHING, UNPULLABLE, PENDING = 3, 17, 29
"""Numbers of the workloads with a fault: crash loop, image that does not exist, GPUs that nobody has."""


class ManifestMaker:
    """Makes manifests; the same random source gives the same ones."""

    def __init__(self, source: random.Random, now: datetime, pod_bytes: int) -> None:
        self.random = source
        self.now = now
        self._pod_bytes = pod_bytes
        self._managed = _managed_fields(self.ago(3600))

    def ago(self, seconds: float) -> str:
        """Time stamp of that many seconds before now."""
        return stamp_text(self.now - timedelta(seconds=seconds))

    def cluster_wide(self, nodes: int) -> Iterator[Manifest]:
        """Namespaces, nodes with their leases, the control plane's leases, a storage class."""
        for name in ("default", "kube-system", "kube-node-lease", *NAMESPACES):
            yield {"kind": "Namespace", "metadata": self.meta(name, "", 90 * 86400), "status": {"phase": "Active"}}
        for name in ("kube-scheduler", "kube-controller-manager"):
            yield self.lease(name, "kube-system", f"control-1_{_uid('leases', name)}", 15)
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        yield {
            "kind": "StorageClass",
            "metadata": self.meta("standard", "", 90 * 86400, annotations=annotations),
            "provisioner": "csi.example.com",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        for index in range(nodes):
            name = f"node-{index:04}"
            yield self.node(name, has_gpus=index < nodes * GPU_SHARE, is_ready=index != nodes // 2 or nodes < 3)
            yield self.lease(name, "kube-node-lease", name, 40, age_s=600 if index == nodes // 2 and nodes >= 3 else 5)

    def workload(self, index: int, nodes: Sequence[str]) -> Iterator[Manifest]:
        """A Deployment with one pod on each of `nodes`, its ReplicaSet, Service and EndpointSlices."""
        namespace = NAMESPACES[index % len(NAMESPACES)]
        name = f"{APPS[index % len(APPS)]}-{index:04}"
        digest = f"{self.random.getrandbits(40):010x}"
        labels = {"app": name, "pod-template-hash": digest, "team": namespace, "tier": "backend"}
        replicaset = f"{name}-{digest}"
        fault = index if index in (CRASHING, UNPULLABLE, PENDING) else 0
        pods = [self._pod(replicaset, namespace, labels, node, fault, number) for number, node in enumerate(nodes)]
        ready = 0 if fault else len(pods)
        counts = {"replicas": len(pods), "updatedReplicas": len(pods), "observedGeneration": 1}
        counts.update(
            {"readyReplicas": ready, "availableReplicas": ready} if ready else {"unavailableReplicas": len(pods)}
        )
        selector = {"matchLabels": {"app": name}}
        template = {"metadata": {"labels": labels}, "spec": pods[0]["spec"]}
        meta = self.meta(name, namespace, 86400, labels={"app": name}, generation=1)
        spec = {"replicas": len(pods), "selector": selector, "template": template}
        yield {"kind": "Deployment", "metadata": meta, "spec": spec, "status": counts}
        yield {
            "kind": "ReplicaSet",
            "metadata": self.meta(replicaset, namespace, 86400, owner=("Deployment", name), labels=labels),
            "spec": {"replicas": len(pods), "selector": selector},
            "status": {"replicas": len(pods), **({"readyReplicas": ready} if ready else {})},
        }
        yield from pods
        if fault:
            yield self._fault_event(pods[0], fault)
        yield from self._service(name, namespace, pods, bool(ready))

    def _service(self, name: str, namespace: str, pods: Sequence[Manifest], ready: bool) -> Iterator[Manifest]:
        port = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}
        address = f"10.96.{self.random.randrange(256)}.{self.random.randrange(1, 255)}"
        yield {
            "kind": "Service",
            "metadata": self.meta(name, namespace, 86400, labels={"app": name}),
            "spec": {"type": "ClusterIP", "clusterIP": address, "selector": {"app": name}, "ports": [port]},
        }
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"]},
                "nodeName": pod["spec"]["nodeName"],
            }
            for pod in pods
            if "podIP" in pod["status"]
        ]
        labels = {"kubernetes.io/service-name": name}
        yield {
            "kind": "EndpointSlice",
            "metadata": self.meta(f"{name}-0", namespace, 86400, owner=("Service", name), labels=labels),
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }

    def _pod(
        self, replicaset: str, namespace: str, labels: dict[str, str], node: str, fault: int, number: int
    ) -> Manifest:
        suffix = f"{self.random.getrandbits(25):05x}"
        meta = self.meta(
            f"{replicaset}-{suffix}{number}", namespace, 7200, owner=("ReplicaSet", replicaset), labels=labels
        )
        image = f"registry.example.com/{namespace}/{labels['app']}:1.7"
        resources = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
        if fault == PENDING:
            resources["limits"]["nvidia.com/gpu"] = resources["requests"]["nvidia.com/gpu"] = "16"
        token = f"kube-api-access-{suffix}"  # the one part in which real pods of a workload differ
        container = {
            "name": "app",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [
                {"name": "LOG_LEVEL", "value": "info"},
                {"name": "SELF", "value": f"{labels['app']}.{namespace}.svc:80"},
            ],
            "resources": resources,
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "volumeMounts": [{"name": token, "mountPath": "/var/run/secrets", "readOnly": True}],
        }
        spec: Manifest = {
            "containers": [container],
            "volumes": [{"name": token, "projected": {"defaultMode": 420}}],
            "serviceAccountName": "default",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "dnsPolicy": "ClusterFirst",
            "tolerations": [
                {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
                for key in ("not-ready", "unreachable")
            ],
        }
        if node and fault != PENDING:
            spec["nodeName"] = node
        pod = {"kind": "Pod", "metadata": meta, "spec": spec, "status": self._pod_status(fault, image)}
        self.fill_up(pod)
        return pod

    def fill_up(self, pod: Manifest) -> None:
        """Add managed fields and an annotation until the pod has its size on the wire."""
        meta = pod["metadata"]
        meta["managedFields"] = self._managed
        meta["annotations"] = {"example.com/rendered-config": ""}
        missing = self._pod_bytes - len(msgspec.json.encode(pod))
        if missing < 0:
            del meta["managedFields"]
            missing = max(0, self._pod_bytes - len(msgspec.json.encode(pod)))
        meta["annotations"]["example.com/rendered-config"] = (
            "workers=8;queue=default;retries=3;" * (missing // 34 + 1)
        )[:missing]

    def _pod_status(self, fault: int, image: str) -> Manifest:
        transition = self.ago(300 if fault else 7000)
        if fault == PENDING:
            message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
            unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            return {"phase": "Pending", "conditions": [{**unscheduled, "lastTransitionTime": transition}]}
        state: dict[str, Any] = {"running": {"startedAt": self.ago(7000)}}
        last: dict[str, Any] = {}
        if fault == CRASHING:
            message = "back-off 5m0s restarting failed container=app"
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
            ended = {"exitCode": 1, "reason": "Error", "startedAt": self.ago(61), "finishedAt": self.ago(60)}
            last = {"terminated": ended}
        elif fault == UNPULLABLE:
            message = f'Back-off pulling image "{image}": manifest unknown'
            state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        status = {
            "name": "app",
            "image": image,
            "ready": not fault,
            "started": not fault,
            "restartCount": 9 if fault == CRASHING else 0,
            "state": state,
            "lastState": last,
        }
        truth = "False" if fault else "True"
        conditions = [
            {"type": kind, "status": "True" if kind in ("PodScheduled", "Initialized") else truth}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ]
        return {
            "phase": "Pending" if fault == UNPULLABLE else "Running",
            "conditions": [{**condition, "lastTransitionTime": transition} for condition in conditions],
            "hostIP": "10.0.0.1",
            "podIP": f"10.{self.random.randrange(1, 250)}.{self.random.randrange(256)}.{self.random.randrange(256)}",
            "startTime": self.ago(7100),
            "containerStatuses": [status],
        }

    def _fault_event(self, pod: Manifest, fault: int) -> Manifest:
        meta = pod["metadata"]
        reason = {CRASHING: "BackOff", UNPULLABLE: "Failed", PENDING: "FailedScheduling"}[fault]
        found = pod["status"]
        message = (
            found["conditions"][0]["message"]
            if fault == PENDING
            else found["containerStatuses"][0]["state"]["waiting"]["message"]
        )
        about = {"kind": "Pod", "apiVersion": "v1", "namespace": meta["namespace"], "name": meta["name"]}
        return {
            "kind": "Event",
            "metadata": self.meta(f"{meta['name']}.{self.random.getrandbits(60):015x}", meta["namespace"], 300),
            "involvedObject": {**about, "uid": meta["uid"]},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": 12,
            "firstTimestamp": self.ago(300),
            "lastTimestamp": self.ago(20),
            "source": {"component": "default-scheduler" if fault == PENDING else "kubelet"},
        }

    def node(self, name: str, *, has_gpus: bool, is_ready: bool) -> Manifest:
        """A node, with 8 GPUs or without."""
        resources = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "900Gi"}
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
        if has_gpus:
            resources["nvidia.com/gpu"] = "8"
            labels["nvidia.com/gpu.product"] = "NVIDIA-H100-80GB-HBM3"
            labels["nvidia.com/gpu.present"] = "true"
        conditions = []
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready"):
            good = "True" if kind == "Ready" else "False"
            reason = f"KubeletHasNo{kind}" if kind != "Ready" else "KubeletReady"
            conditions.append(
                {
                    "type": kind,
                    "status": good if is_ready else "Unknown",
                    "reason": reason if is_ready else "NodeStatusUnknown",
                    "message": "" if is_ready else "Kubelet stopped posting node status.",
                    "lastHeartbeatTime": self.ago(30 if is_ready else 600),
                    "lastTransitionTime": self.ago(90 * 86400 if is_ready else 560),
                }
            )
        taints = [{"key": "node.kubernetes.io/unreachable", "effect": key} for key in ("NoSchedule", "NoExecute")]
        return {
            "kind": "Node",
            "metadata": self.meta(name, "", 90 * 86400, labels=labels),
            "spec": {} if is_ready else {"taints": taints},
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "conditions": conditions,
                "addresses": [{"type": "InternalIP", "address": f"10.0.{self.random.randrange(256)}.7"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.2",
                    "containerRuntimeVersion": "containerd://2.1.4",
                    "kernelVersion": "6.8.0-60-generic",
                    "osImage": "Ubuntu 24.04.2 LTS",
                    "architecture": "amd64",
                },
            },
        }

    def lease(self, name: str, namespace: str, holder: str, duration_s: int, age_s: float = 5) -> Manifest:
        """A lease renewed `age_s` seconds ago."""
        renewed = stamp_text(self.now - timedelta(seconds=age_s), micro=True)
        spec = {"holderIdentity": holder, "leaseDurationSeconds": duration_s, "renewTime": renewed}
        return {"kind": "Lease", "metadata": self.meta(name, namespace, 90 * 86400), "spec": spec}

    def meta(
        self, name: str, namespace: str, age_s: float, *, owner: tuple[str, str] | None = None, **fields: Any
    ) -> Manifest:
        """Metadata; `owner` is kind and name of the controller."""
        made: Manifest = {"name": name, "uid": _uid(namespace, name), "creationTimestamp": self.ago(age_s), **fields}
        if namespace:
            made["namespace"] = namespace
        if owner:
            made["ownerReferences"] = [
                {
                    "apiVersion": "apps/v1",
                    "kind": owner[0],
                    "name": owner[1],
                    "uid": _uid(namespace, owner[1]),
                    "controller": True,
                }
            ]
        return made


def _uid(namespace: str, name: str) -> str:
    """The same for an object and for the reference to it."""
    return str(uuid5(NAMESPACE_URL, f"{namespace}/{name}"))


def _managed_fields(stamp: str) -> list[Manifest]:
    """Managed fields as two controllers leave them on a pod: about 2 KB that nobody here reads."""
    container: Manifest = {
        f"f:{name}": {} for name in ("env", "image", "imagePullPolicy", "name", "ports", "resources")
    }
    condition: Manifest = {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}}
    conditions = {f'k:{{"type":"{name}"}}': condition for name in ("ContainersReady", "Initialized", "Ready")}
    spec = {"f:containers": {'k:{"name":"app"}': container}, "f:dnsPolicy": {}, "f:restartPolicy": {}}
    status = {"f:conditions": conditions, "f:containerStatuses": {}, "f:phase": {}, "f:podIP": {}, "f:startTime": {}}
    common = {"operation": "Update", "apiVersion": "v1", "time": stamp, "fieldsType": "FieldsV1"}
    return [
        {"manager": "kube-controller-manager", **common, "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": spec}},
        {"manager": "kubelet", **common, "fieldsV1": {"f:status": status}, "subresource": "status"},
    ]
