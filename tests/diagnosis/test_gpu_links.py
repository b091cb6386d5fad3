"""The GPU chain's causes: the first broken link of each node, on however many nodes, and what waits for it there."""

from datetime import timedelta
from typing import Any

import pytest

from diagnosis.engine import Engine, diagnose
from situation.findings import Diagnosis, Finding, Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from tests import gpu_objects as gpu
from tests.build import NOW, Manifest, event, judged, made, pod, situation
from tests.diagnosis.objects import first_command, shape
from tests.gpu_objects import (
    DRIVER,
    EXPORTER,
    GFD,
    MIG,
    PLUGIN,
    TOOLKIT,
    VALIDATOR,
    crashing,
    gpu_node,
    nfd_set,
    operand_pod,
    operand_set,
    operand_sets,
    operands,
    operator,
    waiting_for,
    waiting_pods,
)

BROKEN, WAITS, LOST = "gpu-link-broken", "gpu-link-waits", "node-gpus-lost"
DISCOVERED = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
SIX = {TOOLKIT, VALIDATOR, PLUGIN, GFD, EXPORTER, MIG}


def driver_set(name: str = DRIVER) -> Ref:
    return Ref("DaemonSet", gpu.NAMESPACE, name)


def grave(diagnosis: Diagnosis) -> list[Finding]:
    return [cause for cause in diagnosis.causes if cause.severity is not Severity.INFO]


def found(*manifests: Manifest) -> dict[str, Finding]:
    """Return the causes by the name of their subject."""
    return {cause.subject.name: cause for cause in grave(judged(*manifests))}


def waits_under(cause: Finding) -> dict[str, list[str]]:
    """Return which DaemonSet's pods wait for a cause, by pod names."""
    return {
        item.subject.name: [member.name for member in item.members] for item in cause.consequences if item.rule == WAITS
    }


def dead_driver(*nodes: str, broken: Manifest | None = None) -> list[Manifest]:
    """Return nodes without GPUs whose driver crashes, and what waits on them."""
    return [
        manifest
        for name in nodes
        for manifest in (
            gpu_node(None, name),
            operand_pod(DRIVER, name, broken=broken or crashing()),
            *waiting_pods(name),
        )
    ]


def test_a_dead_driver_is_one_cause_and_all_else_follows() -> None:
    causes = found(*dead_driver("gpu-1"), *operand_sets(), operator())
    cause = causes[DRIVER]
    assert list(causes) == [DRIVER]
    assert (cause.rule, cause.layer, cause.severity) == (BROKEN, Layer.NODE, Severity.CRITICAL)
    assert (cause.subject, cause.node, cause.count) == (driver_set(), "gpu-1", 1)
    assert cause.title == "nvidia-driver-daemonset crashes: exit 1, 4 restarts"
    assert set(waits_under(cause)) == SIX
    assert LOST in {item.rule for item in cause.consequences}
    assert first_command(cause) == (
        f"kubectl -n gpu-operator logs {DRIVER}-gpu-1 -c nvidia-driver-ctr --previous --tail=100"
    )
    assert [line.text for line in cause.evidence if line.mark is Mark.OPEN] == [
        "nouveau, headers or secure boot: the log tells"
    ]


def test_the_same_link_on_many_nodes_is_one_cause_however_it_fails() -> None:
    image = waiting_for("ImagePullBackOff", 'Back-off pulling image "nvcr.io/nvidia/driver:1": not found')
    causes = found(*dead_driver("gpu-1", "gpu-2"), *dead_driver("gpu-3", broken=image), *operand_sets(3))
    cause = causes[DRIVER]
    assert list(causes) == [DRIVER]
    assert {member.name for member in cause.members} == {f"{DRIVER}-gpu-{number}" for number in (1, 2, 3)}
    assert {len(pods) for pods in waits_under(cause).values()} == {3}
    assert len(waits_under(cause)) == 6


def test_each_node_has_its_own_truth() -> None:
    """The driver is broken on gpu-1, the toolkit on gpu-2: what waits follows the link of its own node."""
    toolkit = operand_pod(TOOLKIT, "gpu-2", broken=crashing())
    causes = found(
        *dead_driver("gpu-1"),
        gpu_node(None, "gpu-2"), operand_pod(DRIVER, "gpu-2"), toolkit,
        operand_pod(VALIDATOR, "gpu-2", init="toolkit-validation", broken=crashing()),
        *waiting_pods("gpu-2")[2:],
        *operand_sets(2),
    )  # fmt: skip
    assert set(causes) == {DRIVER, TOOLKIT}
    assert {cause.rule for cause in causes.values()} == {BROKEN}
    by_driver, by_toolkit = waits_under(causes[DRIVER]), waits_under(causes[TOOLKIT])
    assert set(by_driver) == SIX
    assert set(by_toolkit) == SIX - {TOOLKIT}
    assert {name.rpartition("-gpu-")[2] for pods in by_driver.values() for name in pods} == {"1"}
    assert {name.rpartition("-gpu-")[2] for pods in by_toolkit.values() for name in pods} == {"2"}
    lost = {cause.subject.name: [item.subject.name for item in cause.consequences if item.rule == LOST]
            for cause in causes.values()}  # fmt: skip
    assert lost == {DRIVER: ["gpu-1"], TOOLKIT: ["gpu-2"]}
    keys = [item.key for cause in causes.values() for item in (cause, *cause.consequences)]
    assert len(keys) == len(set(keys))


def test_two_links_of_a_node_that_do_not_need_each_other_are_two_causes() -> None:
    causes = found(gpu_node(), *operands(without=(EXPORTER, MIG)), operand_pod(EXPORTER, broken=crashing()),
                   operand_pod(MIG, broken=crashing()), *operand_sets())  # fmt: skip
    assert {name: cause.severity for name, cause in causes.items()} == {
        EXPORTER: Severity.WARNING, MIG: Severity.WARNING,
    }  # fmt: skip


def test_the_validator_is_never_the_cause_while_what_it_needs_is_broken() -> None:
    validator = operand_pod(VALIDATOR, init="driver-validation", broken=crashing())
    causes = found(*dead_driver("gpu-1"), validator, *operand_sets())
    assert list(causes) == [DRIVER]
    assert VALIDATOR in waits_under(causes[DRIVER])


@pytest.mark.parametrize(
    ("manifests", "subject", "title", "command", "open_text"),
    [
        (
            [operand_pod(DRIVER, init="k8s-driver-manager", broken=crashing()), *waiting_pods()],
            DRIVER, "init container k8s-driver-manager crashes: exit 1, 4 restarts",
            f"logs {DRIVER}-gpu-1 -c k8s-driver-manager --previous", "the old driver is in use",
        ),
        (
            [operand_pod(DRIVER, init="k8s-driver-manager", since_s=1500), *waiting_pods()],
            DRIVER, "init container k8s-driver-manager does not end",
            f"logs {DRIVER}-gpu-1 -c k8s-driver-manager --tail", "the old driver is in use",
        ),
        (
            [operand_pod(DRIVER, ready=False, since_s=1500), *waiting_pods()],
            DRIVER, "", f"logs {DRIVER}-gpu-1 -c nvidia-driver-ctr --tail", "nouveau",
        ),
        (
            [operand_pod(DRIVER), *waiting_pods()],
            TOOLKIT, "driver-validation does not end", f"logs {TOOLKIT}-gpu-1 -c driver-validation --tail", "no driver",
        ),
        (
            [*operands(without=(VALIDATOR,)), operand_pod(VALIDATOR, init="cuda-validation", broken=crashing())],
            VALIDATOR, "init container cuda-validation crashes",
            f"logs {VALIDATOR}-gpu-1 -c cuda-validation --previous", "Fabric Manager",
        ),
        (
            [*operands(without=(PLUGIN, VALIDATOR)), operand_pod(PLUGIN, broken=crashing()),
             operand_pod(VALIDATOR, init="plugin-validation", since_s=100)],
            PLUGIN, "crashes: exit 1, 4 restarts", f"logs {PLUGIN}-gpu-1 -c nvidia-device-plugin --previous", "NVML",
        ),
    ],
)  # fmt: skip
def test_the_log_of_the_right_container_comes_first(
    manifests: list[Manifest], subject: str, title: str, command: str, open_text: str
) -> None:
    causes = found(gpu_node(8 if subject == VALIDATOR else None, labels=DISCOVERED), *manifests, *operand_sets())
    assert list(causes) == [subject]
    cause = causes[subject]
    assert title in cause.title
    assert command in first_command(cause)
    assert any(open_text in line.text for line in cause.evidence if line.mark is Mark.OPEN)


def test_an_image_that_is_not_there_has_no_log() -> None:
    image = waiting_for("ImagePullBackOff", 'Back-off pulling image "nvcr.io/nvidia/driver:1": not found')
    cause = found(*dead_driver("gpu-1", broken=image), *operand_sets())[DRIVER]
    assert "cannot pull" in cause.title
    assert not any("logs" in command.argv for command in cause.next)


@pytest.mark.parametrize(
    ("manifests", "title"),
    [
        ([gpu_node(None), operand_set(DRIVER, desired=0)], "has no pod: its DaemonSet wants no pod"),
        ([gpu_node(None, labels={"nvidia.com/gpu.deploy.driver": None}), operand_set(DRIVER, desired=0)],
         "has no pod: label nvidia.com/gpu.deploy.driver=true is missing"),
        ([gpu_node(None), operand_set(DRIVER, select={"kernel": "6.8"})], "has no pod: label kernel=6.8 is missing"),
    ],
)  # fmt: skip
def test_a_link_without_a_pod_is_found(manifests: list[Manifest], title: str) -> None:
    others = [operand_set(name) for name in SIX]
    causes = found(*manifests, *others, *waiting_pods(), operator())
    assert list(causes) == [DRIVER]
    cause = causes[DRIVER]
    assert (cause.rule, cause.title) == (BROKEN, f"{DRIVER} {title}")
    assert (cause.members, cause.node) == ((Ref("Node", "", "gpu-1"),), "gpu-1")
    assert set(waits_under(cause)) == SIX
    assert LOST in {item.rule for item in cause.consequences}
    assert first_command(cause) == "kubectl get node gpu-1 --show-labels"


def test_a_driver_that_nothing_deploys_is_the_operators() -> None:
    sets = [operand_set(name, desired=2) for name in SIX]
    nodes = [manifest for name in ("gpu-1", "gpu-2") for manifest in (gpu_node(None, name), *waiting_pods(name))]
    causes = found(*nodes, *sets, operator())
    cause = causes["gpu-operator"]
    assert (cause.subject.kind, cause.count) == ("Deployment", 2)
    assert cause.title == "gpu-operator has no driver: nothing deploys it, and the host has none"
    assert {len(pods) for pods in waits_under(cause).values()} == {2}
    assert list(found(*nodes[:7], *sets)) == ["gpu-1"]


def test_a_quota_that_keeps_the_driver_away_is_the_cause() -> None:
    refused = event(
        f"DaemonSet/{DRIVER}", "FailedCreate",
        'Error creating: pods "x" is forbidden: exceeded quota: gpus, requested: pods=1, used: pods=9, limited: pods=9',
        namespace=gpu.NAMESPACE,
    )  # fmt: skip
    waiting = [operand_set(name) for name in SIX]
    diagnosis = judged(gpu_node(None), operand_set(DRIVER, current=0, ready=0), *waiting, *waiting_pods(), refused)
    rules = {item.rule for cause in diagnosis.causes for item in (cause, *cause.consequences)}
    assert {BROKEN, WAITS} <= rules
    assert len(grave(diagnosis)) <= 2


def test_a_handler_that_the_toolkit_did_not_bring() -> None:
    told = event(f"Pod/{PLUGIN}-gpu-1", "FailedCreatePodSandBox", 'no runtime for "nvidia" is configured',
                 namespace=gpu.NAMESPACE)  # fmt: skip

    def at(since_s: float) -> dict[str, Finding]:
        starting = operand_pod(PLUGIN, started=False, since_s=since_s)
        return found(gpu_node(None, labels=DISCOVERED), *operands(without=(PLUGIN,)), starting, told, *operand_sets())

    assert at(60) == {}
    causes = at(600)
    assert list(causes) == [TOOLKIT]
    assert causes[TOOLKIT].title == f"{TOOLKIT} did not bring the runtime its handler"
    assert PLUGIN in waits_under(causes[TOOLKIT])


def test_a_node_that_nfd_does_not_reach() -> None:
    taint = {"taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]}
    bare = gpu_node(None, of=(), spec=taint, labels={
        "feature.node.kubernetes.io/pci-10de.present": None, "nvidia.com/gpu.present": None})  # fmt: skip
    causes = found(bare, *operand_sets(0), operator(), nfd_set())
    [cause] = causes.values()
    assert (cause.rule, cause.severity) == (BROKEN, Severity.CRITICAL)
    assert "has no pod: does not tolerate taint" in cause.title
    assert any("does not tolerate taint nvidia.com/gpu" in line.text for line in cause.evidence)


def test_pending_gpu_pods_follow() -> None:
    wants = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: " \
              "1 Preemption is not helpful for scheduling."  # fmt: skip
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    server = pod("llm-1", node="", phase="Pending", ready=False, container=wants, status={"conditions": conditions})
    cause = found(*dead_driver("gpu-1"), *operand_sets(), server)[DRIVER]
    assert "llm-1" in {item.subject.name for item in cause.consequences}


@pytest.mark.parametrize(
    "manifests",
    [
        [gpu_node(), *operands(), *operand_sets()],
        [gpu_node(labels={"nvidia.com/gpu.deploy.driver": "pre-installed"}), *operands(without=(DRIVER,)),
         *operand_sets()],
        [gpu_node(None, age_s=300), operand_pod(DRIVER, ready=False, since_s=280, age_s=290),
         *waiting_pods(since_s=280, age_s=290), *operand_sets(1)],
        [gpu_node(0, labels={f"nvidia.com/gpu.deploy.{name}": "paused-for-driver-upgrade" for name in
                             gpu.DEPLOY.values()} | {"nvidia.com/gpu-driver-upgrade-state": "drain-required"}),
         *operand_sets(0)],
        [gpu_node(None, labels={"nvidia.com/gpu.deploy.operands": "false"}), *operand_sets(0)],
        [gpu_node(conditions=[{"type": "Ready", "status": "True"}]), *operands(), *operand_sets()],
    ],
    ids=["healthy", "driver of the host", "young", "upgrade", "switched off", "no times"],
)  # fmt: skip
def test_nothing_is_wrong(manifests: list[Manifest]) -> None:
    assert [cause.key for cause in grave(judged(*manifests)) if cause.rule.startswith("gpu-link")] == []


def test_a_dead_node_explains_its_operands() -> None:
    gone = gpu_node(None, conditions=[{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}])
    causes = judged(gone, *dead_driver("gpu-1")[1:], *operand_sets()).causes
    assert BROKEN not in {item.rule for cause in causes for item in (cause, *cause.consequences)}


def test_without_nodes_the_rules_for_any_pod_still_tell() -> None:
    known = situation(*dead_driver("gpu-1")[1:], *operand_sets(), missing={"nodes": SourceState.FORBIDDEN})
    found = diagnose(known, NOW).causes
    rules = {cause.rule: cause for cause in found}
    assert "crash-loop" in rules
    assert TOOLKIT in {item.subject.name for item in rules["crash-loop"].consequences}


def change(known: Any, manifest: Manifest, *, removed: bool = False) -> Any:
    kind, item = manifest["kind"].lower() + "s", made(manifest)
    value = Changed(kind, removed=(item.key,)) if removed else Changed(kind, (item,))
    return known.apply(Reading(f"kubernetes/{kind}", SourceState.LIVE, NOW, value))


def test_judging_what_changed_says_the_same_as_judging_everything() -> None:
    known, engine, now = situation(gpu_node(), gpu_node(name="gpu-2"), *operands(), *operands("gpu-2"),
                                   *operand_sets(2), operator()), Engine(), NOW  # fmt: skip
    engine.judge(known, (), now)
    steps: list[tuple[Manifest, bool]] = [
        (operand_pod(DRIVER, broken=crashing()), False),
        (operand_pod(TOOLKIT, init="driver-validation", since_s=30), False),
        (operand_pod(DRIVER), False),
        (operand_pod(EXPORTER, "gpu-2", init="toolkit-validation", since_s=300), False),
        (operand_pod(EXPORTER, "gpu-2"), True),
        (operand_set(EXPORTER, desired=0), False),
        (gpu_node(0, name="gpu-2", labels={"nvidia.com/gpu.deploy.driver": None}), False),
        (operand_pod(DRIVER, "gpu-2"), True),
        (operand_set(DRIVER), True),
        (operator(), True),
    ]
    for manifest, removed in steps:
        found = engine.judge(known, change(known, manifest, removed=removed), now)
        assert shape(found) == shape(diagnose(known, now)), manifest["metadata"]["name"]
        now += timedelta(seconds=5)
        assert shape(engine.judge(known, (), now)) == shape(diagnose(known, now)), manifest["metadata"]["name"]
