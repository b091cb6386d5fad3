"""Pods that got a node and claims that got a volume: why they had to wait stands in events that are seconds old."""

from typing import Any, Final

import pytest

from tests.build import Manifest, ago, event, meta, node, pod
from tests.diagnosis.objects import endpoints, service
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_claims import NO_CLASS, NO_VOLUME, about, claim, storage_class, user, volume
from tests.diagnosis.test_scheduling import CLAIM_SPEC, UNBOUND, anti_affinity
from tests.diagnosis.unscheduled import GPU, gpu_node, none_of, waiting, wants

LAB: Final = "node(s) didn't match Pod's node affinity/selector"
IN_USE: Final = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by"
GATED: Final = "Scheduling is blocked due to non-empty scheduling gates"
PORT: Final = {"ports": [{"containerPort": 80, "hostPort": 9100}]}
SPREAD: Final = {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}]}
NEXT_TO: Final = {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "cache"}}}]}}}  # fmt: skip


def placed(rule: str, message: str, *others: Manifest, gone_too: tuple[Any, ...] = (), reason: str = "Unschedulable",
           on: str = "node-1", **over: Any) -> Case:  # fmt: skip
    """Return the case of a pod that waits for `message` and is bound and runs a moment later, its event still there."""
    told = event("Pod/llm-1", "FailedScheduling", message)
    bound = pod("llm-1", node=on, **{**over, "spec": {key: value for key, value in over.get("spec", {}).items()
                                             if key != "schedulingGates"}})  # fmt: skip
    before = [waiting(message, reason=reason, **over), *(others or (node(),)), *([told] if message else [])]
    return Case(rule, before, [bound, *gone_too])


def bound(name: str = "data", **spec: Any) -> Manifest:
    """Return the claim once it has its volume."""
    return claim(name, phase="Bound", volumeName="pv-1", **spec)


def on_its_volume(name: str = "db-1") -> Manifest:
    """Return the pod that waited for a claim, running."""
    return pod(name, spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]})


FAST: Final[dict[str, Any]] = {"storageClassName": "fast"}
SLOW: Final[dict[str, Any]] = {"storageClassName": "slow"}
FAILS: Final = about("ProvisioningFailed", 'failed to provision volume with StorageClass "slow": rpc error: no quota')
SILENT: Final = {**about("ExternalProvisioning", "Waiting for a volume to be created"), "firstTimestamp": ago(280)}
HOLDS_GPUS: Final = pod("a", node="g1", container=wants(gpu="6"))
WAITS_FOR_GPUS: Final = waiting(none_of(1, f"1 Insufficient {GPU}"), age_s=600, container=wants(gpu="4"),
                                labels={"app": "llm"})  # fmt: skip
JUST_PLACED: Final = pod("llm-1", node="g1", phase="Pending", ready=False, labels={"app": "llm"}, status={
    "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(-1)}],
    "containerStatuses": []})  # fmt: skip
CASES: Final = (
    placed("scheduling-gates", GATED, reason="SchedulingGated", spec={"schedulingGates": [{"name": "kueue"}]}),
    placed("nobody-schedules", "", spec={"schedulerName": "volcano"}),
    placed("claim-unbound", UNBOUND, node(), {**claim(), "metadata": meta("data", age_s=5)}, spec=CLAIM_SPEC,
           gone_too=(bound(),)),
    placed("claim-missing", 'persistentvolumeclaim "data" not found', spec=CLAIM_SPEC, gone_too=(bound(),)),
    placed("volume-elsewhere", none_of(1, "1 node(s) didn't match PersistentVolume's node affinity"),
           node(), bound(), spec=CLAIM_SPEC),
    placed("no-volume-to-bind", none_of(1, "1 node(s) didn't find available persistent volumes to bind"), node(),
           claim(), spec=CLAIM_SPEC, gone_too=(bound(),)),
    placed("no-free-storage", none_of(1, "1 node(s) did not have enough free storage"), node(), claim(),
           spec=CLAIM_SPEC, gone_too=(bound(),)),
    placed("claim-in-use", none_of(1, f"1 {IN_USE} another pod"), node(), pod("holder", spec=CLAIM_SPEC),
           claim("data", phase="Bound", accessModes=["ReadWriteOncePod"]), spec=CLAIM_SPEC,
           gone_too=(gone("Pod", "holder"),)),
    placed("volume-count", none_of(1, "1 node(s) exceed max volume count")),
    placed("device-claim", none_of(1, "cannot allocate all claims")),
    placed("pod-affinity", none_of(1, "1 node(s) didn't match pod affinity rules"), spec=NEXT_TO),
    placed("pod-affinity", none_of(1, "1 node(s) didn't match pod anti-affinity rules"), spec=anti_affinity("web")),
    placed("topology-spread", none_of(2, "2 node(s) didn't match pod topology spread constraints"), spec=SPREAD),
    placed("host-port-taken", none_of(1, "1 node(s) didn't have free ports for the requested pod ports"),
           node(), pod("holder", container=PORT), container=PORT, gone_too=(gone("Pod", "holder"),)),
    placed("gpus-short", none_of(1, f"1 Insufficient {GPU}"), gpu_node("g1"),
           pod("a", node="g1", container=wants(gpu="6")), container=wants(gpu="4"), gone_too=(gone("Pod", "a"),),
           on="g1"),
    Case("gpus-short", [WAITS_FOR_GPUS, gpu_node("g1"), HOLDS_GPUS, service("llm"), endpoints("llm")],
         [gone("Pod", "a"), JUST_PLACED], name="placed a moment ago, behind a Service"),
    placed("resources-short", none_of(1, "1 Insufficient cpu"), container=wants(cpu="9")),
    placed("pod-slots-full", none_of(1, "1 Too many pods")),
    placed("node-selector", none_of(1, f"1 {LAB}"), spec={"nodeSelector": {"gpu": "a100"}},
           gone_too=(node(labels={"gpu": "a100"}),)),
    placed("taints", none_of(1, "1 node(s) had untolerated taint(s)"),
           node(spec={"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]}), gone_too=(node(),)),
    placed("nodes-cordoned", none_of(1, "1 node(s) were unschedulable"), node(spec={"unschedulable": True}),
           gone_too=(node(),)),
    placed("unschedulable", none_of(1, "1 node(s) had something new")),
    Case("storage-class-missing", [claim(**FAST), user(), about("ProvisioningFailed", NO_CLASS)],
         [storage_class("fast"), bound(**FAST), on_its_volume()], name="bound"),
    Case("storage-class-missing", [claim(**FAST), about("ProvisioningFailed", NO_CLASS), storage_class("slow")],
         [storage_class("fast")], name="the class was made"),
    Case("no-volume-fits", [claim(), user(), about("FailedBinding", NO_VOLUME)],
         [volume("pv-1", "Bound"), bound(), on_its_volume()]),
    Case("provisioning-fails", [claim(**SLOW), user(), storage_class("slow"), FAILS], [bound(**SLOW), on_its_volume()]),
    Case("provisioner-silent", [claim(**SLOW), user(), storage_class("slow"), SILENT],
         [bound(**SLOW), on_its_volume()]),
    Case("claim-pending", [claim(), user()], [bound(), on_its_volume()]),
    Case("claim-pending", [claim(), user()], [gone("Pod", "db-1")], name="nobody uses it"),
    Case("claim-lost", [claim(phase="Lost"), on_its_volume()], [bound()]),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
