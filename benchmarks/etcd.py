"""What etcd costs: rounds over three real members with TLS, and a member's page."""

import math
import statistics
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from collectors.etcd.credentials import CredentialsKeeper
from collectors.etcd.discovery import Discovery
from collectors.etcd.doors import Doors
from collectors.etcd.metrics import parse_member_page
from collectors.etcd.options import EtcdOptions
from collectors.etcd.rounds import EtcdCollector
from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from situation.clock import utc_now
from situation.etcd.members import EtcdMember, EtcdReading
from tests.collectors.etcd_pages import recorded_page
from tests.real_etcd import RealEtcd

MEMBERS: Final = 3
_RUNS: Final = 41


class Rounds(NamedTuple):
    """Median times of one round over all members on connections that are open, in milliseconds."""

    without_pages_ms: float
    """Status and health: most rounds."""
    with_pages_ms: float
    """With `/metrics` of each: every fifth second."""


async def rounds(folder: Path) -> Rounds:
    """Measure rounds over three members that are started for it in `folder`."""
    async with RealEtcd(folder, MEMBERS) as etcd, HttpReader() as http:
        options = EtcdOptions(etcd.endpoints, etcd.cacert, etcd.cert, etcd.key)
        return Rounds(await _round_ms(http, options, math.inf), await _round_ms(http, options, 0.0))


async def _round_ms(http: HttpReader, options: EtcdOptions, page_every_s: float) -> float:
    wishes = EtcdWishes()
    discovery = Discovery(options, wishes, CredentialsKeeper(utc_now))
    collector = EtcdCollector(http, discovery, wishes, Doors(), utc_now, page_every_s)
    times: list[float] = []
    for _ in range(_RUNS):
        began = perf_counter()
        readings = [reading async for reading in collector.collect()]
        members = [reading.value.member for reading in readings if isinstance(reading.value, EtcdReading)]
        if not _is_whole(members, with_pages=not times or not page_every_s):
            raise RuntimeError(f"a round was not whole: {[reading.error for reading in readings]}")
        times.append((perf_counter() - began) * 1000)
    await collector.aclose()
    return statistics.median(times)


def _is_whole(members: list[EtcdMember], *, with_pages: bool) -> bool:
    return len(members) == MEMBERS and all(
        item.status is not None and item.health is not None and (item.page is not None) == with_pages
        for item in members
    )


def page_ms() -> float:
    """Median time to read one member's page of 160 KB, in milliseconds."""
    body = recorded_page()
    times: list[float] = []
    for _ in range(_RUNS):
        began = perf_counter()
        parse_member_page(body, "the page")
        times.append((perf_counter() - began) * 1000)
    return statistics.median(times)
