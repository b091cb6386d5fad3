"""Init containers that crash or wait, and the GPU operands that wait for each other."""

from typing import Any

import pytest

from situation.findings import Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, ago, causes, judged, meta, node, pod
from tests.diagnosis.pod_faults import (
    OWNED,
    ended,
    fault,
    first_command,
    looping,
    rule_of,
    running,
    status,
    waiting,
)


def init_pod(init_status: Manifest, *, init: Manifest | None = None, **more: Any) -> Manifest:
    """Return a pod of Deployment web that has not got past its init container `wait-db`."""
    base: Manifest = {
        **OWNED,
        "phase": "Pending",
        "ready": False,
        "age_s": 3600,
        "spec": {"initContainers": [{"name": "wait-db", "image": "busybox", **(init or {})}]},
        "container_status": status(waiting("PodInitializing")),
        "status": {"initContainerStatuses": [{"name": "wait-db", **init_status}]},
    }
    return pod(**{**base, **more})


@pytest.mark.parametrize(
    ("container_status", "rule", "title", "severity"),
    [
        (looping(), "init-crash", "web init container wait-db crashes: exit 1, 4 restarts", Severity.CRITICAL),
        (
            status(running(3), ended(ended_s=3), restarts=5),
            "init-crash",
            "web init container wait-db crashes: exit 1, 5 restarts",
            Severity.CRITICAL,
        ),
        (
            looping(ended(137, reason="OOMKilled")),
            "oom-killed",
            "web is OOM-killed without a memory limit of its own",
            Severity.CRITICAL,
        ),
        (status(running(301)), "init-waiting", "web waits in init container wait-db", Severity.WARNING),
    ],
)
def test_fires(container_status: Manifest, rule: str, title: str, severity: Severity) -> None:
    found = fault(init_pod(container_status), node())
    assert found is not None
    assert (found.rule, found.title, found.severity) == (rule, title, severity)
    assert (found.subject, found.layer) == (Ref("Deployment", "shop", "web"), Layer.APPLICATION)


@pytest.mark.parametrize(
    "container_status",
    [
        pytest.param(status(running(299)), id="within its budget"),
        pytest.param(status(ended(ended_s=2)), id="first crash, seconds ago"),
        pytest.param(status(ended(0, reason="Completed", ended_s=3), ready=True), id="done"),
    ],
)
def test_young_or_done_is_silent(container_status: Manifest) -> None:
    assert rule_of(init_pod(container_status), node()) == "clear"


def test_a_healthy_pod_whose_init_container_once_crashed_is_silent() -> None:
    done = {"name": "wait-db", **status(ended(0, reason="Completed", ended_s=500), ended(), restarts=7, ready=True)}
    healthy = pod(**OWNED, spec={"initContainers": [{"name": "wait-db"}]}, status={"initContainerStatuses": [done]})
    assert rule_of(healthy, node()) == "clear"


def test_a_sidecar_that_runs_is_no_wait() -> None:
    sidecar = init_pod(
        status(running(3000), ready=True, started=True),
        init={"restartPolicy": "Always"},
        container_status=status(running(3000), ready=True),
        phase="Running",
        ready=True,
    )
    assert rule_of(sidecar, node()) == "clear"


def test_first_commands() -> None:
    crash, wait = fault(init_pod(looping())), fault(init_pod(status(running(400))))
    assert crash and wait
    assert first_command(crash) == "kubectl -n shop logs web-1 -c wait-db --previous --tail=100"
    assert first_command(wait) == "kubectl -n shop logs web-1 -c wait-db --tail=100"


def test_waiting_for_a_service_names_it() -> None:
    service = {"kind": "Service", "metadata": meta("db"), "spec": {"selector": {"app": "db"}}}
    found = fault(init_pod(status(running(400)), init={"env": [{"name": "DB", "value": "db:5432"}]}), node(), service)
    assert found is not None
    assert "its environment names db" in [line.text for line in found.evidence]


# The GPU operands


def daemonset(name: str) -> Manifest:
    return {
        "kind": "DaemonSet",
        "metadata": meta(name, "gpu-operator", labels={"app": name, "app.kubernetes.io/managed-by": "gpu-operator"}),
        "status": {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberReady": 1},
    }


def operand(name: str, init: str = "", waits_s: float = 90, **more: Any) -> Manifest:
    """Return an operand's pod on node-1; with `init`, one that has been in that init container for `waits_s`."""
    base: Manifest = {
        "namespace": "gpu-operator",
        "owner": f"DaemonSet/{name}",
        "labels": {"app": name, "app.kubernetes.io/managed-by": "gpu-operator"},
        "age_s": max(600.0, waits_s),
    }
    if init:
        base |= {
            "phase": "Pending",
            "ready": False,
            "spec": {"initContainers": [{"name": init}]},
            "container_status": status(waiting("PodInitializing")),
            "status": {"initContainerStatuses": [{"name": init, **status(running(waits_s))}]},
        }
    return pod(f"{name}-x", **{**base, **more})


DRIVER, TOOLKIT = "nvidia-driver-daemonset", "nvidia-container-toolkit-daemonset"
PLUGIN, VALIDATOR = "nvidia-device-plugin-daemonset", "nvidia-operator-validator"
SETS = [daemonset(name) for name in (DRIVER, TOOLKIT, PLUGIN, VALIDATOR)]


def waiters(waits_s: float = 90) -> list[Manifest]:
    return [
        operand(TOOLKIT, "driver-validation", waits_s),
        operand(VALIDATOR, "driver-validation", waits_s),
        operand(PLUGIN, "toolkit-validation", waits_s),
    ]


def test_a_crashing_driver_explains_all_that_wait() -> None:
    driver = operand(DRIVER, ready=False, container_status=looping())
    cause = causes(driver, *waiters(), *SETS, node())["crash-loop"]
    assert (cause.subject.name, cause.layer, cause.severity) == (DRIVER, Layer.NODE, Severity.CRITICAL)
    waits = {found.subject.name for found in cause.consequences if found.rule == "init-waiting"}
    assert waits == {TOOLKIT, VALIDATOR, PLUGIN}


def test_without_a_driver_the_first_that_waits_is_the_cause() -> None:
    found = [cause for cause in judged(*waiters(), *SETS[1:], node()).causes if cause.rule == "init-waiting"]
    assert [cause.subject.name for cause in found] == [TOOLKIT]
    assert found[0].layer is Layer.NODE


@pytest.mark.parametrize("waits_s", [90, 900])
def test_a_driver_that_builds_its_module_is_waited_for(waits_s: float) -> None:
    driver = operand(DRIVER, ready=False, age_s=waits_s, container_status=status(running(waits_s), started=False))
    found = judged(driver, *waiters(waits_s), *SETS, node()).causes
    assert [cause.title for cause in found if cause.rule == "init-waiting"] == []


def test_an_operand_may_take_a_moment_after_the_one_before_it_is_ready() -> None:
    fresh: Manifest = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(20)}]}
    driver = operand(DRIVER, status=fresh)
    assert rule_of(operand(TOOLKIT, "driver-validation"), driver, *SETS, node()) == "clear"
    old: Manifest = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(200)}]}
    assert rule_of(operand(TOOLKIT, "driver-validation"), operand(DRIVER, status=old), *SETS, node()) == "init-waiting"


def test_the_validators_last_step_waits_for_the_device_plugin() -> None:
    plugin = operand(PLUGIN, ready=False, container_status=looping())
    cause = causes(plugin, operand(VALIDATOR, "plugin-validation"), *SETS, node())["crash-loop"]
    assert cause.subject.name == PLUGIN
    assert VALIDATOR in {found.subject.name for found in cause.consequences}
