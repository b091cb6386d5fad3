"""Which container of a pod has the log that matters."""

from typing import Any

import pytest

from situation.logs import LogTarget, log_target
from situation.pods import Pod
from tests.build import made, pod

RUNNING: dict[str, Any] = {"state": {"running": {}}}
WAITING: dict[str, Any] = {"state": {"waiting": {"reason": "PodInitializing"}}}
DONE: dict[str, Any] = {"state": {"terminated": {"exitCode": 0}}}
FAILED: dict[str, Any] = {"state": {"terminated": {"exitCode": 1}}}
LOOPING: dict[str, Any] = {
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1}},
}


def target(inits: dict[str, dict[str, Any]], main: dict[str, dict[str, Any]]) -> LogTarget | None:
    item = made(
        pod(
            spec={
                "nodeName": "n1",
                "initContainers": [
                    {"name": name, **({"restartPolicy": "Always"} if name == "sidecar" else {})} for name in inits
                ],
                "containers": [{"name": name} for name in main],
            },
            status={
                "phase": "Running",
                "initContainerStatuses": [{"name": name, **status} for name, status in inits.items()],
                "containerStatuses": [{"name": name, **status} for name, status in main.items()],
            },
        )
    )
    assert isinstance(item, Pod)
    return log_target(item)


@pytest.mark.parametrize(
    ("inits", "main", "name", "previous"),
    [
        ({}, {"app": {**RUNNING, "ready": True}}, "app", False),
        ({}, {"app": {**RUNNING, "ready": True}, "proxy": RUNNING}, "proxy", False),
        ({}, {"app": {**RUNNING, "ready": True}, "proxy": LOOPING}, "proxy", True),
        ({"first": DONE, "second": RUNNING}, {"app": WAITING}, "second", False),
        ({"first": LOOPING, "second": WAITING}, {"app": WAITING}, "first", True),
        ({"first": FAILED}, {"app": WAITING}, "first", False),
        ({"first": DONE}, {"app": WAITING}, "first", False),
        ({"sidecar": {**RUNNING, "ready": True}}, {"app": LOOPING}, "app", True),
        ({"sidecar": RUNNING}, {"app": {**RUNNING, "ready": True}}, "sidecar", False),
    ],
)
def test_the_first_container_that_is_not_well(
    inits: dict[str, dict[str, Any]], main: dict[str, dict[str, Any]], name: str, previous: bool
) -> None:
    assert target(inits, main) == LogTarget("shop", "web-1", name, previous)


def test_what_has_not_run_has_no_log() -> None:
    assert target({"first": WAITING}, {"app": WAITING}) is None
    assert target({}, {}) is None
