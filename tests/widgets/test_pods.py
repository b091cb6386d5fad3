from typing import cast

import pytest

from situation.pods import Pod
from tests.build import NOW, Manifest, ago, made, pod
from widgets.columns import lay_out
from widgets.pods import COLUMNS, pod_cells

CRASHED = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": ago(63)}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("manifest", "ready", "status", "restarts"),
    [
        (pod(), ("1/1", "dim"), ("Running", "fine"), ("0", "dim")),
        (pod(ready=False), ("0/1", "warning"), ("Running", "warning"), ("0", "dim")),
        (
            pod(ready=False, container_status={"state": WAITING, "lastState": CRASHED, "restartCount": 5}),
            ("0/1", "warning"),
            ("CrashLoopBackOff", "critical"),
            ("5 (63s)", "warning"),
        ),
        (pod(phase="Pending", ready=False, node=""), ("0/1", "warning"), ("Pending", "warning"), ("0", "dim")),
        (pod(phase="Succeeded", ready=False), ("0/1", "dim"), ("Succeeded", "dim"), ("0", "dim")),
        (pod(phase="Failed", ready=False), ("0/1", "warning"), ("Failed", "critical"), ("0", "dim")),
    ],
)
def test_a_pod_reads_as_kubectl_prints_it(
    manifest: Manifest, ready: tuple[str, str], status: tuple[str, str], restarts: tuple[str, str]
) -> None:
    cells = pod_cells(cast(Pod, made(manifest)), NOW)
    assert cells[2:5] == (ready, status, restarts)
    assert cells[5] == ("10m", "dim")


def test_a_pod_without_a_node_has_a_dash() -> None:
    assert pod_cells(cast(Pod, made(pod(node=""))), NOW)[6] == ("–", "dim")
    assert pod_cells(cast(Pod, made(pod(node="n1"))), NOW)[6] == ("n1", "dim")


def test_80_columns_show_the_end_of_a_pods_name() -> None:
    widths = {COLUMNS[index].title: width for index, width in lay_out(COLUMNS, 79).shown}
    assert list(widths) == ["namespace", "pod", "ready", "status", "restarts"]
    assert widths["pod"] >= len("nvidia-operator-validator-4j78b")
