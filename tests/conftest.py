"""Fixtures for all tests."""

from collections.abc import AsyncIterator

import pytest

from simulator.cluster import Cluster
from simulator.server import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """An empty cluster on loopback; bookmarks come every 50 ms."""
    server = Simulator(Cluster())
    server.faults.bookmark_every_s = 0.05
    async with server:
        yield server
