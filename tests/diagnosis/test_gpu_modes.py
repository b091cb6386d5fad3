"""Driver upgrades, MIG layouts and shared GPUs."""

from datetime import timedelta
from typing import Any

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import (
    gpu_links,
    gpu_modes,
    gpu_paused,
    gpu_sharing,
    gpu_upgrades,
    gpus,
    mig_layouts,
    node_agents,
    rollouts_scaling,
)
from situation.findings import Effect, Finding, Severity
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import NOW, Manifest, ago, event, made, pod, situation
from tests.diagnosis.objects import causes_of, first_command

RULES = (
    rollouts_scaling.RULES + gpu_upgrades.RULES + gpu_paused.RULES + gpu_modes.RULES + mig_layouts.RULES + gpus.RULES
    + node_agents.RULES + gpu_sharing.RULES
)  # fmt: skip
MANAGER = [gpu.operand_set(gpu.MIG), gpu.operand(gpu.MIG)]
STATE = "nvidia.com/mig.config.state"
ASKED = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.capable": "true"}


def found(*manifests: Manifest) -> dict[str, Finding]:
    return causes_of(RULES, situation(*manifests))


def upgrading(state: str, *, cordoned_s: float = 60, **fields: Any) -> Manifest:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": ago(cordoned_s)}
    return gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": state, **fields.pop("labels", {})},
                        spec={"unschedulable": True, "taints": [taint]}, **fields)  # fmt: skip


def moved(message: str, age_s: float, *, type: str = "Normal") -> Manifest:
    return event("Node/gpu-1", "GPUDriverUpgrade", message, namespace="", age_s=age_s, type=type)


def test_a_failed_upgrade_shows_what_failed_and_follows_the_driver_that_does() -> None:
    said = moved("Failed to drain the node, timed out", 300, type="Warning")
    finding = found(upgrading("upgrade-failed"), said)["gpu-driver-upgrade-failed"]
    assert (finding.severity, finding.title) == (Severity.WARNING, "gpu-1 failed its driver upgrade")
    assert any("Failed to drain the node" in line.text for line in finding.evidence)
    assert [command.effect for command in finding.next] == [Effect.READ, Effect.READ, Effect.MUTATING]
    crash = gpu.operand(gpu.DRIVER, ready=False, container_status=gpu.crashing())
    broken = situation(upgrading("upgrade-failed"), gpu.operand_set(gpu.DRIVER, ready=0), crash)
    causes = causes_of(gpu_links.RULES + RULES, broken)
    assert [item.rule for item in causes["gpu-link-broken"].consequences] == ["gpu-driver-upgrade-failed"]


@pytest.mark.parametrize(
    ("state", "since_s", "severity"),
    [
        ("drain-required", 500, None),
        ("drain-required", 700, Severity.WARNING),
        ("pod-restart-required", 1500, None),
        ("pod-restart-required", 2000, Severity.WARNING),
        ("validation-required", 800, None),
        ("wait-for-jobs-required", 3500, None),
        ("wait-for-jobs-required", 4000, Severity.INFO),
        ("uncordon-required", 300, Severity.WARNING),
        ("upgrade-done", 90000, None),
    ],
)
def test_each_state_of_an_upgrade_has_its_time(state: str, since_s: float, severity: Severity | None) -> None:
    said = moved(f"Successfully updated node state label to {state}", since_s)
    causes = found(upgrading(state, cordoned_s=5000), said)
    assert {finding.severity for finding in causes.values()} == ({severity} if severity else set())


@pytest.mark.parametrize("name", [gpu.VALIDATOR, "nvidia-dra-validator"])
@pytest.mark.parametrize(("since_s", "told"), [(800, []), (1000, ["gpu-driver-upgrade-stuck"])])
def test_an_upgrade_that_waits_for_the_validator_follows_it(name: str, since_s: float, told: list[str]) -> None:
    """Edge 18 of the operator's graph: the selector is app=nvidia-operator-validator, which DRA's validator bears too.

    The controller gives it 10 minutes and then fails the upgrade; a state that outlives this by 5 is stuck.
    """
    validator = gpu.operand(gpu.VALIDATOR, ready=False, container_status=gpu.crashing())
    validator["metadata"]["ownerReferences"][0]["name"] = name
    said = moved("Successfully updated node state label to validation-required", since_s)
    known = situation(upgrading("validation-required", cordoned_s=2000), said, validator,
                      gpu.named(gpu.operand_set(gpu.VALIDATOR, ready=0), name))  # fmt: skip
    cause = causes_of(gpu_links.RULES + RULES, known)["gpu-link-broken"]
    assert cause.subject == Ref("DaemonSet", gpu.NAMESPACE, name)
    assert [item.rule for item in cause.consequences] == told


def test_without_any_time_nothing_is_said() -> None:
    assert not found(gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": "drain-required"}))


def test_a_drain_that_hangs_names_who_holds_the_gpus_and_follows_the_budget() -> None:
    held = resources.user(labels={"app": "web"})
    causes = found(upgrading("drain-required", cordoned_s=3000), held, resources.budget())
    (stuck,) = causes["budget-blocks-eviction"].consequences
    assert stuck.rule == "gpu-driver-upgrade-stuck"
    shown = [line.text for line in stuck.evidence]
    assert "holds GPUs: shop/train-1" in shown
    assert "shop/guard allows no eviction now" in shown


def waits(name: str = "gpu-2") -> Manifest:
    return gpu.bare_node(name=name, labels={"nvidia.com/gpu-driver-upgrade-state": "upgrade-required"})


@pytest.mark.parametrize(
    ("manifests", "severity"),
    [
        ([waits()], Severity.INFO),
        ([waits(), gpu.bare_node(ready="False")], Severity.WARNING),
        ([waits(), upgrading("pod-deletion-required")], None),
        ([waits(), gpu.bare_node(), moved("Successfully updated node state label to upgrade-done", 100)], None),
        ([gpu.bare_node(labels={"nvidia.com/gpu-driver-upgrade-state": "upgrade-required",
                               "nvidia.com/gpu-driver-upgrade.skip": "true"})], None),
    ],
    ids=["none is under way", "one is lost", "one is under way", "one was just done", "skipped on purpose"],
)  # fmt: skip
def test_nodes_that_wait_for_their_upgrade(manifests: list[Manifest], severity: Severity | None) -> None:
    finding = found(resources.policy(), *manifests).get("gpu-driver-upgrades-wait")
    assert (finding.severity if finding else None) is severity


def test_a_failed_node_is_why_others_wait() -> None:
    policy = resources.policy(spec={"driver": {"upgradePolicy": {"autoUpgrade": True}}})
    causes = found(policy, upgrading("upgrade-failed"), waits(), waits("gpu-3"))
    (waiting,) = causes["gpu-driver-upgrade-failed"].consequences
    assert waiting.title == "2 nodes wait for a driver upgrade, and none is under way"
    assert any("autoUpgrade true, maxParallelUpgrades 1, maxUnavailable 25%" in line.text for line in waiting.evidence)


PAUSED = gpu.bare_node(gpus=0, labels=gpu.deploy("true_paused-for-driver-upgrade", "device-plugin", "dcgm"))


@pytest.mark.parametrize(
    ("driver", "fires"),
    [
        ([gpu.operand(gpu.DRIVER)], True),
        ([], True),
        ([gpu.operand(gpu.DRIVER, age_s=60)], False),
        ([gpu.operand(gpu.DRIVER, ready=False, age_s=600)], False),
        ([gpu.operand(gpu.DRIVER, ready=False, age_s=1500)], True),
        ([gpu.operand(gpu.DRIVER, ready=False, age_s=600, container_status=gpu.crashing())], True),
    ],
    ids=["ready", "gone", "just ready", "starts", "starts for too long", "crashes"],
)
def test_operands_that_were_left_paused(driver: list[Manifest], fires: bool) -> None:
    causes = found(PAUSED, *driver)
    assert ("gpu-operands-left-paused" in causes) is fires
    if fires:
        finding = causes["gpu-operands-left-paused"]
        assert [item.rule for item in finding.consequences] == ["node-gpus-lost"]
        assert finding.next[-1].argv[4:6] == (
            "nvidia.com/gpu.deploy.dcgm=true",
            "nvidia.com/gpu.deploy.device-plugin=true",
        )


def test_a_failed_mig_change() -> None:
    failed = gpu.bare_node(labels={**ASKED, STATE: "failed"})
    finding = found(failed, *MANAGER, resources.user())["mig-change-failed"]
    assert finding.title == "gpu-1 could not change its MIG layout to all-1g.10gb"
    assert first_command(finding) == "kubectl -n gpu-operator logs nvidia-mig-manager-gpu-1 --tail=200"
    assert any(line.text == "holds GPUs: shop/train-1" for line in finding.evidence)


def test_the_failure_of_a_layout_before_is_not_that_of_the_one_just_asked_for() -> None:
    before = {**ASKED, STATE: "failed"}
    asked = {**before, "nvidia.com/mig.config": "all-2g.20gb"}
    known = situation(gpu.bare_node(labels=before), *MANAGER)
    engine = Engine(RULES)

    def told(labels: dict[str, str], after_s: float) -> list[str]:
        now = NOW + timedelta(seconds=after_s)
        changed = Changed("nodes", (made(gpu.bare_node(labels=labels)),))
        changes = known.apply(Reading("kubernetes/nodes", SourceState.LIVE, now, changed))
        causes = engine.judge(known, changes, now).causes
        return [cause.title for cause in causes if cause.rule == "mig-change-failed"]

    assert told(before, 0) == ["gpu-1 could not change its MIG layout to all-1g.10gb"]
    assert told(asked, 1) == []
    assert told({**asked, STATE: "pending"}, 3) == []
    assert told(asked, 40) == ["gpu-1 could not change its MIG layout to all-2g.20gb"]
    assert told(before, 41) == []
    assert engine.judge(known, (), NOW + timedelta(seconds=70)).causes == ()
    fails = engine.judge(known, (), NOW + timedelta(seconds=72)).causes
    assert [cause.rule for cause in fails] == ["mig-change-failed"], "nobody acts on it: judged again by itself"


PENDING = {**ASKED, STATE: "pending", **gpu.deploy("paused-for-mig-change", "device-plugin", "dcgm")}


def leaving(of: str, age_s: float) -> Manifest:
    made = gpu.operand(of)
    return {**made, "metadata": {**made["metadata"], "deletionTimestamp": ago(age_s)}}


@pytest.mark.parametrize(
    ("made", "more", "fires"),
    [
        (gpu.bare_node(gpus=0, labels=PENDING), [], True),
        (gpu.bare_node(gpus=8, allocatable=0, labels=PENDING), [], False),
        (gpu.bare_node(gpus=0, labels=PENDING), [leaving("nvidia-dcgm", 100)], False),
        (gpu.bare_node(gpus=0, labels=PENDING), [leaving("nvidia-dcgm", 900)], True),
        (gpu.bare_node(gpus=0, labels=PENDING, age_s=300), [], False),
        (gpu.bare_node(gpus=0, labels={**PENDING, STATE: "rebooting"}), [], True),
        (gpu.bare_node(gpus=0, labels={**PENDING, STATE: "success"}), [], False),
    ],
    ids=[
        "for ever",
        "less than 5 minutes",
        "operand goes",
        "operand does not go",
        "node came back",
        "rebooted",
        "done",
    ],
)
def test_a_mig_change_that_hangs(made: Manifest, more: list[Manifest], fires: bool) -> None:
    causes = found(made, *MANAGER, *more)
    assert ("mig-change-stuck" in causes) is fires
    if fires:
        assert [item.rule for item in causes["mig-change-stuck"].consequences] == ["node-gpus-lost"]
    else:
        assert all(finding.severity is Severity.INFO for rule, finding in causes.items() if rule != "mig-not-applied")


def test_a_mig_change_that_hangs_names_who_blocks_it() -> None:
    held, hangs = resources.user(labels={"app": "web"}), gpu.bare_node(gpus=0, labels=PENDING)
    shown = [line.text for line in found(hangs, *MANAGER, held, resources.budget())["mig-change-stuck"].evidence]
    assert {"holds GPUs: shop/train-1", "shop/guard allows no eviction now"} <= set(shown)
    no_manager = found(hangs, gpu.operand_set(gpu.MIG, desired=0))["mig-change-stuck"]
    assert any(line.text == "no MIG manager runs on it" for line in no_manager.evidence)


INVALID = {**ASKED, STATE: "success", "nvidia.com/gpu.product": "NVIDIA-H100-MIG-INVALID"}


def test_a_layout_that_does_not_fit() -> None:
    causes = found(gpu.bare_node(gpus=0, labels=INVALID), *MANAGER)
    assert [item.rule for item in causes["mig-layout-invalid"].consequences] == ["node-gpus-lost"]
    fresh = gpu.operand(gpu.GFD, age_s=100)
    assert "mig-layout-invalid" not in found(gpu.bare_node(gpus=0, labels=INVALID), *MANAGER, fresh)
    changing = gpu.bare_node(gpus=0, labels={**INVALID, STATE: "pending"})
    assert "mig-layout-invalid" not in found(changing, *MANAGER)


@pytest.mark.parametrize(
    ("labels", "fires"),
    [
        ({"nvidia.com/mig.config": "all-enabled", STATE: "success"}, True),
        ({"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig.capable": "true"}, True),
        ({"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig.capable": "true", "nvidia.com/gpu.count": "8"}, False),
        ({}, False),
    ],
)
def test_mig_without_instances(labels: dict[str, str], fires: bool) -> None:
    causes = found(gpu.bare_node(gpus=0, labels=labels), gpu.operand(gpu.PLUGIN), gpu.operand_set(gpu.PLUGIN))
    assert ("mig-without-instances" in causes) is fires


DONE = {**ASKED, STATE: "success"}
PRODUCT = "nvidia.com/gpu.product"


@pytest.mark.parametrize(
    ("made", "more", "title"),
    [
        (gpu.bare_node(labels=ASKED), MANAGER, "was never given its MIG layout all-1g.10gb"),
        (gpu.bare_node(labels=ASKED), [gpu.operand(gpu.MIG, age_s=100)], ""),
        (gpu.bare_node(labels=ASKED, age_s=300), [], ""),
        (gpu.bare_node(labels={**ASKED, "nvidia.com/mig.config": "all-disabled"}), MANAGER, ""),
        (gpu.bare_node(labels={**DONE, "nvidia.com/mig.strategy": "mixed"}), MANAGER,
         "does not show its MIG layout all-1g.10gb"),
        (gpu.bare_node(labels={**DONE, "nvidia.com/mig.strategy": "mixed"}, resource="nvidia.com/mig-1g.10gb"), MANAGER,
         ""),
        (gpu.bare_node(labels={**DONE, "nvidia.com/mig.strategy": "single", PRODUCT: "NVIDIA-H100-MIG-3g.40gb"}),
         MANAGER, "does not show its MIG layout all-1g.10gb"),
        (gpu.bare_node(labels={**DONE, "nvidia.com/mig.strategy": "single", PRODUCT: "NVIDIA-H100-MIG-1g.10gb"}),
         MANAGER, ""),
        (gpu.bare_node(labels={**DONE, "nvidia.com/mig.config": "all-disabled"}, resource="nvidia.com/mig-1g.10gb"),
         MANAGER, "does not show its MIG layout all-disabled"),
        (gpu.bare_node(labels={**DONE, "nvidia.com/mig.config": "my-own"}), MANAGER, ""),
    ],
)  # fmt: skip
def test_a_layout_that_never_came(made: Manifest, more: list[Manifest], title: str) -> None:
    finding = found(made, *more).get("mig-not-applied")
    assert (finding.title if finding else "") == (f"gpu-1 {title}" if title else "")


def test_a_layout_that_was_asked_for_a_moment_ago_may_take_its_time() -> None:
    """The state still tells of the layout before; the manager takes a second or two to say that it began."""
    labels = {**DONE, "nvidia.com/mig.strategy": "mixed"}
    known = situation(gpu.bare_node(labels=labels, resource="nvidia.com/mig-1g.10gb"), *MANAGER)
    for other in (labels, {**labels, "nvidia.com/mig.config": "all-3g.40gb"}):
        changed = Changed("nodes", (made(gpu.bare_node(labels=other, resource="nvidia.com/mig-1g.10gb")),))
        known.apply(Reading("kubernetes/nodes", SourceState.LIVE, NOW, changed))
        assert "mig-not-applied" not in causes_of(RULES, known)
    assert "mig-not-applied" not in causes_of(RULES, known, NOW + timedelta(seconds=290))
    assert "mig-not-applied" in causes_of(RULES, known, NOW + timedelta(seconds=310))


@pytest.mark.parametrize(
    ("labels", "severity"),
    [
        ({PRODUCT: "NVIDIA-A100-SXM4-80GB"}, Severity.INFO),
        ({"nvidia.com/mig.capable": "true", "nvidia.com/mig.config": "my-own", STATE: "success"}, Severity.WARNING),
        ({PRODUCT: "NVIDIA-A10"}, None),
        ({PRODUCT: "NVIDIA-A100-SXM4-80GB", **gpu.deploy("false", "mig-manager")}, None),
    ],
)
def test_a_node_without_mig_manager(labels: dict[str, str], severity: Severity | None) -> None:
    causes = found(gpu.bare_node(labels=labels), gpu.operand_set(gpu.MIG, desired=0))
    finding = causes.get("mig-manager-missing")
    assert (finding.severity if finding else None) is severity


SHARED = {PRODUCT: "NVIDIA-A10-SHARED", "nvidia.com/gpu.count": "2", "nvidia.com/gpu.replicas": "4"}


@pytest.mark.parametrize(
    ("strategy", "pods", "fires"),
    [
        ("time-slicing", [resources.user("a", gpus="2"), resources.user("b", namespace="other")], True),
        ("mps", [resources.user("a", gpus="2"), resources.user("b", namespace="other")], True),
        ("time-slicing", [resources.user("a"), resources.user("b", namespace="other")], False),
        ("time-slicing", [resources.user("a", gpus="2"), resources.user("b")], False),
        ("none", [resources.user("a", gpus="2"), resources.user("b", namespace="other")], False),
        ("time-slicing", [resources.user("a", gpus="2"), pod("b", namespace="other", node="gpu-1")], False),
    ],
    ids=["sliced", "mps", "a GPU for each", "one team", "whole", "no GPU asked for"],
)
def test_gpus_shared_between_teams(strategy: str, pods: list[Manifest], fires: bool) -> None:
    labels = {**SHARED, "nvidia.com/gpu.sharing-strategy": strategy}
    causes = found(*(gpu.bare_node(8, f"gpu-{number}", labels=labels) for number in (1, 2)), *pods)
    assert list(causes) == (["gpus-shared-without-isolation"] if fires else [])
    if fires:
        finding = causes["gpus-shared-without-isolation"]
        assert finding.subject == Ref("NodeGroup", "", f"NVIDIA-A10 ({strategy}, 4 replicas)")
        assert finding.severity is Severity.INFO
        assert finding.evidence[0].text == "gpu-1: 3 of 8 slots of 2 GPUs in use"
        assert any(line.text == "several slots are not several GPUs: shop/a" for line in finding.evidence)
