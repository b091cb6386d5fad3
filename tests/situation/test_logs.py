"""Which container of a pod has the log that matters."""

from typing import Any

import pytest

from situation.logs import LogLine, LogRun, LogTarget, PodLog, last_line, log_target
from situation.pods import Pod
from tests.build import NOW, made, pod

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


def said(*lines: str, cut: str = "") -> LogRun:
    return LogRun(tuple(LogLine(line, NOW) for line in lines), cut=cut)


@pytest.mark.parametrize(
    ("previous", "current", "text", "of_previous"),
    [
        (said("old"), said("one", "two", "  "), "two", False),
        (said("old"), said(), "old", True),
        (said("old"), said("one", cut="after 512 KiB"), "", False),
        (said("old", cut="after 512 KiB"), said(), "", False),
        (said(), said(" "), "", False),
    ],
    ids=["of the present run", "of the one before", "end missing", "end missing before", "no words"],
)
def test_the_last_line(previous: LogRun, current: LogRun, text: str, of_previous: bool) -> None:
    found = last_line(PodLog(LogTarget("shop", "web-1"), previous, current, NOW))
    assert (found.line.text if found else "") == text
    assert found is None or found.of_previous is of_previous
