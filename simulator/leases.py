"""Keeps leases alive while nothing else plays: their holders are at work."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from simulator.cluster import Cluster
from simulator.wire import stamp_text
from situation.meta import ObjectKey

PERIOD_S: Final = 5.0
_TICK_S: Final = 0.25


def leases_renewed_since(cluster: Cluster, since: datetime) -> list[ObjectKey]:
    """Return the keys of all leases that were renewed at `since` or later."""
    oldest = stamp_text(since, micro=True)
    leases = cluster.table("leases").ordered()
    return [item.key for item in leases if item.manifest().get("spec", {}).get("renewTime", "") >= oldest]


async def keep_renewing(cluster: Cluster, keys: Sequence[ObjectKey], clock: Callable[[], datetime]) -> None:
    """Renew these leases every 5 s, spread over that time, until cancelled. A lease that was deleted stays away."""
    ticks = int(PERIOD_S / _TICK_S)
    while True:
        for tick in range(ticks):
            for key in keys[tick::ticks]:
                lease: dict[str, Any] | None = cluster.get("leases", *key)
                if lease is not None:
                    lease.setdefault("spec", {})["renewTime"] = stamp_text(clock(), micro=True)
                    cluster.put("leases", lease)
            await asyncio.sleep(_TICK_S)
