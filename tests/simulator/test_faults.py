"""The fault switches: each does what its real counterpart does."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.server import Simulator
from tests.build import pod
from tests.simulator.client import PODS, STREAMING, get, session, watch


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_the_right_token_nothing_is_served(simulator: Simulator, token: str | None) -> None:
    async with session(simulator, token) as client, client.get(PODS) as response:
        assert response.status == 401
        assert (await response.json())["reason"] == "Unauthorized"


async def test_health_is_open_to_everybody_but_not_with_a_wrong_token(simulator: Simulator) -> None:
    async with session(simulator, None) as client, client.get("/readyz") as response:
        assert (response.status, await response.text()) == (200, "ok")
    async with session(simulator, "wrong") as client, client.get("/readyz") as response:
        assert response.status == 401


async def test_a_renewed_token(simulator: Simulator) -> None:
    simulator.token = "new"
    assert (await get(simulator, PODS))[0] == 401
    async with session(simulator, "new") as client, client.get(PODS) as response:
        assert response.status == 200


async def test_a_server_without_tokens_lets_everybody_in() -> None:
    async with Simulator(Cluster(), token=None) as simulator, session(simulator, None) as client:
        async with client.get(PODS) as response:
            assert response.status == 200


async def test_unauthorized_switch(simulator: Simulator) -> None:
    simulator.faults.unauthorized = True
    assert (await get(simulator, PODS))[0] == 401


async def test_streaming_list_that_ends_in_an_error_event(simulator: Simulator) -> None:
    simulator.faults.streaming_list = "error-event"
    async with watch(simulator, **STREAMING) as events:
        event = await events.next()
        assert await events.line() == b""
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500)
    assert "RequestWatchProgress is disabled" in event["object"]["message"]
    async with watch(simulator, resourceVersion="1", allowWatchBookmarks="true") as events:
        assert (await events.next(bookmarks=True))["type"] == "BOOKMARK"


async def test_streaming_list_that_is_refused(simulator: Simulator) -> None:
    simulator.faults.streaming_list = "refused"
    status, found = await get(simulator, PODS, **STREAMING)
    assert (status, found["reason"]) == (422, "Invalid")


async def test_scripted_answers_are_used_up(simulator: Simulator) -> None:
    throttled = Answer("/api/v1/pods", 429, {"kind": "Status", "code": 429}, {"Retry-After": "3"}, times=2)
    simulator.faults.answers.append(throttled)
    async with session(simulator) as client:
        for _ in range(2):
            async with client.get(PODS) as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "3")
        async with client.get(PODS) as response:
            assert response.status == 200
    assert simulator.faults.answers == []


async def test_scripted_answers_by_query(simulator: Simulator) -> None:
    simulator.faults.answers.append(Answer(PODS, 500, "broken", query={"watch": "*"}, times=None))
    assert (await get(simulator, PODS))[0] == 200
    for _ in range(3):
        async with session(simulator) as client, client.get(PODS, params={"watch": "1"}) as response:
            assert (response.status, await response.text()) == (500, "broken")


async def test_hanging_paths_accept_and_never_answer(simulator: Simulator) -> None:
    simulator.faults.hang.append("/api/v1/pods")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await get(simulator, PODS)
    assert simulator.requests[-1].path == PODS
    assert (await get(simulator, "/api/v1/nodes"))[0] == 200


async def test_raw_lines_are_sent_once(simulator: Simulator) -> None:
    simulator.faults.raw_lines["pods"] = [b"not json\n"]
    async with watch(simulator, resourceVersion="1") as events:
        assert await events.line() == b"not json\n"
        simulator.inject("pods", b'{"type":"WHAT"}\n')
        assert await events.line() == b'{"type":"WHAT"}\n'
        simulator.cluster.put("pods", pod("a"))
        assert (await events.next())["type"] == "ADDED"


@pytest.mark.parametrize("form", ["status", "event"])
async def test_the_next_watch_expires(simulator: Simulator, form: Literal["status", "event"]) -> None:
    simulator.faults.expire_watches = form
    if form == "status":
        status, found = await get(simulator, PODS, watch="1", resourceVersion="1")
        assert (status, found["reason"]) == (410, "Expired")
    else:
        async with watch(simulator, resourceVersion="1") as events:
            assert (await events.next())["object"]["code"] == 410
    async with watch(simulator, resourceVersion="1", allowWatchBookmarks="true") as events:
        assert (await events.next(bookmarks=True))["type"] == "BOOKMARK"


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (PODS, {}, 'cannot list resource "pods" in API group "" at the cluster scope'),
        ("/api/v1/namespaces/shop/pods", {}, 'cannot list resource "pods" in API group "" in the namespace "shop"'),
        (PODS, {"watch": "1"}, 'cannot watch resource "pods" in API group "" at the cluster scope'),
        ("/api/v1/namespaces/shop/pods/a", {}, 'cannot get resource "pods" in API group "" in the namespace "shop"'),
    ],
)
async def test_rbac(simulator: Simulator, path: str, query: dict[str, str], message: str) -> None:
    simulator.faults.forbid.add("pods")
    status, found = await get(simulator, path, **query)
    assert (status, found["reason"]) == (403, "Forbidden")
    assert message in found["message"]
    assert (await get(simulator, "/api/v1/nodes"))[0] == 200


async def test_leases_of_nodes_are_forbidden_on_their_own(simulator: Simulator) -> None:
    simulator.faults.forbid.add("nodeleases")
    root = "/apis/coordination.k8s.io/v1/namespaces"
    assert (await get(simulator, f"{root}/kube-node-lease/leases"))[0] == 403
    assert (await get(simulator, f"{root}/kube-system/leases"))[0] == 200


async def test_an_absent_kind_is_a_plain_404(simulator: Simulator) -> None:
    simulator.faults.absent.add("pods")
    assert await get(simulator, PODS) == (404, "404 page not found\n")


async def test_a_login_page(simulator: Simulator) -> None:
    simulator.faults.html = True
    status, text = await get(simulator, PODS)
    assert status == 200
    assert text.startswith("<!DOCTYPE html>")


async def test_frozen_etcd(simulator: Simulator) -> None:
    simulator.cluster.put("pods", pod("a"))
    simulator.faults.freeze_etcd = True
    simulator.faults.freeze_timeout_s = 0.05
    status, found = await get(simulator, PODS, resourceVersion="0")
    assert (status, len(found["items"])) == (200, 1)
    status, found = await get(simulator, PODS)
    assert (status, found["reason"]) == (504, "Timeout")
    status, text = await get(simulator, "/readyz", verbose="1")
    assert status == 500
    assert "[-]etcd failed" in text
    async with watch(simulator, resourceVersion="1", allowWatchBookmarks="true") as events:
        assert (await events.next())["type"] == "ADDED"


async def test_health_and_version(simulator: Simulator) -> None:
    status, text = await get(simulator, "/readyz", verbose="")
    assert status == 200
    assert text.endswith("readyz check passed\n")
    assert (await get(simulator, "/livez", verbose="1"))[1].endswith("livez check passed\n")
    assert (await get(simulator, "/version"))[1]["gitVersion"] == "v1.36.2"


async def test_requests_are_kept(simulator: Simulator) -> None:
    async with session(simulator) as client, client.get(PODS, params={"limit": "5"}, headers={"User-Agent": "me"}):
        pass
    request = simulator.requests[-1]
    assert (request.method, request.path, request.query) == ("GET", PODS, {"limit": "5"})
    assert request.headers["user-agent"] == "me"


def test_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    simulator = Simulator(Cluster(), port=6443)
    path = tmp_path / "config"
    path.write_text("old")
    path.chmod(0o644)
    simulator.write_kubeconfig(path, "prod")
    written: dict[str, Any] = yaml.safe_load(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert written["current-context"] == "prod"
    assert written["clusters"][0]["cluster"]["server"] == "http://127.0.0.1:6443"
    assert written["users"][0]["user"] == {"token": "midwatch-demo"}
