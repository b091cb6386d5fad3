"""Pods that could not start, and do now: their events are still there, seconds old."""

from typing import Final

import pytest

from tests.build import Manifest, ago, event, node, pod
from tests.diagnosis.pod_faults import OWNED, creating, ended, looping, running, status, with_status
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_configuration import ROOT, SETUP, VOLUMES, config_error, failed_mount
from tests.diagnosis.test_container_start import MOUNT, NOT_IN_PATH, OOM_TEXT, start_error
from tests.diagnosis.test_containers import KILLED, LIMIT, LIVENESS, OOM, STARTUP, STARTUP_KILLED, SYSTEM_OOM, kill
from tests.diagnosis.test_images import FAILED, NOT_FOUND, pulling
from tests.diagnosis.test_init_containers import init_pod
from tests.diagnosis.test_mounts import CLAIM, MULTI, SUMMARY, told
from tests.diagnosis.test_mounts import MOUNT as VOLUME_MOUNT
from tests.diagnosis.test_readiness import PROBE, REFUSED, unhealthy, unready
from tests.diagnosis.test_slow_start import PULLING, unseen
from tests.diagnosis.test_startup import CALICO, DRA, NO_ADDRESS, NO_NVIDIA, SANDBOX, SOCKET, sandbox_event

STARTED: Final = pod(**OWNED, container_status=status(running(-1), ready=True))
"""The same pod, a second after it could start."""
ANOTHER: Final = (gone("Pod", "web-1"), pod("web-2", **OWNED, age_s=-1))
"""The template was edited: a new pod in place of the old one."""
OLD_LOG_OF_KILLS: Final = event(
    "Pod/web-1", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", count=12
)


def up(after_s: float, restarts: int = 4, last: Manifest | None = None) -> Manifest:
    """Return the pod that has crashed until now, and has run since `after_s` after it."""
    end = last or ended()
    return pod(**OWNED, container_status=status(running(-after_s), end, restarts=restarts, ready=True))


def initialized() -> Manifest:
    """Return the pod of `init_pod` once its init container is through."""
    done = {"name": "wait-db", **status(ended(0, reason="Completed", ended_s=-1), ended(), restarts=4, ready=True)}
    container = status(running(-1), ready=True)
    return init_pod(
        {}, phase="Running", ready=True, container_status=container, status={"initContainerStatuses": [done]}
    )


SANDBOX_UP: Final = creating(
    status={
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(600)},
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": ago(-1)},
        ],
        "startTime": ago(600),
    }
)
"""The same pod, ten minutes old: a second ago it got its volumes and its network, and it has yet to pull its image."""
OF_DATA: Final = SUMMARY.replace("data logs", "data")
ATTACHED: Final = 'AttachVolume.Attach succeeded for volume "pv-7"'
NODE: Final = node()
CASES: Final = (
    Case("missing-config", [config_error('secret "db" not found'), NODE], [STARTED], name="env"),
    Case(
        "missing-config",
        [creating(spec=VOLUMES), NODE, failed_mount(SETUP + 'configmap "web-conf" not found')],
        [STARTED],
        name="volume",
    ),
    Case("missing-config-key", [config_error("couldn't find key url in ConfigMap shop/web"), NODE], [STARTED]),
    Case("run-as-non-root", [config_error(ROOT), NODE], ANOTHER),
    Case("config-error", [config_error("failed to sync secret cache: timed out"), NODE], [STARTED]),
    Case("bad-command", [with_status(looping(start_error(NOT_IN_PATH))), NODE], ANOTHER),
    Case("memory-limit-too-small", [with_status(looping(start_error(OOM_TEXT)), container=LIMIT), NODE], ANOTHER),
    *(
        Case(rule, [with_status(looping(last), container=LIMIT), NODE], [up(1, last=last)], name="it starts")
        for rule, last in (
            ("start-failure", start_error(MOUNT)),
            ("bad-command", start_error(NOT_IN_PATH)),
            ("memory-limit-too-small", start_error(OOM_TEXT)),
        )
    ),
    Case("image-pull", [pulling(NOT_FOUND), NODE, event("Pod/web-1", "Failed", FAILED + NOT_FOUND)], [STARTED]),
    Case(
        "image-never-pulled",
        [with_status(status({"waiting": {"reason": "ErrImageNeverPull", "message": "no"}}), phase="Pending"), NODE],
        [STARTED],
    ),
    *(
        Case(rule, [creating(), NODE, sandbox_event(text, reason)], [STARTED])
        for rule, text, reason in (
            ("pod-ips-exhausted", NO_ADDRESS, "FailedCreatePodSandBox"),
            ("runtime-unreachable", SOCKET, "FailedCreatePodSandBox"),
            ("nvidia-runtime", NO_NVIDIA, "FailedCreatePodSandBox"),
            ("pod-network", CALICO, "FailedCreatePodSandBox"),
            ("dra-driver", DRA, "FailedPrepareDynamicResources"),
            ("sandbox-failure", SANDBOX + "failed to reserve sandbox name: name is reserved", "FailedCreatePodSandBox"),
        )
    ),
    Case("volume-attach", [creating(spec=CLAIM), NODE, told("FailedAttachVolume", MULTI)], [STARTED]),
    Case(
        "volume-attach",
        [creating(spec=CLAIM), NODE, told("FailedAttachVolume", MULTI), told("FailedMount", OF_DATA)],
        [event("Pod/web-1", "SuccessfulAttachVolume", ATTACHED, type="Normal", age_s=-1)],
        name="it is attached, and mounted now",
    ),
    Case("volume-mount", [creating(spec=CLAIM), NODE, told("FailedMount", VOLUME_MOUNT)], [STARTED]),
    *(
        Case(rule, [creating(), NODE, event("Pod/web-1", reason, text)], [SANDBOX_UP], name="its image is pulled now")
        for rule, text, reason in (
            ("pod-network", CALICO, "FailedCreatePodSandBox"),
            ("volume-mount", VOLUME_MOUNT, "FailedMount"),
        )
    ),
    Case("not-started", [creating(age_s=901, ready_to_start=True), NODE, PULLING], [STARTED], name="image is there"),
    Case("not-started", [unseen(301), NODE], [STARTED], name="kubelet saw it"),
    Case("oom-killed", [with_status(looping(OOM), container=LIMIT), NODE], [up(2, last=OOM)], after_s=60),
    Case(
        "oom-killed",
        [with_status(looping(ended(137))), NODE, SYSTEM_OOM],
        [up(2, last=ended(137))],
        after_s=60,
        name="with its node",
        left=frozenset({"node-out-of-memory"}),
    ),
    Case(
        "liveness-kill",
        [with_status(looping(ended(137, ran_s=60)), container=LIVENESS), NODE, kill(KILLED), OLD_LOG_OF_KILLS],
        [up(2, last=ended(137, ran_s=60))],
        after_s=150,
    ),
    Case(
        "startup-probe-kill",
        [with_status(looping(ended(137, ran_s=60)), container=STARTUP), NODE, kill(STARTUP_KILLED)],
        [up(2, last=ended(137, ran_s=60))],
        after_s=150,
    ),
    Case("crash-loop", [with_status(looping()), NODE], [up(2)], after_s=60, name="it runs again"),
    Case("crash-loop", [with_status(looping()), NODE], ANOTHER, name="another in its place"),
    Case("init-crash", [init_pod(looping()), NODE], [initialized()]),
    Case("init-waiting", [init_pod(status(running(301))), NODE], [initialized()]),
    Case("not-ready", [unready(), NODE, unhealthy(REFUSED)], [pod(**OWNED, container=PROBE)]),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
