"""TLS for one connection, so that a refused client hears the alert; asyncio's own would drop it with the connection."""

import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from tape.etcd import EtcdServer

CERTIFICATES: Final = Path(__file__).parent / "demo_certificates"
"""They belong to the demo and protect nothing (`make.sh` beside them)."""
CHUNK: Final = 65536
_T = TypeVar("_T")


class PlainChannel:
    """A connection without TLS."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end."""
        return await self._reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        """Send."""
        self._writer.write(data)
        await self._writer.drain()


class TlsChannel:
    """The server's end of a connection with TLS. All methods raise OSError when it fails; ssl.SSLError is one."""

    def __init__(self, below: PlainChannel, context: ssl.SSLContext) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Agree with the client; one that is refused is told why before this raises."""
        await self._until_done(self._tls.do_handshake)

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end."""
        try:
            return await self._until_done(lambda: self._tls.read(CHUNK))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def write(self, data: bytes) -> None:
        """Send."""
        self._tls.write(data)
        await self._flush()

    async def _until_done(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                if received := await self._below.read():
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                await self._flush()
                raise
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.write(self._outgoing.read())


@cache
def server_context(certificate: str, trusts: str) -> ssl.SSLContext:
    """Return how a member with this certificate, which trusts that authority, does TLS. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.crt", CERTIFICATES / f"{certificate}.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    if trusts:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATES / f"{trusts}.crt")
    return context


def context_of(server: EtcdServer) -> ssl.SSLContext | None:
    """Return how a member does TLS, None for one without."""
    return server_context(server.certificate, server.trusts) if server.certificate else None
