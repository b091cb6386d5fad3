"""The ports that clients see. What is behind them can stop answering, refuse, and change its certificate.

Bytes are passed on to gRPC or HTTP by what the client starts with, as etcd serves both on its client port.
"""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Final, NamedTuple

from simulator.etcd.tls import CHUNK, PlainChannel, TlsChannel

HOST: Final = "127.0.0.1"
_HTTP2: Final = b"PRI "
"""Start of the connection preface of HTTP/2, which gRPC uses (RFC 9113, section 3.4)."""


class Behind(NamedTuple):
    """Where a front passes connections on to: ports on loopback. 0 for none."""

    http: int
    grpc: int = 0


class Front:
    """One listening port. Down at first; keeps its port once it had one."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind
        self.tls: ssl.SSLContext | None = None
        """For connections from now on; None: without TLS."""
        self.port = 0
        self._answers = asyncio.Event()
        self._answers.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Listen, and answer."""
        self._answers.set()
        await self._listen()

    async def hang(self) -> None:
        """Keep connections open and accept new ones, but pass nothing on, as a stopped process."""
        self._answers.clear()
        await self._listen()

    async def down(self) -> None:
        """Refuse connections and drop the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()
        await asyncio.gather(*self._open, return_exceptions=True)

    def drop(self) -> None:
        """Drop the open connections."""
        for task in self._open:
            task.cancel()

    async def _listen(self) -> None:
        if self._server is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self.port))
            self._server = await asyncio.start_server(self._accept, sock=listener)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(OSError):
                await self._answers.wait()
                channel = await self._channel(PlainChannel(reader, writer))
                first = await channel.read()
                await self._answers.wait()
                await self._relay(channel, first)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _channel(self, plain: PlainChannel) -> PlainChannel | TlsChannel:
        if self.tls is None:
            return plain
        channel = TlsChannel(plain, self.tls)
        await channel.handshake()
        return channel

    async def _relay(self, channel: PlainChannel | TlsChannel, first: bytes) -> None:
        port = self._behind.grpc if first.startswith(_HTTP2) and self._behind.grpc else self._behind.http
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(first)
            async with asyncio.TaskGroup() as tasks:
                back = tasks.create_task(self._pass_back(reader, channel))
                forth = tasks.create_task(self._pass_on(channel, writer))
                await asyncio.wait((back, forth), return_when=asyncio.FIRST_COMPLETED)
                back.cancel()
                forth.cancel()
        finally:
            writer.close()

    async def _pass_on(self, channel: PlainChannel | TlsChannel, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await channel.read():
                await self._answers.wait()
                writer.write(data)
                await writer.drain()

    async def _pass_back(self, reader: StreamReader, channel: PlainChannel | TlsChannel) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._answers.wait()
                await channel.write(data)
