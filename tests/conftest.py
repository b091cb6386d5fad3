"""Fixtures for all tests."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from simulator.cluster import Cluster
from simulator.server import Simulator

# gRPC reads these when it is imported, which some test does first: as `collectors.etcd.maintenance` sets them.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Tests start the program a hundred times: it is compiled once, also where the environment forbids to keep that.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The same examples in each run: a red test is the change's own. `HYPOTHESIS_PROFILE=explore` looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

LONGEST_ID: Final = 300


def pytest_make_parametrize_id(val: object) -> str | None:
    """Tell long values by their size: an id goes into each report, and between processes."""
    return f"{val[:20]!r}-{len(val)}" if isinstance(val, str | bytes) and len(val) > LONGEST_ID else None


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the log of what runs within the tests out of the folder of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """An empty cluster on loopback; bookmarks come every 50 ms."""
    server = Simulator(Cluster())
    server.faults.bookmark_every_s = 0.05
    async with server:
        yield server
