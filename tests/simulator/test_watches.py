"""Watches: events, bookmarks, streaming lists, expiry."""

import asyncio

import aiohttp
import pytest

from simulator.server import Simulator
from tests.build import pod
from tests.simulator.client import PODS, STREAMING, get, session, watch


def version(simulator: Simulator) -> str:
    return str(simulator.cluster.resource_version)


async def test_changes_arrive_in_order_with_their_versions(simulator: Simulator) -> None:
    async with watch(simulator, resourceVersion=version(simulator)) as events:
        first = simulator.cluster.put("pods", pod("a"))
        second = simulator.cluster.put("pods", pod("a", phase="Failed"))
        third = simulator.cluster.delete("pods", "shop", "a")
        seen = [await events.next() for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [int(event["object"]["metadata"]["resourceVersion"]) for event in seen] == [first, second, third]
    assert seen[1]["object"]["status"]["phase"] == "Failed"
    assert (seen[0]["object"]["kind"], seen[0]["object"]["apiVersion"]) == ("Pod", "v1")


async def test_resuming_sends_only_what_was_missed(simulator: Simulator) -> None:
    simulator.cluster.put("pods", pod("a"))
    seen = version(simulator)
    simulator.cluster.put("pods", pod("b"))
    async with watch(simulator, resourceVersion=seen) as events:
        assert (await events.next())["object"]["metadata"]["name"] == "b"


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_a_watch_without_version_starts_with_what_is_there(simulator: Simulator, query: dict[str, str]) -> None:
    simulator.cluster.put("pods", pod("a"))
    async with watch(simulator, **query) as events:
        assert (await events.next())["type"] == "ADDED"


async def test_streaming_list_ends_with_its_bookmark(simulator: Simulator) -> None:
    for name in ("a", "b"):
        simulator.cluster.put("pods", pod(name))
    async with watch(simulator, **STREAMING) as events:
        seen = [await events.next(bookmarks=True) for _ in range(3)]
        simulator.cluster.put("pods", pod("c"))
        later = await events.next()
    assert [event["type"] for event in seen] == ["ADDED", "ADDED", "BOOKMARK"]
    metadata = seen[2]["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) == simulator.cluster.resource_version - 1
    assert later["object"]["metadata"]["name"] == "c"


async def test_streaming_list_needs_its_match(simulator: Simulator) -> None:
    query = {key: value for key, value in STREAMING.items() if key != "resourceVersionMatch"}
    status, found = await get(simulator, PODS, **query)
    assert (status, found["reason"]) == (422, "Invalid")


async def test_bookmarks_move_the_version_without_changes(simulator: Simulator) -> None:
    simulator.cluster.put("nodes", {"metadata": {"name": "node-1"}})
    async with watch(simulator, resourceVersion="1", allowWatchBookmarks="true") as events:
        bookmark = await events.next(bookmarks=True)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["resourceVersion"] == version(simulator)
    assert bookmark["object"]["kind"] == "Pod"


async def test_no_bookmarks_unless_asked_for(simulator: Simulator) -> None:
    async with watch(simulator, resourceVersion="1", timeoutSeconds="0.3") as events:
        assert await events.line() == b""


async def test_the_timeout_ends_the_watch(simulator: Simulator) -> None:
    async with watch(simulator, resourceVersion="1", timeoutSeconds="0.05") as events:
        assert await events.line() == b""
    assert simulator.open_watches == 0


@pytest.mark.parametrize("query", [{"timeoutSeconds": "soon"}, {"resourceVersion": "-1"}, {"resourceVersion": "x"}])
async def test_parameters_that_cannot_be_read(simulator: Simulator, query: dict[str, str]) -> None:
    status, found = await get(simulator, PODS, watch="1", **query)
    assert (status, found["reason"]) == (400, "BadRequest")


async def test_a_watch_on_a_namespace_and_a_selector(simulator: Simulator) -> None:
    path = "/api/v1/namespaces/shop/pods"
    async with watch(simulator, path, resourceVersion=version(simulator), labelSelector="app=web") as events:
        simulator.cluster.put("pods", pod("else", namespace="other"))
        simulator.cluster.put("pods", pod("a", labels={"app": "web"}))
        simulator.cluster.put("pods", pod("a", labels={"app": "db"}))
        simulator.cluster.put("pods", pod("a", labels={"app": "web"}))
        seen = [await events.next() for _ in range(3)]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
        ("ADDED", "a"),
        ("DELETED", "a"),
        ("ADDED", "a"),
    ]


async def test_a_version_before_the_history_has_expired(simulator: Simulator) -> None:
    seen = version(simulator)
    simulator.cluster.put("pods", pod("a"))
    simulator.cluster.compact()
    async with watch(simulator, resourceVersion=seen) as events:
        event = await events.next()
        assert await events.line() == b""
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_watch_that_falls_behind_the_history_expires() -> None:
    from simulator.cluster import Cluster

    async with Simulator(Cluster(), history=5) as simulator:
        simulator.cluster.put("pods", pod("a"))
        seen = version(simulator)
        for _ in range(6):
            simulator.cluster.put("pods", pod("a"))
        async with watch(simulator, resourceVersion=seen) as events:
            assert (await events.next())["object"]["code"] == 410
        async with watch(simulator, resourceVersion=str(simulator.cluster.resource_version - 5)) as events:
            assert (await events.next())["type"] == "MODIFIED"


async def test_a_client_that_leaves_ends_its_watch(simulator: Simulator) -> None:
    async with watch(simulator, resourceVersion="1", allowWatchBookmarks="true") as events:
        await events.line()
        assert simulator.open_watches == 1
    async with asyncio.timeout(5):
        while simulator.open_watches:  # noqa: ASYNC110 - the server has no event for it; there is a deadline
            await asyncio.sleep(0.01)


async def test_cut_resets_open_watches_and_new_ones_work(simulator: Simulator) -> None:
    async with watch(simulator, resourceVersion="1", allowWatchBookmarks="true") as events:
        await events.line()
        await simulator.cut()
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            while await events.line():
                pass
            raise ConnectionResetError("the stream ended")
    assert (await get(simulator, PODS))[0] == 200


async def test_down_refuses_and_up_is_on_the_same_port(simulator: Simulator) -> None:
    simulator.cluster.put("pods", pod("a"))
    url = simulator.url
    await simulator.down()
    async with session(simulator) as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(PODS)
    await simulator.up()
    assert simulator.url == url
    assert (await get(simulator, PODS))[0] == 200
