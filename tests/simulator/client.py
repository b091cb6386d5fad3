"""What the tests of the simulator share: a plain HTTP client and watch events as they arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from simulator.server import Simulator

PODS = "/api/v1/pods"
TOKEN = "midwatch-demo"
STREAMING = {
    "watch": "1",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
}


@asynccontextmanager
async def session(simulator: Simulator, token: str | None = TOKEN) -> AsyncIterator[aiohttp.ClientSession]:
    """A client session that sends the token and times out after 10 s."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(simulator.url, headers=headers, timeout=timeout) as client:
        yield client


async def get(simulator: Simulator, path: str, **query: str) -> tuple[int, Any]:
    """Status and body of one GET: JSON decoded, anything else as text."""
    async with session(simulator) as client, client.get(path, params=query) as response:
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, msgspec.json.decode(text) if is_json else text


class Events:
    """The events of one watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *, bookmarks: bool = False) -> dict[str, Any]:
        """The next event; bookmarks are passed over unless asked for."""
        while True:
            line = await self.line()
            event: dict[str, Any] = msgspec.json.decode(line)
            if bookmarks or event["type"] != "BOOKMARK":
                return event

    async def line(self) -> bytes:
        """The next line as sent; empty at the end."""
        async with asyncio.timeout(10):
            return await self.response.content.readline()


@asynccontextmanager
async def watch(simulator: Simulator, path: str = PODS, **query: str) -> AsyncIterator[Events]:
    """Open a watch."""
    async with session(simulator) as client, client.get(path, params={"watch": "1", **query}) as response:
        assert response.status == 200, await response.text()
        yield Events(response)


def names(listed: dict[str, Any]) -> list[str]:
    """Names of a list's items, in order."""
    return [item["metadata"]["name"] for item in listed["items"]]
