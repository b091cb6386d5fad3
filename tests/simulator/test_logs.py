"""Logs: the text on the tape where a container has run, else what a real server says."""

from typing import Any

import pytest

from simulator.logs import take_log
from simulator.server import Simulator
from tests.build import Manifest, pod
from tests.simulator.client import get

LOG = "/api/v1/namespaces/shop/pods/web-1/log"
ENDED: Manifest = {"terminated": {"exitCode": 1, "reason": "Error"}}


def waiting(reason: str, **fields: Any) -> Manifest:
    return {"state": {"waiting": {"reason": reason}}, **fields}


async def test_log_of_a_container(simulator: Simulator) -> None:
    simulator.cluster.put("pods", pod())
    simulator.cluster.logs["shop/web-1"] = "one\ntwo\n"
    assert await get(simulator, LOG) == (200, "one\ntwo\n")
    assert await get(simulator, LOG, container="app", tailLines="1") == (200, "two\n")
    assert (await get(simulator, LOG, container="other"))[0] == 400
    assert (await get(simulator, LOG.replace("web-1", "none")))[0] == 404


async def test_each_run_has_a_log_of_its_own(simulator: Simulator) -> None:
    cluster = simulator.cluster

    def run(restarts: int, text: str = "", **state: Any) -> None:
        last = {"lastState": ENDED} if restarts else {}
        cluster.put("pods", pod(container_status={"restartCount": restarts, "state": state, **last}))
        if text:
            take_log(cluster, "shop/web-1", text)

    run(0, "starts\n", running={})
    run(0, "dies\n", terminated={"exitCode": 1})
    run(1, running={})
    assert await get(simulator, LOG, previous="true") == (200, "dies\n"), "nothing new was told yet"
    run(1, "starts again\n", running={})
    assert await get(simulator, LOG) == (200, "starts again\n")
    assert await get(simulator, LOG, previous="true") == (200, "dies\n")
    run(1, "dies again\n", waiting={"reason": "CrashLoopBackOff"})
    assert await get(simulator, LOG, previous="true") == (200, "dies again\n")
    run(2, running={})
    assert await get(simulator, LOG, previous="true") == (200, "dies again\n"), "not that of the run before it"


async def test_one_of_several_containers(simulator: Simulator) -> None:
    spec = {"containers": [{"name": "app"}, {"name": "proxy"}], "initContainers": [{"name": "setup"}]}
    statuses: list[Manifest] = [{"name": name, "state": {"running": {}}} for name in ("app", "proxy")]
    status = {"containerStatuses": statuses, "initContainerStatuses": [{"name": "setup", "state": ENDED}]}
    simulator.cluster.put("pods", pod(spec={"nodeName": "node-1", **spec}, status={"phase": "Running", **status}))
    simulator.cluster.logs["shop/web-1/setup"] = "set up\n"
    assert await get(simulator, LOG, container="setup") == (200, "set up\n")
    _, text = await get(simulator, LOG, container="proxy")
    assert "no log of container proxy was recorded" in text
    _, refused = await get(simulator, LOG)
    assert refused["message"] == (
        "a container name must be specified for pod web-1, choose one of: [app proxy] or one of the init containers: "
        "[setup]"
    )


@pytest.mark.parametrize(
    ("container_status", "query", "message"),
    [
        (waiting("ContainerCreating"), {}, "is waiting to start: ContainerCreating"),
        (waiting("ImagePullBackOff"), {}, "is waiting to start: trying and failing to pull image"),
        (waiting("ErrImagePull"), {}, "is waiting to start: image can't be pulled"),
        ({"state": {}}, {}, "is waiting to start - no logs yet"),
        ({"name": "other"}, {}, "is not available"),
        (waiting("CrashLoopBackOff"), {"previous": "true"}, None),
        ({"state": {"running": {}}, "restartCount": 0}, {"previous": "true"}, None),
    ],
)
async def test_a_run_that_never_was(
    simulator: Simulator, container_status: Manifest, query: dict[str, str], message: str | None
) -> None:
    simulator.cluster.put("pods", pod(container_status=container_status))
    simulator.cluster.logs["shop/web-1"] = "of later\n"
    status, found = await get(simulator, LOG, **query)
    expected = (
        f'container "app" in pod "web-1" {message}'
        if message
        else 'previous terminated container "app" in pod "web-1" not found'
    )
    assert (status, found["reason"], found["message"]) == (400, "BadRequest", expected)


@pytest.mark.parametrize(
    "container_status",
    [{"state": ENDED}, waiting("CrashLoopBackOff", lastState=ENDED), {"state": {"running": {}}, "lastState": ENDED}],
)
async def test_a_run_that_was(simulator: Simulator, container_status: Manifest) -> None:
    simulator.cluster.put("pods", pod(container_status=container_status))
    simulator.cluster.logs["shop/web-1"] = "one\n"
    assert await get(simulator, LOG) == (200, "one\n")
    if "lastState" in container_status:
        assert await get(simulator, LOG, previous="true") == (200, "one\n")


async def test_a_pod_without_a_node_logs_nothing(simulator: Simulator) -> None:
    simulator.cluster.put("pods", pod(phase="Pending", node=""))
    assert await get(simulator, LOG) == (200, "")


async def test_times_are_those_of_the_run_and_the_limit_is_kept(simulator: Simulator) -> None:
    ended = {"terminated": {"exitCode": 1, "startedAt": "2026-11-23T02:40:07Z"}}
    running = {"running": {"startedAt": "2026-11-23T02:41:00Z"}}
    simulator.cluster.put("pods", pod(container_status={"state": running, "lastState": ended}))
    simulator.cluster.logs["shop/web-1"] = "one\n"
    assert await get(simulator, LOG, timestamps="true") == (200, "2026-11-23T02:41:00.000000000Z one\n")
    assert await get(simulator, LOG, timestamps="true", previous="true") == (
        200,
        "2026-11-23T02:40:07.000000000Z one\n",
    )
    assert await get(simulator, LOG, limitBytes="2") == (200, "on")
