"""Pods of model servers that come up at last: what was wrong stands in last states, events and a log that was read."""

from typing import Any, Final

import pytest

from tests.build import Manifest, node, pod
from tests.diagnosis.model_servers import OWNED, container, gpu_node, known, server
from tests.diagnosis.pod_faults import ended, looping, running, status
from tests.diagnosis.recovery.harness import Case, Step, check, gone
from tests.diagnosis.test_vllm_pods import CLAIM, KILLED, LARGE, SMALL, STARTUP, claim, ends, holder, kill, waits
from tests.diagnosis.vllm_logs import FAILED, LOGS, OOM, START

LATER_S: Final = 60.0
"""A container has recovered when it has run for longer than 30 s and twice its last run."""


def serving(last: Manifest, **more: Any) -> Manifest:
    """Return the pod that crashed until now and has been ready since a moment after it."""
    return pod("llm-1", node="gpu-1", container={**container(*SMALL), **more}, **OWNED,
               container_status=status(running(-2), last, restarts=5, ready=True))  # fmt: skip


def another(*args: str, name: str = "llm-2", **over: Any) -> list[Step]:
    """Return the steps in which a new pod, of an edited template, takes the place of the old one."""
    return [gone("Pod", "llm-1"), pod(name, node="gpu-1", container=container(*(args or SMALL), **over), **OWNED)]


def on_its_volume() -> Manifest:
    """Return the pod that waited for a volume, running."""
    return pod("llm-1", node="gpu-2", spec=CLAIM, container=container(*SMALL), **OWNED)


NODE: Final = gpu_node()
HUB: Final = next(log for name, log in LOGS if name == "vllm-log-gated-model")
CASES: Final = (
    Case("vllm-host-oom", [server(*SMALL, memory="12Gi", container_status=looping(KILLED)), NODE],
         another(memory="24Gi"), name="a higher limit"),
    Case("vllm-host-oom", [server(*SMALL, memory="12Gi", container_status=looping(KILLED)), NODE],
         [serving(KILLED)], after_s=200, name="it holds out"),
    Case("vllm-device-oom", lambda: known(server(*SMALL), NODE, log=START + OOM + FAILED),
         another(*SMALL, "--max-model-len", "8192"), name="fewer tokens"),
    Case("vllm-device-oom", lambda: known(server(*SMALL), NODE, log=START + OOM + FAILED),
         [serving(ended())], after_s=LATER_S, name="it holds out, its old log read"),
    Case("vllm-start-failed", lambda: known(server(*SMALL), NODE, log=HUB), another()),
    Case("vllm-start-failed", lambda: known(server(*SMALL), NODE, log=HUB), [serving(ended())], after_s=LATER_S,
         name="it holds out, its old log read"),
    Case("vllm-tp-mismatch", [server(*LARGE, "--tensor-parallel-size", "4", gpus=2), NODE],
         another(*LARGE, "--tensor-parallel-size", "4", gpus=4)),
    Case("vllm-crash", [server(*SMALL), NODE], [serving(ended())], after_s=LATER_S),
    Case("vllm-volume-attach", [waits(), claim("ReadWriteOnce"), holder(), node("gpu-2"), NODE],
         [gone("Pod", "llm-0"), on_its_volume()]),
    Case("vllm-killed-before-ready", [server(*SMALL, of=STARTUP, container_status=ends(137, ran_s=62)), kill(), NODE],
         [serving(ended(137, ran_s=62), **STARTUP)], after_s=150),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
