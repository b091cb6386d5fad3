"""Containers that the runtime cannot start: told apart by the text alone."""

import pytest

from situation.findings import Layer
from situation.meta import Ref
from tests.build import Manifest, event, node, pod
from tests.diagnosis.pod_faults import (
    OWNED,
    creating,
    ended,
    fault,
    first_command,
    looping,
    rule_of,
    running,
    status,
    waiting,
    with_status,
)

RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: error during container init: "
)
OOM_TEXT = RUNC + "container init was OOM-killed (memory limit too low?): unknown"
NOT_IN_PATH = RUNC + 'exec: "foo": executable file not found in $PATH: unknown'
NO_FILE = RUNC + 'exec: "/app/run": stat /app/run: no such file or directory: unknown'
DENIED = RUNC + 'exec: "/entry.sh": permission denied: unknown'
NVIDIA = (
    RUNC + "error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'\n"
    "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown"
)
MOUNT = RUNC + 'error mounting "/var/x" to rootfs at "/etc/x": not a directory: unknown'
LIMIT: Manifest = {"resources": {"limits": {"memory": "4Mi"}}}


def start_error(text: str) -> Manifest:
    return ended(128, reason="StartError", ran_s=0, message=text)


@pytest.mark.parametrize(
    ("container_status", "rule", "title"),
    [
        (status(waiting("RunContainerError", NOT_IN_PATH)), "bad-command", "web cannot start: foo is not in the image"),
        (looping(start_error(NOT_IN_PATH)), "bad-command", "web cannot start: foo is not in the image"),
        (
            status(start_error(NO_FILE), restarts=2),
            "bad-command",
            "web cannot start: /app/run does not exist in the image",
        ),
        (looping(start_error(DENIED)), "bad-command", "web cannot start: /entry.sh may not be executed"),
        (
            looping(start_error("crun: executable file `foo` not found in $PATH: No such file or directory")),
            "bad-command",
            "web cannot start: foo is not in the image",
        ),
        (looping(ended(127, ran_s=0)), "bad-command", "web cannot run its command: exit 127 (command not found)"),
        (looping(ended(126, ran_s=0)), "bad-command", "web cannot run its command: exit 126 (not executable)"),
        (looping(ended(127, ran_s=300)), "crash-loop", "web crashes: exit 127 (command not found), 4 restarts"),
        (looping(start_error(OOM_TEXT)), "memory-limit-too-small", "web cannot start: memory limit 4Mi is too small"),
        (
            status(waiting("RunContainerError", OOM_TEXT)),
            "memory-limit-too-small",
            "web cannot start: memory limit 4Mi is too small",
        ),
        (
            looping(start_error(MOUNT)),
            "start-failure",
            'web cannot start: error mounting "/var/x" to rootfs at "/etc/x": not a direct…',
        ),
        (status(waiting("CreateContainerError")), "start-failure", "web cannot start: CreateContainerError"),
        (
            looping(start_error(NVIDIA)),
            "nvidia-runtime",
            "node-1 cannot start GPU containers: nvml error: driver/library version mismatch",
        ),
    ],
)
def test_the_text_decides(container_status: Manifest, rule: str, title: str) -> None:
    found = fault(with_status(container_status, container=LIMIT, phase="Pending"), node())
    assert found is not None
    assert (found.rule, found.title) == (rule, title)


def test_subject_layer_and_first_commands() -> None:
    command = fault(with_status(looping(start_error(NOT_IN_PATH))))
    memory = fault(with_status(looping(start_error(OOM_TEXT))))
    shell = fault(with_status(looping(ended(127, ran_s=0))))
    assert command and memory and shell
    assert command.subject == memory.subject == Ref("Deployment", "shop", "web")
    assert command.layer is memory.layer is Layer.APPLICATION
    path = '{.spec.containers[?(@.name=="app")].command}'
    assert first_command(command) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path}'"
    assert first_command(memory) == "kubectl -n shop get pod web-1 -o 'jsonpath={.spec.containers[*].resources}'"
    assert first_command(shell) == "kubectl -n shop logs web-1 --previous --tail=100"


@pytest.mark.parametrize("sidecar", [{}, {"restartPolicy": "Always"}], ids=["init container", "native sidecar"])
@pytest.mark.parametrize(
    ("said", "path"),
    [
        (OOM_TEXT, "{.spec.initContainers[*].resources}"),
        (NOT_IN_PATH, '{.spec.initContainers[?(@.name=="setup")].command}'),
    ],
)
def test_an_init_container_that_cannot_start_is_looked_for_among_its_like(
    said: str, path: str, sidecar: Manifest
) -> None:
    spec = {"initContainers": [{"name": "setup", **sidecar}]}
    statuses = {"initContainerStatuses": [{"name": "setup", **looping(start_error(said))}]}
    found = fault(pod(**OWNED, phase="Pending", ready=False, spec=spec, status=statuses), node())
    assert found is not None
    assert first_command(found) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path}'"


def test_a_sandbox_that_is_oom_killed_is_the_limit_not_the_network() -> None:
    sandbox = event("Pod/web-1", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {OOM_TEXT}")
    found = fault(creating(container=LIMIT), node(), sandbox)
    assert found is not None
    assert (found.rule, found.title) == ("memory-limit-too-small", "web cannot start: memory limit 4Mi is too small")
    either = fault(creating(container=LIMIT, spec={"initContainers": [{"name": "setup"}]}), node(), sandbox)
    path = "{.spec.initContainers[*].resources}{.spec.containers[*].resources}"
    assert either is not None and first_command(either).endswith(f"'jsonpath={path}'")


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(pod(**OWNED), id="healthy"),
        pytest.param(
            with_status(status(running(60), start_error(NOT_IN_PATH), restarts=3, ready=True), ready=True),
            id="runs now",
        ),
    ],
)
def test_recovered_is_silent_whatever_the_events_say(manifest: Manifest) -> None:
    stale = [
        event("Pod/web-1", "FailedCreatePodSandBox", OOM_TEXT),
        event("Pod/web-1", "Failed", f"Error: {NOT_IN_PATH}"),
    ]
    assert rule_of(manifest, node(), *stale) == "clear"
