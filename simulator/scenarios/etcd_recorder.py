"""Records a real etcd as frames. For making tapes only: it needs the tests beside it.

Changed in what was recorded: members have the names that kubeadm gives (`cp-1`), and addresses of that cluster. Sizes
are multiplied by `SCALE`, so that a quota of 64 MiB, which fills in seconds, shows as the default of 2 GiB. The version
is written as `VERSION`, as the package that brings the real one has 3.5.1, which nobody should run; for `/readyz`,
which that version does not have, stands what follows from whether there is a leader. Processes that ran before count as
a week old. Their disks were in memory, so that writes are as quick as on a good disk. Heartbeats and elections are
those of the tests, five times as quick as the defaults.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio
import msgspec
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc
from google.protobuf.json_format import MessageToDict

from simulator.scenarios.story import STARTED_AT, WEEK_S
from tape.etcd import ETCD_FAMILIES, ETCD_SOURCE, EtcdName, EtcdServer, slim_page
from tape.format import Frame
from tests.real_etcd import Member, RealEtcd

SCALE: Final = 32
VERSION: Final = "3.5.26"
QUOTA_BYTES: Final = 64 * 2**20
SAMPLE_S: Final = 2.5
DEADLINE_S: Final = 1.0
_SIZES: Final = re.compile(
    r"^(etcd_mvcc_db_total_size_in(?:_use_in)?_bytes|etcd_server_quota_backend_bytes) (\S+)$", re.MULTILINE
)
_STARTED: Final = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
_CHECKS: Final = ("data_corruption", "serializable_read", "linearizable_read", "non_learner")


def shown_name(member: Member) -> str:
    """`cp-1` for `etcd-0`."""
    return f"cp-{int(member.name.rpartition('-')[2]) + 1}"


class Recorder:
    """Samples all members every `SAMPLE_S`; only what is new becomes a frame."""

    def __init__(self, etcd: RealEtcd) -> None:
        self.etcd = etcd
        self.frames: list[Frame] = []
        self.began = 0.0
        """When it began, in seconds since the epoch."""
        self._last: dict[str, Frame] = {}
        self._certificate, self._trusts = "server", "ca"
        self._channels: dict[str, Any] = {}

    def begin(self) -> None:
        """This is t=0."""
        self.began = time()

    @property
    def t(self) -> float:
        """Seconds since the beginning."""
        return round(time() - self.began, 2)

    async def until(self, t: float) -> None:
        """Wait until so many seconds have passed."""
        await asyncio.sleep(max(0.0, t - self.t))

    def tls(self, certificate: str = "server", trusts: str = "ca") -> None:
        """From now on the members show this certificate of the demo and trust that authority."""
        self._certificate, self._trusts = certificate, trusts

    def api_server_waits(self, waits: bool) -> None:
        """The API server gets no answers from etcd from now on, or gets them again."""
        self._say(Frame(self.t, ETCD_SOURCE, down=waits))

    async def sample_for_ever(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_S)

    async def sample(self) -> None:
        """Ask all members once."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)) as http:
            await asyncio.gather(*(self._sample(http, member) for member in self.etcd.members))

    async def _sample(self, http: aiohttp.ClientSession, member: Member) -> None:
        name, t, state = shown_name(member), self.t, "serves"
        try:
            async with http.get(f"{member.metrics_url}/metrics") as response:
                metrics = await response.text()
            async with http.get(f"{member.metrics_url}/health") as response:
                status, health = response.status, await response.text()
        except aiohttp.ClientConnectionError:
            state = "refuses"
        except TimeoutError:
            state = "hangs"
        server = EtcdServer(state, self._certificate, self._trusts)  # type: ignore[arg-type]
        self._say(Frame(t, EtcdName(name, "server").source, body=msgspec.to_builtins(server)))
        if state != "serves":
            return
        text = self._shown_metrics(metrics)
        self._say(Frame(t, EtcdName(name, "metrics").source, status=200, text=text))
        self._say(Frame(t, EtcdName(name, "health").source, status=status, text=health))
        leads = "etcd_server_has_leader 1" in text
        self._say(Frame(t, EtcdName(name, "readyz").source, status=200 if leads else 503, text=_readyz(leads)))
        await self._sample_calls(member)

    async def _sample_calls(self, member: Member) -> None:
        channel = self.channel(member)
        maintenance, cluster = rpc_pb2_grpc.MaintenanceStub(channel), rpc_pb2_grpc.ClusterStub(channel)
        for part, call in (
            ("status", maintenance.Status(rpc_pb2.StatusRequest(), timeout=DEADLINE_S)),
            ("members", cluster.MemberList(rpc_pb2.MemberListRequest(), timeout=DEADLINE_S)),
            ("alarms", maintenance.Alarm(rpc_pb2.AlarmRequest(), timeout=DEADLINE_S)),
        ):
            source, t = EtcdName(shown_name(member), part).source, self.t
            try:
                answer = MessageToDict(await call, preserving_proto_field_name=True)
            except grpc.aio.AioRpcError as error:
                if error.details() and "failed to connect" in error.details():
                    await self._channels.pop(member.name).close()
                    return  # a handshake that fails; whoever plays this fails at the same place
                self._say(Frame(t, source, error=f"{error.code().name}: {error.details()}"))
            else:
                self._say(Frame(t, source, body=self._shown_body(part, answer)))

    def channel(self, member: Member) -> Any:
        """Return the connection to a member."""
        if member.name not in self._channels:
            files = (self.etcd.cacert, self.etcd.key, self.etcd.cert)
            credentials = grpc.ssl_channel_credentials(*(Path(file).read_bytes() for file in files))
            target = f"127.0.0.1:{member.client_port}"
            options = (("grpc.max_reconnect_backoff_ms", 500), ("grpc.use_local_subchannel_pool", 1))
            self._channels[member.name] = grpc.aio.secure_channel(target, credentials, options=options)
        return self._channels[member.name]

    async def put(self, key: str, value: bytes, deadline_s: float = 5.0) -> None:
        """Write a key at any member that takes it. Raises AioRpcError if none does."""
        for index, member in enumerate(self.etcd.members):
            request = rpc_pb2.PutRequest(key=key.encode(), value=value)
            try:
                await rpc_pb2_grpc.KVStub(self.channel(member)).Put(request, timeout=deadline_s)
                return
            except grpc.aio.AioRpcError:
                if index == len(self.etcd.members) - 1:
                    raise

    async def write_for_ever(self) -> None:
        """Write as an API server of a small cluster does: leases and statuses, ten a second; reads with quorum too."""
        number = 0
        while True:
            number += 1
            with suppress(grpc.aio.AioRpcError):
                await self.put(f"/registry/leases/{number % 20}", b"x" * 600, 1.0)
            await asyncio.sleep(0.1)

    async def aclose(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            await channel.close()

    def _say(self, frame: Frame) -> None:
        last = self._last.get(frame.source)
        if last is None or msgspec.structs.replace(frame, t=last.t) != last:
            self._last[frame.source] = frame
            self.frames.append(frame)

    def _shown_metrics(self, text: str) -> str:
        text = slim_page(text, ETCD_FAMILIES)
        text = "".join(line + "\n" for line in text.splitlines() if not line.startswith("#"))
        text = _SIZES.sub(lambda match: f"{match[1]} {_scaled(match[1], float(match[2]))}", text)
        text = text.replace('server_version="3.5.1"', f'server_version="{VERSION}"')
        return _STARTED.sub(lambda match: f"process_start_time_seconds {self._shown_start(float(match[1])):.2f}", text)

    def _shown_start(self, started: float) -> float:
        age = started - self.began
        return STARTED_AT.timestamp() + (age if age > 0 else -WEEK_S)

    def _shown_body(self, part: str, answer: dict[str, Any]) -> dict[str, Any]:
        if part == "status":
            for size in {"dbSize", "dbSizeInUse"} & answer.keys():
                answer[size] = str(int(answer[size]) * SCALE)
            return {**answer, "version": VERSION}
        answer.pop("header", None)  # its revision changes all the time, and nobody reads it here
        if part == "members":
            names = {member.name: shown_name(member) for member in self.etcd.members}
            for item in answer.get("members", []):
                item["name"] = names[item["name"]]
                host = f"https://10.0.0.1{item['name'][-1]}"
                item |= {"peerURLs": [f"{host}:2380"], "clientURLs": [f"{host}:2379"]}
        return answer


def _scaled(name: str, value: float) -> int:
    """A quota that was left at its default stays."""
    is_default = name == "etcd_server_quota_backend_bytes" and value != QUOTA_BYTES
    return int(value) if is_default else int(value) * SCALE


def _readyz(leads: bool) -> str:
    lines = []
    for check in _CHECKS:
        fails = check == "linearizable_read" and not leads
        lines.append(f"[-]{check} failed: context deadline exceeded" if fails else f"[+]{check} ok")
    return "\n".join((*lines, "ok" if leads else "")).rstrip() + "\n"
