"""Init containers that crash or wait."""

from typing import Any

import pytest

from situation.findings import Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, meta, node, pod
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


@pytest.mark.parametrize(
    "init",
    [{"name": "storage-initializer", "image": "kserve/storage-initializer:v0.15"},
     {"name": "fetch", "image": "registry.example.com/kserve/storage-initializer:v0.15"}],
)  # fmt: skip
def test_kserve_downloads_the_model_and_waits_for_nothing(init: Manifest) -> None:
    statuses = {"initContainerStatuses": [{"name": init["name"], **status(running(400))}]}
    found = fault(init_pod({}, spec={"initContainers": [init]}, status=statuses), node())
    assert found is not None
    assert found.title == f"web downloads its model in init container {init['name']}"
    assert [line.text for line in found.evidence] == [
        f"init container {init['name']} (1 of 1) runs for 6m40s",
        "no restarts: it downloads the model, and has not failed",
        "its log says from where, and how far it is",
    ]
    assert first_command(found) == f"kubectl -n shop logs web-1 -c {init['name']} --tail=100"
    assert found.next[0].purpose == "how far is the download?"


def test_waiting_for_a_service_names_it() -> None:
    service = {"kind": "Service", "metadata": meta("db"), "spec": {"selector": {"app": "db"}}}
    found = fault(init_pod(status(running(400)), init={"env": [{"name": "DB", "value": "db:5432"}]}), node(), service)
    assert found is not None
    assert "its environment names db" in [line.text for line in found.evidence]
