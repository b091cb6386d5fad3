"""Workloads that get, replace or lose their pods as they should again: refusals, evictions, rollouts, Jobs."""

from typing import Any, Final

import pytest

from tests.build import Manifest, ago, event, meta, node, pod
from tests.diagnosis.pod_faults import OWNED, ended, running, status
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_creation import FORBIDDEN, QUOTA, controller, failed_create, quota, replicaset
from tests.diagnosis.test_creation import deployment as refused_deployment
from tests.diagnosis.test_evictions import EPHEMERAL, LOW, SHUTDOWN, deployment, failed, victim
from tests.diagnosis.test_gpu_holders import TOO_LARGE
from tests.diagnosis.test_refusals import DEVICES, NO_CPU
from tests.diagnosis.test_rollouts import COMPLETE, SERVICE, autoscaler, budget, condition, cordon, failed_pod, job
from tests.diagnosis.test_rollouts import deployment as rolling
from tests.diagnosis.test_terminating import STUCK, leaving
from tests.gpu_resources import devices

NODE: Final = node()
UNREACHED: Final = (
    'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: Post '
    '"https://guard.sec.svc:443/x": no endpoints available for service "guard"'
)
REFUSALS: Final = {
    "webhook-unreachable": UNREACHED,
    "webhook-denies": 'admission webhook "check.example.com" denied the request: no owner label',
    "quota-refused": QUOTA,
    "limit-range": FORBIDDEN + "maximum cpu usage per Container is 2, but limit is 4",
    "service-account-missing": 'pods "web-1-" is forbidden: error looking up service account shop/robot: '
    'serviceaccount "robot" not found',
    "pod-security": FORBIDDEN + 'violates PodSecurity "restricted:latest": privileged (container "app" ...)',
    "class-missing": FORBIDDEN + "no PriorityClass with name urgent was found",
    "pods-refused": "something nobody has seen yet",
}
LABELS: Final = {"app": "web"}
NEW: Final = pod("web-2", **OWNED, age_s=30, container_status=status(running(20), ready=True))


def storage_quota(used: str) -> Manifest:
    return {"kind": "ResourceQuota", "metadata": meta("disk"),
            "status": {"hard": {"requests.storage": "9Gi"}, "used": {"requests.storage": used}}}  # fmt: skip


def without_a_claim(**more: Any) -> Manifest:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": ago(100),
            "message": '0/1 nodes are available: persistentvolumeclaim "data" not found.'}  # fmt: skip
    return pod("db-1", node="", phase="Pending", ready=False, status={"conditions": [told]}, **more)


REFUSED: Final = tuple(
    Case(rule, [replicaset(text), refused_deployment(), failed_create(text)],
         [replicaset(text, has=2, failing=False)], name="it has its pods")
    for rule, text in REFUSALS.items()
)  # fmt: skip
WITHOUT_CONDITION: Final = tuple(
    Case("quota-refused", [controller(kind, 0), failed_create(about=f"{kind}/batch")],
         [event(f"{kind}/batch", "SuccessfulCreate", "Created pod: batch-1", type="Normal", age_s=-1)],
         name=f"{kind} made a pod")
    for kind in ("StatefulSet", "DaemonSet", "Job")
)  # fmt: skip
LEFT_BEHIND: Final = tuple(
    Case(rule, [failed(reason, text), *deployment(ready=1), NODE], deployment(ready=2), name="replaced")
    for rule, reason, text in (
        ("over-own-storage", "Evicted", EPHEMERAL),
        ("evicted-by-node", "Evicted", LOW),
        ("node-shutdown", "Terminated", SHUTDOWN),
        ("devices-refused", "UnexpectedAdmissionError", DEVICES),
        ("kubelet-refused", "OutOfcpu", NO_CPU),
        ("shared-gpu-refused", "UnexpectedAdmissionError", TOO_LARGE),
    )
)
TEMPLATE: Final = {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}}}
ZERO: Final = rolling(0, stuck=False, wants=0)
RAISED: Final = {"kind": "ResourceQuota", "metadata": meta("gpus"),
                 "status": {"hard": {"requests.cpu": "9", "pods": "9"}, "used": {"requests.cpu": "2", "pods": "3"}},
                 }  # fmt: skip
BLIND: Final = condition("ScalingActive", "False", "FailedGetResourceMetric", "unable to get metrics for resource cpu")
CASES: Final = (
    *REFUSED,
    *WITHOUT_CONDITION,
    *LEFT_BEHIND,
    Case("quota-refused", [replicaset(QUOTA), refused_deployment(), failed_create(QUOTA), quota(), NODE],
         [RAISED, replicaset(QUOTA, has=2, failing=False)], name="raised, and it has its pods"),
    Case("storage-quota-full", [storage_quota("9Gi"), without_a_claim(), NODE], [storage_quota("1Gi")],
         left=frozenset({"claim-missing"}), name="raised"),
    Case("storage-quota-full", [storage_quota("9Gi"), without_a_claim(), NODE], [gone("Pod", "db-1")],
         name="nobody waits"),
    Case("evicted-by-node", [failed("Evicted", LOW), NODE], [NEW], name="workload not known"),
    Case("preempted", [victim(), *deployment(ready=1), NODE, pod("big"),
                       event("Pod/web-1", "Preempted", "Preempted by a prod/big on node node-1", type="Normal")],
         deployment(ready=2)),
    Case("pod-failed", [failed("", owner="", labels=LABELS, container_status=status(ended(3))), NODE],
         [gone("Pod", "web-1")]),
    Case("stuck-terminating", [leaving(300), NODE], [gone("Pod", "web-1")]),
    Case("device-driver-gone", STUCK, [devices(), gone("Pod", "train-1")], name="the driver came back"),
    Case("rollout-stuck", [rolling()], [rolling(3, stuck=False, status={"updatedReplicas": 3})]),
    Case("scaled-to-zero", [ZERO, SERVICE], [rolling(3, stuck=False, status={"updatedReplicas": 3}),
                                             pod("web-1", labels=LABELS)], name="scaled up"),
    Case("scaled-to-zero", [ZERO, SERVICE], [gone("Service", "shop-front")], name="nobody asks"),
    Case("scaled-to-zero", [ZERO, SERVICE], [autoscaler(least=0)], name="an autoscaler may"),
    Case("scaled-to-zero", [ZERO, SERVICE], [pod("blue", labels=LABELS)], name="others serve"),
    Case("job-failed", [job(), failed_pod(), NODE], [gone("Job", "import"), gone("Pod", "import-x")], name="deleted"),
    Case("job-failed", [job("night-1", owner="CronJob/night")],
         [job("night-2", owner="CronJob/night", age_s=60, end=COMPLETE)], name="the next one works"),
    Case("autoscaler-blind", [autoscaler(conditions=[BLIND])],
         [autoscaler(conditions=[condition("ScalingActive", "True", "ValidMetricFound", age_s=-1)])]),
    Case("budget-blocks-eviction", [budget(), pod("web-1"), cordon()], [NODE], name="uncordoned"),
    Case("budget-blocks-eviction", [budget(), pod("web-1"), cordon(60)], [gone("Pod", "web-1"), NODE],
         name="drained and back"),
    Case("budget-blocks-eviction", [budget(), pod("web-1"), cordon()], [budget(1)], name="it allows one",
         left=frozenset({"node-cordoned"})),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
