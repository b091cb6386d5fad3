"""All 45 failure signatures of GPU nodes (gpu_operator 6): what the API shows of each, and what comes out of it.

Where several signatures look the same to the API server, or like nothing at all, `log` says so: the text in a
component's log decides, and is named by the log signature `gpu-NN` of the same number.
"""

from typing import Any, Final, NamedTuple

import pytest

from situation.findings import Effect, Finding, Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, ago, event, judged, meta, pod
from tests.diagnosis.objects import workload
from tests.gpu_objects import (
    DRIVER,
    EXPORTER,
    GFD,
    MIG,
    NAMESPACE,
    PLUGIN,
    TOOLKIT,
    VALIDATOR,
    bare_node,
    crashing,
    deploy,
    nfd_set,
    nfd_worker,
    operand,
    operand_set,
)
from tests.gpu_resources import budget, claimant, conditions, device_claim, driver_resource, policy, user

NODE: Final = Ref("Node", "", "gpu-1")
Manifests = list[Manifest]


class Row(NamedTuple):
    """One signature."""

    number: int
    manifests: Manifests = []
    subject: Ref | None = None
    """What the cause at layer 5 is about; None where nothing is to be found."""
    rule: str = ""
    """The rule that must find it, as a cause or a consequence; empty where the chain's own rules decide which."""
    log: str = ""
    """Why the API server alone does not tell it."""


def of(name: str) -> Ref:
    return Ref("DaemonSet", NAMESPACE, name)


def init(name: str, state: str = "wait", text: str = "") -> dict[str, Any]:
    """Return spec and status of a pod whose init container waits for ever, or crashes with `text`."""
    if state == "wait":
        status: Manifest = {"state": {"running": {"startedAt": ago(9000)}}}
    else:
        reason = "StartError" if text else "Error"
        end = {"exitCode": 128 if text else 1, "reason": reason, "message": text, "startedAt": ago(50),
               "finishedAt": ago(40)}  # fmt: skip
        status = {"restartCount": 30, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                  "lastState": {"terminated": end}}  # fmt: skip
    return {
        "phase": "Pending",
        "spec": {"initContainers": [{"name": name}]},
        "status": {"initContainerStatuses": [{"name": name, "ready": False, **status}]},
    }  # fmt: skip


def broken(of: str, **fields: Any) -> Manifests:
    """Return DaemonSet and pod of an operand that is not ready on the one GPU node."""
    return [operand_set(of, ready=0), operand(of, ready=False, **fields)]


def fine(*names: str) -> Manifests:
    return [item for name in names for item in (operand_set(name), operand(name))]


def waiting(*names: str, step: str = "toolkit-validation") -> Manifests:
    return [item for name in names for item in broken(name, **init(step))]


CRASH: Final[dict[str, Any]] = {"container_status": crashing()}
LOST: Final = bare_node(gpus=0)
NEVER: Final = bare_node(gpus=None)
REST: Final = waiting(VALIDATOR, PLUGIN, GFD, EXPORTER)
DRIVER_CRASHES: Final = [NEVER, *broken(DRIVER, **CRASH), *waiting(TOOLKIT, step="driver-validation"), *REST]
PULL: Final = {
    "container_status": {
        "ready": False,
        "state": {
            "waiting": {
                "reason": "ImagePullBackOff",
                "message": 'Back-off pulling image "nvcr.io/nvidia/driver:580.1-rocky9.9"',
            }
        },
    }
}
NOT_MADE: Final = operand_set(DRIVER, ready=0, current=0)
STARTS: Final[dict[str, Any]] = {
    "container": {"startupProbe": {"initialDelaySeconds": 60, "periodSeconds": 10, "failureThreshold": 120}},
    "container_status": {"ready": False, "started": False},
}
MOFED: Final = init("mofed-validation")


def refused(text: str) -> Manifests:
    return [NEVER, NOT_MADE, event(f"DaemonSet/{DRIVER}", "FailedCreate", f"Error creating: {text}",
                                   namespace=NAMESPACE)]  # fmt: skip


def sandbox(of: str) -> Manifest:
    return event(f"Pod/{of}-gpu-1", "FailedCreatePodSandBox",
                 'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no '
                 'runtime for "nvidia" is configured', namespace=NAMESPACE)  # fmt: skip


def oom_killed() -> Manifests:
    end = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(60), "finishedAt": ago(40)}
    status = {"restartCount": 6, "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
              "lastState": {"terminated": end}}  # fmt: skip
    return [
        workload("gpu-operator", namespace=NAMESPACE),
        {"kind": "ReplicaSet", "metadata": meta("gpu-operator-1", NAMESPACE, owner="Deployment/gpu-operator")},
        pod("gpu-operator-1-x", namespace=NAMESPACE, owner="ReplicaSet/gpu-operator-1", ready=False,
            labels={"app": "gpu-operator"}, container_status=status),
    ]  # fmt: skip


def upgrade(state: str) -> dict[str, str]:
    return {"nvidia.com/gpu-driver-upgrade-state": state}


CORDON: Final = {"unschedulable": True, "taints": [
    {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": ago(3000)}]}  # fmt: skip
ASKED: Final = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.capable": "true"}
LIKE_1: Final = "the driver container crashes as in 1: only its log says of what"

NOT_ADMITTED: Final = pod("train-1", node="gpu-1", phase="Failed", ready=False, status={
    "reason": "UnexpectedAdmissionError", "containerStatuses": [],
    "message": "Pod was rejected: Allocate failed due to device plugin GetPreferredAllocation rpc failed with err: rpc "
    "error: code = Unknown desc = error creating nvml.Device 3: nvml: GPU is lost, which is unexpected"})  # fmt: skip

ROWS: Final = (
    Row(1, DRIVER_CRASHES, of(DRIVER)),
    Row(2, DRIVER_CRASHES, of(DRIVER), log=LIKE_1),
    Row(3, DRIVER_CRASHES, of(DRIVER), log=LIKE_1),
    Row(4, DRIVER_CRASHES, of(DRIVER), log=LIKE_1),
    Row(5, DRIVER_CRASHES, of(DRIVER), log=LIKE_1),
    Row(6, [NEVER, *broken(DRIVER, phase="Pending", **PULL)], of(DRIVER), "gpu-link-broken"),
    Row(7, [NEVER, *broken(DRIVER), *REST, event(f"Pod/{DRIVER}-gpu-1", "Unhealthy",
        "Startup probe failed: No devices were found", namespace=NAMESPACE, count=130)], of(DRIVER)),
    Row(8, [LOST, *broken(DRIVER, **init("k8s-driver-manager", "crash"))], of(DRIVER),
        log="that the driver is in use stands in the init container's log"),
    Row(9, [LOST, *broken(DRIVER, **init("k8s-driver-manager", "crash"))], of(DRIVER), log="as 8"),
    Row(10, [bare_node(labels=upgrade("upgrade-failed"), spec=CORDON), policy(),
             bare_node(name="gpu-2", labels=upgrade("upgrade-required"))], NODE, "gpu-driver-upgrades-wait"),
    Row(11, [bare_node(labels=upgrade("drain-required"), spec=CORDON), user(labels={"app": "web"}), budget(),
             event("Node/gpu-1", "GPUDriverUpgrade", "Failed to drain the node, cannot delete Pods with local storage",
                   namespace="", age_s=900)], None, "gpu-driver-upgrade-stuck"),
    Row(12, [bare_node(gpus=0, labels=deploy("paused-for-driver-upgrade")), *fine(DRIVER)], NODE,
        "gpu-operands-left-paused"),
    Row(13, [bare_node(labels=deploy("pre-installed", "driver")), operand_set(DRIVER, desired=0),
             *fine(TOOLKIT, PLUGIN), policy()],
        log="a driver of the host is normal; that a stale nvidia-smi was taken for one, the log says"),
    Row(14, [NEVER, *fine(DRIVER), *broken(TOOLKIT, **CRASH), *broken(PLUGIN, phase="Pending"), sandbox(PLUGIN)],
        of(TOOLKIT)),
    Row(15, [NEVER, *fine(DRIVER), *broken(TOOLKIT, **CRASH), *REST], of(TOOLKIT),
        log="which socket it looks for stands in the toolkit's log"),
    Row(16, [NEVER, *fine(DRIVER), *broken(TOOLKIT, container_status={**crashing(), "lastState": {"terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": ago(60), "finishedAt": ago(40)}}}), *REST], of(TOOLKIT)),
    Row(17, [NEVER, *fine(DRIVER, TOOLKIT, VALIDATOR), *broken(PLUGIN, **init("config-manager-init"))], of(PLUGIN)),
    Row(18, [NEVER, *fine(DRIVER), *broken(TOOLKIT, **CRASH), *REST], of(TOOLKIT)),
    Row(19, [NEVER, *fine(DRIVER, TOOLKIT), *broken(VALIDATOR, **init("toolkit-validation", "crash",
        "nvidia-container-cli.real: initialization error: load library failed: libnvidia-ml.so.1"))], of(VALIDATOR)),
    Row(20, [NEVER, *fine(DRIVER, TOOLKIT), *broken(VALIDATOR, **init("toolkit-validation", "crash",
        "failed to inject CDI devices: unresolvable CDI devices management.nvidia.com/gpu=all: unknown"))],
        of(VALIDATOR)),
    Row(21, [bare_node(gpus=None, labels=deploy("pre-installed", "driver")),
             *broken(VALIDATOR, **init("driver-validation", "crash"))], of(VALIDATOR),
        log="which module or link is missing stands in the init container's log"),
    Row(22, log="operands, nodes and the workload's pod stay green: only the workload's own log says it"),
    Row(23, [NEVER, *fine(DRIVER, TOOLKIT, VALIDATOR), *broken(PLUGIN, **CRASH)], of(PLUGIN),
        log="that NVML was not found stands in the plugin's log"),
    Row(24, [LOST, *fine(DRIVER, TOOLKIT, VALIDATOR),
             *broken(PLUGIN, container_status={**crashing(), "restartCount": 400})], of(PLUGIN),
        log="the mismatch of versions stands in the plugin's log"),
    Row(25, [bare_node(allocatable=7), *fine(PLUGIN)], NODE, "gpu-unhealthy"),
    Row(26, [bare_node(allocatable=7), *fine(PLUGIN), NOT_ADMITTED], NODE, "gpu-unhealthy"),
    Row(27, [NEVER, *fine(DRIVER, TOOLKIT), *broken(VALIDATOR, **init("toolkit-validation", "crash",
        "nvidia-container-cli: detection error: driver error: timed out: unknown"))], of(VALIDATOR)),
    Row(28, [bare_node(), *fine(DRIVER, TOOLKIT, PLUGIN), *broken(VALIDATOR, **init("cuda-validation", "crash"))],
        of(VALIDATOR), log="the error code of the sample stands in the log of nvidia-cuda-validator"),
    Row(29, [NEVER, *fine(DRIVER, TOOLKIT), *broken(PLUGIN, **CRASH),
             *broken(VALIDATOR, **init("plugin-validation", "crash"))], of(PLUGIN)),
    Row(30, [bare_node(gpus=0, labels={**ASKED, **deploy("paused-for-mig-change"),
                                        "nvidia.com/mig.config.state": "pending"}), *fine(MIG)], NODE,
        "mig-change-stuck"),
    Row(31, [bare_node(labels={**ASKED, "nvidia.com/mig.config.state": "failed"}), *fine(MIG)], NODE,
        "mig-change-failed"),
    Row(32, [bare_node(), *fine(GFD, PLUGIN), operand_set(MIG, desired=0)], NODE, "gpu-labels-missing"),
    Row(33, [LOST, *fine(DRIVER, TOOLKIT, VALIDATOR, PLUGIN)], NODE, "node-gpus-lost",
        log="that it waits for the MPS daemon stands in the plugin's log"),
    Row(34, [NEVER, *fine(DRIVER, TOOLKIT, VALIDATOR), *broken(PLUGIN, **init("config-manager-init", "crash"))],
        of(PLUGIN), log="which configuration is missing stands in the init container's log"),
    Row(35, [bare_node(gpus=None, seen=False, spec={"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"},
                                                              {"key": "team", "value": "ml", "effect": "NoSchedule"}]}),
             nfd_set(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]),
             policy(said=conditions("NoGPUNodes", "No GPU node found", error=False))], NODE,
        "gpu-node-not-discovered"),
    Row(36, [bare_node(), *fine(GFD), nfd_set(namespace="nfd"), nfd_worker(namespace="nfd")], NODE,
        "gpu-labels-missing",
        log="the namespace that is not allowed stands in the log of NFD's master"),
    Row(37, oom_killed(), Ref("Deployment", NAMESPACE, "gpu-operator"), "oom-killed"),
    Row(38, refused(f'pods "{DRIVER}-" is forbidden: insufficient quota to match these scopes: [{{PriorityClass In '
                    "[system-node-critical system-cluster-critical]}]"), of(DRIVER), "quota-refused"),
    Row(39, refused(f'pods "{DRIVER}-x" is forbidden: violates PodSecurity "baseline:latest": privileged (container '
                    '"nvidia-driver-ctr" must not set securityContext.privileged=true)'), of(DRIVER), "pod-security"),
    Row(40, log="DCGM and its exporter stay ready: only the exporter's metrics, and DCGM's log, say it"),
    Row(41, [bare_node(), *fine(DRIVER, TOOLKIT, VALIDATOR, PLUGIN), *broken(EXPORTER, **CRASH)], of(EXPORTER),
        log="which host engine it cannot reach stands in the exporter's log"),
    Row(42, [bare_node(), driver_resource(name="other"),
             driver_resource("notReady", conditions("ConflictingNodeSelector", "conflicting NVIDIADriver"))],
        Ref("NVIDIADriver", "", "default"), "nvidia-driver-conflict"),
    Row(43, [NEVER, *broken(DRIVER, **MOFED)], of(DRIVER),
        log="`k8s-driver-manager` waits for it as it waits for all else: its log says for what"),
    Row(44, [bare_node(gpus=0, age_s=200), *broken(DRIVER, age_s=200, **STARTS),
             *broken(PLUGIN, age_s=200, **init("toolkit-validation"))], log="expected right after a reboot: silent"),
    Row(45, [bare_node(), *fine(DRIVER, TOOLKIT, VALIDATOR, PLUGIN), policy(), claimant(), device_claim()],
        rule="device-driver-gone"),
)  # fmt: skip


def test_every_signature_is_here_and_tells_where_it_shows() -> None:
    assert [row.number for row in ROWS] == list(range(1, 46))
    assert all(row.log or row.rule or row.subject for row in ROWS)


def everything(*manifests: Manifest) -> list[Finding]:
    return [item for cause in judged(*manifests).causes for item in (cause, *cause.consequences)]


@pytest.mark.parametrize("row", [row for row in ROWS if row.subject], ids=lambda row: f"gpu-{row.number:02}")
def test_what_a_cause_at_layer_5_names(row: Row) -> None:
    causes = judged(*row.manifests).causes
    grave = [cause for cause in causes if cause.layer is Layer.NODE and cause.severity is not Severity.INFO]
    named = {ref for cause in grave for ref in (cause.subject, *cause.members, *(_owner(ref) for ref in cause.members))}
    assert row.subject in named, [cause.key for cause in causes]


def _owner(ref: Ref) -> Ref:
    return Ref("DaemonSet", ref.namespace, ref.name.removesuffix("-gpu-1")) if ref.kind == "Pod" else ref


@pytest.mark.parametrize("row", [row for row in ROWS if row.rule], ids=lambda row: f"gpu-{row.number:02}")
def test_which_rule_finds_it(row: Row) -> None:
    found = {finding.rule: finding for finding in everything(*row.manifests)}
    assert row.rule in found, sorted(found)
    assert found[row.rule].layer is Layer.NODE
    assert found[row.rule].next[0].effect is Effect.READ


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.manifests and not row.subject and not row.rule], ids=lambda row: f"{row.number}"
)
def test_what_is_normal_is_silent(row: Row) -> None:
    assert [finding.key for finding in everything(*row.manifests) if finding.severity is not Severity.INFO] == []
