"""Judging only what changed says the same as judging everything, whatever changes in whatever order."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnosis.dependents import dependents
from diagnosis.engine import RECHECK, Engine, diagnose
from situation.kinds import KINDS, kind_of
from situation.meta import KubernetesObject, Ref
from situation.readings import Changed, Reading, SourceState
from situation.situation import Situation
from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import NOW, Manifest, ago, event, made, meta, node, pod, situation
from tests.diagnosis.healthy import ended, policy, webhook
from tests.diagnosis.objects import daemonset, endpoints, lease, service, shape, workload
from tests.gpu_objects import PLUGIN, TOOLKIT, crashing, gpu_node, operand_pod, operand_set, operator

BACK_OFF: Final = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "ready": False, "restartCount": 4,
                   "lastState": ended(1, "Error", 40)}  # fmt: skip
UNSCHEDULED: Final = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": '0/2 nodes are available: persistentvolumeclaim "data" not found.',
            "lastTransitionTime": ago(300),
        }
    ]
}
EVICTED: Final = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": "The node was low on resource: memory. ",
    "conditions": [{"type": "DisruptionTarget", "status": "True", "lastTransitionTime": ago(300)}],
}
CLAIM: Final = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
GONE: Final = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": ago(400)}]
CORDON: Final = {"unschedulable": True, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}
GPUS: Final = {"cpu": "8", "memory": "32Gi", "pods": "110", "nvidia.com/gpu": "2"}
SHARED: Final = {"nvidia.com/gpu.sharing-strategy": "mps", "nvidia.com/gpu.count": "8", "nvidia.com/gpu.replicas": "2"}
DRIVER: Final[dict[str, Any]] = {
    "namespace": "gpu-operator",
    "owner": "DaemonSet/nvidia-driver-daemonset",
    "labels": {"app": "nvidia-driver-daemonset", "app.kubernetes.io/component": "nvidia-driver"},
}


def replicaset(has: int, ready: int, failing: bool = False) -> Manifest:
    conditions = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "lastTransitionTime": ago(90),
                   "message": 'pods "web-" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, '
                   "limited: pods=1"}]  # fmt: skip
    return {
        "kind": "ReplicaSet",
        "metadata": meta("web-r", owner="Deployment/web"),
        "spec": {"replicas": 1},
        "status": {"replicas": has, "readyReplicas": ready, "conditions": conditions if failing else []},
    }


def deployment(replicas: int = 1, ready: int = 1, app: str = "web", env: dict[str, str] | None = None) -> Manifest:
    status = {"observedGeneration": 1, "replicas": replicas, "readyReplicas": ready, "updatedReplicas": replicas}
    return {**workload("web", replicas=replicas, labels={"app": app}, env=env), "status": status}


def claim(phase: str) -> Manifest:
    return {"kind": "PersistentVolumeClaim", "metadata": meta("data"), "spec": {"storageClassName": "fast"},
            "status": {"phase": phase}}  # fmt: skip


def job(name: str, condition: str, age_s: float) -> Manifest:
    conditions = [{"type": condition, "status": "True", "lastTransitionTime": ago(age_s)}]
    return {"kind": "Job", "metadata": meta(name, age_s=age_s, owner="CronJob/nightly"), "spec": {},
            "status": {"failed": 1, "conditions": conditions}}  # fmt: skip


def autoscaler(least: int) -> Manifest:
    return {"kind": "HorizontalPodAutoscaler", "metadata": meta("web"),
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": least}}  # fmt: skip


def budget(allowed: int) -> Manifest:
    return {"kind": "PodDisruptionBudget", "metadata": meta("web"),
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "expectedPods": 1}}  # fmt: skip


def ingress(target: str) -> Manifest:
    paths = [{"path": "/", "backend": {"service": {"name": target, "port": {"number": 80}}}}]
    return {"kind": "Ingress", "metadata": meta("web"), "spec": {"rules": [{"http": {"paths": paths}}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}  # fmt: skip


def leaving(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "deletionTimestamp": ago(300)}}


WEB: Final[dict[str, Any]] = {"owner": "ReplicaSet/web-r", "labels": {"app": "web", "pod-template-hash": "r"}}
DNS: Final = {"k8s-app": "kube-dns"}
KUBE: Final = "kube-system"
DNS_SERVICE: Final = service("kube-dns", namespace=KUBE, selector=DNS, labels=DNS, clusterIP="10.96.0.10")
VARIANTS: Final[tuple[tuple[Manifest, ...], ...]] = (
    (
        pod("web-1", **WEB), pod("web-1", **WEB, ready=False), pod("web-1", **WEB, container_status=BACK_OFF),
        pod("web-1", **WEB, node="", phase="Pending", spec=CLAIM, status=UNSCHEDULED),
        pod("web-1", **WEB, ready=False, status=EVICTED), leaving(pod("web-1", **WEB)),
        pod("web-1", owner="ReplicaSet/web-r", labels={"app": "other"}), pod("web-1", **WEB, node="node-2"),
    ),
    (pod("web-2", **WEB), pod("web-2", **WEB, age_s=5, ready=False), pod("web-2", **WEB, ready=False, status=EVICTED)),
    (
        pod("driver", **DRIVER), pod("driver", **DRIVER, age_s=60, ready=False),
        pod("driver", **DRIVER, ready=False, container_status=BACK_OFF),
    ),
    (
        node(), node(conditions=GONE), node(spec=CORDON),
        node(labels={"nvidia.com/gpu.present": "true"}, status={"capacity": GPUS, "allocatable": GPUS}),
        node(labels={"nvidia.com/gpu.present": "true"}, status={"capacity": GPUS}),
    ),
    (node("node-2"), node("node-2", conditions=GONE), node("node-2", labels={"nvidia.com/gpu.present": "true"})),
    (
        service(), service(selector={"app": "wbe"}), service(internalTrafficPolicy="Local"),
        service(ports=[{"port": 80, "targetPort": "http"}]), service(ports=[{"port": 81, "targetPort": 8080}]),
        service(type="LoadBalancer"),
    ),
    (endpoints("web", {"web-1": True}), endpoints("web", {"web-1": False}), endpoints("web")),
    (
        deployment(), deployment(ready=0), deployment(replicas=0, ready=0), deployment(app="other"),
        deployment(env={"A": "db.data:90"}), deployment(env={"A": "web:80"}),
    ),
    (replicaset(1, 1), replicaset(1, 0), replicaset(0, 0, failing=True)),
    (claim("Bound"), claim("Pending")),
    ({"kind": "StorageClass", "metadata": meta("fast", ""), "provisioner": "x"},
     {"kind": "StorageClass", "metadata": meta("fast", ""), "volumeBindingMode": "WaitForFirstConsumer"}),
    (job("night-1", "Failed", 700),),
    (job("night-2", "Complete", 300), job("night-2", "Failed", 300)),
    (autoscaler(0), autoscaler(1)),
    (budget(0), budget(1)),
    (ingress("web"), ingress("gone")),
    (policy("deny", []), policy("deny", [{"ports": [{"port": 53}]}])),
    (policy("dns", [{"ports": [{"port": 53}]}]),),
    ({"kind": "ResourceQuota", "metadata": meta("q"), "status": {"hard": {"requests.storage": "1"},
                                                                 "used": {"requests.storage": "1"}}},),
    ({"kind": "Namespace", "metadata": meta("data", ""), "status": {"phase": "Active"}},),
    (service("db", namespace="data", ports=[{"port": 90}]), service("db", namespace="data", ports=[{"port": 91}])),
    (webhook("guard", "Fail", "guard"), webhook("guard", "Ignore", "guard")),
    (service("guard", namespace=KUBE), service("guard", namespace=KUBE, selector={"app": "guards"})),
    (endpoints("guard", {"guard-1": True}, namespace=KUBE), endpoints("guard", namespace=KUBE)),
    (pod("guard-1", namespace=KUBE, labels={"app": "guard"}),
     pod("guard-1", namespace=KUBE, labels={"app": "guard"}, ready=False),
     pod("guard-1", namespace=KUBE, labels={"app": "guard"}, age_s=3, ready=False)),
    (DNS_SERVICE,),
    (workload("own-dns", pod_spec={"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"]}}),),
    (daemonset("kube-proxy", desired=2, ready=2), daemonset("kube-proxy", desired=2, ready=1)),
    (daemonset("nvidia-driver-daemonset", namespace="gpu-operator", desired=1, ready=1, age_s=3000),
     daemonset("nvidia-driver-daemonset", namespace="gpu-operator", desired=1, ready=0, age_s=3000)),
    (
        gpu.bare_node(), gpu.bare_node(labels={"nvidia.com/mig.config.state": "pending"}, gpus=0, age_s=3000),
        gpu.bare_node(labels={"nvidia.com/mig.config": "all-1g.10gb"}, age_s=3000),
        gpu.bare_node(labels=gpu.deploy("paused-for-driver-upgrade"), gpus=0),
        gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": "drain-required"}, spec=CORDON),
        gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": "upgrade-required"}),
        gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": "upgrade-failed"}),
        gpu.bare_node(labels={"nvidia.com/gpu.product": "NVIDIA-H100-MIG-INVALID"}, gpus=0),
        gpu.bare_node(labels={**SHARED, "nvidia.com/gpu.deploy.dcgm": "false"}),
        gpu.bare_node(seen=False, gpus=0),
        gpu.bare_node(labels={"nvidia.com/gpu.deploy.dra-driver": "true"}, gpus=None),
        gpu.bare_node(labels={"nvidia.com/mig.config": "all-enabled", "nvidia.com/mig.capable": "true"}, gpus=0),
    ),
    (resources.policy(), resources.policy(said=resources.conditions("NFDLabelsMissing", error=False)),
     resources.policy("notReady", resources.conditions("OperandNotReady", age_s=1500)),
     resources.policy("notReady", resources.conditions("ReconcileFailed", "Failed to reconcile x: y", age_s=100))),
    (resources.policy(name="newer", age_s=100), resources.policy(name="newer", age_s=90000)),
    (resources.driver_resource(), resources.driver_resource("disabled"),
     *(resources.driver_resource("notReady", resources.conditions(reason))
       for reason in ("ConflictingNodeSelector", "DriverNotReady"))),
    (resources.custom("GPUCluster", "gpu-cluster", "notReady", resources.conditions("PrerequisiteNotMet")),
     resources.custom("GPUCluster", "gpu-cluster", "ready", [])),
    (resources.claimant(), resources.claimant(name="train-1", claim="other")),
    (resources.device_claim(), resources.device_claim(by=""), resources.device_claim(driver="net.example.com")),
    (resources.devices(), resources.devices(count=0), resources.devices("node-2")),
    (gpu.operand(gpu.GFD), gpu.operand(gpu.GFD, ready=False), gpu.operand(gpu.GFD, age_s=200)),
    (gpu.operand(gpu.PLUGIN), gpu.operand(gpu.PLUGIN, ready=False), leaving(gpu.operand(gpu.PLUGIN))),
    (gpu.operand(gpu.DRIVER), gpu.operand(gpu.DRIVER, ready=False, container_status=gpu.crashing())),
    (gpu.operand(gpu.MIG), gpu.operand(gpu.MIG, ready=False)),
    (gpu.operand_set(gpu.PLUGIN), gpu.operand_set(gpu.PLUGIN, ready=0)),
    (gpu.operand_set(gpu.MIG),),
    (resources.dra_chart("compute-domains")[0], resources.dra_chart()[0]),
    (resources.dra_chart("compute-domains")[1], resources.dra_chart()[1], resources.dra_chart(broken=crashing())[1]),
    (gpu.nfd_set(),),
    (gpu.nfd_worker(), gpu.nfd_worker(ready=False)),
    (resources.user("one", gpus="4"), resources.user("one", "node-1")),
    (resources.user("two", gpus="5", namespace="data"), resources.user("two", namespace="data")),
    (event("Node/gpu-1", "GPUDriverUpgrade", "Failed to drain the node, drain-required", namespace="", age_s=300),),
    (gpu_node(), gpu_node(0), gpu_node(None, labels={"nvidia.com/gpu.deploy.driver": None}), gpu_node(age_s=60)),
    (operand_pod("nvidia-driver-daemonset"), operand_pod("nvidia-driver-daemonset", broken=crashing()),
     operand_pod("nvidia-driver-daemonset", ready=False, since_s=800)),
    (operand_pod(TOOLKIT), operand_pod(TOOLKIT, init="driver-validation", since_s=300),
     operand_pod(TOOLKIT, broken=crashing())),
    (operand_pod(PLUGIN), operand_pod(PLUGIN, init="toolkit-validation", since_s=300),
     operand_pod(PLUGIN, started=False, since_s=100)),
    (operand_set(TOOLKIT), operand_set(TOOLKIT, desired=0), operand_set(TOOLKIT, select={"no": "node"})),
    (operand_set(PLUGIN), operand_set(PLUGIN, current=0)),
    (event(f"Pod/{PLUGIN}-gpu-1", "FailedCreatePodSandBox", 'no runtime for "nvidia" is configured',
           namespace="gpu-operator"),),
    (operator(), operator(ready=0)),
    (lease("kube-scheduler", age_s=1), lease("kube-scheduler", age_s=50)),
    (event("Node/node-1", "SystemOOM", "System OOM encountered, victim process: app, pid: 1", namespace=""),
     event("Node/node-1", "Rebooted", "Node node-1 has been rebooted, boot id: 2", namespace="")),
    (event("Pod/web-1", "Killing", "Container app failed liveness probe, will be restarted", type="Normal"),),
)  # fmt: skip

Step = tuple[int, int, int]
"""Number of the object, of its variant (one more than there are removes it), and seconds that pass afterwards."""
STEPS: Final = st.lists(
    st.integers(0, len(VARIANTS) - 1).flatmap(
        lambda number: st.tuples(
            st.just(number), st.integers(0, len(VARIANTS[number])), st.sampled_from((0, 0, 7, 40, 400))
        )
    ),
    min_size=1,
    max_size=14,
)
OBJECTS: Final = tuple(tuple(made(manifest) for manifest in variants) for variants in VARIANTS)
NAMES: Final = tuple(
    kind.name
    for variants in VARIANTS
    if (kind := kind_of(variants[0]["kind"], variants[0]["metadata"].get("namespace", ""))) is not None
)
assert len(NAMES) == len(VARIANTS)


def reading(number: int, variant: int, now: datetime) -> Reading:
    name, variants = NAMES[number], OBJECTS[number]
    if variant < len(variants):
        changed = Changed(name, (variants[variant],))
    else:
        gone: KubernetesObject = variants[0]
        changed = Changed(name, removed=(gone.key,))
    return Reading(f"kubernetes/{name}", SourceState.LIVE, now, changed)


def confirm(known: Situation, now: datetime) -> None:
    for kind in KINDS:
        known.apply(Reading(kind.source, SourceState.LIVE, now))


def check(start: Iterable[int], steps: list[Step]) -> None:
    known, engine, now = situation(*(VARIANTS[number][0] for number in start)), Engine(), NOW
    engine.judge(known, (), now)
    for number, variant, pause_s in steps:
        changes = known.apply(reading(number, variant, now))
        engine.judge(known, changes, now)
        # What has a fault already is judged again after RECHECK; all else must have been judged at once.
        now += timedelta(seconds=pause_s) + RECHECK
        confirm(known, now)
        assert shape(engine.judge(known, (), now)) == shape(diagnose(known, now))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_changes_to_a_cluster_that_is_well(steps: list[Step]) -> None:
    check(range(len(VARIANTS) - 2), steps)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sets(st.integers(0, len(VARIANTS) - 1)), steps=STEPS)
def test_any_changes_to_any_part_of_it(start: set[int], steps: list[Step]) -> None:
    check(sorted(start), steps)


def test_a_pod_that_changes_in_place_has_not_all_users_of_its_claim_judged() -> None:
    """A thousand pods of a training job share one: each change of each would be a thousand judgements."""
    pods = [pod(f"train-{number}", ready=False, spec=CLAIM) for number in range(3)]
    known = situation(*pods)
    labelled = pod("train-0", ready=False, spec=CLAIM, labels={"app": "web", "step": "2"})
    changes = known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(labelled),))))
    assert Ref("Pod", "shop", "train-1") not in set(dependents(known, changes, NOW))
    changes = known.apply(
        Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("shop", "train-0"),)))
    )
    assert Ref("Pod", "shop", "train-1") in set(dependents(known, changes, NOW))
