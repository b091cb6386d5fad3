"""A MIG manager that restarted, and the change that it was to make: told once."""

import pytest

from diagnosis.engine import diagnose
from situation.findings import Finding
from tests import gpu_objects as gpu
from tests.build import NOW, Manifest, ago, situation

ASKED = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.capable": "true"}
STATE = "nvidia.com/mig.config.state"
RULES = {"failed": "mig-change-failed", "pending": "mig-change-stuck"}

CRASHING = {
    "ready": False,
    "restartCount": 5,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 2m40s restarting failed container"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": ago(90), "finishedAt": ago(80)}},
}


def manager(restarted_s: float) -> Manifest:
    """A manager that crashed once, is up again since then, and Ready."""
    made = gpu.operand_pod(gpu.MIG)
    ended = {"exitCode": 1, "reason": "Error", "startedAt": ago(restarted_s + 900), "finishedAt": ago(restarted_s + 9)}
    made["status"]["containerStatuses"][0] |= {
        "restartCount": 1,
        "lastState": {"terminated": ended},
        "state": {"running": {"startedAt": ago(restarted_s)}},
    }
    return made


def changing(state: str) -> Manifest:
    paused = gpu.deploy("paused-for-mig-change", "device-plugin", "dcgm") if state == "pending" else {}
    return gpu.bare_node(gpus=0 if paused else 8, labels={**ASKED, STATE: state, **paused})


def about_mig(*manifests: Manifest) -> list[Finding]:
    sets = [gpu.operand_set(gpu.MIG, desired=2)]
    causes = diagnose(situation(*sets, *manifests), NOW).causes
    rules = {*RULES.values(), "gpu-link-broken"}
    return [
        cause
        for cause in causes
        if cause.rule in rules and (cause.rule != "gpu-link-broken" or cause.subject.kind == "DaemonSet")
    ]


@pytest.mark.parametrize("state", RULES)
def test_a_manager_that_just_restarted_and_its_change_are_one_cause(state: str) -> None:
    (cause,) = about_mig(changing(state), manager(190))
    assert (cause.rule, cause.subject.name) == ("gpu-link-broken", gpu.MIG)
    assert RULES[state] in {item.rule for item in cause.consequences}


@pytest.mark.parametrize("state", RULES)
def test_a_restart_of_long_ago_explains_nothing(state: str) -> None:
    assert [cause.rule for cause in about_mig(changing(state), manager(7200))] == [RULES[state]]


@pytest.mark.parametrize("state", RULES)
def test_the_manager_of_another_node_explains_nothing(state: str) -> None:
    other = gpu.bare_node(name="gpu-2", labels=ASKED)
    causes = about_mig(
        changing(state), gpu.operand_pod(gpu.MIG), other, gpu.operand_pod(gpu.MIG, "gpu-2", broken=CRASHING)
    )
    assert {cause.rule for cause in causes} == {RULES[state], "gpu-link-broken"}
