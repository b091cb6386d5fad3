"""A healthy cluster of everything that looks odd and is not, as manifests."""

from datetime import timedelta
from typing import Any, Final

from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import NOW, Manifest, ago, event, meta, node, pod
from tests.diagnosis.objects import daemonset, endpoints, lease, service, workload

DAY: Final = 86400.0


def set_status(manifest: Manifest, **status: Any) -> Manifest:
    """Return the manifest with `status` laid over its own."""
    return {**manifest, "status": {**manifest.get("status", {}), **status}}


def replicaset(name: str, of: str, wants: int, has: int, ready: int, *, age_s: float = DAY) -> Manifest:
    return {
        "kind": "ReplicaSet",
        "metadata": meta(name, age_s=age_s, owner=f"Deployment/{of}", generation=1),
        "spec": {"replicas": wants, "selector": {"matchLabels": {"app": of}}},
        "status": {"replicas": has, "readyReplicas": ready, "observedGeneration": 1},
    }


def deployment(name: str, replicas: int = 1, *, ready: int | None = None, env: dict[str, str] | None = None,
               **fields: Any) -> Manifest:  # fmt: skip
    counted = replicas if ready is None else ready
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    return set_status(
        workload(name, replicas=replicas, env=env, age_s=DAY, **fields),
        replicas=replicas, updatedReplicas=replicas, readyReplicas=counted, conditions=[progressing],
    )  # fmt: skip


def waiting(reason: str) -> Manifest:
    return {"state": {"waiting": {"reason": reason}}, "ready": False}


def ended(exit_code: int, reason: str, age_s: float) -> Manifest:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": ago(age_s + 3600),
                           "finishedAt": ago(age_s)}}  # fmt: skip


def nodes() -> list[Manifest]:
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": ago(40 * DAY)}
    control = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    gpus = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8"}
    mig = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/mig-1g.10gb": "7"}
    gpu_labels = {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.count": "8", "nvidia.com/gpu.replicas": "1"}
    return [
        node("cp-1", labels={"node-role.kubernetes.io/control-plane": ""},
             spec={"unschedulable": True, "taints": [control, cordon]}),
        node("node-1"),
        node("node-2"),
        node("gpu-1", labels=gpu_labels, status={"capacity": gpus, "allocatable": gpus}),
        node("mig-1", labels={"nvidia.com/gpu.present": "true", "nvidia.com/mig.config": "all-1g.10gb",
                              "nvidia.com/mig.config.state": "success"},
             status={"capacity": mig, "allocatable": mig}),
        node("vm-1", labels={"nvidia.com/gpu.present": "true", "nvidia.com/gpu.workload.config": "vm-passthrough"}),
        event("Node/node-2", "Rebooted", "Node node-2 has been rebooted, boot id: 1", namespace="", age_s=1800),
        event("Node/node-1", "InvalidDiskCapacity", "invalid capacity 0 on image filesystem", namespace="", age_s=60),
        *({**lease(name, age_s=8, namespace="kube-node-lease")} for name in ("cp-1", "node-1", "node-2", "gpu-1")),
    ]  # fmt: skip


def rolling_update() -> list[Manifest]:
    """Four replicas, one may be away: three old ones serve, two new ones come, one old one goes."""
    status = {"replicas": 4, "updatedReplicas": 2, "readyReplicas": 3, "unavailableReplicas": 1, "conditions": [
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]}  # fmt: skip
    old = {f"front-old-{number}": True for number in range(3)}
    going = pod("front-old-3", owner="ReplicaSet/front-old", labels={"app": "front"}, age_s=DAY)
    going["metadata"] |= {"deletionTimestamp": ago(-20), "deletionGracePeriodSeconds": 30}
    return [
        set_status(workload("front", replicas=4, age_s=DAY), **status),
        replicaset("front-old", "front", 2, 3, 3),
        replicaset("front-new", "front", 2, 2, 0, age_s=6),
        *(pod(name, owner="ReplicaSet/front-old", labels={"app": "front"}, age_s=DAY) for name in old),
        going,
        pod("front-new-1", owner="ReplicaSet/front-new", labels={"app": "front"}, age_s=5, phase="Pending",
            ready=False, container_status=waiting("ContainerCreating")),
        pod("front-new-2", owner="ReplicaSet/front-new", labels={"app": "front"}, age_s=5, phase="Pending",
            ready=False, node=""),
        service("front", age_s=DAY),
        endpoints("front", old),
    ]  # fmt: skip


def jobs() -> list[Manifest]:
    def job(name: str, condition: str = "", owner: str = "", age_s: float = 600, **spec: Any) -> Manifest:
        conditions = [{"type": condition, "status": "True", "lastTransitionTime": ago(age_s)}] if condition else []
        return {
            "kind": "Job", "metadata": meta(name, age_s=age_s, owner=owner),
            "spec": {"parallelism": 1, "completions": 1, **spec},
            "status": {"succeeded": int(condition == "Complete"), "active": int(not condition), "failed": 0,
                       "conditions": conditions},
        }  # fmt: skip

    done = {"state": ended(0, "Completed", 300), "ready": False}
    return [
        job("migrate", "Complete"),
        pod("migrate-1", owner="Job/migrate", phase="Succeeded", ready=False, container_status=done),
        job("report-1", "Failed", owner="CronJob/report", age_s=7200),
        job("report-2", "Complete", owner="CronJob/report", age_s=3600),
        pod("report-2-x", owner="Job/report-2", phase="Succeeded", ready=False, container_status=done),
        job("paused", suspend=True),
        job("running"),
        pod("running-1", owner="Job/running", age_s=90),
        pod("by-hand", phase="Succeeded", ready=False, container_status=done),
    ]


def storage() -> list[Manifest]:
    def claim(name: str, phase: str, storage_class: str = "local") -> Manifest:
        return {
            "kind": "PersistentVolumeClaim", "metadata": meta(name),
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
                     "resources": {"requests": {"storage": "10Gi"}}},
            "status": {"phase": phase},
        }  # fmt: skip

    def db(number: int) -> Manifest:
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-db-{number}"}}
        return pod(f"db-{number}", owner="StatefulSet/db", labels={"app": "db"}, age_s=DAY, spec={"volumes": [volume]})

    return [
        {"kind": "StorageClass", "metadata": meta("local", ""), "provisioner": "local.csi.example.com",
         "volumeBindingMode": "WaitForFirstConsumer"},
        set_status(workload("db", kind="StatefulSet", replicas=2, age_s=DAY), replicas=2, readyReplicas=2),
        db(0), db(1), claim("data-db-0", "Bound"), claim("data-db-1", "Bound"),
        claim("later", "Pending"),
        event("PersistentVolumeClaim/later", "WaitForFirstConsumer",
              "waiting for first consumer to be created before binding", type="Normal"),
        claim("much-later", "Pending"),
        service("db", clusterIP="None", age_s=DAY),
        endpoints("db", {"db-0": True, "db-1": True}),
        {"kind": "PodDisruptionBudget", "metadata": meta("db"),
         "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "db"}}},
         "status": {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2}},
    ]  # fmt: skip


def services() -> list[Manifest]:
    ingress_path = {"path": "/", "backend": {"service": {"name": "cart", "port": {"number": 80}}}}
    return [
        service("kubernetes", namespace="default", selector={}, age_s=DAY),
        service("cart", age_s=DAY),
        endpoints("cart", {"cart-1": True}),
        service("outside", selector={}),
        service("alias", type="ExternalName", externalName="db.example.com", clusterIP=""),
        service("flagd", selector={"app": "flagd"}, age_s=DAY),
        endpoints("flagd"),
        set_status(service("public", selector={"app": "cart"}, type="LoadBalancer", age_s=DAY),
                   loadBalancer={"ingress": [{"ip": "203.0.113.7"}]}),
        endpoints("public", {"cart-1": True}),
        service("entry", selector={"app": "cart"}, type="NodePort", externalTrafficPolicy="Local"),
        endpoints("entry", {"cart-1": True}),
        service("node-cache", selector={"app": "node-cache"}, namespace="kube-system", internalTrafficPolicy="Local"),
        endpoints("node-cache", {"node-cache-1": True, "node-cache-2": True}, namespace="kube-system"),
        {"kind": "Ingress", "metadata": meta("front", age_s=DAY),
         "spec": {"ingressClassName": "nginx", "rules": [{"host": "shop.example.com", "http": {
             "paths": [ingress_path]}}]},
         "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.8"}]}}},
        policy("deny-all", []),
        policy("allow-dns", [{"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]),
        policy("ingress-only", [], types=["Ingress"]),
    ]  # fmt: skip


def policy(name: str, egress: list[Manifest], types: list[str] | None = None) -> Manifest:
    return {"kind": "NetworkPolicy", "metadata": meta(name, age_s=DAY),
            "spec": {"podSelector": {}, "policyTypes": types or ["Egress", "Ingress"], "egress": egress}}  # fmt: skip


def control_plane() -> list[Manifest]:
    static = pod("kube-apiserver-cp-1", namespace="kube-system", owner="Node/cp-1", node="cp-1", age_s=DAY,
                 labels={"component": "kube-apiserver"}, spec={"hostNetwork": True})  # fmt: skip
    dns = {"k8s-app": "kube-dns"}
    dns_service = service("kube-dns", namespace="kube-system", selector=dns, labels=dns, clusterIP="10.96.0.10",
                          ports=[{"port": 53, "targetPort": 53, "protocol": "UDP"}])  # fmt: skip
    return [
        static,
        pod("coredns-1", namespace="kube-system", labels=dns, age_s=DAY),
        dns_service,
        endpoints("kube-dns", {"coredns-1": True}, namespace="kube-system"),
        lease("kube-scheduler", age_s=2),
        lease("kube-controller-manager", age_s=1),
        lease("apiserver-abc", age_s=6),
        webhook("may-fail", "Ignore", "nobody"),
        service("nobody", namespace="kube-system"),
        endpoints("nobody", namespace="kube-system"),
        webhook("must-answer", "Fail", "kube-dns"),
        daemonset("kube-proxy", desired=3, ready=3),
        daemonset("node-cache", desired=2, ready=2),
        *(pod(f"node-cache-{number}", namespace="kube-system", owner="DaemonSet/node-cache", age_s=DAY,
              labels={"app": "node-cache"}, node=f"node-{number}",
              spec={"tolerations": [{"operator": "Exists"}], "hostNetwork": True}) for number in (1, 2)),
        {"kind": "Namespace", "metadata": meta("shop", "", age_s=DAY), "status": {"phase": "Active"}},
        {"kind": "Namespace", "metadata": meta("kafka", "", age_s=DAY), "status": {"phase": "Active"}},
        {"kind": "Namespace", "metadata": meta("preview", "", age_s=DAY, deletionTimestamp=ago(10)),
         "status": {"phase": "Terminating", "conditions": [
             {"type": "NamespaceContentRemaining", "status": "True", "reason": "SomeResourcesRemain"}]}},
    ]  # fmt: skip


def webhook(name: str, policy: str, target: str) -> Manifest:
    return {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": meta(name, "", age_s=DAY),
        "webhooks": [
            {"name": f"{name}.example.com", "failurePolicy": policy,
             "clientConfig": {"service": {"name": target, "namespace": "kube-system"}},
             "rules": [{"apiGroups": ["*"], "resources": ["pods"], "operations": ["CREATE"]}]}
        ],
    }  # fmt: skip


def pods_with_a_past() -> list[Manifest]:
    """Ready pods with old events and old ends, and what came and went in good order."""
    restarted = {"restartCount": 1, "lastState": ended(0, "Completed", DAY)}
    killed = {"restartCount": 3, "lastState": ended(137, "OOMKilled", DAY)}
    preempted = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
                  "lastTransitionTime": ago(1200)}]  # fmt: skip
    evicted = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory. ",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "lastTransitionTime": ago(7200)}],
    }
    return [
        deployment("cart", env={"FRONT": "front:80", "QUEUE": "kafka-0.kafka:9092", "IMAGE": "postgres:16"}),
        replicaset("cart-1", "cart", 1, 1, 1),
        pod("cart-1", owner="ReplicaSet/cart-1", labels={"app": "cart"}, age_s=2 * DAY, container_status=restarted),
        service("kafka", clusterIP="None", selector={}),
        event("Pod/cart-1", "Unhealthy", "Readiness probe failed: connection refused", age_s=900, count=12),
        event("Pod/cart-1", "BackOff", "Back-off restarting failed container app in pod cart-1", age_s=900),
        event("Pod/cart-1", "FailedScheduling", "0/5 nodes are available: 5 Insufficient cpu.", age_s=1800),
        event("Pod/cart-1", "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "x" not found', age_s=900),
        event("ReplicaSet/cart-1", "FailedCreate", 'pods "cart-1-" is forbidden: exceeded quota: q', age_s=900),
        pod("hungry", age_s=2 * DAY, container_status=killed),
        deployment("batch", replicas=1),
        replicaset("batch-1", "batch", 1, 1, 1),
        pod("batch-old", owner="ReplicaSet/batch-1", labels={"app": "batch"}, phase="Failed", ready=False,
            age_s=7200, status={"conditions": preempted}),
        pod("batch-evicted", owner="ReplicaSet/batch-1", labels={"app": "batch"}, ready=False, age_s=7200,
            status=evicted),
        pod("batch-new", owner="ReplicaSet/batch-1", labels={"app": "batch"}, age_s=1100),
        pod("host", spec={"hostNetwork": True}, node="node-2"),
        workload("resolver", pod_spec={"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.96.0.10"]}}),
        pod("just-made", age_s=5, phase="Pending", ready=False, node=""),
        pod("just-placed", age_s=5, phase="Pending", ready=False, status={"containerStatuses": []}),
        {"kind": "PodDisruptionBudget", "metadata": meta("cart"),
         "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "cart"}}},
         "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}},
        {"kind": "ResourceQuota", "metadata": meta("q"), "spec": {"hard": {"pods": "30"}},
         "status": {"hard": {"pods": "30", "requests.storage": "20Gi"},
                    "used": {"pods": "30", "requests.storage": "20Gi"}}},
    ]  # fmt: skip


def autoscaled() -> list[Manifest]:
    def autoscaler(name: str, target: str, least: int, has: int, *conditions: Manifest) -> Manifest:
        return {"kind": "HorizontalPodAutoscaler", "metadata": meta(name, age_s=DAY),
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}, "minReplicas": least,
                         "maxReplicas": 9},
                "status": {"currentReplicas": has, "desiredReplicas": has, "conditions": list(conditions)}}  # fmt: skip

    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas"}
    off = {"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}
    return [
        autoscaler("cart", "cart", 1, 1, limited),
        deployment("sleeper", replicas=0),
        service("sleeper", age_s=DAY),
        autoscaler("sleeper", "sleeper", 0, 0, off),
        deployment("napper", replicas=0),
        service("napper", age_s=DAY),
        autoscaler("keda-hpa-napper", "napper", 1, 0, off),
    ]


def gpus() -> list[Manifest]:
    """All GPUs are in use, and nobody waits for one."""
    wants = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}
    agents = {"nvidia-device-plugin-daemonset": "nvidia-device-plugin-daemonset",
              "nvidia-operator-validator": "nvidia-operator-validator"}  # fmt: skip
    return [
        *(daemonset(name, namespace="gpu-operator", desired=2, ready=2, labels={"app": app})
          for name, app in agents.items()),
        *(pod(f"{name}-{where}", namespace="gpu-operator", owner=f"DaemonSet/{name}", labels={"app": app},
              node=where, age_s=DAY) for name, app in agents.items() for where in ("gpu-1", "mig-1")),
        set_status(workload("llm", kind="StatefulSet", age_s=DAY), replicas=1, readyReplicas=1),
        pod("llm-0", owner="StatefulSet/llm", labels={"app": "llm"}, node="gpu-1", age_s=DAY, container=wants),
    ]  # fmt: skip


def gpu_operator() -> list[Manifest]:
    """The operator's resources as they should be; MIG, time-slicing, a driver upgrade under way, dynamic allocation."""
    upgraded = {"nvidia.com/gpu-driver-upgrade-state": "upgrade-done"}
    upgrading = {"nvidia.com/gpu-driver-upgrade-state": "pod-restart-required"}
    product = "nvidia.com/gpu.product"
    timestamp = {"nvidia.com/gfd.timestamp": str(int((NOW - timedelta(days=40)).timestamp()))}
    sliced = {
        product: "NVIDIA-A10-SHARED",
        "nvidia.com/gpu.count": "1",
        "nvidia.com/gpu.replicas": "4",
        "nvidia.com/gpu.sharing-strategy": "time-slicing",
    }
    single = {
        product: "NVIDIA-H100-MIG-1g.10gb",
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/mig.capable": "true",
        "nvidia.com/mig.config": "all-1g.10gb",
        "nvidia.com/mig.config.state": "success",
        "nvidia.com/gpu.deploy.mig-manager": "true",
    }
    names = {
        "whole-1": upgraded,
        "whole-2": {"nvidia.com/gpu-driver-upgrade-state": "upgrade-required"},
        "sliced-1": sliced,
        "single-1": single,
    }
    cordon = {
        "unschedulable": True,
        "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": ago(300)}],
    }
    gfd = "gpu-feature-discovery"
    return [
        resources.policy(),
        resources.driver_resource(),
        *(
            gpu.bare_node(
                name=name, labels={**labels, **({product: "NVIDIA-A10"} if product not in labels else {}), **timestamp}
            )
            for name, labels in names.items()
        ),
        gpu.bare_node(name="upgrading-1", labels=upgrading, spec=cordon),
        event(
            "Node/upgrading-1",
            "GPUDriverUpgrade",
            "Successfully updated node state label to pod-restart-required",
            namespace="",
            type="Normal",
            age_s=200,
        ),
        gpu.bare_node(None, "dra-1", labels={"nvidia.com/gpu.deploy.dra-driver": "true"}),
        resources.devices("dra-1"),
        *(gpu.operand(gfd, name, age_s=41 * DAY) for name in names),
        gpu.operand("nvidia-mig-manager", "single-1"),
        resources.user("serve-1", "sliced-1"),
        resources.user("serve-2", "sliced-1"),
        resources.user("serve-3", "sliced-1"),
    ]


GROUPS: Final = {
    "nodes": nodes(),
    "rolling update": rolling_update(),
    "jobs": jobs(),
    "storage": storage(),
    "services": services(),
    "control plane": control_plane(),
    "past": pods_with_a_past(),
    "autoscaled": autoscaled(),
    "gpus": gpus(),
    "gpu operator": gpu_operator(),
}
HEALTHY: Final[list[Manifest]] = [manifest for group in GROUPS.values() for manifest in group]
