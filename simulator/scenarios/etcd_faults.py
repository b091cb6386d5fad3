"""What is done to a real etcd while it is recorded. For making tapes only: it needs the tests beside it.

Each incident is healthy until `FAULT_AT`. Between one member and the next, when they are defragmented, lie seconds
where it should be a minute on a real cluster.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import grpc.aio
import msgspec

from simulator.scenarios.etcd_recorder import QUOTA_BYTES, Recorder
from tape.format import Frame
from tests.collectors.kubeconfigs import Certificates
from tests.real_etcd import RealEtcd

FAULT_AT: Final = 12.0
MIB: Final = b"\x5a" * 2**20
PRELOAD: Final = 8
"""Values of 1 MiB that every recording begins with."""
ALSO_THERE: Final = {
    "etcd_nospace": ("/registry/configmaps/before", 30),
    "etcd_fragmented": ("/registry/jobs/done", 20),
}
"""Keys, and how many more values of 1 MiB, that a recording begins with."""
CALM_S: Final = 5.0
"""So long after the last of them a recording begins: what they cost the disk is no part of the incident."""


async def leader_lost(recorder: Recorder) -> None:
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    lost = await etcd.leader()
    etcd.kill(lost)
    await recorder.until(60)
    etcd.start(lost)
    await recorder.until(80)


async def quorum_lost(recorder: Recorder) -> None:
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    leader = await etcd.leader()
    lost = (leader, next(member for member in etcd.members if member is not leader))
    recorder.api_server_waits(True)
    for member in lost:
        etcd.kill(member)
    await recorder.until(65)
    for member in lost:
        etcd.start(member)
    await etcd.until_healthy()
    recorder.api_server_waits(False)
    await recorder.until(90)


async def member_hangs(recorder: Recorder) -> None:
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    leader = await etcd.leader()
    hanging = next(member for member in etcd.members if member is not leader)
    etcd.pause(hanging)
    await recorder.until(65)
    etcd.resume(hanging)
    await recorder.until(80)


async def nospace(recorder: Recorder) -> None:
    etcd = recorder.etcd
    await recorder.until(FAULT_AT - 6)
    with suppress(grpc.aio.AioRpcError):
        for number in range(1000):
            await recorder.put(f"/registry/configmaps/flood-{number}", MIB[: 2**18])
            await asyncio.sleep(0.1)
    await recorder.until(70)
    leader = await etcd.leader()
    await etcd.etcdctl("del", "--prefix", "/registry/configmaps/flood-")
    await etcd.etcdctl("compact", await _revision(etcd))
    for member in (*(other for other in etcd.members if other is not leader), leader):
        await asyncio.sleep(3)
        await etcd.etcdctl("defrag", endpoints=(member.endpoint,))
    await asyncio.sleep(3)
    await etcd.etcdctl("alarm", "disarm")
    await recorder.until(105)


async def fragmented(recorder: Recorder) -> None:
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    await etcd.etcdctl("del", "--prefix", "/registry/jobs/")
    await etcd.etcdctl("compact", await _revision(etcd))
    await recorder.until(50)


async def wrong_certificate(recorder: Recorder) -> None:
    """The members are restarted with another authority for client certificates: they turn everybody away."""
    etcd = recorder.etcd
    other = etcd.folder / "other"
    other.mkdir()
    Certificates(other)
    await recorder.until(FAULT_AT)
    right = etcd.client_cacert
    etcd.client_cacert = str(other / "ca.pem")
    recorder.api_server_waits(True)
    await _restart(recorder)
    recorder.tls(trusts="other")
    await recorder.until(65)
    etcd.client_cacert = right
    await _restart(recorder)
    recorder.tls()
    await etcd.until_healthy()
    recorder.api_server_waits(False)
    await recorder.until(90)


async def certificate_expired(recorder: Recorder) -> None:
    """The members are restarted after their certificates for clients and peers have expired: none finds the others."""
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    etcd.certificates.issue("server", days="-1")
    recorder.api_server_waits(True)
    await _restart(recorder)
    recorder.tls(certificate="expired")
    await recorder.until(65)
    etcd.certificates.issue("server")
    await _restart(recorder)
    recorder.tls()
    await etcd.until_healthy()
    recorder.api_server_waits(False)
    await recorder.until(90)


async def _revision(etcd: RealEtcd) -> str:
    """The latest revision that all members have."""
    status = msgspec.json.decode(await etcd.etcdctl("endpoint", "status", "-w", "json"))
    return str(min(item["Status"]["header"]["revision"] for item in status))


async def _restart(recorder: Recorder) -> None:
    for member in recorder.etcd.members:
        recorder.etcd.kill(member)
    await asyncio.sleep(2)
    for member in recorder.etcd.members:
        recorder.etcd.start(member)


FAULTS: Final[dict[str, Callable[[Recorder], Awaitable[None]]]] = {
    "etcd_leader_lost": leader_lost,
    "etcd_quorum_lost": quorum_lost,
    "etcd_nospace": nospace,
    "etcd_fragmented": fragmented,
    "etcd_member_hangs": member_hangs,
    "etcd_wrong_certificate": wrong_certificate,
    "etcd_certificate_expired": certificate_expired,
}


async def record(name: str, folder: Path) -> list[Frame]:
    """Start an etcd in `folder`, let the fault happen and return what its members said."""
    async with RealEtcd(folder, quota_bytes=QUOTA_BYTES if name == "etcd_nospace" else 0) as etcd:
        recorder = Recorder(etcd)
        for key, count in (("/registry/base", PRELOAD), ALSO_THERE.get(name, ("", 0))):
            for number in range(count):
                await recorder.put(f"{key}-{number}", MIB)
        writing = asyncio.create_task(recorder.write_for_ever())
        await asyncio.sleep(CALM_S)
        recorder.begin()
        await recorder.sample()
        sampling = asyncio.create_task(recorder.sample_for_ever())
        try:
            await FAULTS[name](recorder)
            await recorder.sample()
        finally:
            sampling.cancel()
            writing.cancel()
            await asyncio.gather(sampling, writing, return_exceptions=True)
            await recorder.aclose()
        return recorder.frames
